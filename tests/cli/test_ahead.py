"""The namespace is listed while the customers are read: what is told, and in which order, stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.errors import ConfigError
from reconciler.load import config
from reconciler.load.repository import Platform
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.look.ahead import Ahead, Stopped
from reconciler.look.cloudflare import Api, connect
from reconciler.look.replies import Unauthorized
from reconciler.look.transport import Polite, Unlimited
from reconciler.model import Secret
from tests.cli.terminal import edit, repository, run
from tests.scenarios.platform import ACCOUNT

FOURTH = {
    "customers/umbrella/customer.yaml": "tier: basic\nscripts:\n  umbrella-shop: {main: shop.mjs}\n",
    "customers/umbrella/shop.mjs": "export default {};\n",
}
WAIT = 30  # seconds until a test that hangs fails


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Those that lead a run to an emulated account behind a port."""
    store = Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    with Server(create_app(store)) as server:
        yield {
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
    store.close()


def test_the_platform_is_known_before_the_first_customer_is_read(tmp_path: Path) -> None:
    root, told = repository(tmp_path), list[Platform]()

    def begun(platform: Platform) -> None:
        told.append(platform)
        repository(root, FOURTH)

    loaded = config.load(root, variables={}, begun=begun)
    assert [one.namespace for one in told] == ["acme-production"]
    assert "umbrella" in loaded.customers


def test_nothing_is_begun_for_a_platform_with_a_mistake(tmp_path: Path) -> None:
    root, told = repository(tmp_path), list[Platform]()
    edit(root, "platform.yaml", "namespace: acme-production", "namespace: acme-production\nnonsense: 1")
    with pytest.raises(ConfigError):
        config.load(root, variables={}, begun=told.append)
    assert told == []


def test_a_listing_begun_early_gives_the_same_plan_and_the_next_is_empty(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    root = repository(tmp_path / "repository")
    locally, remotely = run(root, "plan", "--local"), run(root, "plan", variables=variables)
    assert (remotely.code, remotely.out.splitlines()[1:]) == (0, locally.out.splitlines()[1:])
    assert run(root, "apply", "--yes", variables=variables).code == 0
    assert run(root, "plan", "--exit-code", variables=variables).code == 0
    assert run(root, "drift", variables=variables).code == 0


@pytest.mark.parametrize("command", ["plan", "drift", "status", "apply"])
def test_what_is_wrong_with_the_files_is_told_before_what_is_wrong_with_the_account(
    tmp_path: Path, variables: dict[str, str], command: str
) -> None:
    root = repository(tmp_path / "repository")
    edit(root, "customers/globex/customer.yaml", "tier:", "teir:")
    for token in ("no-token-of-this-account", ""):
        ran = run(root, command, variables={**variables, "CLOUDFLARE_API_TOKEN": token})
        assert ran.code == 1
        assert "teir" in ran.err
        assert "token" not in ran.err.lower()


def test_a_token_that_is_refused_is_told_once_the_files_are_right(tmp_path: Path, variables: dict[str, str]) -> None:
    root = repository(tmp_path / "repository")
    ran = run(root, "plan", variables={**variables, "CLOUDFLARE_API_TOKEN": "no-token-of-this-account"})
    assert ran.code == 1
    assert ran.err.count("check CLOUDFLARE_API_TOKEN") == 1


def test_what_the_listing_raised_is_raised_where_it_is_asked_for() -> None:
    ahead = Ahead(api(lambda _: httpx.Response(403, json={"success": False, "errors": []})), "acme", _untold)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            ahead.listed()


def test_a_listing_that_nobody_wants_any_more_asks_for_no_further_page() -> None:
    held, asked = threading.Event(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if not request.url.path.endswith("/scripts"):
            return good({"namespace_name": "acme"})
        held.wait(WAIT)
        return good([{"id": f"script-{len(asked)}"}], cursor=str(len(asked)))

    ahead = Ahead(api(answer), "acme", _untold)
    ahead.stop()
    held.set()
    with pytest.raises(Stopped):
        ahead.listed()
    assert len(asked) == 2  # the namespace, and the page that was under way


def api(answer: Callable[[httpx.Request], httpx.Response]) -> Api:
    polite = Polite(httpx.MockTransport(answer), Unlimited(), sleep=lambda _: None, retries=0)
    return connect("https://api.example.com/client/v4", Secret("token-of-nobody"), ACCOUNT, polite)


def good(result: object, **info: str) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "result": result, "result_info": info, "errors": []})


def _untold(rows: int) -> None:
    del rows
