"""The real wrangler manages namespaces, uploads user Workers and deploys a dispatcher on the emulated API."""

from __future__ import annotations

from pathlib import Path

from reconciler.local.store import ORDINARY, Store
from tests.conformance.conftest import Run, Running, needs_wrangler, project

pytestmark = needs_wrangler

# Answers <script>.acme.app with that script.
DISPATCHER = """
export default {
  fetch: (request, env) => env.DISPATCHER.get(new URL(request.url).hostname.split(".")[0]).fetch(request),
};
"""


def test_namespaces_are_created_renamed_and_deleted(wrangler: Run, store: Store) -> None:
    assert 'Created dispatch namespace "staging"' in wrangler("dispatch-namespace", "create", "staging")
    assert "staging" in wrangler("dispatch-namespace", "list")
    assert "script_count: 0" in wrangler("dispatch-namespace", "get", "staging")
    wrangler("dispatch-namespace", "rename", "staging", "production")
    assert [one.name for one in store.namespaces()] == ["production"]
    wrangler("dispatch-namespace", "delete", "production")
    assert store.namespaces() == []


def test_a_user_worker_is_uploaded_with_modules_vars_and_assets_and_runs(
    wrangler: Run, store: Store, running: Running, tmp_path: Path
) -> None:
    store.create_namespace("production")
    config = {
        "name": "acme-shop",
        "main": "src/index.mjs",
        "no_bundle": True,
        "rules": [{"type": "ESModule", "globs": ["**/*.mjs"]}],
        "compatibility_date": "2026-04-01",
        "vars": {"GREETING": "hello", "CONFIG": {"a": [1]}},
        "assets": {"directory": "public", "binding": "ASSETS"},
    }
    code = """
        import text from "./terms.txt";
        import { tell } from "./lib/tell.mjs";
        export default { fetch: (request, env) => tell(`${text}, ${env.GREETING}, ${env.CONFIG.a}`) };
    """
    tell = "export const tell = (text) => new Response(text);"
    folder = project(
        tmp_path / "shop",
        config,
        **{"src__index.mjs": code, "src__lib__tell.mjs": tell, "src__terms.txt": "no returns"},
        **{"public__index.html": "<h1>hi</h1>", "public__a.css": "a{}"},
    )
    wrangler("deploy", "--dispatch-namespace", "production", folder=folder)
    script = store.script("production", "acme-shop")
    assert script is not None
    esm = "application/javascript+module"
    modules = {module.name: module.type for module in script.modules}
    assert modules == {"index.mjs": esm, "lib/tell.mjs": esm, "terms.txt": "text/plain"}
    assert {one["name"]: one["type"] for one in script.bindings} == {
        "GREETING": "plain_text",
        "CONFIG": "json",
        "ASSETS": "assets",
    }
    page = store.asset(script.assets["/index.html"].hash)
    assert page is not None and (page.content, page.type.split(";")[0]) == (b"<h1>hi</h1>", "text/html")

    dispatch = {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "production"}
    running.upload("scripts/acme-dispatcher", DISPATCHER, bindings=[dispatch])
    store.edge.create_route(store.edge.ensure_zone("acme.app").id, "*.acme.app/*", "acme-dispatcher")
    running.runtime.invalidate()
    assert running.get("acme-shop.acme.app", "/cart").text == "no returns, hello, 1"
    assert running.get("acme-shop.acme.app", "/").text == "<h1>hi</h1>"
    assert running.get("acme-shop.acme.app", "/a.css").headers["content-type"].startswith("text/css")


def test_a_dispatcher_with_an_outbound_worker_is_deployed_twice_and_runs(
    wrangler: Run, store: Store, running: Running, tmp_path: Path
) -> None:
    """The second deployment takes another way: a version is uploaded and then deployed."""
    store.create_namespace("production")
    store.edge.ensure_zone("acme.app")
    date = {"main": "index.mjs", "compatibility_date": "2026-04-01"}
    guard = project(
        tmp_path / "guard",
        {"name": "egress-guard", "workers_dev": False, **date},
        **{"index.mjs": "export default { fetch: (r, env) => new Response(`${env.customer} asked ${r.url}`) };"},
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
    code = """
        const outbound = { customer: "acme" };
        export default {
          fetch: (request, env) => env.DISPATCHER.get("acme-shop", {}, { outbound }).fetch(request),
        };
    """
    dispatcher = project(tmp_path / "dispatcher", config, **{"index.mjs": code})

    wrangler("deploy", folder=guard)
    wrangler("deploy", folder=dispatcher)
    first = store.script(ORDINARY, "acme-dispatcher")
    user = "export default { fetch: () => fetch('https://api.example.com/rates') };"
    running.upload("dispatch/namespaces/production/scripts/acme-shop", user)
    assert running.get("shop.acme.app").text == "acme asked https://api.example.com/rates"
    (dispatcher / "index.mjs").write_text(code.replace('"acme" }', '"acme, again" }'))
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
    assert running.get("acme.app").text == "acme, again asked https://api.example.com/rates"
    assert [(route.pattern, route.script) for route in store.edge.routes()] == [("*.acme.app/*", "acme-dispatcher")]
    assert [domain.hostname for domain in store.edge.domains()] == ["acme.app"]
    assert [one.number for one in store.versions.versions("acme-dispatcher")] == [2, 1]
