"""An emulated account to drive with the clients that others wrote."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudflare import Cloudflare

from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.runtime import Runtime
from reconciler.local.server import Server
from reconciler.local.store import Store

ACCOUNT = "a" * 32
CLOUDFLARE = "api.cloudflare.com"
WRANGLER = Path(__file__).parent / "wrangler/node_modules/.bin/wrangler"
needs_wrangler = pytest.mark.skipif(not WRANGLER.exists(), reason="wrangler is not installed: `make test` installs it")

Run = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "account")
    yield store
    store.close()


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    with Server(create_app(store), names=(CLOUDFLARE,)) as server:
        yield server


class Running:
    """The data plane of the account: what strangers uploaded answers here."""

    def __init__(self, runtime: Runtime, api: str) -> None:
        self.runtime, self._api = runtime, api

    def get(self, host: str, path: str = "/", **headers: str) -> httpx.Response:
        """A request to a host of the platform."""
        sent = {"x-reconciler-host": host, **headers}
        return httpx.get(self.runtime.url + path, headers=sent, trust_env=False, timeout=20)

    def upload(self, path: str, code: str, **metadata: Any) -> None:
        """A script beside those that a stranger uploads; the path is below the account's workers."""
        told: Mapping[str, Any] = {"main_module": "main.mjs", "compatibility_date": "2026-04-01", **metadata}
        files: Any = {
            "metadata": (None, json.dumps(told)),
            "main.mjs": ("main.mjs", code, "application/javascript+module"),
        }
        headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
        url = f"{self._api}/accounts/{ACCOUNT}/workers/{path}"
        reply = httpx.put(url, files=files, headers=headers, trust_env=False)
        assert reply.is_success, reply.text


@pytest.fixture
def running(store: Store, server: Server) -> Iterator[Running]:
    with Runtime(store, root=Path(__file__).parent, hosts={CLOUDFLARE: server.url}) as runtime:
        yield Running(runtime, server.url + PREFIX)


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


@pytest.fixture
def wrangler(server: Server, tmp_path: Path) -> Run:
    """Runs wrangler in a folder; gives what it printed, and fails the test when it fails."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CI": "1",
        "NO_COLOR": "1",
        "WRANGLER_SEND_METRICS": "false",
        "CLOUDFLARE_API_BASE_URL": server.url + PREFIX,
        "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
        # No other host is asked, for updates or anything else: whatever is not loopback meets a closed port.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }

    def run(*arguments: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [WRANGLER, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def project(folder: Path, config: object, **files: str) -> Path:
    folder.mkdir()
    (folder / "wrangler.json").write_text(json.dumps(config))
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder
