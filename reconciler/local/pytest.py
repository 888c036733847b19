"""The pytest plugin: an emulated account for a team's own tests, and by its other half their running platform.

    def test_our_own_tool_uploads(reconciler_account):
        run_our_tool(env=reconciler_account.environment)

pytest loads this module at every start (entry point), so it imports nothing of weight before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# By name: a platform is made by what plans, and nothing here imports that. pytest loads it with this module.
pytest_plugins = ["reconciler.dev.pytest_plugin"]

ACCOUNT = "0" * 32


@dataclass(frozen=True)
class Account:
    """An emulated Cloudflare account behind its API."""

    base_url: str  # for CLOUDFLARE_API_BASE_URL
    token: str
    id: str

    @property
    def environment(self) -> dict[str, str]:
        """What wrangler, Cloudflare's SDKs and `reconciler apply` need to work with it."""
        return {
            "CLOUDFLARE_API_BASE_URL": self.base_url,
            "CLOUDFLARE_BASE_URL": self.base_url,
            "CLOUDFLARE_API_TOKEN": self.token,
            "CLOUDFLARE_ACCOUNT_ID": self.id,
        }


@pytest.fixture
def reconciler_account(tmp_path: Path) -> Iterator[Account]:
    """An empty account behind the emulated API, on a port of its own. No script runs in it."""
    from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
    from reconciler.local.server import Server
    from reconciler.local.store import Store
    from reconciler.local.switches import LAPTOP

    store = Store(tmp_path / "reconciler-account")
    try:
        with Server(create_app(store, switches=LAPTOP)) as server:
            yield Account(server.url + PREFIX, LOCAL_TOKEN, ACCOUNT)
    finally:
        store.close()
