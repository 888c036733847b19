"""Which Worker answers an address, and what stands behind bindings: KV, D1, services, static files, tail Workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.local.records import Asset, AssetFile, Syntax
from reconciler.local.runtime_events import Log, Note
from tests.e2e.platforms import ESM, NAMESPACE, Platform, running

KV = "0f2ac74b498b48028cb68387c421e279"
D1 = "9d7f8a3c-1111-4222-8333-444455556666"
WHERE = """
    export default {
      fetch: (r, env) => Response.json({ worker: env.NAME, url: r.url, ip: r.headers.get("cf-connecting-ip") }),
    };
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("account"), suffix="acme.app") as platform:
        platform.store.kv.ensure_namespace(KV, "cache")
        platform.store.d1.ensure_database(D1, "data")
        yield platform


# Addresses


@pytest.fixture(scope="module")
def addressed(platform: Platform) -> Platform:
    """Workers with routes, a custom domain and a workers.dev name."""
    edge, store = platform.store.edge, platform.store
    acme = edge.ensure_zone("acme.app")
    other = edge.ensure_zone("globex.com")
    for name in ("pattern", "longer", "exact", "domain", "subdomain"):
        bindings = [{"type": "plain_text", "name": "NAME", "text": name}]
        platform.put_ordinary(name, WHERE, bindings=bindings)
    edge.create_route(acme.id, "*.acme.app/*", "pattern")
    edge.create_route(acme.id, "*.acme.app/api/*", "longer")
    edge.create_route(acme.id, "www.acme.app/*", "exact")
    edge.create_route(acme.id, "off.acme.app/*", None)
    edge.put_domain("shop.globex.com", "domain", "production", other.id)
    store.set_value("subdomain", "acme")
    store.change_script("", "subdomain", _with_subdomain)
    platform.runtime.invalidate()
    return platform


def _with_subdomain(script: Any) -> Any:
    return replace(script, subdomain=True)


@pytest.mark.parametrize(
    ("host", "path", "worker"),
    [
        ("globex-shop.acme.app", "/", "pattern"),
        ("globex-shop.acme.app", "/api/x", "longer"),
        ("www.acme.app", "/api/x", "exact"),
        ("shop.globex.com", "/x?y", "domain"),
        ("subdomain.acme.workers.dev", "/", "subdomain"),
        ("GLOBEX-SHOP.ACME.APP", "/", "pattern"),
    ],
)
def test_the_most_specific_address_chooses_the_worker(addressed: Platform, host: str, path: str, worker: str) -> None:
    reply = addressed.get(path, headers={"x-reconciler-host": host}).json()
    assert reply == {"worker": worker, "url": f"http://{host.lower()}{path}", "ip": "127.0.0.1"}


def test_a_route_without_a_worker_switches_workers_off(addressed: Platform) -> None:
    reply = addressed.get("/", headers={"x-reconciler-host": "off.acme.app"})
    assert (reply.status_code, reply.text.splitlines()[0]) == (404, "No Worker answers off.acme.app/.")


def test_a_label_of_localhost_stands_for_a_name_under_the_suffix(addressed: Platform) -> None:
    reply = addressed.get("/x", headers={"host": f"globex-shop.localhost:{addressed.runtime.port}"}).json()
    assert (reply["worker"], reply["url"]) == ("pattern", "http://globex-shop.acme.app/x")


def test_plain_loopback_reaches_the_default_worker_unchanged(addressed: Platform) -> None:
    addressed.put("where", "export default { fetch: (r) => new Response(r.url) };")
    assert addressed.get("/where").text == f"{addressed.runtime.url}/where"


@pytest.mark.parametrize(
    "host", ["evil.example", "globex-shop.acme.app.evil.example", "acme.app", "127.0.0.1.evil.example"]
)
def test_a_host_that_someone_made_lead_here_is_refused(addressed: Platform, host: str) -> None:
    """As a page does whose own name now means 127.0.0.1: to the browser every answer would be the page's own."""
    zone = addressed.store.edge.ensure_zone("acme.app")
    everything = addressed.store.edge.create_route(zone.id, "*/*", "pattern")
    assert everything is not None
    addressed.runtime.invalidate("", None)
    headers = {"host": f"{host}:{addressed.runtime.port}", "x-reconciler-host": "globex-shop.acme.app"}
    assert addressed.get("/", headers=headers).status_code == 403
    addressed.store.edge.delete_route(everything.id)
    addressed.runtime.invalidate("", None)


