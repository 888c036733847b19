"""The request budget, retries and waiting, as an HTTP transport: its callers know of none of them.

Laws (tests/unit/test_transport.py): never more than the budget in any 300 seconds, over all processes that share
the budget's file; a request is repeated only where repeating it is safe; a wait is as long as the server asked for.
This module and cloudflare.py are the only ones that know the HTTP library.
"""

from __future__ import annotations

import contextlib
import email.utils
import fcntl
import ipaddress
import os
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

# Cloudflare blocks a token for five minutes once it has made 1,200 requests in 300 seconds. 20 are left for
# requests whose way to the server took longer than that of the one 300 seconds later.
WINDOW = 300.0
REQUESTS_PER_WINDOW = 1180
# 200 requests a second is the limit for an address.
SPACING = 1 / 150

RETRIES = 6  # waits of about 1, 2, 4, 8, 16 and 30 seconds: a minute of trouble is ridden out
LONGEST_BACKOFF = 30.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REPEATABLE = "reconciler_repeatable"  # request extension: this POST may be sent twice

Waiting = Callable[[float, str], None]  # seconds, and why: for a visible countdown


class Budget(Protocol):
    """Says how long the next request has to wait."""

    def take(self) -> float:
        """Reserve one request and return the seconds until it may be sent."""

    def block(self, seconds: float) -> None:
        """The server asked everybody to stay away for so long."""


class Unlimited:
    """The budget of the embedded platform."""

    def take(self) -> float:
        return 0.0

    def block(self, seconds: float) -> None:
        del seconds  # nobody shares it: the request that was told to wait does so itself


