"""Faults that the emulated API can be told to have: limits, errors, broken replies, slowness, a listing that lags.

Switchable at run time. To add a fault that spoils a reply: one function in `_SPOILERS`; to give a preset a name for
`dev --fault`: one row in `NAMED`.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from werkzeug.wrappers import Response

from reconciler.local.envelope import ApiFailure, failure, refuse, reply
from reconciler.local.records import ScriptRow


class Dropped(ConnectionError):
    """The connection breaks here. The server closes the socket; in process it surfaces from the WSGI callable,
    or from the iteration of its body."""


class Kind(StrEnum):
    """What goes wrong."""

    RATE_LIMITED = "rate-limited"  # 429 with Retry-After
    RATE_LIMITED_BARE = "rate-limited-bare"  # 429 without
    SERVER_ERROR = "server-error"  # 500 with an envelope
    BAD_GATEWAY = "bad-gateway"  # 502 with HTML
    DROPPED = "dropped"  # before anything was done
    DROPPED_AFTER = "dropped-after"  # done, but the reply is lost
    TRUNCATED = "truncated"  # done, and the reply breaks off in its middle
    INVALID_JSON = "invalid-json"
    WRONG_SHAPE = "wrong-shape"  # JSON, but no envelope
    UNSUCCESSFUL = "unsuccessful"  # 200 with success: false
    SLOW = "slow"  # answered after `seconds`


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for calls that match. Counts the matching calls from 1."""

    kind: Kind
    method: str = "*"
    path: str = "*"  # a pattern for the path after /client/v4, where * stands for anything
    first: int = 1  # begins with this matching call
    times: int | None = None  # for so many; None for all that follow
    every: int = 1  # of them, each so-manieth
    seconds: float = 1.0  # of slowness, or of Retry-After


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Past `requests` within `window` seconds, every call is answered 429 for `block` seconds."""

    requests: int = 1200
    window: float = 300.0
    block: float = 300.0
    retry_after: bool = True


# What `dev --fault NAME` switches on.
NAMED: Mapping[str, Sequence[Fault]] = {
    "rate-limit": (Fault(Kind.RATE_LIMITED, every=4, seconds=2),),
    "server-error": (Fault(Kind.SERVER_ERROR, every=4),),
    "bad-gateway": (Fault(Kind.BAD_GATEWAY, every=4),),
    "dropped": (Fault(Kind.DROPPED, every=4),),
    "dropped-after": (Fault(Kind.DROPPED_AFTER, every=4),),
    "truncated": (Fault(Kind.TRUNCATED, every=4),),
    "invalid-json": (Fault(Kind.INVALID_JSON, every=4),),
    "slow": (Fault(Kind.SLOW, seconds=1.5),),
    "listing-lag": (),  # see Faults.named
}
NAMED_LAG = 20.0  # seconds


class Faults:
    """The faults of one app. Empty: nothing goes wrong."""

    def __init__(self, faults: Sequence[Fault] = (), *, rate_limit: RateLimit | None = None, lag: float = 0) -> None:
        self._lock = threading.Lock()
        self._counts: list[tuple[Fault, int]] = [(fault, 0) for fault in faults]
        self._calls: deque[float] = deque()
        self._blocked_until = 0.0
        self._history: deque[tuple[float, str, str, ScriptRow | None]] = deque()
        self.rate_limit = rate_limit
        self.lag = lag  # seconds that the listing of a namespace is behind

    @classmethod
    def named(cls, name: str) -> Faults:
        """The preset of `dev --fault NAME`; KeyError for a name that is not in NAMED."""
        return cls(NAMED[name], lag=NAMED_LAG if name == "listing-lag" else 0)

    def add(self, fault: Fault) -> None:
        """From now on; matching calls are counted from here."""
        with self._lock:
            self._counts.append((fault, 0))

    def clear(self) -> None:
        """Nothing goes wrong from now on; a block in force ends."""
        with self._lock:
            self._counts.clear()
            self._calls.clear()
            self._blocked_until = 0.0
            self.rate_limit, self.lag = None, 0

    def strike(self, method: str, path: str) -> list[Fault]:
        """The faults of this call, which is counted."""
        if not self._counts:
            return []
        with self._lock:
            struck = []
            for index, (fault, seen) in enumerate(self._counts):
                if fault.method not in ("*", method) or not fnmatch.fnmatchcase(path, fault.path):
                    continue
                self._counts[index] = (fault, seen + 1)
                turn = seen + 1 - fault.first
                if turn >= 0 and turn % fault.every == 0 and (fault.times is None or turn // fault.every < fault.times):
                    struck.append(fault)
            return struck

    def blocked(self, now: float) -> Response | None:
        """The 429 for a client that asks too much; None when there is no limit, or it is not reached."""
        limit = self.rate_limit
        if limit is None:
            return None
        with self._lock:
            while self._calls and self._calls[0] <= now - limit.window:
                self._calls.popleft()
            if now >= self._blocked_until and len(self._calls) < limit.requests:
                self._calls.append(now)
                return None
            if now >= self._blocked_until:
                self._blocked_until = now + limit.block
                self._calls.clear()
            left = self._blocked_until - now
        return _rate_limited(left if limit.retry_after else None)

    def remember(self, now: float, namespace: str, name: str, before: ScriptRow | None) -> None:
        """What a script was before a write, for a listing that lags."""
        if self.lag:
            with self._lock:
                self._history.append((now, namespace, name, before))

    def as_listed(self, now: float, namespace: str, rows: Sequence[ScriptRow]) -> list[ScriptRow]:
        """The rows of a namespace as they were `lag` seconds ago, by name."""
        found: dict[str, ScriptRow | None] = {row.name: row for row in rows}
        with self._lock:
            while self._history and self._history[0][0] <= now - self.lag:
                self._history.popleft()
            for _, where, name, before in reversed(self._history):
                if where == namespace:
                    found[name] = before
        return [row for _, row in sorted(found.items()) if row is not None]


def before_processing(struck: Sequence[Fault], sleep: Callable[[float], None]) -> Response | None:
    """Carry out the faults that come before a call is processed; a reply here is the call's."""
    for fault in struck:
        if fault.kind is Kind.SLOW:
            sleep(fault.seconds)
        elif fault.kind is Kind.DROPPED:
            raise Dropped("the connection was dropped before the request was processed")
        elif fault.kind in _REPLIES:
            return _REPLIES[fault.kind](fault)
    return None