@pytest.mark.parametrize("host", ["globex-shop.acme.app", "shop.globex.com", "cart.hooli.example", "[::1]"])
def test_the_platforms_own_hosts_are_answered(addressed: Platform, host: str) -> None:
    addressed.store.set_value("local_hosts", '["cart.hooli.example"]')
    addressed.runtime.invalidate("", None)
    reply = addressed.get("/", headers={"host": f"{host}:{addressed.runtime.port}"})
    assert reply.status_code != 403


def test_a_redirect_leads_back_to_the_local_name(addressed: Platform) -> None:
    code = "export default { fetch: (r) => Response.redirect(new URL('/next', r.url), 302) };"
    addressed.put_ordinary("redirects", code)
    zone = addressed.store.edge.ensure_zone("acme.app")
    addressed.store.edge.create_route(zone.id, "moved.acme.app/*", "redirects")
    addressed.runtime.invalidate("", None)
    host = f"moved.localhost:{addressed.runtime.port}"
    assert addressed.get("/", headers={"host": host}).headers["location"] == f"http://{host}/next"


# Bindings


def kv(platform: Platform, script: str) -> Any:
    code = f"export default {{ async fetch(_request, {{ KV }}) {{ {script} }} }};"
    platform.put("kv", code, bindings=[{"type": "kv_namespace", "name": "KV", "namespace_id": KV}])
    reply = platform.get("/kv")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_kv_reads_what_it_wrote_in_every_type(platform: Platform) -> None:
    script = """
        await KV.put("a", '{"x":1}');
        await KV.put("b", new Uint8Array([1, 255]));
        await KV.put("c", new Response("streamed").body);
        const text = await new Response(await KV.get("c", "stream")).text();
        return Response.json([
          await KV.get("a"), await KV.get("a", "json"), await KV.get("a", { type: "json" }),
          [...new Uint8Array(await KV.get("b", "arrayBuffer"))], text, await KV.get("nothing"),
        ]);
    """
    assert kv(platform, script) == ['{"x":1}', {"x": 1}, {"x": 1}, [1, 255], "streamed", None]


def test_kv_keeps_metadata_and_deletes(platform: Platform) -> None:
    script = """
        await KV.put("m/ü ?&", "v", { metadata: { n: "ü" }, expirationTtl: 600 });
        const found = await KV.getWithMetadata("m/ü ?&");
        const listed = await KV.list({ prefix: "m/" });
        await KV.delete("m/ü ?&");
        return Response.json([found, listed.keys[0].name, listed.keys[0].metadata, listed.list_complete,
          listed.keys[0].expiration > Date.now() / 1000 + 500, await KV.get("m/ü ?&")]);
    """
    found = {"value": "v", "metadata": {"n": "ü"}, "cacheStatus": None}
    assert kv(platform, script) == [found, "m/ü ?&", {"n": "ü"}, True, True, None]


def test_kv_lists_in_pages_and_reads_many(platform: Platform) -> None:
    script = """
        for (let n = 0; n < 5; n += 1) await KV.put("p" + n, String(n));
        const pages = [];
        let cursor;
        do {
          const page = await KV.list({ prefix: "p", limit: 2, cursor });
          pages.push(page.keys.map(({ name }) => name));
          cursor = page.cursor;
        } while (cursor);
        return Response.json([pages, Object.fromEntries(await KV.get(["p1", "nothing"]))]);
    """
    assert kv(platform, script) == [[["p0", "p1"], ["p2", "p3"], ["p4"]], {"p1": "1", "nothing": None}]


def test_kv_refuses_what_cloudflare_refuses(platform: Platform) -> None:
    script = """
        const message = (call) => call.then(() => null, (error) => error.message);
        return Response.json([await message(KV.get("")), await message(KV.put("a", {})),
          await message(KV.put("a", "v", { expirationTtl: 5 }))]);
    """
    empty, kind, ttl = kv(platform, script)
    assert empty == "Key name cannot be empty."
    assert kind.startswith("KV put() accepts only strings")
    assert ttl.startswith("KV PUT failed: 400 Invalid expiration_ttl of 5.")


