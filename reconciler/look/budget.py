"""The request budget: how many requests may go in any five minutes, over every process of this machine.

Law (tests/unit/test_budget.py): never more than the budget in any 300 seconds, as the server counts them. POSIX only:
processes take turns with flock, which Windows does not have.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import stat
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

# Cloudflare blocks a token for five minutes once it has made 1,200 requests in 300 seconds. 20 are left for what
# shares the token without sharing the budget: a person at the dashboard, a wrangler.
WINDOW = 300.0
REQUESTS_PER_WINDOW = 1180
# 200 requests a second is the limit for an address.
SPACING = 1 / 150
LONGEST_SHARED_BLOCK = 86_400.0  # a server that asks for more makes the one that asked wait, and no other process

_T = TypeVar("_T")


class Turn(NamedTuple):
    """Leave to send one request."""

    wait: float  # seconds until it may be sent
    place: int = 0  # of the reservation


class Budget(Protocol):
    """Says how long the next request has to wait."""

    def take(self) -> Turn:
        """Reserve one request."""

    def ended(self, turn: Turn) -> None:
        """Its reply came, or none will."""

    def block(self, seconds: float) -> None:
        """The server asked everybody to stay away for so long."""

    def blocked(self) -> bool:
        """Whether everybody has to stay away right now."""


class Unlimited:
    """The budget of the embedded platform."""

    def take(self) -> Turn:
        return Turn(0.0)

    def ended(self, turn: Turn) -> None:
        del turn

    def block(self, seconds: float) -> None:
        del seconds  # nobody shares it: the request that was told to wait does so itself

    def blocked(self) -> bool:
        return False


class SharedBudget:
    """A sliding window of request times in a file, shared by every process of this machine.

    The file is a ring of the last 1,180 requests. A request may go once the one `size` places before it is a window
    ago, counted from when the reply to that one came: the server counted it by then, however long its way was. So a
    process with a smaller `size` goes only while all that share the file together stay below its size.

    Times are the monotonic clock's, which all processes of a machine share and which nobody can set back or forward;
    after a reboot it runs anew, which shows as a file written in the future. A file that cannot be understood is
    taken to be full as of now, unless nothing has written it for two windows. A file that cannot be used at all makes
    the budget this process's own, and `unshared` says why. A process that dies loses its reservation, no more.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int = REQUESTS_PER_WINDOW,
        window: float = WINDOW,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._size, self._window = path, min(max(1, size), REQUESTS_PER_WINDOW), window
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = threading.Lock()
        self._own: _Ring | None = None
        self._worked = False
        self.unshared = ""  # why no other process shares it; "" while they do

    def take(self) -> Turn:
        def step(ring: _Ring) -> Turn:
            now, place = self._clock(), ring.place
            earlier = ring.time_at(place - self._size)
            at = max(now, ring.last + SPACING, ring.blocked, earlier + self._window)
            ring.reserve(at)
            return Turn(at - now, place)

        return self._with_ring(step)

    def ended(self, turn: Turn) -> None:
        self._with_ring(lambda ring: ring.postpone(turn.place, self._clock()))

    def block(self, seconds: float) -> None:
        until = self._clock() + min(seconds, LONGEST_SHARED_BLOCK)
        self._with_ring(lambda ring: ring.block(until))

    def blocked(self) -> bool:
        return self._with_ring(lambda ring: ring.blocked > self._clock())

    def _with_ring(self, step: Callable[[_Ring], _T]) -> _T:
        with self._lock:
            if self._own is None:
                try:
                    return self._with_file(step)
                except OSError as error:
                    self.unshared = f"{self._path} cannot be used: {error.strerror or error}"
                    # What was sent through the file until now is no longer known, so it is taken to be everything.
                    self._own = _Ring(_Memory(), self._clock(), is_new=not self._worked)
            return step(self._own)

    def _with_file(self, step: Callable[[_Ring], _T]) -> _T:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            rested = self._wall_clock() - status.st_mtime > 2 * self._window
            found = step(_Ring(_File(handle), self._clock(), is_new=rested or not status.st_size))
            self._worked = True
            return found
        finally:
            os.close(handle)


class _Ring:
    """The last requests of all: one place each, in the order of their reservations."""

    _PLACES = REQUESTS_PER_WINDOW
    _HEADER = struct.Struct("<8sIddd")  # what it is, next place, written at, last reservation, blocked until
    _CHECK = struct.Struct("<I")
    _TIME = struct.Struct("<d")
    _MAGIC = b"rcn-bud2"
    _START = _HEADER.size + _CHECK.size

    def __init__(self, cells: _Cells, now: float, *, is_new: bool) -> None:
        self._cells, self._now = cells, now
        self.place, self.last, self.blocked = 0, -math.inf, -math.inf
        if not self._read():
            content = self._TIME.pack(-math.inf if is_new else now) * self._PLACES
            self._cells.write(content, self._START)
            self._save()

    def time_at(self, place: int) -> float:
        """When the request of this place was over. A time that cannot be is taken for now."""
        found: float = self._TIME.unpack(self._cells.read(self._TIME.size, self._offset(place)))[0]
        return found if found <= max(self._now, self.last) else self._now

    def reserve(self, at: float) -> None:
        """The head is written first: a process that is killed between the two leaves an older time, no future one."""
        place, self.place, self.last = self.place, (self.place + 1) % self._PLACES, at
        self._save()
        self._cells.write(self._TIME.pack(at), self._offset(place))

    def postpone(self, place: int, at: float) -> None:
        if at > self.time_at(place):
            self._cells.write(self._TIME.pack(at), self._offset(place))

    def block(self, until: float) -> None:
        self.blocked = max(self.blocked, until)
        self._save()

    def _read(self) -> bool:
        """Whether the head is whole, and of this boot of the machine."""
        content = self._cells.read(self._START, 0)
        if len(content) < self._START or len(self._cells.read(self._TIME.size, self._offset(self._PLACES - 1))) < 8:
            return False
        head = content[: self._HEADER.size]
        magic, place, written, last, blocked = self._HEADER.unpack(head)
        if magic != self._MAGIC or self._CHECK.pack(zlib.crc32(head)) != content[self._HEADER.size :]:
            return False
        if place >= self._PLACES or not written <= self._now:
            return False
        self.place, self.last, self.blocked = place, last, blocked
        return True

    def _save(self) -> None:
        head = self._HEADER.pack(self._MAGIC, self.place, self._now, self.last, self.blocked)
        self._cells.write(head + self._CHECK.pack(zlib.crc32(head)), 0)

    def _offset(self, place: int) -> int:
        return self._START + self._TIME.size * (place % self._PLACES)


class _Cells(Protocol):
    def read(self, length: int, offset: int) -> bytes:
        """At most so many bytes; fewer at the end."""

    def write(self, content: bytes, offset: int) -> None:
        """All of it, or OSError."""


class _File:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self._handle, length, offset)

    def write(self, content: bytes, offset: int) -> None:
        if os.pwrite(self._handle, content, offset) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Memory:
    def __init__(self) -> None:
        self._content = bytearray()

    def read(self, length: int, offset: int) -> bytes:
        return bytes(self._content[offset : offset + length])

    def write(self, content: bytes, offset: int) -> None:
        self._content.extend(bytes(max(0, offset + len(content) - len(self._content))))
        self._content[offset : offset + len(content)] = content
