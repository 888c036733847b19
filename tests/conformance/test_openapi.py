"""Requests and replies of one long scenario, checked against the structure of Cloudflare's OpenAPI data.

openapi.json holds the operations that the emulated API has. Each must be called here, by a request that its schema
allows, and answered as its schema says.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from reconciler.local import multipart
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.store import Store
from reconciler.local.switches import Switches
from tests.conformance.conftest import ACCOUNT

DOCUMENT: Mapping[str, Any] = json.loads((Path(__file__).parent / "openapi.json").read_text())
URI = "urn:openapi"
REGISTRY: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(DOCUMENT))
OPERATIONS = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
PATTERNS = [
    (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path).replace("[^/]+$", ".+")), path)
    for path in sorted(DOCUMENT["paths"], key=lambda path: (path.count("{"), path))
]
MODULE = ("main.mjs", b"export default { fetch() { return new Response('') } };", "application/javascript+module")
NAMESPACES = f"/accounts/{ACCOUNT}/workers/dispatch/namespaces"
SCRIPTS = f"/accounts/{ACCOUNT}/workers/scripts"


class Checked(httpx.BaseTransport):
    """Checks each request and each reply on its way, and remembers which operations were called."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.called: set[tuple[str, str]] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        operation = operation_of(request.method, request.url.path)
        if operation is not None:
            self._check_request(request, *operation)
        response = self._inner.handle_request(request)
        response.read()
        if operation is not None:
            self._check_reply(response, *operation)
        return response

    def _check_request(self, request: httpx.Request, method: str, path: str) -> None:
        self.called.add((method, path))
        described = DOCUMENT["paths"][path][method.lower()]
        assert set(request.url.params) <= set(described["query"]), f"{method} {path} has no such query"
        body = request.read()
        mime = request.headers.get("content-type", "").split(";")[0]
        if not body or "request" not in described:
            return
        assert mime in described["request"], f"{method} {path} takes {list(described['request'])}, not {mime}"
        where = f"paths/{escaped(path)}/{method.lower()}/request/{escaped(mime)}"
        if mime == "application/json":
            validate(json.loads(body), where)
        elif mime == "multipart/form-data":
            validate(form(request.headers["content-type"], body), where)

    def _check_reply(self, response: httpx.Response, method: str, path: str) -> None:
        described = DOCUMENT["paths"][path][method.lower()]
        if not response.is_success:
            validate(response.json(), "components/schemas/ApiFailure")
        elif "reply" in described:
            validate(response.json(), f"paths/{escaped(path)}/{method.lower()}/reply")


def operation_of(method: str, path: str) -> tuple[str, str] | None:
    path = path.removeprefix(PREFIX)
    for pattern, template in PATTERNS:
        if pattern.fullmatch(path) and (method, template) in OPERATIONS:
            return method, template
    return None


