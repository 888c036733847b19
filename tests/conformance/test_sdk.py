"""Cloudflare's own Python SDK drives the emulated API over all its Workers for Platforms calls."""

from __future__ import annotations

import base64
import json
from typing import Any

import cloudflare
import pytest
from cloudflare import Cloudflare

from reconciler.local.store import Store
from tests.conformance.conftest import ACCOUNT, Running

NAMESPACE = "production"
MODULE_TYPE = "application/javascript+module"
MAIN = b"import { tell } from './platform_module.mjs';\nexport default { fetch() { return new Response(tell()) } };\n"
PLATFORM = b"export const tell = () => 'hello';\n"
PLATFORM_2 = b"export const tell = () => 'hello again';\n"


@pytest.fixture
def namespace(sdk: Cloudflare) -> str:
    sdk.workers_for_platforms.dispatch.namespaces.create(account_id=ACCOUNT, name=NAMESPACE)
    return NAMESPACE


def upload(sdk: Cloudflare, name: str, **metadata: Any) -> Any:
    told: Any = {"main_module": "main.mjs", **metadata}
    return sdk.workers_for_platforms.dispatch.namespaces.scripts.update(
        name,
        account_id=ACCOUNT,
        dispatch_namespace=NAMESPACE,
        metadata=told,
        files=[("main.mjs", MAIN, MODULE_TYPE), ("platform_module.mjs", PLATFORM, MODULE_TYPE)],
    )


def test_namespaces_are_created_listed_read_and_deleted(sdk: Cloudflare) -> None:
    namespaces = sdk.workers_for_platforms.dispatch.namespaces
    made = namespaces.create(account_id=ACCOUNT, name="staging")
    assert made is not None and made.namespace_name == "staging"
    assert [one.namespace_name for one in namespaces.list(account_id=ACCOUNT)] == ["staging"]
    found = namespaces.get("staging", account_id=ACCOUNT)
    assert found is not None
    assert (found.namespace_id, found.script_count, found.trusted_workers) == (made.namespace_id, 0, False)
    namespaces.delete("staging", account_id=ACCOUNT)
    with pytest.raises(cloudflare.NotFoundError) as refused:
        namespaces.get("staging", account_id=ACCOUNT)
    assert [error.code for error in refused.value.errors] == [100119]


def test_an_upload_is_stored_with_all_its_modules(sdk: Cloudflare, namespace: str, store: Store) -> None:
    made = upload(sdk, "acme-shop", tags=["acme", "basic"], compatibility_date="2026-11-01")
    assert (made.id, made.tags, made.has_modules, made.handlers) == ("acme-shop", ["acme", "basic"], True, ["fetch"])
    assert made.startup_time_ms is not None
    stored = store.script(namespace, "acme-shop")
    assert stored is not None
    contents = {module.name: module.content for module in stored.modules}
    assert contents == {"main.mjs": MAIN, "platform_module.mjs": PLATFORM}


