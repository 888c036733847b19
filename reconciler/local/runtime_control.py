"""The control plane: what the platform's Worker asks over loopback. Scripts, addresses, static files, KV, D1 and R2.

Every request carries the token that only this process and its workerd know. To add a resource: one method of `Control`
and one row in `_RESOURCES`.
"""

from __future__ import annotations

import json
import mimetypes
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from reconciler.local import runtime_d1, runtime_r2
from reconciler.local.records import KvPair
from reconciler.local.runtime_asks import Ask, Reply, as_json
from reconciler.local.runtime_wire import wire
from reconciler.local.store import ORDINARY, Store

SHORTEST_TTL = 60  # seconds; Cloudflare refuses less
MOST_KEYS = 1000


class Control:
    """Answers the platform's Worker. Scripts that were stopped are refused until they change.

    `default_worker` answers addresses that no route, custom domain or workers.dev name covers; `suffix` is what stands
    for `localhost` in the names of local addresses.
    """

    def __init__(self, store: Store, *, newest_date: str, default_worker: str = "", suffix: str = "") -> None:
        self._store = store
        self._newest_date = newest_date
        self._default_worker = default_worker
        self._suffix = suffix
        self._stopped: dict[tuple[str, str], tuple[int, str]] = {}
        self.usage_since: Callable[[float], tuple[float, float]] = lambda _at: (0, 0)
        self.suspects: set[tuple[str, str]] = set()
        self._revisions: dict[tuple[str, str], int] = {}

    def stop(self, namespace: str, name: str, why: str) -> None:
        """Refuse the version of a script that runs now, until it is uploaded again."""
        revision = self._revisions.get((namespace, name))
        if revision is not None:
            self._stopped[namespace, name] = (revision, why)

    def suspect(self, namespace: str, name: str) -> None:
        """From its next load on a script tells each time that it goes on running after a wait."""
        self.suspects.add((namespace, name))

    def script(self, ask: Ask) -> Reply:
        at = (ask.query["namespace"], ask.query["name"])
        found = self._store.script(*at)
        if found is None:
            return Reply(404)
        namespace = self._store.namespace(at[0]) if at[0] != ORDINARY else None
        trusted = namespace.trusted if namespace else at[0] == ORDINARY
        told = wire(found, trusted=trusted, newest_date=self._newest_date)
        told["suspect"] = at in self.suspects
        revision, why = self._stopped.get(at, (None, None))
        if revision == found.revision:
            told["problem"] = why
        self._revisions[at] = found.revision
        return as_json(told)

    def usage(self, ask: Ask) -> Reply:
        ran, queued = self.usage_since(float(ask.query["since"]) / 1000)
        return as_json({"ran": ran, "queued": queued})

    def edge(self, _ask: Ask) -> Reply:
        edge = self._store.edge
        subdomain = self._store.value("subdomain")
        workers_dev = {
            f"{row.name}.{subdomain}.workers.dev": row.name for row in self._store.rows(ORDINARY) if row.subdomain
        }
        return as_json(
            {
                "routes": [{"pattern": route.pattern, "script": route.script} for route in edge.routes()],
                "domains": {domain.hostname: domain.service for domain in edge.domains()},
                "workersDev": workers_dev if subdomain else {},
                "defaultWorker": self._default_worker or self._store.value("default_worker") or None,
                "suffix": self._suffix or self._store.value("local_suffix") or None,
                "hosts": [
                    *json.loads(self._store.value("local_hosts") or "[]"),
                    *(one.hostname for one in edge.custom_hostnames()),
                ],
            }
        )

    def asset(self, ask: Ask) -> Reply:
        found = self._store.asset(ask.query["hash"])
        if found is None:
            return Reply(404)
        guessed, _encoding = mimetypes.guess_type(ask.query["path"])
        return Reply(200, found.content, {"content-type": found.type or guessed or "application/octet-stream"})

    def kv(self, ask: Ask) -> Reply:
        namespace, what, *rest = ask.path
        if what == "keys":
            return self._kv_keys(namespace, ask.query)
        key = rest[0]
        if ask.method == "PUT":
            return self._kv_put(namespace, key, ask)
        if ask.method == "DELETE":
            self._store.kv.delete(namespace, [key])
            return Reply(200)
        pair = self._store.kv.get(namespace, key)
        if pair is None:
            return Reply(404)
        return Reply(200, pair.value, {"x-metadata": quote(json.dumps(pair.metadata))})

    def d1(self, ask: Ask) -> Reply:
        identity = ask.path[0]
        if self._store.d1.database(identity) is None:
            return as_json({"error": f"there is no database {identity} in the local account"})
        return as_json(runtime_d1.run(self._store.d1.file(identity), json.loads(ask.body)))

    def r2(self, ask: Ask) -> Reply:
        return runtime_r2.answer(self._store.r2, ask)

    def _kv_put(self, namespace: str, key: str, ask: Ask) -> Reply:
        expires = int(ask.query["expiration"]) if "expiration" in ask.query else None
        if "expiration_ttl" in ask.query:
            expires = int(self._store.clock() + float(ask.query["expiration_ttl"]))
        if expires is not None and expires < self._store.clock() + SHORTEST_TTL - 1:
            return Reply(
                400, f"Invalid expiration of {expires}. It must be at least 60 seconds in the future.".encode()
            )
        metadata = json.loads(ask.query.get("metadata", "null"))
        self._store.kv.put(namespace, [KvPair(key, ask.body, metadata, expires)])
        return Reply(200)

    def _kv_keys(self, namespace: str, query: Mapping[str, str]) -> Reply:
        limit = max(1, min(int(query.get("limit", MOST_KEYS)), MOST_KEYS))
        # The cursor is the last key of the page before.
        keys = self._store.kv.keys(
            namespace, prefix=query.get("prefix", ""), after=query.get("cursor", ""), limit=limit + 1
        )
        page = keys[:limit]
        rows = []
        for key in page:
            row: dict[str, Any] = {"name": key.name}
            if key.expires is not None:
                row["expiration"] = key.expires
            if key.metadata is not None:
                row["metadata"] = key.metadata
            rows.append(row)
        if len(keys) <= limit:
            return as_json({"keys": rows, "list_complete": True})
        return as_json({"keys": rows, "list_complete": False, "cursor": page[-1].name})