class SharedBudget:
    """A sliding window of request times in a file, shared by every process of this machine.

    The file is a ring of as many times as requests are allowed in a window. The oldest of them plus the window is
    when the next request may go; its place is overwritten with that time, so that a reservation costs one lock and
    16 bytes. A process that dies loses its reserved slot and nothing else.
    """

    _HEADER = struct.Struct("<IIddd")  # size of the ring, next place, last reservation, blocked until, unused

    def __init__(
        self,
        path: Path,
        *,
        size: int = REQUESTS_PER_WINDOW,
        window: float = WINDOW,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._size, self._window, self._clock = path, max(1, size), window, clock
        self._lock = threading.Lock()

    def take(self) -> float:
        with self._ring() as ring:
            now = self._clock()
            place, last, blocked = ring.place, ring.last, ring.blocked
            oldest = ring.read(place)
            at = max(now, last + SPACING, blocked, oldest + self._window if oldest else 0.0)
            ring.write(place, at)
            ring.finish((place + 1) % self._size, at, blocked)
            return max(0.0, at - now)

    def block(self, seconds: float) -> None:
        with self._ring() as ring:
            ring.finish(ring.place, ring.last, max(ring.blocked, self._clock() + seconds))

    @contextlib.contextmanager
    def _ring(self) -> Iterator[_Ring]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield _Ring(handle, self._size, self._window, self._clock())
            finally:
                os.close(handle)


class _Ring:
    """The budget's file while it is locked."""

    def __init__(self, handle: int, size: int, window: float, now: float) -> None:
        self._handle = handle
        header = os.pread(handle, SharedBudget._HEADER.size, 0)
        length = SharedBudget._HEADER.size + 8 * size
        self.place, self.last, self.blocked = 0, 0.0, 0.0
        if len(header) == SharedBudget._HEADER.size and os.fstat(handle).st_size == length:
            stored, place, last, blocked, _ = SharedBudget._HEADER.unpack(header)
            # A time far ahead was written before the clock was set back, or by no program of ours. A ring of
            # requests that may still have been sent is then assumed to be full as of now.
            if stored == size and place < size and 0 <= last <= now + 2 * window and blocked <= now + 86_400:
                self.place, self.last, self.blocked = place, last, blocked
                return
            os.pwrite(handle, struct.pack(f"<{size}d", *[now] * size), SharedBudget._HEADER.size)
            self.last = now
            return
        os.ftruncate(handle, 0)
        os.ftruncate(handle, length)

    def read(self, place: int) -> float:
        at: float = struct.unpack("<d", os.pread(self._handle, 8, SharedBudget._HEADER.size + 8 * place))[0]
        return at

    def write(self, place: int, at: float) -> None:
        os.pwrite(self._handle, struct.pack("<d", at), SharedBudget._HEADER.size + 8 * place)

    def finish(self, place: int, last: float, blocked: float) -> None:
        size = (os.fstat(self._handle).st_size - SharedBudget._HEADER.size) // 8
        os.pwrite(self._handle, SharedBudget._HEADER.pack(size, place, last, blocked, 0.0), 0)


class Polite(httpx.BaseTransport):
    """Wraps a transport: stays inside the budget, retries what may be retried, waits as long as it is told to."""

    def __init__(
        self,
        inner: httpx.BaseTransport,
        budget: Budget,
        *,
        sleep: Callable[[float], Any] = time.sleep,
        jitter: Callable[[], float] = random.random,
        waiting: Waiting | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._inner, self._budget, self._sleep = inner, budget, sleep
        self._jitter, self._waiting, self._retries = jitter, waiting, retries
        self.sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            self._wait(self._budget.take(), "the request budget")
            self.sent += 1
            outcome = self._send(request)
            pause = self._pause(request, outcome, attempt)
            if pause is None or attempt == self._retries:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
            attempt += 1
            self._wait(pause, _reason(outcome))

    def close(self) -> None:
        self._inner.close()

    def _send(self, request: httpx.Request) -> httpx.Response | httpx.TransportError:
        """The reply with its whole body, so that one that breaks off in the middle is an error here and not later."""
        try:
            response = self._inner.handle_request(request)
            response.request = request
            response.read()
        except httpx.TransportError as error:
            return error
        return response

    def _pause(
        self, request: httpx.Request, outcome: httpx.Response | httpx.TransportError, attempt: int
    ) -> float | None:
        """Seconds until the next attempt; None when the outcome stands.

        outcome               GET PUT DELETE PATCH   POST                POST marked repeatable
        -------------------   --------------------   -----------------   ----------------------
        429 (not processed)   again, when told       again, when told    again, when told
        5xx, 408              again                  stands              again
        never connected       again                  again               again
        broken connection     again                  stands              again
        """
        backoff = min(LONGEST_BACKOFF, 2.0**attempt) * (0.5 + self._jitter() / 2)
        repeatable = request.method != "POST" or bool(request.extensions.get(REPEATABLE))
        if isinstance(outcome, httpx.TransportError):
            if isinstance(outcome, httpx.UnsupportedProtocol | httpx.ProxyError):
                return None
            return backoff if repeatable or isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout) else None
        if outcome.status_code not in RETRIED_STATUS:
            return None
        asked = _retry_after(outcome)
        if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause = asked if asked is not None else max(backoff, 5.0)
            self._budget.block(pause)
            return pause
        return max(asked or 0.0, backoff) if repeatable else None

    def _wait(self, seconds: float, why: str) -> None:
        if seconds <= 0:
            return
        if self._waiting is not None:
            self._waiting(seconds, why)
        self._sleep(seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with its whole body; header names in lower case. Status 0 and a reason when there was no reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str = ""


class OneHost:
    """HTTP to one server and no other, for an API that is not Cloudflare's: what `headers` hold never leaves it.

    Raises ValueError for an address that is neither https nor on this machine, or that leads to another server.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], transport: httpx.BaseTransport) -> None:
        self._base = httpx.URL(base_url.rstrip("/") + "/")
        if self._base.scheme != "https" and not (self._base.scheme == "http" and _is_this_machine(self._base.host)):
            raise ValueError("the address is neither https nor on this machine")
        self._client = httpx.Client(
            headers=dict(headers), transport=transport, timeout=60.0, follow_redirects=False, trust_env=False
        )

    @property
    def path(self) -> str:
        """The path of the base, with a "/" at its end."""
        return self._base.path

    def send(self, method: str, address: str, body: Any = None) -> Answer:
        """One request. `address` is relative to the base, or absolute on the same server, as in a Link header."""
        url = self._base.join(address)
        if (url.scheme, url.host, url.port) != (self._base.scheme, self._base.host, self._base.port):
            raise ValueError("the address leads to another server")
        content = {} if body is None else {"json": body}
        try:
            response = self._client.send(self._client.build_request(method, url, **content))
        except httpx.TransportError as error:
            return Answer(0, {}, b"", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        headers = {name.lower(): one for name, one in response.headers.items()}
        return Answer(response.status_code, headers, response.content)

    def close(self) -> None:
        self._client.close()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_process(app: Any) -> httpx.BaseTransport:
    """A transport that calls a WSGI application without a socket: how `--local` meets the embedded platform."""
    return httpx.WSGITransport(app=app)


def over_network() -> httpx.BaseTransport:
    """A transport to the real thing: TLS verified, no proxies from the environment, no redirects followed."""
    return httpx.HTTPTransport(retries=0, limits=httpx.Limits(max_connections=16, max_keepalive_connections=16))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asked for, as a number or as a date."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _reason(outcome: httpx.Response | httpx.TransportError) -> str:
    if isinstance(outcome, httpx.TransportError):
        return f"the connection broke ({type(outcome).__name__})"
    if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return "Cloudflare asked to wait (429)"
    return f"Cloudflare answered {outcome.status_code}"
