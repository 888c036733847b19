"""How fast and how large the embedded platform's data plane is: `python -m benchmarks.dataplane [scripts]`.

Uploads scripts of about 4 KB into an account, requests each once through a dispatcher, then one of them many times.
What is wanted on two cores: under 700 MB, a warm p50 under 1 ms, at least 2,000 requests/s. The client is a process of
its own with nothing but sockets, kept open; what it and this process (which reads the log of requests) take of the two
cores is told beside what workerd takes. Any answer but the right one ends it: the dispatcher gives the script 50 ms of
CPU time, so that a collection of garbage which is taken for the script's own work shows here.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, cast

from reconciler.local.records import StoredModule, StoredScript, Syntax
from reconciler.local.runtime import Runtime
from reconciler.local.store import Store

REQUESTS = 10_000
ESM = "application/javascript+module"
DISPATCHER = """
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    return await env.DISPATCHER.get(name, {}, { limits: { cpuMs: 50, subRequests: 50 } }).fetch(request);
  },
};
"""
# 4 KB of functions that are parsed, as a small customer's code would be.
USER = "\n".join(f"export function unused{n}(a) {{ return a.map((b) => b * {n} + {n}); }}" for n in range(58))
USER += "\nexport default { fetch: (request, env) => new Response(env.GREETING) };\n"


class Load(NamedTuple):
    seconds: list[float]  # of each request
    cpu_seconds: float  # of the client


def main(scripts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.create_namespace("bench")
        dispatch = {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "bench"}
        greeting = {"type": "plain_text", "name": "GREETING", "text": "hello"}
        _put(store, "", "dispatcher", DISPATCHER, dispatch)
        for n in range(scripts):
            _put(store, "bench", f"script-{n}", USER, greeting)

        began = time.perf_counter()
        with Runtime(store, default_worker="dispatcher") as runtime:
            urllib.request.urlopen(runtime.url + "/script-0").close()  # noqa: S310  # http on loopback
            _tell("start to first answer", f"{(time.perf_counter() - began) * 1000:.0f} ms")
            paths = [f"/script-{n}" for n in range(scripts)]
            cold = _load(runtime.port, paths, 1, scripts)
            _tell(f"{scripts} scripts once, one connection", _latency(cold.seconds))
            _tell("memory of workerd after that", f"{_megabytes(runtime.pid):.0f} MB")
            _load(runtime.port, ["/script-0"], 16, 3000)
            _tell("one script warm, one connection", _latency(_load(runtime.port, ["/script-0"], 1, 3000).seconds))
            for connections in (16, 32):
                before, own = _cpu_seconds(runtime.pid), time.process_time()
                warm = _load(runtime.port, ["/script-0"], connections, REQUESTS)
                used = (_cpu_seconds(runtime.pid) - before, time.process_time() - own, warm.cpu_seconds)
                rate = connections / statistics.mean(warm.seconds)  # each connection always has one under way
                _tell(
                    f"one script warm, {connections} connections", f"{rate:,.0f} requests/s, {_latency(warm.seconds)}"
                )
                each = (f"{1000 * one / REQUESTS:.2f} ms" for one in used)
                _tell("  CPU time of each: workerd, log, client", ", ".join(each))
            _tell("memory of workerd at the end", f"{_megabytes(runtime.pid):.0f} MB")
        store.close()


def _put(store: Store, namespace: str, name: str, code: str, binding: dict[str, str]) -> None:
    script = StoredScript(
        namespace=namespace, name=name, id="", etag="", revision=0, created_on="", modified_on="", main="index.mjs",
        syntax=Syntax.MODULES, version_id="", deployed_from="api", handlers=("fetch",), has_assets=False, tags=None,
        metadata={"compatibility_date": "2026-10-01", "bindings": [binding]},
        modules=(StoredModule("index.mjs", ESM, code.encode()),),
    )  # fmt: skip
    store.change_script(namespace, name, lambda _old: script)


def _load(port: int, paths: list[str], connections: int, requests: int) -> Load:
    """Requests asked in turn over kept connections by a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    client = context.Process(target=_client, args=(sending, port, paths, connections, requests))
    client.start()
    sending.close()  # the client's end alone is left: when that fails, this ends too
    try:
        load: Load = receiving.recv()
    except EOFError:
        raise SystemExit("the client gave up") from None
    client.join()
    return load


def _client(result: Connection, port: int, paths: list[str], connections: int, requests: int) -> None:
    selector = selectors.DefaultSelector()
    took: list[float] = []
    began = time.process_time()
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        path = paths[sent % len(paths)]
        sent += 1
        selector.modify(connection, selectors.EVENT_READ, time.perf_counter())
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send(connection)
    while len(took) < requests:
        for key, _events in selector.select():
            connection = cast(socket.socket, key.fileobj)
            answer = connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"hello"):
                raise SystemExit(f"unexpected answer: {answer!r}")
            took.append(time.perf_counter() - key.data)
            if sent < requests:
                send(connection)
    result.send(Load(took, time.process_time() - began))


def _latency(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    worst = ordered[int(len(ordered) * 0.99)]
    return f"p50 {statistics.median(ordered) * 1000:.2f} ms, p99 {worst * 1000:.1f} ms"


def _cpu_seconds(pid: int) -> float:
    """Of all threads: what a request costs whatever else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def _tell(what: str, value: str) -> None:
    print(f"{what:45} {value}", flush=True)  # noqa: T201  # its output is its purpose


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
