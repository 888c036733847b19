"""An application that does all by hand, deployed by wrangler with its framework: D1, uploads, tags, dispatch.

It calls https://api.cloudflare.com; on the embedded platform that is the emulated account.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.local.api import LOCAL_TOKEN
from reconciler.local.store import Store
from tests.conformance.conftest import ACCOUNT, WRANGLER, Run, Running, project

PORTAL = Path(__file__).parent / "portal/index.mjs"
HONO = WRANGLER.parent.parent / "hono"
pytestmark = pytest.mark.skipif(
    not (WRANGLER.exists() and HONO.exists()), reason="wrangler and hono are not installed: `make test` installs them"
)
SHOP = """
    import { provided } from "./platform_module.mjs";
    export default { fetch: () => new Response(provided("SHOP")) };
"""


@pytest.fixture
def portal(wrangler: Run, store: Store, running: Running, tmp_path: Path) -> Iterator[httpx.Client]:
    store.create_namespace("production")
    database = store.d1.create_database("portal")
    assert database is not None
    config = {
        "name": "portal",
        "main": "index.mjs",
        "compatibility_date": "2026-04-01",
        "alias": {"hono": str(HONO / "dist/index.js")},
        "vars": {"ACCOUNT": ACCOUNT, "NAMESPACE": "production", "API_TOKEN": LOCAL_TOKEN},
        "d1_databases": [{"binding": "DB", "database_name": "portal", "database_id": database.id}],
        "dispatch_namespaces": [{"binding": "DISPATCHER", "namespace": "production"}],
    }
    wrangler("deploy", folder=project(tmp_path / "portal", config, **{"index.mjs": PORTAL.read_text()}))
    headers = {"x-reconciler-host": "portal.local.workers.dev"}
    with httpx.Client(base_url=running.runtime.url, headers=headers, timeout=20, trust_env=False) as client:
        yield client


def test_it_lists_uploads_tags_and_dispatches(portal: httpx.Client) -> None:
    acme, globex = {"x-customer-token": "token-acme"}, {"x-customer-token": "token-globex"}
    assert (portal.get("/init").status_code, portal.get("/dispatch/shop").status_code) == (302, 404)
    for name in ("shop", "second"):
        code = SHOP.replace("SHOP", name)
        assert portal.put(f"/script/{name}", headers=acme, content=code).status_code == 201
    assert portal.put("/script/other", headers=globex, content=SHOP).status_code == 201

    assert portal.put("/script/shop", headers=globex, content=SHOP).status_code == 409
    assert portal.get("/script/all", headers=acme).json() == ["second", "shop"]
    assert portal.get("/dispatch/shop").text == "shop, with what the platform provides"
    page = portal.get("/").text
    assert page == "<table><tr><td>acme</td><td>50</td></tr><tr><td>globex</td><td>50</td></tr></table>" + (
        "<p>other, second, shop</p>"
    )

    assert portal.put("/script/shop", headers=acme, content=SHOP.replace("SHOP", "new")).status_code == 201
    assert portal.get("/dispatch/shop").text == "new, with what the platform provides"
    assert portal.delete("/script/shop", headers=acme).status_code == 204
    assert portal.get("/dispatch/shop").status_code == 404
    assert portal.get("/script/all").status_code == 401
