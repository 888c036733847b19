"""A running data plane over an account of its own, for the tests of one module."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

from reconciler.local.records import AssetFile, StoredModule, StoredScript, Syntax
from reconciler.local.runtime import Runtime
from reconciler.local.runtime_events import Event
from reconciler.local.store import Store

ESM = "application/javascript+module"
NAMESPACE = "production"
E = TypeVar("E", bound=Event)

# Calls the user Worker that the first label of the path names; what it is to be given stands in the query.
DISPATCHER = """
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const { binding = "DISPATCHER", limits, customer } = JSON.parse(url.searchParams.get("with") ?? "{}");
    try {
      return await env[binding].get(url.pathname.split("/")[1], {}, { limits, outbound: { customer } }).fetch(request);
    } catch (error) {
      return new Response(error.message, { status: 500 });
    }
  },
};
"""


class Platform:
    """An account, and the data plane that runs it."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self.runtime = Runtime(store, root=Path(__file__).parent, on_event=self._keep, **options)
        self.client = httpx.Client(timeout=20)
        store.create_namespace(NAMESPACE)

    def put(
        self,
        name: str,
        code: str | Mapping[str, tuple[str, str | bytes]],
        *,
        namespace: str = NAMESPACE,
        syntax: Syntax = Syntax.MODULES,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        files: Mapping[str, AssetFile] | None = None,
        **metadata: Any,
    ) -> None:
        """Upload a script: the code of its only module, or modules by name with (type, content), the main one first."""
        modules = {"index.mjs": (ESM, code)} if isinstance(code, str) else code
        script = StoredScript(
            namespace=namespace, name=name, id="", etag="", revision=0, created_on="", modified_on="",
            main=next(iter(modules), ""), syntax=syntax, version_id="", deployed_from="api", handlers=(),
            has_assets=bool(files), tags=None, metadata={"compatibility_date": "2026-10-01", **metadata},
            modules=tuple(
                StoredModule(name, kind, content.encode() if isinstance(content, str) else content)
                for name, (kind, content) in modules.items()
            ),
            secrets=secrets or {}, assets=files or {},
        )  # fmt: skip
        self.store.change_script(namespace, name, lambda _old: script)
        self.runtime.invalidate(namespace, name)

    def put_ordinary(self, name: str, code: str, **rest: Any) -> None:
        """Upload a dispatcher, an outbound Worker or another ordinary Worker."""
        self.put(name, code, namespace="", **rest)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.runtime.url + path, **options)

    def events(self, kind: type[E], script: str, count: int = 1) -> list[E]:
        """The events of a script, as soon as there are that many."""
        until = time.monotonic() + 10
        with self._changed:
            while True:
                found = [one for one in self._events if isinstance(one, kind) and one.script == script]
                if len(found) >= count:
                    return found
                assert self._changed.wait(until - time.monotonic()), f"{len(found)} of {count} events"

    def _keep(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Platform]:
    """A platform with a dispatcher, until the block ends."""
    store = Store(folder)
    platform = Platform(store, default_worker="dispatcher", **options)
    with platform.runtime, platform.client:
        bindings = [_dispatch("DISPATCHER"), _dispatch("GUARDED", "guard")]
        platform.put_ordinary("dispatcher", DISPATCHER, bindings=bindings)
        yield platform
    store.close()


def _dispatch(name: str, outbound: str | None = None) -> dict[str, Any]:
    binding: dict[str, Any] = {"type": "dispatch_namespace", "name": name, "namespace": NAMESPACE}
    if outbound:
        binding["outbound"] = {"worker": {"service": outbound}, "params": [{"name": "customer"}]}
    return binding


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on loopback, for scripts to fetch from; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
