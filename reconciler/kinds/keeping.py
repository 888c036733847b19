"""Whether the account keeps what an upload says: a limit or a binding that is dropped in silence must fail its change.

The reply to an upload shows neither, so that they are read back, one call, with the first Worker that has one of a
kind; the ledger keeps that this account keeps that kind, and no other Worker with it is read back. To read back more:
a line in `_of`, and what it holds in `missing`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.look.ledger import Entry, Ledger
from reconciler.look.replies import mapping
from reconciler.model import Worker

KEPT = "kept"  # what the ledger keeps the kinds under
LIMITS = "limits"


class Kept:
    """The kinds of limits and bindings that were seen to be kept, by this run or an earlier one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._lock = ledger, threading.Lock()
        self._known = set(ledger.entries(KEPT))

    def prove(self, namespace: str, worker: Worker, read_back: Callable[[], None]) -> None:
        """Let `read_back` raise for what was dropped, unless all kinds that this Worker has are known to be kept.

        One at a time: threads that upload Workers alike wait for the first answer instead of asking for their own.
        """
        asked = questions(namespace, worker)
        with self._lock:
            if asked <= self._known:
                return
            read_back()
            self._known |= asked
            self._ledger.remember(KEPT, dict.fromkeys(sorted(asked), Entry("", "", "")))

    def knows(self, namespace: str, kind: str) -> bool:
        return _question(namespace, kind) in self._known


def questions(namespace: str, worker: Worker) -> frozenset[str]:
    """What has to be known of the account before a Worker's upload is believed."""
    return frozenset(_question(namespace, kind) for kind in _of(worker))


def missing(worker: Worker, settings: Mapping[str, Any]) -> list[str]:
    """What was sent and is not there, in words."""
    live = {str(one.get("name")): one for one in map(mapping, settings.get("bindings") or ())}
    limits = mapping(settings.get("limits"))
    wanted = worker.settings.get("limits") or {}
    found = [f"limit {name}" for name, value in sorted(wanted.items()) if limits.get(name) != value]
    for binding in worker.bindings:
        there = live.get(str(binding["name"]))
        if there is None or not _is(binding, there):
            found.append(f"binding {binding['name']}")
    return [*found, *(f"secret {name}" for name in sorted(worker.secrets) if name not in live)]


def _question(namespace: str, kind: str) -> str:
    return f"{'user Workers' if namespace else 'ordinary Workers'}: {kind}"


def _of(worker: Worker) -> Iterator[str]:
    if worker.settings.get("limits"):
        yield LIMITS
    yield from (f"binding {one['type']}" for one in worker.bindings if one["type"] != "inherit")


def _is(sent: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Of the same kind; and what leads through an outbound Worker still does: without it, all egress is open."""
    if sent["type"] == "inherit":
        return True
    if "outbound" in sent and not live.get("outbound"):
        return False
    return bool(sent["type"] == live.get("type"))
