"""An account that holds what a repository wants, served over loopback without any work: what a listing costs at least.

Replies are in the form of the emulated API, which has been checked against Cloudflare's documents; here they are made
once and replayed, so that what is measured is the reconciler and not the emulator.
`python -m benchmarks.account FOLDER` serves a recording, and prints its port.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from benchmarks.platforms import ACCOUNT, NAMESPACE
from reconciler import kinds
from reconciler.kinds import dispatcher, outbound_worker, user_worker
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.look.ledger import Entry, Ledger
from reconciler.model import Resource, digest, digest_tag, owner_tag

PAGE = 1000
WHEN = "2026-11-20T08:00:00.000000Z"
ALL_ACCOUNT = f"accounts/{ACCOUNT}/workers"
NAMESPACE_PATH = f"{ALL_ACCOUNT}/dispatch/namespaces/{NAMESPACE}"
SETTINGS = {"bindings": [], "compatibility_date": "2026-10-01", "limits": None}
ROWS_KEPT = 5_000  # in one write of the ledger


def record(root: Path, into: Path) -> int:
    """Write the replies of an account in which the repository was applied, and the ledger of that apply beside the
    repository. Returns the number of pages of its listing."""
    into.mkdir(parents=True)
    repository = config.load(root, variables={}, kept=root / ".reconciler/compiled.sqlite3")
    resources = kinds.desired(repository).resources.values()
    ledger = Ledger(root / ".reconciler/ledger.sqlite3", f"127.0.0.1/{ACCOUNT}/{NAMESPACE}/bench")
    ordinary = [one for one in resources if one.key.kind in (dispatcher.NAME, outbound_worker.NAME)]
    _write(into, "workers", _envelope([_row(one, _tags(repository, one)) for one in ordinary]))
    _write(into, "domains", _envelope([]))
    _write(into, "subdomain", _envelope({"enabled": False, "previews_enabled": False}))
    _write(into, "settings", _envelope(SETTINGS))
    scripts = [one for one in resources if one.key.kind == user_worker.NAME]
    namespace = {"namespace_name": NAMESPACE, "script_count": len(scripts), "trusted_workers": False}
    _write(into, "namespace", _envelope(namespace))
    for kind in (dispatcher.NAME, outbound_worker.NAME, user_worker.NAME):
        _remember(ledger, repository, kind, [one for one in resources if one.key.kind == kind])
    pages = 0
    for start in range(0, max(1, len(scripts)), PAGE):
        rows = [_row(one, _tags(repository, one)) for one in scripts[start : start + PAGE]]
        info = {"count": len(rows), "cursor": str(pages + 1) if start + PAGE < len(scripts) else "", "per_page": PAGE}
        _write(into, f"page-{pages}", _envelope(rows, info))
        pages += 1
    return pages


def _tags(repository: Repository, one: Resource) -> list[str]:
    ours = [owner_tag(one.owner), digest_tag(one.digest)]
    if one.key.kind == user_worker.NAME:
        return [*ours, *sorted(repository.script(one.key.name).tags)]
    if one.key.kind == dispatcher.NAME:
        return [*ours, *sorted((dispatcher.ROLE, dispatcher.home_tag(repository)))]
    return [*ours, outbound_worker.ROLE]


def _row(one: Resource, tags: list[str]) -> Mapping[str, Any]:
    """The fields of reconciler/local/script_replies.py, in its order."""
    return {
        "id": one.key.name,
        "tag": digest(one.key.name),
        "tags": tags,
        "etag": _etag(one),
        "handlers": ["fetch"],
        "created_on": WHEN,
        "modified_on": WHEN,
        "last_deployed_from": "api",
        "has_assets": False,
        "has_modules": True,
        "compatibility_date": "2026-10-01",
        "compatibility_flags": ["nodejs_compat"],
        "logpush": False,
        "observability": {"enabled": True, "head_sampling_rate": 1, "logs": {"enabled": True, "invocation_logs": True}},
        "tail_consumers": None,
        "usage_model": "standard",
    }  # fmt: skip


def _etag(one: Resource) -> str:
    return one.digest + digest(one.digest)


def _remember(ledger: Ledger, repository: Repository, kind: str, resources: list[Resource]) -> None:
    for start in range(0, len(resources), ROWS_KEPT):
        some = resources[start : start + ROWS_KEPT]
        ledger.remember(kind, {one.key.name: _entry(one, _tags(repository, one)) for one in some})


def _entry(one: Resource, tags: list[str]) -> Entry:
    return Entry(one.digest, _etag(one), WHEN, customer=one.customer, tags=json.dumps(sorted(tags)))


def _envelope(result: Any, info: Any = None) -> bytes:
    extra = {} if info is None else {"result_info": info}
    return json.dumps({"success": True, "errors": [], "messages": [], "result": result, **extra}).encode()


def _write(into: Path, name: str, content: bytes) -> None:
    (into / f"{name}.json").write_bytes(content)


# Serving

_PATHS = (
    (re.compile(rf"{NAMESPACE_PATH}"), "namespace"),
    (re.compile(rf"{NAMESPACE_PATH}/scripts"), "page"),
    (re.compile(rf"{ALL_ACCOUNT}/scripts"), "workers"),
    (re.compile(rf"{ALL_ACCOUNT}/domains"), "domains"),
    (re.compile(rf"{ALL_ACCOUNT}/scripts/[^/]+/subdomain"), "subdomain"),
    (re.compile(rf"{ALL_ACCOUNT}/.*scripts/[^/]+/settings"), "settings"),
    (re.compile(rf"{ALL_ACCOUNT}/.*scripts/[^/]+/content(/v2)?"), "content"),
)
_CONTENT = b"export default { fetch: () => new Response('what is live') };\n"


class _Replay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder = Path()
    requests = 0

    def do_GET(self) -> None:
        path, _, query = self.path.removeprefix("/client/v4/").partition("?")
        type(self).requests += 1
        name = next((name for pattern, name in _PATHS if pattern.fullmatch(path)), "")
        if path == "requests":
            return self._answer(str(type(self).requests - 1).encode(), "text/plain")
        if name == "content":
            return self._answer(_CONTENT, "application/javascript+module")
        cursor = next((one.removeprefix("cursor=") for one in query.split("&") if one.startswith("cursor=")), "0")
        file = self.folder / (f"page-{int(cursor)}.json" if name == "page" else f"{name}.json")
        if not name or not file.is_file():
            self.send_error(404)
            return None
        return self._answer(file.read_bytes(), "application/json")

    def _answer(self, content: bytes, kind: str) -> None:
        self.wfile.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        )

    def log_message(self, *arguments: object) -> None:
        """Nothing is shown."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def pages(folder: Path) -> Iterator[Path]:
    """The pages of a recorded listing, in their order."""
    return iter(sorted(folder.glob("page-*.json"), key=lambda one: int(one.stem.removeprefix("page-"))))


def main(folder: Path) -> None:
    _Replay.folder = folder
    with _Server(("127.0.0.1", 0), _Replay) as server:
        print(server.server_address[1], flush=True)  # noqa: T201 - whoever started this reads it
        parent = os.getppid()
        server.timeout = 1.0
        while os.getppid() == parent:  # ends with whoever started it
            server.handle_request()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