def test_what_the_sdk_uploads_runs(sdk: Cloudflare, namespace: str, running: Running) -> None:
    upload(sdk, "acme-shop", compatibility_date="2026-04-01")
    code = b"export default { fetch: (request, env) => env.DISPATCHER.get('acme-shop').fetch(request) };"
    dispatch: Any = {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": namespace}
    sdk.workers.scripts.update(
        "dispatcher",
        account_id=ACCOUNT,
        metadata={"main_module": "main.mjs", "compatibility_date": "2026-04-01", "bindings": [dispatch]},
        files=[("main.mjs", code, MODULE_TYPE)],
    )
    sdk.workers.scripts.subdomain.create("dispatcher", account_id=ACCOUNT, enabled=True)
    assert running.get("dispatcher.local.workers.dev").text == "hello"
    upload_again = [("main.mjs", MAIN, MODULE_TYPE), ("platform_module.mjs", PLATFORM_2, MODULE_TYPE)]
    sdk.workers_for_platforms.dispatch.namespaces.scripts.content.update(
        "acme-shop",
        account_id=ACCOUNT,
        dispatch_namespace=namespace,
        metadata={"main_module": "main.mjs"},
        files=upload_again,
    )
    assert running.get("dispatcher.local.workers.dev").text == "hello again"


def test_a_script_is_read_and_deleted(sdk: Cloudflare, namespace: str) -> None:
    scripts = sdk.workers_for_platforms.dispatch.namespaces.scripts
    made = upload(sdk, "acme-shop")
    found = scripts.get("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace)
    assert found is not None and found.script is not None
    assert (found.dispatch_namespace, found.script.etag) == (namespace, made.etag)
    scripts.delete("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace, force=True)
    with pytest.raises(cloudflare.NotFoundError):
        scripts.get("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace)


def test_a_namespace_is_listed_page_by_page_though_the_sdk_has_no_call_for_it(sdk: Cloudflare, namespace: str) -> None:
    for number in range(5):
        upload(sdk, f"shop-{number}", tags=["even"] if number % 2 == 0 else ["odd"])
    path = f"/accounts/{ACCOUNT}/workers/dispatch/namespaces/{namespace}/scripts"
    names, cursor = [], ""
    while True:
        page: Any = sdk.get(path, cast_to=object, options={"params": {"limit": 2, "cursor": cursor}})
        names += [row["id"] for row in page["result"]]
        cursor = page["result_info"]["cursor"]
        if not cursor:
            break
    assert names == [f"shop-{number}" for number in range(5)]
    odd: Any = sdk.get(path, cast_to=object, options={"params": {"tags": "odd:yes,even:no"}})
    assert [row["id"] for row in odd["result"]] == ["shop-1", "shop-3"]


def test_content_is_read_and_replaced(sdk: Cloudflare, namespace: str, store: Store) -> None:
    content = sdk.workers_for_platforms.dispatch.namespaces.scripts.content
    upload(sdk, "acme-shop", tags=["kept"])
    read = content.get("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace)
    assert MAIN in read.read() and "multipart/form-data" in read.headers["content-type"]
    content.update(
        "acme-shop",
        account_id=ACCOUNT,
        dispatch_namespace=namespace,
        metadata={"main_module": "main.mjs"},
        files=[("main.mjs", b"export default {}", MODULE_TYPE)],
    )
    stored = store.script(namespace, "acme-shop")
    assert stored is not None
    assert ([module.content for module in stored.modules], stored.tags) == ([b"export default {}"], ("kept",))


def test_settings_are_read_and_changed(sdk: Cloudflare, namespace: str) -> None:
    settings = sdk.workers_for_platforms.dispatch.namespaces.scripts.settings
    upload(sdk, "acme-shop", limits={"cpu_ms": 10}, bindings=[{"type": "plain_text", "name": "A", "text": "x"}])
    settings.edit(
        "acme-shop",
        account_id=ACCOUNT,
        dispatch_namespace=namespace,
        settings={"limits": {"cpu_ms": 50}, "tags": ["t"]},
    )
    found = settings.get("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace)
    assert found is not None and found.limits is not None and found.bindings is not None
    assert (found.limits.cpu_ms, found.tags, [one.name for one in found.bindings]) == (50, ["t"], ["A"])


def test_bindings_are_listed(sdk: Cloudflare, namespace: str) -> None:
    upload(sdk, "acme-shop", bindings=[{"type": "json", "name": "CONFIG", "json": {"a": [1]}}])
    bindings = sdk.workers_for_platforms.dispatch.namespaces.scripts.bindings
    found = list(bindings.get("acme-shop", account_id=ACCOUNT, dispatch_namespace=namespace))
    assert [(one.name, one.type) for one in found] == [("CONFIG", "json")]


def test_tags_are_replaced_listed_and_deleted(sdk: Cloudflare, namespace: str) -> None:
    tags = sdk.workers_for_platforms.dispatch.namespaces.scripts.tags
    where: dict[str, Any] = {"account_id": ACCOUNT, "dispatch_namespace": namespace, "script_name": "acme-shop"}
    upload(sdk, "acme-shop")
    tags.update(**where, body=["a", "b"])
    assert list(tags.list(**where)) == ["a", "b"]
    tags.delete("a", **where)
    assert list(tags.list(**where)) == ["b"]


def test_secrets_are_written_and_never_read_back(sdk: Cloudflare, namespace: str, store: Store) -> None:
    secrets = sdk.workers_for_platforms.dispatch.namespaces.scripts.secrets
    where: dict[str, Any] = {"account_id": ACCOUNT, "dispatch_namespace": namespace, "script_name": "acme-shop"}
    upload(sdk, "acme-shop")
    secrets.update(**where, name="KEY", text="s3cret", type="secret_text")
    found: Any = secrets.get("KEY", **where)
    assert (found.name, found.type, getattr(found, "text", None)) == ("KEY", "secret_text", None)
    secrets.bulk_update(**where, secrets={"KEY": None, "B": {"name": "B", "type": "secret_text", "text": "b"}})
    assert [one.name for one in secrets.list(**where)] == ["B"]
    secrets.delete("B", **where)
    stored = store.script(namespace, "acme-shop")
    assert stored is not None and stored.secrets == {}


def test_assets_are_uploaded_in_a_session(sdk: Cloudflare, namespace: str, store: Store) -> None:
    page, digest = b"<h1>hello</h1>", "0123456789abcdef" * 2
    session: Any = sdk.workers_for_platforms.dispatch.namespaces.scripts.asset_upload.create(
        "acme-shop",
        account_id=ACCOUNT,
        dispatch_namespace=namespace,
        manifest={"/index.html": {"hash": digest, "size": len(page)}},
    )
    assert session.buckets == [[digest]]
    done: Any = sdk.post(
        f"/accounts/{ACCOUNT}/workers/assets/upload",
        cast_to=object,
        files=[(digest, (digest, base64.b64encode(page), "text/html"))],
        options={
            "params": {"base64": "true"},
            "headers": {"Authorization": f"Bearer {session.jwt}", "Content-Type": "multipart/form-data"},
        },
    )
    upload(sdk, "acme-shop", assets={"jwt": done["result"]["jwt"], "config": {"not_found_handling": "404-page"}})
    stored = store.script(namespace, "acme-shop")
    assert stored is not None and stored.has_assets
    asset = store.asset(stored.assets["/index.html"].hash)
    assert asset is not None and (asset.content, asset.type) == (page, "text/html")


def test_an_ordinary_worker_is_uploaded_listed_and_deleted(sdk: Cloudflare) -> None:
    scripts = sdk.workers.scripts
    scripts.update(
        "egress-guard",
        account_id=ACCOUNT,
        metadata={"main_module": "main.mjs", "tags": ["rcn-acme"]},
        files=[("main.mjs", b"export default { fetch(request) { return fetch(request) } }", MODULE_TYPE)],
    )
    assert [row.id for row in scripts.list(account_id=ACCOUNT)] == ["egress-guard"]
    assert [row.id for row in scripts.list(account_id=ACCOUNT, tags="rcn-acme:no")] == []
    versions = list(scripts.versions.list("egress-guard", account_id=ACCOUNT))
    assert [one.number for one in versions] == [1]
    deployed = scripts.subdomain.create("egress-guard", account_id=ACCOUNT, enabled=True)
    assert deployed.enabled
    scripts.delete("egress-guard", account_id=ACCOUNT)
    assert list(scripts.list(account_id=ACCOUNT)) == []


def test_a_worker_that_others_call_is_deleted_only_by_force(sdk: Cloudflare, namespace: str) -> None:
    code = [("main.mjs", b"export default {}", MODULE_TYPE)]
    main: Any = {"main_module": "main.mjs"}
    sdk.workers.scripts.update("egress-guard", account_id=ACCOUNT, metadata=main, files=code)
    dispatch: Any = {
        "type": "dispatch_namespace",
        "name": "DISPATCHER",
        "namespace": namespace,
        "outbound": {"worker": {"service": "egress-guard"}, "params": [{"name": "customer"}]},
    }
    sdk.workers.scripts.update("dispatcher", account_id=ACCOUNT, metadata=main | {"bindings": [dispatch]}, files=code)
    with pytest.raises(cloudflare.BadRequestError) as refused:
        sdk.workers.scripts.delete("egress-guard", account_id=ACCOUNT)
    assert [error.code for error in refused.value.errors] == [10064]
    sdk.workers.scripts.delete("egress-guard", account_id=ACCOUNT, force=True)


def test_routes_and_domains_are_managed(sdk: Cloudflare, store: Store) -> None:
    zone = store.edge.ensure_zone("acme.app")
    assert [one.id for one in sdk.zones.list(name="acme.app")] == [zone.id]
    code = [("main.mjs", b"export default {}", MODULE_TYPE)]
    sdk.workers.scripts.update("dispatcher", account_id=ACCOUNT, metadata={"main_module": "main.mjs"}, files=code)
    made = sdk.workers.routes.create(zone_id=zone.id, pattern="*.acme.app/*", script="dispatcher")
    assert [(one.id, one.script) for one in sdk.workers.routes.list(zone_id=zone.id)] == [(made.id, "dispatcher")]
    sdk.workers.routes.update(made.id, zone_id=zone.id, pattern="shop.acme.app/*")
    assert sdk.workers.routes.get(made.id, zone_id=zone.id).script is None
    sdk.workers.routes.delete(made.id, zone_id=zone.id)
    domain = sdk.workers.domains.update(account_id=ACCOUNT, hostname="acme.app", service="dispatcher")
    assert [one.hostname for one in sdk.workers.domains.list(account_id=ACCOUNT, service="dispatcher")] == ["acme.app"]
    sdk.workers.domains.delete(domain.id, account_id=ACCOUNT)
    assert list(sdk.workers.domains.list(account_id=ACCOUNT)) == []


def test_kv_is_written_listed_and_read(sdk: Cloudflare) -> None:
    namespaces = sdk.kv.namespaces
    made = namespaces.create(account_id=ACCOUNT, title="rcn-acme-routes")
    assert made is not None
    where: dict[str, Any] = {"account_id": ACCOUNT, "namespace_id": made.id}
    pairs: Any = [{"key": f"v1/h/{n:02}", "value": str(n), "metadata": {"n": n}} for n in range(12)]
    written = namespaces.bulk_update(**where, body=pairs)
    assert written is not None and written.successful_key_count == 12
    assert [key.name for key in namespaces.keys.list(**where, limit=10)] == [f"v1/h/{n:02}" for n in range(12)]
    assert namespaces.values.get("v1/h/03", **where).read() == b"3"
    assert namespaces.metadata.get("v1/h/03", **where) == {"n": 3}
    namespaces.values.update("v1/h/03", **where, value=b"three", metadata={"n": "III"})
    got: Any = namespaces.bulk_get(**where, keys=["v1/h/03", "nowhere"], with_metadata=True)
    assert got.values["v1/h/03"].value == "three" and got.values["nowhere"] is None
    namespaces.bulk_delete(**where, body=["v1/h/03"])
    with pytest.raises(cloudflare.NotFoundError):
        namespaces.values.get("v1/h/03", **where)
    namespaces.delete(made.id, account_id=ACCOUNT)


def test_d1_is_created_and_queried(sdk: Cloudflare) -> None:
    made = sdk.d1.database.create(account_id=ACCOUNT, name="customers")
    where: dict[str, Any] = {"account_id": ACCOUNT, "database_id": str(made.uuid)}
    sdk.d1.database.query(**where, sql="CREATE TABLE t (n INTEGER, s TEXT); INSERT INTO t VALUES (1, 'a;b');")
    sdk.d1.database.query(**where, sql="INSERT INTO t VALUES (?, ?)", params=["2", "c"])
    results = list(sdk.d1.database.query(**where, sql="SELECT * FROM t ORDER BY n"))
    assert results[0].results == [{"n": 1, "s": "a;b"}, {"n": 2, "s": "c"}]
    with pytest.raises(cloudflare.BadRequestError):
        sdk.d1.database.query(**where, sql="SELECT FROM")


def test_a_token_is_verified(sdk: Cloudflare) -> None:
    for verified in (sdk.user.tokens.verify(), sdk.accounts.tokens.verify(account_id=ACCOUNT)):
        assert verified is not None and verified.status == "active"
    with pytest.raises(cloudflare.AuthenticationError):
        sdk.with_options(api_token="wrong").user.tokens.verify()


def test_an_error_carries_code_and_message(sdk: Cloudflare, namespace: str) -> None:
    with pytest.raises(cloudflare.BadRequestError) as refused:
        upload(sdk, "acme-shop", main_module="elsewhere.mjs")
    assert [(error.code, "elsewhere.mjs" in str(error.message)) for error in refused.value.errors] == [(10021, True)]
    assert json.loads(refused.value.response.text)["success"] is False