def test_kv_calls_are_subrequests(platform: Platform) -> None:
    code = "export default { async fetch(_r, { KV }) { await KV.get('a'); return new Response(await KV.get('b')); } };"
    bindings = [{"type": "kv_namespace", "name": "KV", "namespace_id": KV}]
    platform.put("kv-limit", code, bindings=bindings, limits={"subrequests": 1})
    assert platform.get("/kv-limit").text == "Too many subrequests by single Worker invocation."


def d1(platform: Platform, script: str) -> Any:
    code = f"export default {{ async fetch(_request, {{ DB }}) {{ {script} }} }};"
    platform.put("d1", code, bindings=[{"type": "d1", "name": "DB", "id": D1}])
    reply = platform.get("/d1")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_d1_prepares_binds_and_batches(platform: Platform) -> None:
    script = """
        await DB.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)");
        const insert = DB.prepare("INSERT INTO t (name, data) VALUES (?, ?)");
        const [first] = await DB.batch([insert.bind("a", new Uint8Array([7])), insert.bind("b", null)]);
        const { results, success } = await DB.prepare("SELECT id, name FROM t ORDER BY id").all();
        const row = await DB.prepare("SELECT name, data FROM t WHERE id = ?1").bind(1).first();
        const none = await DB.prepare("SELECT * FROM t WHERE id = 9").first();
        const raw = await DB.prepare("SELECT id FROM t ORDER BY id").raw({ columnNames: true });
        return Response.json([first.meta.changes, results, success, row, none, raw,
          await DB.prepare("SELECT count(*) AS n FROM t").first("n")]);
    """
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert d1(platform, script) == [1, rows, True, {"name": "a", "data": [7]}, None, [["id"], [1], [2]], 2]


def test_a_failed_d1_batch_changes_nothing(platform: Platform) -> None:
    script = """
        await DB.exec("CREATE TABLE u (id INTEGER PRIMARY KEY)");
        const insert = DB.prepare("INSERT INTO u VALUES (1)");
        const failed = await DB.batch([insert, insert]).then(() => null, (error) => error.message);
        return Response.json([failed, await DB.prepare("SELECT count(*) AS n FROM u").first("n")]);
    """
    failed, count = d1(platform, script)
    assert failed == "D1_ERROR: UNIQUE constraint failed: u.id: SQLITE_CONSTRAINT_PRIMARYKEY"
    assert count == 0


def test_a_service_binding_reaches_fetch_methods_and_named_entrypoints(platform: Platform) -> None:
    service = """
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default { fetch: (r) => new Response("default " + new URL(r.url).pathname) };
        export class Admin extends WorkerEntrypoint {
          fetch() { return new Response("admin of " + this.ctx.props.customer); }
          async double(n) { return n * 2; }
        }
    """
    caller = """
        export default {
          async fetch(_request, { PLAIN, ADMIN }) {
            return Response.json([
              await (await PLAIN.fetch("http://x/path")).text(),
              await (await ADMIN.fetch("http://x/")).text(),
              await ADMIN.double(21),
              await ADMIN.nothing().then(() => null, (error) => error.message),
            ]);
          },
        };
    """
    platform.put_ordinary("backend", service)
    admin = {
        "type": "service", "name": "ADMIN", "service": "backend", "entrypoint": "Admin", "props": {"customer": "acme"}
    }  # fmt: skip
    platform.put("uses", caller, bindings=[{"type": "service", "name": "PLAIN", "service": "backend"}, admin])
    expected = ["default /path", "admin of acme", 42, "Handler does not export a nothing() function."]
    assert platform.get("/uses").json() == expected


def test_a_tail_worker_gets_the_invocations_of_its_producer(platform: Platform) -> None:
    tail = """
        export default {
          tail(events) {
            for (const { scriptName, outcome, logs, event } of events) {
              const said = logs.map(({ level, message }) => [level, message]);
              if (event?.response) console.log(JSON.stringify([scriptName, outcome, event.response.status, said]));
            }
          },
        };
    """
    platform.put_ordinary("tail", tail)
    code = """
        export default {
          fetch() {
            console.warn("careful", { a: 1 });
            console.log({ b: 2 });
            return new Response("x", { status: 202 });
          },
        };
    """
    platform.put("tailed", code, tail_consumers=[{"service": "tail"}])
    platform.get("/tailed")
    told = json.loads(platform.events(Log, "tail")[0].message)
    assert told == ["tailed", "ok", 202, [["warn", ["careful", {"a": 1}]], ["log", [{"b": 2}]]]]


