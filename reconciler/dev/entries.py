"""Entries of the journal as pages show them: the same from the server and from the event stream.

To add a kind: one row in _LINES.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from reconciler.dev.journal import Entry
from reconciler.show import words


def line(entry: Entry) -> dict[str, Any]:
    """An entry of the journal as pages show it, from the server and from the stream alike."""
    what = entry.what
    shown: dict[str, Any] = {
        "number": entry.number,
        "kind": entry.kind,
        "time": clock(entry.at),
        "script": str(what.get("script", "")),
        "customer": str(what.get("customer", "")),
        "head": "",
        "text": "",
        "tail": "",
        "role": "",
        "platform": False,  # of the dispatcher or an outbound Worker
    }
    shown.update(_LINES[entry.kind](what) if entry.kind in _LINES else {"text": str(dict(what))})
    return shown


def clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _request_line(what: Mapping[str, Any]) -> dict[str, Any]:
    status, subrequests = int(what["status"]), int(what["subrequests"])
    parts = urlsplit(str(what["url"]))
    told = [f"{what['milliseconds']:.0f} ms"]
    if subrequests:
        told.append(f"{subrequests} sub")
    role = "error" if status == 0 or status >= 500 else "warning" if status >= 400 else "good"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return {
        "head": str(status) if status else "ERR",
        "role": role,
        "text": f"{what['method']} {path}",
        "tail": " · ".join(told),
        "platform": not what["namespace"],
    }


def _log_line(what: Mapping[str, Any]) -> dict[str, Any]:
    level = str(what["level"])
    return {"head": level, "text": str(what["message"]), "role": {"error": "error", "warn": "warning"}.get(level, "")}


_LINES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "request": _request_line,
    "log": _log_line,
    "exception": lambda what: {"head": "threw", "role": "error", "text": f"{what['name']}: {what['message']}"},
    "trouble": lambda what: {"head": "runtime", "role": "warning", "text": str(what["message"])},
    "note": lambda what: {"head": str(what["what"]), "text": words.value(what["value"])},
    "round": lambda what: {
        "head": "files",
        "role": "error" if what["problems"] else "place",
        "text": str(what["cause"]),
        "tail": words.many(int(what["problems"]), "problem", "problems") if what["problems"] else "",
    },
}
