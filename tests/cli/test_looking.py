"""The commands that only look: status, doctor, drift, import. What they print, and that they cannot write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.local.switches import Switches
from tests.cli.terminal import repository, run
from tests.scenarios.platform import ACCOUNT


@dataclass
class Account:
    """An account behind a socket, as the real one is, that keeps the method of every request."""

    variables: Mapping[str, str]
    store: Store
    methods: list[str] = field(default_factory=list)


@pytest.fixture
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    store = Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    app = create_app(store, switches=getattr(request, "param", Switches()))

    def recorded(environ: dict[str, Any], start: Any) -> Any:
        kept.methods.append(environ["REQUEST_METHOD"])
        return app(environ, start)

    with Server(recorded) as server:
        variables = {
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        kept = Account(variables, store)
        yield kept
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository")


def test_commands_that_look_send_nothing_but_get(folder: Path, account: Account, tmp_path: Path) -> None:
    assert run(folder, "apply", "--yes", variables=account.variables).code == 0
    (tmp_path / "new").mkdir()
    account.methods.clear()
    for words in (("plan", "--verify", "all"), ("drift", "--verify", "all"), ("status",), ("doctor",)):
        assert run(folder, *words, variables=account.variables).code == 0, words
    import_ = ("import", "--namespace", "acme-production", "--platform", "acme")
    assert run(tmp_path / "new", *import_, variables=account.variables).code == 0
    assert set(account.methods) == {"GET"}
