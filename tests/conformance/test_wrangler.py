"""The real wrangler manages namespaces, uploads user Workers and deploys a dispatcher on the emulated API."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.local.api import LOCAL_TOKEN, PREFIX
from reconciler.local.server import Server
from reconciler.local.store import ORDINARY, Store
from tests.conformance.conftest import ACCOUNT

WRANGLER = Path(__file__).parent / "wrangler/node_modules/.bin/wrangler"
pytestmark = pytest.mark.skipif(not WRANGLER.exists(), reason="wrangler is not installed: `make setup` installs it")

Run = Callable[..., str]


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
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


def test_namespaces_are_created_renamed_and_deleted(wrangler: Run, store: Store) -> None:
    assert 'Created dispatch namespace "staging"' in wrangler("dispatch-namespace", "create", "staging")
    assert "staging" in wrangler("dispatch-namespace", "list")
    assert "script_count: 0" in wrangler("dispatch-namespace", "get", "staging")
    wrangler("dispatch-namespace", "rename", "staging", "production")
    assert [one.name for one in store.namespaces()] == ["production"]
    wrangler("dispatch-namespace", "delete", "production")
    assert store.namespaces() == []


def test_a_user_worker_is_uploaded_with_modules_vars_and_assets(wrangler: Run, store: Store, tmp_path: Path) -> None:
    store.create_namespace("production")
    config = {
        "name": "acme-shop",
        "main": "index.mjs",
        "compatibility_date": "2026-04-01",
        "vars": {"GREETING": "hello", "CONFIG": {"a": [1]}},
        "assets": {"directory": "public", "binding": "ASSETS"},
    }
    code = "import text from './terms.txt';\nexport default { fetch() { return new Response(text) } };\n"
    folder = project(
        tmp_path / "shop",
        config,
        **{"index.mjs": code, "terms.txt": "no returns", "public__index.html": "<h1>hi</h1>", "public__a.css": "a{}"},
    )
    wrangler("deploy", "--dispatch-namespace", "production", folder=folder)
    script = store.script("production", "acme-shop")
    assert script is not None
    assert sorted(module.type for module in script.modules) == ["application/javascript+module", "text/plain"]
    assert [module.content for module in script.modules if module.type == "text/plain"] == [b"no returns"]
    assert {one["name"]: one["type"] for one in script.bindings} == {
        "GREETING": "plain_text",
        "CONFIG": "json",
        "ASSETS": "assets",
    }
    page = store.asset(script.assets["/index.html"].hash)
    assert page is not None and (page.content, page.type.split(";")[0]) == (b"<h1>hi</h1>", "text/html")


def test_a_dispatcher_with_an_outbound_worker_is_deployed_twice(wrangler: Run, store: Store, tmp_path: Path) -> None:
    """The second deployment takes another way: a version is uploaded and then deployed."""
    store.create_namespace("production")
    store.edge.ensure_zone("acme.app")
    date = {"main": "index.mjs", "compatibility_date": "2026-04-01"}
    guard = project(
        tmp_path / "guard",
        {"name": "egress-guard", "workers_dev": False, **date},
        **{"index.mjs": "export default { fetch: (request) => fetch(request) };"},
    )
    outbound = {"service": "egress-guard", "parameters": ["customer"]}
    config = {
        "name": "acme-dispatcher",
        "routes": [
            {"pattern": "*.acme.app/*", "zone_name": "acme.app"},
            {"pattern": "acme.app", "custom_domain": True},
        ],
        "dispatch_namespaces": [{"binding": "DISPATCHER", "namespace": "production", "outbound": outbound}],
        **date,
    }
    code = "export default { fetch: (request, env) => env.DISPATCHER.get('acme-shop').fetch(request) };"
    dispatcher = project(tmp_path / "dispatcher", config, **{"index.mjs": code})

    wrangler("deploy", folder=guard)
    wrangler("deploy", folder=dispatcher)
    first = store.script(ORDINARY, "acme-dispatcher")
    (dispatcher / "index.mjs").write_text(code + "\nexport const version = 2;\n")
    wrangler("deploy", folder=dispatcher)

    second = store.script(ORDINARY, "acme-dispatcher")
    assert first is not None and second is not None and first.etag != second.etag
    assert [dict(one) for one in second.bindings] == [
        {
            "name": "DISPATCHER",
            "type": "dispatch_namespace",
            "namespace": "production",
            "outbound": {"worker": {"service": "egress-guard"}, "params": [{"name": "customer"}]},
        }
    ]
    assert [(route.pattern, route.script) for route in store.edge.routes()] == [("*.acme.app/*", "acme-dispatcher")]
    assert [domain.hostname for domain in store.edge.domains()] == ["acme.app"]
    assert [one.number for one in store.versions.versions("acme-dispatcher")] == [2, 1]