_RESOURCES: Mapping[str, Callable[[Control, Ask], Reply]] = {
    "script": Control.script,
    "usage": Control.usage,
    "edge": Control.edge,
    "asset": Control.asset,
    "kv": Control.kv,
    "d1": Control.d1,
    "r2": Control.r2,
}


class ControlServer:
    """The control plane on a port of loopback that the system chooses."""

    def __init__(self, control: Control, token: str) -> None:
        answers = type("Answers", (_Answers,), {"control": control, "expected": f"Bearer {token}"})
        self._server = _Server(("127.0.0.1", 0), answers)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="control plane", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that workerd dropped is nothing to report; it drops them all when it ends."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Answers(BaseHTTPRequestHandler):
    control: Control
    expected: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def _answer(self) -> None:
        body = self._body()
        if self.headers.get("authorization") != self.expected:
            self._send(Reply(403))
            return
        address = urlsplit(self.path)
        resource, *path = (unquote(part) for part in address.path.strip("/").split("/"))
        answer = _RESOURCES.get(resource)
        ask = Ask(self.command, tuple(path), dict(parse_qsl(address.query, keep_blank_values=True)), body)
        self._send(answer(self.control, ask) if answer else Reply(404))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815  # the names that http.server looks for

    def _body(self) -> bytes:
        if length := self.headers.get("content-length"):
            return self.rfile.read(int(length))
        if self.headers.get("transfer-encoding") != "chunked":
            return b""
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} -", f"content-length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + reply.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        """Nothing: the platform reports requests by itself."""
