"""The gate of continuous integration: what a plan does for each script and customer, counted and not timed.

    python -m benchmarks.gate

Calls of functions are the same on a busy machine and on a quiet one. Two sizes are planned, and what the larger one
takes more is divided by what it has more, so that start-up is not in it. Exits 1 when a bound is passed: find out with
`python -m cProfile -m reconciler plan` what is called more often, or raise the bound and say why.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import cProfile
import pstats
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import account, platforms
from benchmarks.measuring import run
from benchmarks.scale import CACHE, Here, serving
from benchmarks.tables import Table
from reconciler.look import cloudflare, transport
from reconciler.look.listing import list_namespace
from reconciler.model import Secret

SMALL, LARGE = 200, 2_000  # customers

# What was counted when the bound was set, and at least a fifth on top: how a page is cut into packets is counted too.
NOTHING_TO_DO = 36.0  # a script, beside its row of the listing
ONE_MORE = 115.0  # a script, when there is a customer more: routes and names are held against each other
LISTED = 8.0  # a row of the listing; it is read in a thread of its own, where a profile of the plan does not look
CHANGED = 2_700.0  # a changed customer: read, compiled, decoded, compared, shown
COMPILED = 2_100.0  # a customer, from its files
CALLS = 6  # of the API, beside the pages of the listing


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as made:
        small, large = _counted(Path(made) / "small", SMALL), _counted(Path(made) / "large", LARGE)
    more, changed = (LARGE - SMALL) * platforms.SCRIPTS_PER_CUSTOMER, len(range(0, LARGE, 100))
    rows = [
        ("calls a script, nothing to do", (large["plan"] - small["plan"]) / more, NOTHING_TO_DO),
        ("calls a script, one customer more", (large["added"] - small["added"]) / more, ONE_MORE),
        ("calls a row of the listing", (large["listing"] - small["listing"]) / more, LISTED),
        ("calls a changed customer", (large["changed"] - large["plan"]) / changed, CHANGED),
        ("calls a compiled customer", (small["cold"] - small["plan"]) / SMALL, COMPILED),
        ("API calls beside the pages", large["requests"], CALLS),
    ]
    told = [[what, f"{value:,.1f}", f"{most:,.1f}", "✓" if value <= most else "✗"] for what, value, most in rows]
    print(Table(f"A plan of {LARGE:,} customers, counted", ["what", "now", "at most", ""], told))
    return int(any(value > most for _, value, most in rows))


def _counted(folder: Path, customers: int) -> dict[str, float]:
    root = folder / "repository"
    platforms.write(root, customers)
    pages = account.record(root, folder / "account")
    with serving(folder / "account") as port:
        here = Here(root, port, folder)
        found: dict[str, float] = {}
        if customers == SMALL:  # more would be spread over several processes, where nothing is counted
            (root / CACHE).unlink()
            found["cold"] = _calls(here, folder)
        here.plan()
        found["plan"] = _calls(here, folder)
        found["requests"] = here.calls() - pages
        found["listing"] = _listing_calls(port)
        added = platforms.add(root, customers)
        found["added"] = _calls(here, folder, "--diff-limit", "0")
        shutil.rmtree(added)
        here.plan()
        platforms.change(root, range(0, customers, 100))
        found["changed"] = _calls(here, folder, "--diff-limit", "0")
    return found


def _calls(here: Here, folder: Path, *words: str) -> float:
    """How many functions a plan calls."""
    profile = folder / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "reconciler", "plan", "--quiet", *words]
    run(command, at=here.root, variables=here.variables)
    return float(pstats.Stats(str(profile)).total_calls)  # type: ignore[attr-defined]  # its stubs leave it out


def _listing_calls(port: int) -> float:
    """How many functions the listing calls by itself."""
    address = f"http://127.0.0.1:{port}/client/v4"
    polite = transport.Polite(transport.over_network(address), transport.Unlimited())
    api = cloudflare.connect(address, Secret("bench"), platforms.ACCOUNT, polite)
    profile = cProfile.Profile()
    profile.runcall(list_namespace, api, platforms.NAMESPACE)
    api.close()
    return float(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # its stubs leave it out


if __name__ == "__main__":
    sys.exit(main())
