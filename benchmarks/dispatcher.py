"""What the dispatcher costs per request, against a bare get().fetch(): `python -m benchmarks.dispatcher`.

First its own work in microseconds, inside one isolate of workerd; then whole requests over one kept connection.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reconciler import routing
from reconciler.routing import DispatcherSettings, Hostname, RoutedScript
from tests.e2e.bare_workerd import WORKERS, Running, workerd

SCRIPTS = 10_000
ROUNDS = 9
CALLS = 4_000
REQUESTS = 1_500
CASES = {
    "exact hostname": "https://www.shop-1.example/cart?item=1",
    "hostname pattern": "https://shop-1.acme.app/cart?item=1",
    "path": "https://acme.app/dispatch/shop-1/cart?item=1",
}
BARE = 'export default { fetch: (request, env) => env.DISPATCH.get("shop-1", {}, {}).fetch(request) };\n'
BINDING = "export default ({ users }) => ({ get: () => ({ fetch: (request) => users.fetch(request) }) });\n"
USER = 'export default { fetch: () => new Response("hello") };\n'
VALUES = (
    "export default { fetch: (request, env) => "
    "new Response(env.VALUES[decodeURIComponent(new URL(request.url).pathname.slice(1))]) };\n"
)


def main() -> None:
    settings = DispatcherSettings("acme", "{script}.acme.app", "/dispatch/{script}")
    outbounds = routing.outbound_bindings({"guard": ["customer", "tier"]})
    tables = {
        form: routing.compile_table(made, fleet(), outbounds)
        for form, made in {"bundle": settings, "kv": replace(settings, table="kv")}.items()
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(WORKERS / "dispatcher.mjs", folder)
        shutil.copy(Path(__file__).with_suffix(".mjs"), folder / "timing.mjs")
        for file, text in {"bare": BARE, "binding": BINDING, "user": USER, "values": VALUES}.items():
            (folder / f"{file}.mjs").write_text(text)
        for form, table in tables.items():
            (folder / f"{form}_table.mjs").write_bytes(table.module())
            print(
                f"{form}: {SCRIPTS:,} scripts, {2 * SCRIPTS:,} routes and as many paths, {len(table.module()):,} bytes"
            )
        with workerd(folder, config(dict(routing.kv_pairs(tables["kv"])))) as running:
            inside(running)
            whole(running)


def fleet() -> list[RoutedScript]:
    return [
        RoutedScript(
            f"shop-{number}",
            f"customer-{number}",
            "basic",
            cpu_ms=50,
            outbound="guard",
            hostnames=(Hostname(f"www.shop-{number}.example"),),
        )
        for number in range(SCRIPTS)
    ]


def inside(running: Running) -> None:
    print(f"\nwork per request in one isolate, median of {ROUNDS} rounds of {CALLS:,} calls, in µs")
    print(f"{'':24}{'bare':>8}{'dispatcher':>12}{'overhead':>10}")
    for form in ("bundle", "kv"):
        for case, url in CASES.items():
            question = json.dumps({"url": url, "count": CALLS})
            rounds = [json.loads(post(running.ports[f"timing-{form}"], question)) for _ in range(ROUNDS)]
            bare, ours = (statistics.median(one[key] for one in rounds) for key in ("bare", "dispatcher"))
            print(f"{f'{form}, {case}':24}{bare:8.1f}{ours:12.1f}{ours - bare:10.1f}")


def whole(running: Running) -> None:
    print(f"\nwhole requests over one connection, {REQUESTS:,} each in turn, in µs")
    print(f"{'':24}{'p50':>8}{'p99':>12}")
    names = ("bare", "bundle", "kv")
    connections = {name: http.client.HTTPConnection("127.0.0.1", running.ports[name], timeout=30) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(REQUESTS):
        for name, connection in connections.items():
            started = time.perf_counter()
            connection.request("GET", "/cart?item=1", headers={"host": "www.shop-1.example"})
            assert connection.getresponse().read() == b"hello"
            times[name].append((time.perf_counter() - started) * 1e6)
    for name, taken in times.items():
        connections[name].close()
        cuts = statistics.quantiles(taken, n=100)
        print(f"{name:24}{cuts[49]:8.0f}{cuts[98]:12.0f}")


def post(port: int, body: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body)
    reply = connection.getresponse().read()
    connection.close()
    return reply


def config(values: Mapping[str, str]) -> str:
    date = 'compatibilityDate = "2026-10-01"'
    inner = 'innerBindings = [(name = "users", service = "user")]'
    bindings = [f'(name = "{name}", wrapped = (moduleName = "bench:binding", {inner}))' for name in NAMESPACES]
    bindings.append('(name = "ROUTES", kvNamespace = "values")')

    def worker(name: str, *modules: str, form: str = "bundle") -> str:
        listed = ", ".join(f'(name = "{one}.mjs", esModule = embed "{one}.mjs")' for one in modules)
        table = f'(name = "routing_table.mjs", esModule = embed "{form}_table.mjs")'
        return (
            f'(name = "{name}", worker = (modules = [{listed}, {table}], {date}, bindings = [{", ".join(bindings)}]))'
        )

    served = [worker("bare", "bare")]
    for form in ("bundle", "kv"):
        served += [worker(form, "dispatcher", form=form), worker(f"timing-{form}", "timing", "dispatcher", form=form)]
    sockets = [
        f'(name = "{name}", address = "127.0.0.1:0", http = (), service = "{name}")'
        for name in ("bare", "bundle", "kv", "timing-bundle", "timing-kv")
    ]
    text = json.dumps(json.dumps(values))
    return f"""
const config :Workerd.Config = (
  services = [
    {", ".join(served)},
    (name = "user", worker = (modules = [(name = "user.mjs", esModule = embed "user.mjs")], {date})),
    (name = "values", worker = (
      modules = [(name = "values.mjs", esModule = embed "values.mjs")], {date},
      bindings = [(name = "VALUES", json = {text})],
    )),
  ],
  sockets = [{", ".join(sockets)}],
  extensions = [(modules = [(name = "bench:binding", internal = true, esModule = embed "binding.mjs")])],
);
"""


NAMESPACES = ("DISPATCH", "DISPATCH_GUARD")

if __name__ == "__main__":
    main()
