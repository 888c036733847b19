"""What a user Worker is given and may do, seen through requests to the real workerd."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterator

import pytest

from reconciler.local.records import Syntax
from reconciler.local.runtime_events import Failure, Log, Request
from tests.e2e.platforms import Platform, running

ESM = "application/javascript+module"
# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
WASM = bytes.fromhex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("account")) as platform:
        yield platform


def test_modules_of_every_type_are_loaded_from_folders(platform: Platform) -> None:
    main = """
        import platform from "../platform_module.mjs";
        import text from "./a.txt";
        import json from "./b.json";
        import data from "./c.bin";
        import common from "./d.cjs";
        import module from "./e.wasm";
        export default {
          async fetch() {
            const { exports } = await WebAssembly.instantiate(module);
            return Response.json([platform, text, json.b, new Uint8Array(data)[1], common.d, exports.add(2, 3)]);
          },
        };
    """
    modules: dict[str, tuple[str, str | bytes]] = {
        "lib/main.mjs": (ESM, main),
        "platform_module.mjs": (ESM, "export default 'injected';"),
        "lib/a.txt": ("text/plain", "téxt"),
        "lib/b.json": ("application/json", '{"b": 2}'),
        "lib/c.bin": ("application/octet-stream", b"\x00\xff"),
        "lib/d.cjs": ("application/javascript", "module.exports = { d: 4 };"),
        "lib/e.wasm": ("application/wasm", WASM),
    }
    platform.put("modules", modules)
    assert platform.get("/modules").json() == ["injected", "téxt", 2, 255, 4, 5]


def test_a_class_gets_its_bindings_and_no_internals(platform: Platform) -> None:
    code = """
        import { WorkerEntrypoint, env } from "cloudflare:workers";
        const atStart = Object.keys(env);
        export default class extends WorkerEntrypoint {
          fetch() { return Response.json([atStart, Object.keys(this.env), this.ctx.props, this.env.A]); }
        }
    """
    platform.put("class", code, bindings=[{"type": "plain_text", "name": "A", "text": "1"}])
    assert platform.get("/class").json() == [["A"], ["A"], {}, "1"]


@pytest.mark.parametrize(
    "code",
    [
        "export default { fetch() { return new Response('here'); } };",
        "export default function () { return new Response('here'); }",
        "export default async () => new Response('here');",
        "export default class { constructor(ctx, env) {} async fetch() { return new Response('here'); } }",
    ],
    ids=["object", "function", "arrow", "plain class"],
)
def test_every_form_of_handler_answers(platform: Platform, code: str) -> None:
    platform.put("form", code)
    assert platform.get("/form").text == "here"


def test_service_worker_syntax_runs_with_its_bindings_as_globals(platform: Platform) -> None:
    code = "addEventListener('fetch', (event) => event.respondWith(new Response('sloppy ' + A)));"
    platform.put(
        "script",
        {"worker.js": ("application/javascript", code)},
        syntax=Syntax.SERVICE_WORKER,
        bindings=[{"type": "plain_text", "name": "A", "text": "one"}],
    )
    assert platform.get("/script").text == "sloppy one"


def test_values_json_and_secrets_are_in_env(platform: Platform) -> None:
    platform.put(
        "values",
        "export default { fetch(_request, env) { return Response.json(env); } };",
        bindings=[
            {"type": "plain_text", "name": "TEXT", "text": "t"},
            {"type": "json", "name": "JSON", "json": {"deep": [1]}},
        ],
        secrets={"SECRET": {"type": "secret_text", "text": "s"}},
    )
    assert platform.get("/values").json() == {"TEXT": "t", "JSON": {"deep": [1]}, "SECRET": "s"}


def test_a_secret_key_is_imported(platform: Platform) -> None:
    code = """
        export default {
          async fetch(_request, env) {
            const signed = await crypto.subtle.sign("HMAC", env.KEY, new TextEncoder().encode("x"));
            return new Response(String(signed.byteLength));
          },
        };
    """
    key = {
        "type": "secret_key", "format": "raw", "key_base64": base64.b64encode(b"k" * 32).decode(),
        "algorithm": {"name": "HMAC", "hash": "SHA-256"}, "usages": ["sign"],
    }  # fmt: skip
    platform.put("key", code, secrets={"KEY": key})
    assert platform.get("/key").text == "32"


def test_nodejs_compat_gives_node_modules(platform: Platform) -> None:
    code = """
        import { Buffer } from "node:buffer";
        export default { fetch: () => new Response(Buffer.from("x").toString("hex")) };
    """
    platform.put("node", code, compatibility_date="2024-01-01", compatibility_flags=["nodejs_compat"])
    assert platform.get("/node").text == "78"


def test_a_compatibility_date_newer_than_the_runtime_runs_with_its_newest(platform: Platform) -> None:
    platform.put("new", "export default { fetch: () => new Response('runs') };", compatibility_date="2099-01-01")
    assert platform.get("/new").text == "runs"


def test_a_missing_script_is_worker_not_found(platform: Platform) -> None:
    reply = platform.get("/nobody")
    assert (reply.status_code, reply.text) == (500, "Worker not found.")


def test_get_is_lazy_and_does_not_throw(platform: Platform) -> None:
    code = """
        export default {
          async fetch(_request, env) {
            const stub = env.DISPATCHER.get("nobody");
            const failed = await stub.fetch("http://x/").then(() => null, (error) => error);
            return Response.json([typeof stub.fetch, typeof stub.then, failed instanceof Error, failed.message]);
          },
        };
    """
    binding = {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "production"}
    platform.put_ordinary("lazy", code, bindings=[binding])
    platform.store.edge.ensure_zone("lazy.test")
    platform.store.edge.put_domain("lazy.test", "lazy", "production", platform.store.edge.zones()[0].id)
    platform.runtime.invalidate()
    reply = platform.get("/", headers={"x-reconciler-host": "lazy.test"})
    assert reply.json() == ["function", "undefined", True, "Worker not found."]


def test_an_exception_reaches_the_dispatcher_with_its_message(platform: Platform) -> None:
    platform.put("throws", "export default { fetch() { throw new TypeError('out of paint'); } };")
    assert platform.get("/throws").text == "out of paint"


def test_a_syntax_error_is_told_with_its_place(platform: Platform) -> None:
    platform.put("broken", "export default {\n  fetch( {\n};")
    assert platform.get("/broken").text == "Uncaught SyntaxError: Unexpected token ';'\n  at index.mjs:3:1"


def test_a_script_that_failed_to_start_is_tried_again(platform: Platform) -> None:
    platform.put(
        "later",
        "if (Math.random() < 0.5) throw new Error('not yet'); export default { fetch: () => new Response('now') };",
    )
    assert {platform.get("/later").text for _ in range(40)} >= {"now"}


def test_a_request_arrives_whole(platform: Platform) -> None:
    code = """
        export default {
          async fetch(request) {
            const body = await request.text();
            return Response.json([request.method, new URL(request.url).pathname, request.headers.get("x-a"), body]);
          },
        };
    """
    platform.put("echo", code)
    body = "ü" * 50_000
    reply = platform.client.post(platform.runtime.url + "/echo/deep?q=1", content=body, headers={"x-a": "b"})
    assert reply.json() == ["POST", "/echo/deep", "b", body]


def test_a_response_streams(platform: Platform) -> None:
    code = """
        export default {
          fetch() {
            const { readable, writable } = new TransformStream();
            const writer = writable.getWriter();
            (async () => {
              for (const word of ["one ", "two ", "three"]) {
                await writer.write(new TextEncoder().encode(word));
                await scheduler.wait(120);
              }
              await writer.close();
            })();
            return new Response(readable);
          },
        };
    """
    platform.put("stream", code)
    began, arrivals = time.monotonic(), []
    with platform.client.stream("GET", platform.runtime.url + "/stream") as reply:
        for chunk in reply.iter_raw():
            arrivals.append((chunk, time.monotonic() - began))
    assert b"".join(chunk for chunk, _ in arrivals) == b"one two three"
    assert arrivals[-1][1] - arrivals[0][1] > 0.15


def test_a_websocket_goes_through_the_dispatcher(platform: Platform) -> None:
    code = """
        export default {
          fetch() {
            const [client, server] = Object.values(new WebSocketPair());
            server.accept();
            server.addEventListener("message", ({ data }) => server.send("you said " + data));
            return new Response(null, { status: 101, webSocket: client });
          },
        };
    """
    platform.put("socket", code)
    with socket.create_connection(("127.0.0.1", platform.runtime.port), timeout=10) as connection:
        connection.sendall(
            b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n"
        )
        stream = connection.makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 101")
        while stream.readline() != b"\r\n":
            pass
        connection.sendall(bytes([0x81, 0x80 | 5, 0, 0, 0, 0]) + b"hello")
        header = stream.read(2)
        assert stream.read(header[1]) == b"you said hello"
        stream.close()


def test_globals_of_two_scripts_are_apart_and_live_on_between_requests(platform: Platform) -> None:
    code = "globalThis.n = 0; export default { fetch: () => new Response(String(globalThis.n += 1)) };"
    platform.put("first", code)
    platform.put("second", code)
    assert [platform.get(f"/{name}").text for name in ("first", "first", "second", "first")] == ["1", "2", "1", "3"]


def test_an_untrusted_namespace_gives_no_cf_and_a_trusted_one_does(platform: Platform) -> None:
    platform.put("cf", "export default { fetch: (request) => Response.json([request.cf?.colo ?? null]) };")
    assert platform.get("/cf").json() == [None]
    platform.store.change_namespace("production", new_name="production", trusted=True)
    platform.runtime.invalidate()
    assert platform.get("/cf").json() == ["LOC"]
    platform.store.change_namespace("production", new_name="production", trusted=False)
    platform.runtime.invalidate()


def test_caches_are_empty_and_do_not_throw(platform: Platform) -> None:
    code = """
        export default {
          async fetch(request) {
            await caches.default.put(request, new Response("x"));
            const named = await caches.open("named");
            return Response.json([await caches.default.match(request) ?? null, await named.delete(request)]);
          },
        };
    """
    platform.put("cache", code)
    assert platform.get("/cache").json() == [None, False]


def test_a_python_worker_is_refused_in_words(platform: Platform) -> None:
    platform.put("python", {"main.py": ("text/x-python", "def on_fetch(): pass")})
    reply = platform.get("/python")
    assert (reply.status_code, "Python Worker" in reply.text) == (503, True)


def test_a_binding_without_a_stand_in_says_so_when_it_is_used(platform: Platform) -> None:
    code = "export default { async fetch(_r, env) { return new Response(String(await env.V.query([1]))); } };"
    platform.put("vector", code, bindings=[{"type": "vectorize", "name": "V", "index_name": "i"}])
    assert platform.get("/vector").text == (
        "Binding V (vectorize) is not available on the embedded platform: it has no local stand-in."
    )


def test_a_redeploy_is_seen_by_the_next_request(platform: Platform) -> None:
    for version in range(20):
        platform.put("fresh", f"export default {{ fetch: () => new Response('{version}') }};")
        assert platform.get("/fresh").text == str(version)


def test_a_deleted_script_is_gone_for_the_next_request(platform: Platform) -> None:
    platform.put("gone", "export default { fetch: () => new Response('here') };")
    assert platform.get("/gone").text == "here"
    platform.store.delete_script("production", "gone")
    platform.runtime.invalidate("production", "gone")
    assert platform.get("/gone").text == "Worker not found."


def test_a_new_dispatcher_needs_no_restart(platform: Platform) -> None:
    platform.put_ordinary("second-dispatcher", "export default { fetch: () => new Response('second') };")
    zone = platform.store.edge.ensure_zone("second.test")
    platform.store.edge.create_route(zone.id, "second.test/*", "second-dispatcher")
    platform.runtime.invalidate("", "second-dispatcher")
    assert platform.get("/x", headers={"x-reconciler-host": "second.test"}).text == "second"


def test_a_dispatcher_calls_methods_of_a_user_worker(platform: Platform) -> None:
    user = """
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default class extends WorkerEntrypoint {
          async add(one, other) { return { sum: one + other, who: this.env.WHO }; }
          #hidden() {}
        }
    """
    caller = """
        export default {
          async fetch(_request, env) {
            const user = env.DISPATCHER.get("methods");
            return Response.json(await user.add(2, 3));
          },
        };
    """
    platform.put("methods", user, bindings=[{"type": "plain_text", "name": "WHO", "text": "me"}])
    binding = {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "production"}
    platform.put_ordinary("caller", caller, bindings=[binding])
    zone = platform.store.edge.ensure_zone("caller.test")
    platform.store.edge.put_domain("caller.test", "caller", "production", zone.id)
    platform.runtime.invalidate()
    assert platform.get("/", headers={"x-reconciler-host": "caller.test"}).json() == {"sum": 5, "who": "me"}


def test_eval_is_refused(platform: Platform) -> None:
    platform.put("eval", "export default { fetch() { return new Response(String(eval('1 + 1'))); } };")
    assert "Code generation from strings disallowed" in platform.get("/eval").text


def test_what_a_script_says_is_told_with_its_name(platform: Platform) -> None:
    code = """
        export default {
          fetch(request, env, ctx) {
            console.log("two\\nlines", { a: 1 });
            console.error("%s!", "formatted");
            ctx.waitUntil(Promise.reject(new Error("too late")));
            return new Response("x", { status: 418 });
          },
        };
    """
    platform.put("talks", code)
    platform.get("/talks?with=" + json.dumps({"customer": "acme corp", "binding": "GUARDED"}))
    logs = platform.events(Log, "talks", 2)
    assert [(log.namespace, log.level, log.message) for log in logs] == [
        ("production", "log", "two\nlines { a: 1 }"),
        ("production", "error", "formatted!"),
    ]
    assert [one.message for one in platform.events(Failure, "talks")] == ["too late"]
    request = platform.events(Request, "talks")[0]
    assert (request.status, request.method, request.customer, request.subrequests) == (418, "GET", "acme corp", 0)
