"""What a namespace costs a month: the one place with the price and its source.

Only scripts are priced here; requests and CPU time depend on traffic, which no plan changes.
"""

from __future__ import annotations

# https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/reference/pricing/
SOURCE = "Cloudflare's Workers for Platforms pricing page, last updated 2026-04-21"
BASE_CENTS = 2_500
SCRIPTS_INCLUDED = 1_000
CENTS_PER_FURTHER_SCRIPT = 2


def monthly_cents(scripts: int) -> int:
    """US cents a month for that many scripts in all namespaces of an account, before traffic."""
    return BASE_CENTS + max(0, scripts - SCRIPTS_INCLUDED) * CENTS_PER_FURTHER_SCRIPT
