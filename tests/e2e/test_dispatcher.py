"""The dispatcher in the real runtime: what a client gets, and what the user Worker sees."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import routing
from reconciler.routing import DispatcherSettings, Hostname, RoutedScript, Table
from reconciler.routing.table import routes
from tests.e2e.bare_workerd import WORKERS, Running, workerd

STUBS = Path(__file__).parent / "dispatcher"

SETTINGS = DispatcherSettings("acme", hostname="{script}.acme.app", path="/dispatch/{script}")
OUTBOUNDS = routing.outbound_bindings({"guard": ["customer", "tier", "url"], "silent": []})
SCRIPTS = [
    RoutedScript("shop", "globex", "advanced", cpu_ms=80, subrequests=50, hostnames=(Hostname("shop.globex.com"),)),
    RoutedScript("blog", "globex", "advanced", outbound="guard"),
    RoutedScript("mute", "globex", "advanced", cpu_ms=5, outbound="silent"),
    RoutedScript("gone", "initech", "basic"),
    RoutedScript("late", "umbrella", "basic", suspended=True, hostnames=(Hostname("late.umbrella.com"),)),
    RoutedScript("__proto__", "globex", "advanced", hostnames=(Hostname("proto.globex.com"),)),
]
PAGES = {"unknown": "<h1>{title}</h1><p>{detail}</p><i>{trace}</i>{other}"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("dispatcher")
    for file in (*STUBS.glob("*.mjs"), WORKERS / "dispatcher.mjs"):
        shutil.copy(file, folder)
    tables = {
        "bundle": routing.compile_table(SETTINGS, SCRIPTS, OUTBOUNDS),
        "pages": routing.compile_table(replace(SETTINGS, pages=PAGES), SCRIPTS, OUTBOUNDS),
        "kv": routing.compile_table(replace(SETTINGS, table="kv"), SCRIPTS, OUTBOUNDS),
    }
    for name, table in tables.items():
        (folder / f"{name}_table.mjs").write_bytes(table.module())
    values = dict(routing.kv_pairs(tables["kv"]))
    with workerd(folder, _config(list(tables), values)) as process:
        yield process


def test_an_exact_hostname_reaches_its_script_under_its_limits(running: Running) -> None:
    seen = ask(running, "shop.globex.com", "/cart?item=1").json
    assert seen["name"] == "shop"
    assert seen["options"] == {"limits": {"cpuMs": 80, "subRequests": 50}}
    assert seen["url"] == "http://shop.globex.com/cart?item=1"


def test_a_hostname_pattern_reaches_the_script_that_it_names(running: Running) -> None:
    assert ask(running, "blog.acme.app", "/").json["name"] == "blog"


def test_hostnames_are_taken_in_any_case_and_with_a_dot_at_the_end(running: Running) -> None:
    assert ask(running, "SHOP.Globex.com.", "/").json["name"] == "shop"
    assert ask(running, "Blog.ACME.app.", "/").json["name"] == "blog"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/dispatch/shop", "/"),
        ("/dispatch/shop/", "/"),
        ("/dispatch/shop?a=1", "/?a=1"),
        ("/dispatch/shop/a/b%2Fc?d=%20e", "/a/b%2Fc?d=%20e"),
        ("/dispatch/shop//evil.example/a", "//evil.example/a"),
    ],
)
def test_a_path_route_takes_off_its_prefix_and_nothing_else(running: Running, path: str, seen: str) -> None:
    assert ask(running, "acme.app", path).json["url"] == f"http://acme.app{seen}"


def test_a_path_route_keeps_method_and_body(running: Running) -> None:
    seen = ask(
        running, "acme.app", "/dispatch/shop/orders", method="PUT", body=b"\x00binary", headers={"x-own": "1"}
    ).json
    assert (seen["method"], seen["body"], seen["headers"]["x-own"]) == ("PUT", "\x00binary", "1")


@pytest.mark.parametrize(
    "path", ["/dispatch/", "/dispatch//shop", "/dispatch/nobody", "/dispatched/shop", "/shop", "/"]
)
def test_a_path_that_names_no_script_is_unknown(running: Running, path: str) -> None:
    assert ask(running, "acme.app", path).status == 404


def test_a_host_that_fits_the_pattern_is_never_answered_by_path(running: Running) -> None:
    """Else one customer's script would answer under the name of another, who may have left."""
    assert ask(running, "former.acme.app", "/dispatch/shop").status == 404


def test_only_declared_parameters_go_to_the_outbound_worker(running: Running) -> None:
    seen = ask(running, "blog.acme.app", "/a?b=c").json
    assert seen["via"] == "guard"
    assert seen["options"]["outbound"] == {
        "customer": "globex",
        "tier": "advanced",
        "url": "http://blog.acme.app/a?b=c",
    }
    assert ask(running, "mute.acme.app", "/").json["options"] == {"limits": {"cpuMs": 5}, "outbound": {}}