def test_messages_on_a_queue_and_data_points_are_shown(platform: Platform) -> None:
    code = """
        export default {
          async fetch(_request, env) {
            await env.QUEUE.send({ hello: 1 });
            env.POINTS.writeDataPoint({ blobs: ["a"] });
            return new Response("sent");
          },
        };
    """
    bindings = [
        {"type": "queue", "name": "QUEUE", "queue_name": "jobs"},
        {"type": "analytics_engine", "name": "POINTS", "dataset": "d"},
    ]
    platform.put("sends", code, bindings=bindings)
    assert platform.get("/sends").text == "sent"
    notes = [(note.what, note.value) for note in platform.events(Note, "sends", 2)]
    assert notes == [("queue-message", {"queue": "jobs", "body": {"hello": 1}}), ("data-point", {"blobs": ["a"]})]


def test_a_rate_limit_counts_by_key(platform: Platform) -> None:
    code = """
        export default {
          async fetch(_request, { LIMIT }) {
            const keys = ["a", "a", "a", "b"];
            return Response.json(await Promise.all(keys.map(async (key) => (await LIMIT.limit({ key })).success)));
          },
        };
    """
    limit = {"type": "ratelimit", "name": "LIMIT", "namespace_id": "1", "simple": {"limit": 2, "period": 60}}
    platform.put("limited", code, bindings=[limit])
    assert platform.get("/limited").json() == [True, True, False, True]


# Static files

FILES = {
    "/index.html": "home",
    "/about.html": "about",
    "/docs/index.html": "docs",
    "/app.js": "code",
    "/404.html": "nothing here",
    "/docs/404.html": "no such page",
}


def put_assets(platform: Platform, files: Mapping[str, str], code: str = "", **config: Any) -> None:
    """Upload a script named "site" with static files."""
    stored, manifest = {}, {}
    for path, text in files.items():
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        stored[name] = Asset("", text.encode())
        manifest[path] = AssetFile(name, len(text))
    platform.store.put_assets(NAMESPACE, stored)
    platform.put(
        "site",
        {"index.mjs": (ESM, code)} if code else {},
        syntax=Syntax.MODULES if code else Syntax.ASSETS,
        files=manifest,
        bindings=[{"type": "assets", "name": "ASSETS"}],
        assets={"config": config},
    )


@pytest.fixture(scope="module")
def sites(platform: Platform) -> Platform:
    """Everything at site.test goes to the user Worker "site"."""
    binding = {"type": "dispatch_namespace", "name": "D", "namespace": NAMESPACE}
    code = "export default { fetch: (request, env) => env.D.get('site').fetch(request) };"
    platform.put_ordinary("site-dispatcher", code, bindings=[binding])
    zone = platform.store.edge.ensure_zone("site.test")
    platform.store.edge.create_route(zone.id, "site.test/*", "site-dispatcher")
    platform.runtime.invalidate("", None)
    return platform


def site(platform: Platform, path: str, **headers: str) -> tuple[int, str]:
    """Status, and the text or the place that a redirect names."""
    reply = platform.get(path, headers={"x-reconciler-host": "site.test", **headers})
    return reply.status_code, reply.headers.get("location") or reply.text


