"""How many uploads the emulated API takes: `python benchmarks/uploads.py [uploads]`.

Eight connections over loopback, each script of about 4 KB with two modules, a data plane told of each one.
What is wanted on two cores, which the clients share: at least 400 uploads a second.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socketserver
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path

from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.multipart import Part, serialize
from reconciler.local.server import Server
from reconciler.local.store import Store

CONNECTIONS = 8
ESM = "application/javascript+module"
METADATA = {
    "main_module": "main.mjs",
    "compatibility_date": "2026-11-01",
    "tags": ["rcn-acme", "rcn-d-" + "0" * 32, "acme", "basic"],
    "limits": {"cpu_ms": 10, "subrequests": 5},
    "bindings": [{"type": "plain_text", "name": "GREETING", "text": "hello"}],
}
FORM = serialize(
    [
        Part("metadata", "", "application/json", json.dumps(METADATA).encode()),
        Part("main.mjs", "main.mjs", ESM, b"export default { fetch() { return new Response('') } };".ljust(3000)),
        Part("platform_module.mjs", "platform_module.mjs", ESM, b"export const tell = () => 1;".ljust(1000)),
    ]
)


def main(uploads: int) -> None:
    here, there = multiprocessing.Pipe()
    serving = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    serving.start()
    there.close()  # the server's end alone is left: when that fails, this ends too
    port: int = here.recv()
    each = uploads // CONNECTIONS
    began = time.perf_counter()
    threads = [threading.Thread(target=upload, args=(port, number, each)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = each * CONNECTIONS / (time.perf_counter() - began)
    here.send("end")
    serving.join()
    print(f"{rate:,.0f} uploads/s over {CONNECTIONS} connections")  # noqa: T201  # what a benchmark is for


def serve(pipe: Connection) -> None:
    """The API in a process of its own, with something in the place of a data plane."""
    with tempfile.TemporaryDirectory() as folder, socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Admin) as admin:
        admin.daemon_threads = True
        threading.Thread(target=admin.serve_forever, daemon=True).start()
        store = Store(Path(folder))
        store.create_namespace("bench")
        store.register_watcher(f"http://127.0.0.1:{admin.server_address[1]}/", "")
        with Server(create_app(store)) as server:
            pipe.send(server.port)
            pipe.recv()
        admin.shutdown()
        store.close()


def upload(port: int, number: int, count: int) -> None:
    content_type, body = FORM
    headers = {"Authorization": f"Bearer {LOCAL_TOKEN}", "Content-Type": content_type}
    scripts = f"{PREFIX}/accounts/{'a' * 32}/workers/dispatch/namespaces/bench/scripts"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for one in range(count):
        connection.request("PUT", f"{scripts}/s{number}-{one}", body, headers)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"an upload was answered {response.status}")
    connection.close()


class _Admin(BaseHTTPRequestHandler):
    """Stands for a data plane: takes the news and answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing is shown."""


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
