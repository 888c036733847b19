"""What happened on the local platform, in order: the last entries kept, new ones handed to everyone who follows.

Entries are JSON values, so that the terminal, the pages and the event stream show the same thing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KEPT = 500
PATIENCE = 15.0  # seconds of silence until a follower is given None, so that dead connections are noticed


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    number: int  # from 1, without gaps
    at: float  # seconds from 1970
    kind: str  # "request", "log", "exception", "note", "trouble" of the data plane; "round" of the loop
    what: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"number": self.number, "at": self.at, "kind": self.kind, **self.what}


class Journal:
    """Safe with several threads."""

    def __init__(self, *, kept: int = KEPT, clock: Callable[[], float] = time.time) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._changed = threading.Condition()
        self._clock = clock
        self._last = 0
        self._closed = False

    def add(self, kind: str, what: Mapping[str, Any]) -> Entry:
        with self._changed:
            self._last += 1
            entry = Entry(self._last, self._clock(), kind, what)
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def recent(self, most: int = KEPT) -> list[Entry]:
        """The last entries, the oldest first."""
        with self._changed:
            return list(self._entries)[-most:] if most else []

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 before the first."""
        return self._last

    def close(self) -> None:
        """Let go of everyone who follows."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def follow(self, after: int, *, patience: float = PATIENCE) -> Iterator[Entry | None]:
        """Every entry with a larger number that is still kept, and those to come, until the journal is closed.

        None stands for a while without entries.
        """
        seen = after
        while (fresh := self._newer(seen, patience)) is not None:
            if not fresh:
                yield None
            for entry in fresh:
                yield entry
                seen = entry.number

    def _newer(self, seen: int, patience: float) -> list[Entry] | None:
        """What came after, waiting for it; nothing when it takes too long, None when the journal is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._last > seen, patience)
            return None if self._closed else [entry for entry in self._entries if entry.number > seen]