@pytest.mark.parametrize(
    ("handling", "path", "answer"),
    [
        ("auto-trailing-slash", "/", (200, "home")),
        ("auto-trailing-slash", "/index.html", (307, "/")),
        ("auto-trailing-slash", "/index", (307, "/")),
        ("auto-trailing-slash", "/about", (200, "about")),
        ("auto-trailing-slash", "/about.html?q=1", (307, "/about?q=1")),
        ("auto-trailing-slash", "/about/", (307, "/about")),
        ("auto-trailing-slash", "/docs/", (200, "docs")),
        ("auto-trailing-slash", "/docs", (307, "/docs/")),
        ("auto-trailing-slash", "/docs/index.html", (307, "/docs/")),
        ("auto-trailing-slash", "/app.js", (200, "code")),
        ("force-trailing-slash", "/about", (307, "/about/")),
        ("force-trailing-slash", "/about/", (200, "about")),
        ("force-trailing-slash", "/docs", (307, "/docs/")),
        ("drop-trailing-slash", "/docs/", (307, "/docs")),
        ("drop-trailing-slash", "/docs", (200, "docs")),
        ("drop-trailing-slash", "/about/", (307, "/about")),
        ("drop-trailing-slash", "/", (200, "home")),
        ("none", "/about.html", (200, "about")),
        ("none", "/about", (404, "Not Found\n")),
    ],
)
def test_html_handling(sites: Platform, handling: str, path: str, answer: tuple[int, str]) -> None:
    put_assets(sites, FILES, html_handling=handling)
    assert site(sites, path) == answer


@pytest.mark.parametrize(
    ("handling", "path", "answer"),
    [
        ("none", "/nowhere", (404, "Not Found\n")),
        ("404-page", "/nowhere", (404, "nothing here")),
        ("404-page", "/docs/deep/nowhere", (404, "no such page")),
        ("single-page-application", "/nowhere", (200, "home")),
    ],
)
def test_not_found_handling(sites: Platform, handling: str, path: str, answer: tuple[int, str]) -> None:
    put_assets(sites, FILES, not_found_handling=handling)
    assert site(sites, path) == answer


CODE = """
    export default {
      fetch(request, env) {
        const url = new URL(request.url);
        return url.pathname === "/asset" ? env.ASSETS.fetch(new URL("/app.js", url)) : new Response("by code");
      },
    };
"""


def test_files_go_before_the_code_and_the_code_reaches_them(sites: Platform) -> None:
    put_assets(sites, FILES, CODE)
    assert site(sites, "/app.js") == (200, "code")
    assert site(sites, "/nowhere") == (200, "by code")
    assert site(sites, "/asset") == (200, "code")


def test_a_browsers_navigation_gets_the_page_before_the_code(sites: Platform) -> None:
    put_assets(sites, FILES, CODE, not_found_handling="single-page-application")
    assert site(sites, "/nowhere", **{"sec-fetch-mode": "navigate"}) == (200, "home")
    assert site(sites, "/nowhere") == (200, "by code")


def test_run_worker_first_puts_the_code_before_the_files(sites: Platform) -> None:
    put_assets(sites, FILES, CODE, run_worker_first=True)
    assert site(sites, "/app.js") == (200, "by code")
    put_assets(sites, FILES, CODE, run_worker_first=["/docs/*", "!/docs/index.html"])
    assert site(sites, "/docs/") == (200, "by code")
    assert site(sites, "/docs/index.html") == (307, "/docs/")
    assert site(sites, "/app.js") == (200, "code")


def test_static_files_have_types_and_are_revalidated(sites: Platform) -> None:
    put_assets(sites, FILES)
    headers = {"x-reconciler-host": "site.test"}
    first = sites.get("/app.js", headers=headers)
    assert first.headers["content-type"] == "text/javascript"
    assert first.headers["cache-control"] == "public, max-age=0, must-revalidate"
    again = sites.get("/app.js", headers={**headers, "if-none-match": first.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")
    assert sites.client.post(sites.runtime.url + "/app.js", headers=headers).status_code == 405


def test_redirects_and_headers_files_are_obeyed(sites: Platform) -> None:
    redirects = "# moved\n/old/* /new/:splat 301\n/u/:id /app.js 200\n/out https://else.test/x\n"
    put_assets(sites, FILES, _redirects=redirects, _headers="/*\n  X-All: yes\n/app.js\n  X-Js: 1\n  ! ETag\n")
    assert site(sites, "/old/a/b") == (301, "/new/a/b")
    assert site(sites, "/u/7") == (200, "code")
    assert site(sites, "/out") == (302, "https://else.test/x")
    reply = sites.get("/app.js", headers={"x-reconciler-host": "site.test"})
    assert (reply.headers["x-all"], reply.headers["x-js"], "etag" in reply.headers) == ("yes", "1", False)
