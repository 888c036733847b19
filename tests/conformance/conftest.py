"""An emulated account to drive with the clients that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cloudflare import Cloudflare

from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store

ACCOUNT = "a" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "account")
    yield store
    store.close()


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    with Server(create_app(store)) as server:
        yield server


@pytest.fixture(params=["loopback", "in process"])
def sdk(request: pytest.FixtureRequest, store: Store) -> Iterator[Cloudflare]:
    """Cloudflare's own SDK, once over a socket and once with the app called directly."""
    transport: httpx.BaseTransport
    if request.param == "loopback":
        server: Server = request.getfixturevalue("server")
        url = server.url
        transport = httpx.HTTPTransport(verify=False)  # plain HTTP; reading the certificates takes 0.2 s
    else:
        url = "http://cloudflare.invalid"
        transport = httpx.WSGITransport(create_app(store))
    http = httpx.Client(transport=transport, trust_env=False)
    with Cloudflare(base_url=url + PREFIX, api_token=LOCAL_TOKEN, max_retries=0, http_client=http) as client:
        yield client
