"""Requests, console output and mishaps of the data plane as lines on a terminal.

    12:03:11  GET  200    3 ms  globex-shop        globex    /cart?id=7   2 subrequests

To add an event: one function and one row in _LINES.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from reconciler.dev.journal import Entry
from reconciler.show.style import Style, pad, shown

_NAME, _CUSTOMER = 22, 12
_LEVELS = {"error": "error", "warn": "warning"}


def lines(entry: Entry, style: Style) -> Iterator[str]:
    """The entry as printed; nothing for what the terminal does not show."""
    if make := _LINES.get(entry.kind):
        head = style.paint("faint", time.strftime("%H:%M:%S", time.localtime(entry.at)))
        for line in make(entry.what, style):
            yield f"{head}  {line}"


def of_a_customer(entry: Entry) -> bool:
    """Whether it is of a user Worker, or tells of something that went wrong: what is printed without -v.

    A request passes the dispatcher, the script and perhaps an outbound Worker, and each tells of it.
    """
    if entry.kind == "request":
        return bool(entry.what["namespace"]) or int(entry.what["status"]) in (0, 404)
    return entry.kind in _LINES


def status_role(status: int) -> str:
    """How a status is painted: 0 is an exception."""
    if status == 0 or status >= 500:
        return "error"
    return "warning" if status >= 400 else "good"


def _request(what: Mapping[str, Any], style: Style) -> Iterator[str]:
    status, subrequests = int(what["status"]), int(what["subrequests"])
    script, customer = _padded(what["script"], _NAME), _padded(what["customer"] or "–", _CUSTOMER)
    told = f"{what['milliseconds']:6.0f} ms"
    counted = f"   {subrequests} subrequest{'s' if subrequests != 1 else ''}" if subrequests else ""
    yield " ".join(
        [
            pad(shown(what["method"]), 6),
            style.paint(status_role(status), str(status) if status else "ERR"),
            style.paint("faint", told),
            "",
            script,
            style.paint("faint", customer),
            shown(_path(what["url"])) + style.paint("faint", counted),
        ]
    )


def _log(what: Mapping[str, Any], style: Style) -> Iterator[str]:
    role = _LEVELS.get(what["level"], "faint")
    for line in str(what["message"]).split("\n"):
        yield f"{style.paint(role, pad(shown(what['level']), 6))} {shown(what['script'])}: {shown(line)}"


def _exception(what: Mapping[str, Any], style: Style) -> Iterator[str]:
    yield f"{style.paint('error', 'threw ')} {shown(what['script'])}: {shown(what['name'])}: {shown(what['message'])}"
    for line in str(what["stack"]).split("\n")[1:6]:
        yield style.paint("faint", f"       {shown(line.strip())}")


def _trouble(what: Mapping[str, Any], style: Style) -> Iterator[str]:
    who = f"{shown(what['script'])}: " if what["script"] else ""
    yield style.paint("warning", f"{who}{shown(what['message'])}")


_LINES: Mapping[str, Callable[[Mapping[str, Any], Style], Iterator[str]]] = {
    "request": _request,
    "log": _log,
    "exception": _exception,
    "trouble": _trouble,
}


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _padded(text: str, width: int) -> str:
    return pad(shown(text), width)
