"""Where the embedded platform differs from Cloudflare, as docs/local.md says it: each row that no other test holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from reconciler.local.records import Syntax
from reconciler.local.runtime_events import Request
from tests.e2e.platforms import Platform, running, serving

DOCUMENTS = [Path(__file__).parents[2] / "docs" / name for name in ("local.md", "security.md")]
TESTS = Path(__file__).parents[1]


class _Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/from" else 200)
        self.send_header("location", "/to")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving(_Redirecting) as url:
        yield url


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("account")) as platform:
        yield platform


def handled(code: str) -> str:
    return f"export default {{ async fetch(request, env) {{ {code} }} }};"


def test_a_redirect_that_is_followed_is_one_subrequest(platform: Platform, origin: str) -> None:
    platform.put("follows", handled(f"return new Response(String((await fetch('{origin}/from')).redirected));"))
    assert platform.get("/follows").text == "true"
    assert platform.events(Request, "follows")[0].subrequests == 1


def test_a_tcp_connection_and_a_websocket_are_no_subrequests(platform: Platform, origin: str) -> None:
    port = origin.rpartition(":")[2]
    code = f"""
        import {{ connect }} from "cloudflare:sockets";
        export default {{
          async fetch() {{
            await connect({{ hostname: "127.0.0.1", port: {port} }}).opened;
            const socket = new WebSocket("ws://127.0.0.1:{port}/");
            await new Promise((done) => socket.addEventListener("error", done));
            return new Response("done");
          }},
        }};
    """
    platform.put("sockets", code)
    assert platform.get("/sockets").text == "done"
    assert platform.events(Request, "sockets")[0].subrequests == 0


def test_a_dispatcher_knows_little_of_where_a_request_came_from(platform: Platform) -> None:
    zone = platform.store.edge.ensure_zone("cf.test")
    platform.put_ordinary("tells-cf", handled("return Response.json(request.cf);"))
    platform.store.edge.create_route(zone.id, "cf.test/*", "tells-cf")
    platform.runtime.invalidate("", None)
    told = platform.get("/", headers={"x-reconciler-host": "cf.test"}).json()
    assert {name: told[name] for name in ("colo", "country", "httpProtocol")} == {
        "colo": "LOC",
        "country": "XX",
        "httpProtocol": "HTTP/1.1",
    }
    assert "asn" not in told and "city" not in told


def test_async_hooks_can_be_imported_without_a_flag(platform: Platform) -> None:
    code = "import { AsyncLocalStorage } from 'node:async_hooks';" + handled(
        "return new Response(typeof AsyncLocalStorage);"
    )
    platform.put("hooks", code)
    assert platform.get("/hooks").text == "function"


def test_outbound_parameters_that_the_binding_does_not_declare_are_left_out(platform: Platform) -> None:
    platform.put_ordinary("guard", handled("return Response.json([env.customer, env.undeclared ?? null]);"))
    bindings = [
        {
            "type": "dispatch_namespace",
            "name": "D",
            "namespace": "production",
            "outbound": {"worker": {"service": "guard"}, "params": [{"name": "customer"}]},
        }
    ]
    code = handled(
        "const outbound = { customer: 'acme', undeclared: 'x' };"
        " return env.D.get('asks', { any: 'argument' }, { outbound }).fetch(request);"
    )
    platform.put("asks", handled("return fetch('https://x.test/');"))
    platform.put_ordinary("second", code, bindings=bindings)
    zone = platform.store.edge.ensure_zone("second.test")
    platform.store.edge.create_route(zone.id, "second.test/*", "second")
    platform.runtime.invalidate("", None)
    assert platform.get("/", headers={"x-reconciler-host": "second.test"}).json() == ["acme", None]


def test_the_second_argument_of_get_is_ignored(platform: Platform) -> None:
    bindings = [{"type": "dispatch_namespace", "name": "D", "namespace": "production"}]
    platform.put("keys", handled("return Response.json(Object.keys(env));"))
    platform.put_ordinary("third", handled("return env.D.get('keys', { a: 1 }).fetch(request);"), bindings=bindings)
    zone = platform.store.edge.ensure_zone("third.test")
    platform.store.edge.create_route(zone.id, "third.test/*", "third")
    platform.runtime.invalidate("", None)
    assert platform.get("/", headers={"x-reconciler-host": "third.test"}).json() == []


def test_the_top_level_names_of_a_service_worker_are_not_global(platform: Platform) -> None:
    code = """
        var top = "mine";
        addEventListener("fetch", (event) => event.respondWith(new Response([top, typeof globalThis.top].join(" "))));
    """
    platform.put("script", {"worker.js": ("application/javascript", code)}, syntax=Syntax.SERVICE_WORKER)
    assert platform.get("/script").text == "mine undefined"


NOT_THERE = {
    "durable_object_namespace": {"class_name": "Counter", "script_name": "other"},
    "vectorize": {"index_name": "i"},
    "ai": {},
    "hyperdrive": {"id": "h"},
    "browser": {},
    "workflow": {"workflow_name": "w"},
    "mtls_certificate": {"certificate_id": "c"},
    "send_email": {},
}


@pytest.mark.parametrize("kind", NOT_THERE)
def test_what_is_not_there_says_so_when_it_is_used(platform: Platform, kind: str) -> None:
    binding = {"type": kind, "name": "IT", **NOT_THERE[kind]}
    platform.put("lacks", handled("if (!env.IT) throw Error('none'); return env.IT.get('x');"), bindings=[binding])
    assert platform.get("/lacks").text.startswith(f"Binding IT ({kind}) is not available on the embedded platform: ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_test_that_a_document_names_is_there(document: Path) -> None:
    defined = {
        name for file in TESTS.glob("*/test_*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", document.read_text()))
    assert named and named <= defined