def validate(value: Any, where: str) -> None:
    validator = jsonschema.Draft202012Validator({"$ref": f"{URI}#/{where}"}, registry=REGISTRY)
    problems = [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not problems, "\n".join(problems)


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def form(content_type: str, body: bytes) -> dict[str, Any]:
    """A form as its schema sees it: JSON parts read, others as text."""
    parts = multipart.parse(content_type, body)
    return {
        part.name: json.loads(part.content) if part.type == "application/json" else part.content.decode()
        for part in parts
    }


@pytest.fixture
def checked(store: Store) -> Iterator[tuple[httpx.Client, Checked]]:
    transport = Checked(httpx.WSGITransport(create_app(store)))
    with client_over(transport) as client:
        yield client, transport


def client_over(transport: httpx.BaseTransport) -> httpx.Client:
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    return httpx.Client(transport=transport, base_url=f"http://cloudflare.invalid{PREFIX}", headers=headers)


def upload(client: httpx.Client, path: str, method: str = "PUT", **metadata: Any) -> Any:
    told = json.dumps({"main_module": "main.mjs", **metadata})
    name, code, mime = MODULE
    files: Any = [("metadata", (None, told, "application/json")), (name, (name, code, mime))]
    return ok(client.request(method, path, files=files))


def ok(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()["result"] if response.headers["content-type"] == "application/json" else response.content


def test_every_operation_is_asked_and_answered_as_the_document_says(
    checked: tuple[httpx.Client, Checked], store: Store
) -> None:
    client, transport = checked
    namespaces(client)
    user_worker(client, f"{NAMESPACES}/production/scripts/shop")
    ok(client.get(f"{NAMESPACES}/production/scripts", params={"tags": "acme:yes", "limit": 10}))
    ok(client.delete(f"{NAMESPACES}/production/scripts", params={"tags": "acme:yes", "limit": 10}))
    ordinary_worker(client)
    edge(client, store.edge.ensure_zone("acme.app").id)
    kv(client)
    ok(client.delete(f"{SCRIPTS}/worker", params={"force": "true"}))
    ok(client.delete(f"{NAMESPACES}/production"))
    assert OPERATIONS - transport.called == set()


@pytest.mark.parametrize("rows", ["flat", "nested"])
def test_rows_of_either_shape_are_as_the_document_says(store: Store, rows: Any) -> None:
    store.create_namespace("production")
    transport = Checked(httpx.WSGITransport(create_app(store, switches=Switches(rows=rows))))
    with client_over(transport) as client:
        upload(client, f"{NAMESPACES}/production/scripts/shop", observability={"enabled": True})
        ok(client.get(f"{NAMESPACES}/production/scripts"))


def test_failures_are_as_the_document_says(checked: tuple[httpx.Client, Checked]) -> None:
    client, _ = checked
    for path in (f"{NAMESPACES}/nowhere", f"{SCRIPTS}/nothing/settings", f"/zones/{'0' * 32}/workers/routes"):
        assert client.get(path).status_code == 404


def namespaces(client: httpx.Client) -> None:
    ok(client.get(f"/accounts/{ACCOUNT}/tokens/verify"))
    ok(client.get("/user/tokens/verify"))
    ok(client.post(NAMESPACES, json={"name": "staging"}))
    ok(client.put(f"{NAMESPACES}/staging", json={"name": "production", "trusted_workers": True}))
    ok(client.patch(f"{NAMESPACES}/production", json={"trusted_workers": False}))
    ok(client.get(NAMESPACES))
    ok(client.get(f"{NAMESPACES}/production"))


def user_worker(client: httpx.Client, script: str) -> None:
    page, digest = b"<p>", "0123456789abcdef" * 2
    manifest = {"manifest": {"/index.html": {"hash": digest, "size": len(page)}}}
    session = ok(client.post(f"{script}/assets-upload-session", json=manifest))
    done = ok(
        client.post(
            f"/accounts/{ACCOUNT}/workers/assets/upload",
            params={"base64": "true"},
            headers={"authorization": f"Bearer {session['jwt']}"},
            files=[(digest, (digest, base64.b64encode(page), "text/html"))],
        )
    )
    upload(client, script)
    upload(
        client,
        script,
        assets={"jwt": done["jwt"], "config": {"html_handling": "none", "run_worker_first": ["/api/*"]}},
        bindings=[
            {"type": "plain_text", "name": "A", "text": "x"},
            {"type": "json", "name": "B", "json": {"x": None}},
            {"type": "secret_text", "name": "C", "text": "s"},
            {"type": "assets", "name": "ASSETS"},
        ],
        compatibility_date="2026-11-01",
        compatibility_flags=["nodejs_compat"],
        limits={"cpu_ms": 10, "subrequests": 5},
        observability={"enabled": True},
        placement={"mode": "smart"},
        logpush=True,
        tags=["acme"],
        tail_consumers=[{"service": "tail"}],
        usage_model="standard",
    )
    everything_of_a_script(client, script)
    ok(client.get(f"{script}/bindings"))
    ok(client.get(f"{script}/content"))
    ok(client.put(f"{script}/tags", json=["acme", "eu"]))
    ok(client.get(f"{script}/tags"))
    ok(client.put(f"{script}/tags/us"))
    ok(client.delete(f"{script}/tags/us"))
    ok(client.delete(script, params={"force": "true"}))
    upload(client, script, tags=["acme"])


def everything_of_a_script(client: httpx.Client, script: str) -> None:
    ok(client.get(script))
    ok(client.get(f"{script}/settings"))
    settings = json.dumps({"limits": {"cpu_ms": 20}, "tags": ["acme"]})
    ok(client.patch(f"{script}/settings", files={"settings": (None, settings, "application/json")}))
    name, code, mime = MODULE
    main = (None, json.dumps({"main_module": name}), "application/json")
    ok(client.put(f"{script}/content", files=[("metadata", main), (name, (name, code, mime))]))
    secret = {"name": "KEY", "type": "secret_text", "text": "s"}
    ok(client.put(f"{script}/secrets", json=secret))
    ok(client.patch(f"{script}/secrets-bulk", json={"secrets": {"OTHER": secret | {"name": "OTHER"}, "C": None}}))
    ok(client.get(f"{script}/secrets"))
    ok(client.get(f"{script}/secrets/KEY"))
    ok(client.delete(f"{script}/secrets/KEY"))


def ordinary_worker(client: httpx.Client) -> None:
    script = f"{SCRIPTS}/worker"
    upload(client, script, tags=["acme"], annotations={"workers/message": "hello"})
    everything_of_a_script(client, script)
    ok(client.post(f"{script}/assets-upload-session", json={"manifest": {}}))
    ok(client.get(SCRIPTS, params={"tags": "acme:yes"}))
    ok(client.get(f"{script}/content/v2"))
    made = upload(client, f"{script}/versions", "POST", annotations={"workers/message": "second"})
    version = {"version_id": made["id"], "percentage": 100}
    ok(client.get(f"{script}/versions"))
    ok(client.get(f"{script}/versions/{made['id']}"))
    deployed = ok(client.post(f"{script}/deployments", json={"strategy": "percentage", "versions": [version]}))
    ok(client.get(f"{script}/deployments"))
    ok(client.get(f"{script}/deployments/{deployed['id']}"))
    ok(client.delete(f"{script}/deployments/{oldest_deployment(client, script)}"))
    ok(client.get(f"{script}/script-settings"))
    ok(client.patch(f"{script}/script-settings", json={"logpush": True}))
    ok(client.put(f"{script}/schedules", json=[{"cron": "*/5 * * * *"}]))
    ok(client.get(f"{script}/schedules"))
    ok(client.put(f"/accounts/{ACCOUNT}/workers/subdomain", json={"subdomain": "acme"}))
    ok(client.get(f"/accounts/{ACCOUNT}/workers/subdomain"))
    ok(client.post(f"{script}/subdomain", json={"enabled": True}))
    ok(client.get(f"{script}/subdomain"))
    ok(client.delete(f"{script}/subdomain"))
    ok(client.delete(f"/accounts/{ACCOUNT}/workers/subdomain"))


def oldest_deployment(client: httpx.Client, script: str) -> str:
    """The oldest deployment, which is not in force."""
    found: str = ok(client.get(f"{script}/deployments"))["deployments"][-1]["id"]
    return found


def edge(client: httpx.Client, zone: str) -> None:
    routes = f"/zones/{zone}/workers/routes"
    route = ok(client.post(routes, json={"pattern": "*.acme.app/*", "script": "worker"}))
    ok(client.get(routes))
    ok(client.get(f"{routes}/{route['id']}"))
    ok(client.put(f"{routes}/{route['id']}", json={"pattern": "shop.acme.app/*"}))
    ok(client.delete(f"{routes}/{route['id']}"))
    domains = f"/accounts/{ACCOUNT}/workers/domains"
    domain = ok(client.put(domains, json={"hostname": "acme.app", "service": "worker", "zone_name": "acme.app"}))
    ok(client.get(domains, params={"hostname": "acme.app"}))
    ok(client.get(f"{domains}/{domain['id']}"))
    ok(client.delete(f"{domains}/{domain['id']}"))


def kv(client: httpx.Client) -> None:
    namespaces = f"/accounts/{ACCOUNT}/storage/kv/namespaces"
    made = ok(client.post(namespaces, json={"title": "routes"}))
    one = f"{namespaces}/{made['id']}"
    ok(client.get(namespaces, params={"page": 1, "per_page": 20}))
    ok(client.get(one))
    ok(client.put(one, json={"title": "renamed"}))
    ok(client.put(f"{one}/bulk", json=[{"key": "a", "value": "1", "metadata": {"n": 1}, "expiration_ttl": 60}]))
    ok(client.post(f"{one}/bulk/get", json={"keys": ["a", "b"]}))
    ok(client.get(f"{one}/keys", params={"prefix": "a", "limit": 10}))
    form: Any = {"value": (None, "2"), "metadata": (None, "{}", "application/json")}
    ok(client.put(f"{one}/values/b", files=form, params={"expiration_ttl": 60}))
    ok(client.get(f"{one}/values/b"))
    ok(client.get(f"{one}/metadata/b"))
    ok(client.delete(f"{one}/values/b"))
    ok(client.post(f"{one}/bulk/delete", json=["a"]))
    ok(client.delete(one))