def test_a_script_without_an_outbound_worker_is_called_by_the_plain_binding(running: Running) -> None:
    assert ask(running, "shop.acme.app", "/").json["via"] == ""


def test_headers_that_a_client_must_not_set_are_stripped(running: Running) -> None:
    sent = {
        "Cloudflare-Workers-Version-Overrides": 'shop="dd3ab4ed"',
        "Cloudflare-Workers-Version-Key": "me",
        "X-Dispatch-Trace": "forged",
        "X-Forwarded-Host": "kept.example",
        "Cookie": "kept=1",
    }
    seen = ask(running, "shop.acme.app", "/", headers=sent).json["headers"]
    assert "cloudflare-workers-version-overrides" not in seen
    assert "cloudflare-workers-version-key" not in seen
    assert seen["x-forwarded-host"] == "kept.example"
    assert seen["cookie"] == "kept=1"
    assert len(seen["x-dispatch-trace"]) == 36


@pytest.mark.parametrize(
    ("host", "path", "status", "title"),
    [
        ("nobody.example", "/", 404, "Not found"),
        ("gone.acme.app", "/", 404, "Not deployed"),
        ("late.umbrella.com", "/", 403, "Suspended"),
        ("late.acme.app", "/", 403, "Suspended"),
        ("shop.acme.app", "/throw?message=Worker%20exceeded%20CPU%20time%20limit.", 429, "CPU limit reached"),
        ("shop.acme.app", "/throw?message=Too%20many%20subrequests.", 503, "Subrequest limit reached"),
        ("shop.acme.app", "/throw?message=secret%20detail", 502, "Application error"),
    ],
)
def test_each_failure_has_its_own_answer(running: Running, host: str, path: str, status: int, title: str) -> None:
    problem = ask(running, host, path, headers={"accept": "application/json"})
    assert problem.status == status
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.headers["cache-control"] == "no-store"
    assert (problem.json["status"], problem.json["title"]) == (status, title)
    assert problem.json["trace"] == problem.headers["x-dispatch-trace"]
    assert b"secret" not in problem.body

    page = ask(running, host, path, headers={"accept": "text/html,*/*;q=0.8"})
    assert page.status == status
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>".encode() in page.body
    assert page.headers["x-dispatch-trace"].encode() in page.body
    assert b"secret" not in page.body


def test_what_a_user_worker_threw_is_in_the_log_with_the_trace(running: Running) -> None:
    reply = ask(running, "shop.acme.app", "/throw?message=only%20for%20us")
    line = next(line for line in running.lines() if reply.json["trace"] in line)
    assert "only for us" in line
    assert '"script":"shop"' in line


def test_pages_of_the_platform_replace_ours(running: Running) -> None:
    page = ask(running, "nobody.example", "/", headers={"accept": "text/html"}, port="pages")
    trace = page.headers["x-dispatch-trace"]
    assert page.body.decode() == f"<h1>Not found</h1><p>There is nothing at this address.</p><i>{trace}</i>{{other}}"
    assert "content-security-policy" not in page.headers


def test_names_that_javascript_gives_a_meaning_are_names_like_any_other(running: Running) -> None:
    for port in ("bundle", "kv"):
        assert ask(running, "proto.globex.com", "/", port=port).json["name"] == "__proto__"
        assert ask(running, "acme.app", "/dispatch/__proto__/", port=port).json["name"] == "__proto__"
        assert ask(running, "acme.app", "/dispatch/constructor/", port=port).status == 404
        assert ask(running, "constructor.acme.app", "/", port=port).status == 404


def test_a_head_request_gets_the_headers_of_the_script(running: Running) -> None:
    reply = ask(running, "shop.acme.app", "/head", method="HEAD")
    assert (reply.headers["content-length"], reply.headers["x-own"], reply.body) == ("4711", "yes", b"")
    refused = ask(running, "nobody.example", "/", method="HEAD")
    assert (refused.status, refused.body) == (404, b"")


def test_a_redirect_of_the_script_goes_to_the_client(running: Running) -> None:
    reply = ask(running, "shop.acme.app", "/redirect")
    assert (reply.status, reply.headers["location"]) == (302, "/elsewhere")


def test_a_response_streams(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.ports["bundle"], timeout=10)
    connection.request("GET", "/stream", headers={"host": "shop.acme.app"})
    started = time.monotonic()
    response = connection.getresponse()
    first = response.read1()
    first_after = time.monotonic() - started
    rest = response.read()
    ended_after = time.monotonic() - started
    connection.close()
    assert first + rest == b"one two three"
    assert first_after < 0.25 < ended_after