def after_processing(struck: Sequence[Fault], response: Response) -> Response:
    """The reply as the faults leave it."""
    for fault in struck:
        if fault.kind is Kind.DROPPED_AFTER:
            raise Dropped("the connection was dropped before the reply was sent")
        if fault.kind in _SPOILERS:
            return _SPOILERS[fault.kind](response)
    return response


def _rate_limited(seconds: float | None) -> Response:
    response = failure(refuse(971))
    if seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(seconds)))
    return response


def _bad_gateway(_: Fault) -> Response:
    head = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center>"
    return Response(f"{head}\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n", 502, mimetype="text/html")


_REPLIES: Mapping[Kind, Callable[[Fault], Response]] = {
    Kind.RATE_LIMITED: lambda fault: _rate_limited(fault.seconds),
    Kind.RATE_LIMITED_BARE: lambda _: _rate_limited(None),
    Kind.SERVER_ERROR: lambda _: failure(ApiFailure(500, [(10002, "An internal error occurred")])),
    Kind.BAD_GATEWAY: _bad_gateway,
    Kind.UNSUCCESSFUL: lambda _: failure(ApiFailure(200, [(10002, "An internal error occurred")])),
}


def _truncated(response: Response) -> Response:
    body = response.get_data()

    def pieces() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise Dropped("the connection was dropped in the middle of the reply")

    broken = Response(pieces(), response.status, response.headers)
    broken.headers["Content-Length"] = str(len(body))
    return broken


def _invalid_json(response: Response) -> Response:
    return Response(response.get_data()[:-1] + b",", response.status_code, mimetype="application/json")


def _wrong_shape(response: Response) -> Response:
    return reply([json.loads(response.get_data() or b"null")], response.status_code)


_SPOILERS: Mapping[Kind, Callable[[Response], Response]] = {
    Kind.TRUNCATED: _truncated,
    Kind.INVALID_JSON: _invalid_json,
    Kind.WRONG_SHAPE: _wrong_shape,
}