def test_a_request_body_streams(running: Running) -> None:
    """The first chunk comes back before the second one is sent."""
    with socket.create_connection(("127.0.0.1", running.ports["bundle"]), timeout=10) as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nhost: shop.acme.app\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        received = b""
        while b"first" not in received:
            received += client.recv(4096)
        client.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        while b"second" not in received:
            received += client.recv(4096)


def test_a_websocket_passes_through(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.ports["bundle"]), timeout=10) as client:
        key = base64.b64encode(b"0123456789abcdef").decode()
        client.sendall(
            f"GET /dispatch/shop/socket HTTP/1.1\r\nhost: acme.app\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode()
        )
        head = client.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        client.sendall(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")  # a masked text frame; the mask is zero
        assert client.recv(4096)[2:] == b"echo hi"


def test_a_table_in_kv_answers_like_a_bundled_one(running: Running) -> None:
    for host, path in [("shop.globex.com", "/"), ("blog.acme.app", "/"), ("acme.app", "/dispatch/mute/x")]:
        bundled, stored = (ask(running, host, path, port=port).json for port in ("bundle", "kv"))
        for seen in (bundled, stored):
            del seen["headers"]
        assert stored == bundled
    assert ask(running, "late.umbrella.com", "/", port="kv").status == 403
    assert ask(running, "nobody.example", "/", port="kv").status == 404


def test_a_part_of_the_table_is_read_from_kv_once(running: Running) -> None:
    for _ in range(3):
        ask(running, "shop.globex.com", "/", port="kv")
    read = [line for line in running.lines() if "kv routes/" in line]
    assert len(read) == len(set(read)) > 0


def test_a_table_that_is_not_in_kv_is_said_to_be_unavailable(running: Running) -> None:
    reply = ask(running, "shop.globex.com", "/", port="empty")
    assert (reply.status, reply.json["title"]) == (503, "Temporarily unavailable")


def test_a_dispatcher_of_the_platforms_own_reads_the_same_table(running: Running) -> None:
    seen = ask(running, "shop.globex.com", "/", port="own").json
    assert (seen["name"], seen["options"]) == ("shop", {"limits": {"cpuMs": 80, "subRequests": 50}})
    assert ask(running, "nobody.example", "/", port="own").body == b"own: no such host"


NAMES = st.sampled_from(["a", "b", "a-b", "shop", "x--y", "constructor", "__proto__", "0"])
HOSTS = st.sampled_from(["a.test.com", "a.acme.app", "zz.acme.app", "deep.a.acme.app", "acme.app", "b.a.acme.app"])
URLS = st.builds(
    lambda host, path: f"https://{host}{path}",
    st.one_of(HOSTS, NAMES.map(lambda name: f"{name}.acme.app"), NAMES.map(lambda name: f"pre-{name}.acme.app.")),
    st.one_of(
        NAMES.map(lambda name: f"/d/{name}"),
        st.builds(
            lambda one, two, rest: f"/{one}/{two}{rest}", NAMES, NAMES, st.sampled_from(["", "/", "//x", "/%2e?q"])
        ),
    ),
)


@st.composite
def platforms(draw: st.DrawFn) -> tuple[DispatcherSettings, list[RoutedScript]]:
    """A repository whose routes have no problem."""
    hostname = draw(
        st.sampled_from(
            ["", "{script}.acme.app", "pre-{script}.acme.app", "{script}.{customer}.acme.app", "{customer}.acme.app"]
        )
    )
    path = draw(st.sampled_from(["", "/d/{script}", "/{customer}/{script}", "/{script}", "/d/{customer}"]))
    made = DispatcherSettings("acme", hostname, path, draw(st.sampled_from(["bundle", "kv"])))
    scripts = [
        RoutedScript(
            name,
            draw(st.sampled_from(["a", "b", "shop"])),
            "basic",
            suspended=draw(st.booleans()),
            cpu_ms=draw(st.one_of(st.none(), st.integers(1, 3))),
            outbound=draw(st.sampled_from(["", "guard"])),
            hostnames=tuple(Hostname(host) for host in draw(st.sets(HOSTS, max_size=1))),
        )
        for name in sorted(draw(st.sets(NAMES, max_size=6)))
    ]
    while routing.check(made, scripts):
        scripts = scripts[1:]
    return made, scripts


@settings(max_examples=80, deadline=None)
@given(platform=platforms(), urls=st.lists(URLS, max_size=30))
def test_python_and_the_dispatcher_agree_on_every_request(
    running: Running, platform: tuple[DispatcherSettings, list[RoutedScript]], urls: list[str]
) -> None:
    """On any request, and on every address that the table says it has."""
    table = routing.compile_table(*platform, routing.outbound_bindings({"guard": ["tier"]}))
    agree(running, table, urls + addresses(table))


def test_they_agree_on_a_table_of_many_parts(running: Running) -> None:
    fleet = [
        RoutedScript(f"shop-{n}", f"customer-{n}", "basic", hostnames=(Hostname(f"www.shop-{n}.example"),))
        for n in range(1_000)
    ]
    table = routing.compile_table(replace(SETTINGS, table="kv"), fleet, OUTBOUNDS)
    assert len(table.part_digests) == 8
    assert len(addresses(table)) == 3_000
    agree(running, table, [*addresses(table)[::7], "https://shop-1000.acme.app/", "https://www.shop-1000.example/"])


def addresses(table: Table) -> list[str]:
    found = []
    for number in range(len(table.parts)):
        for route, target in routes(table, number):
            host, path = ("path.example", route) if route.startswith("/") else (route, "/")
            assert routing.resolve(table, host, path) == target
            found.append(f"https://{host}{path}")
    return found


def agree(running: Running, table: Table, urls: list[str]) -> None:
    question = {"table": table.module().decode(), "values": dict(routing.kv_pairs(table)), "urls": urls}
    reply = ask(running, "probe", "/", method="POST", body=json.dumps(question).encode(), port="probe")
    for url, result in zip(urls, reply.json, strict=True):
        host, _, path = url.removeprefix("https://").partition("/")
        target = routing.resolve(table, host, f"/{path}".partition("?")[0])
        if target is None:
            assert (result["status"], result["called"]) == (404, None), url
        elif target.suspended:
            assert (result["status"], result["called"]) == (403, None), url
        else:
            called = result["called"]
            assert called["script"] == target.script, url
            assert called["binding"] == routing.binding_name(target.outbound)
            assert called["options"].get("limits", {}).get("cpuMs") == target.cpu_ms
            assert called["options"].get("outbound") == ({"tier": "basic"} if target.outbound else None)


def ask(
    running: Running,
    host: str,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    port: str = "bundle",
) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", running.ports[port], timeout=10)
    connection.request(method, path, body, {"host": host, **(headers or {})})
    response = connection.getresponse()
    reply = Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return reply


def _config(tables: list[str], values: Mapping[str, str]) -> str:
    dispatchers = "\n".join(_dispatcher(name, name, "stored") for name in tables)
    dispatchers += _dispatcher("empty", "kv", "nothing") + _dispatcher("own", "bundle", "nothing", "own.mjs")
    ports = [*tables, "empty", "own", "probe"]
    sockets = "\n".join(f'(name = "{name}", address = "127.0.0.1:0", http = (), service = "{name}"),' for name in ports)
    return f"""
const config :Workerd.Config = (
  services = [
    {dispatchers}
    (name = "users", worker = (modules = [(name = "users.mjs", esModule = embed "users.mjs")], {_DATE})),
    {_kv("stored", values)}
    {_kv("nothing", {})}
    (name = "probe", worker = (
      modules = [(name = "loader.mjs", esModule = embed "loader.mjs")], {_DATE},
      bindings = [
        (name = "LOADER", workerLoader = (id = "probes")),
        (name = "PROBE", text = embed "probe.mjs"),
        (name = "DISPATCHER", text = embed "dispatcher.mjs"),
      ],
    )),
  ],
  sockets = [{sockets}],
  extensions = [(modules = [(name = "test:binding", internal = true, esModule = embed "binding.mjs")])],
);
"""


_DATE = 'compatibilityDate = "2026-10-01"'


def _kv(name: str, values: Mapping[str, str]) -> str:
    text = json.dumps(json.dumps(values))  # a JSON text, written as a Cap'n Proto string
    return (
        f'(name = "{name}", worker = (modules = [(name = "kv.mjs", esModule = embed "kv.mjs")], {_DATE}, '
        f'bindings = [(name = "VALUES", json = {text})])),'
    )


def _dispatcher(name: str, table: str, kv: str, main: str = "dispatcher.mjs") -> str:
    return f"""(name = "{name}", worker = (
      modules = [
        (name = "{main}", esModule = embed "{main}"),
        (name = "routing_table.mjs", esModule = embed "{table}_table.mjs"),
      ], {_DATE},
      bindings = [
        {_namespace("DISPATCH", "")} {_namespace("DISPATCH_GUARD", "guard")} {_namespace("DISPATCH_SILENT", "silent")}
        (name = "ROUTES", kvNamespace = "{kv}"),
      ],
    )),"""


def _namespace(binding: str, via: str) -> str:
    inner = f'(name = "users", service = "users"), (name = "via", text = "{via}")'
    return f'(name = "{binding}", wrapped = (moduleName = "test:binding", innerBindings = [{inner}])),'
