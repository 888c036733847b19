"""Budget, retries and waiting, as an HTTP transport: its callers know of none of them.

Laws (tests/unit/test_transport.py): no request goes before its turn in the budget; a request is repeated only where
repeating it is safe; a wait is as long as the server asked for.
This module and exchange.py are the only ones that know the HTTP library.
"""

from __future__ import annotations

import datetime
import email.utils
import ipaddress
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from reconciler.errors import LocalError, Problem, UsageProblem
from reconciler.look.budget import REQUESTS_PER_WINDOW as REQUESTS_PER_WINDOW
from reconciler.look.budget import WINDOW as WINDOW
from reconciler.look.budget import Budget, Turn
from reconciler.look.budget import SharedBudget as SharedBudget
from reconciler.look.budget import Unlimited as Unlimited

RETRIES = 6  # waits of about 1, 2, 4, 8, 16 and 30 seconds: a minute of trouble is ridden out
LONGEST_BACKOFF = 30.0
LARGEST_REPLY = 128 * 2**20  # bytes, unpacked; a Worker's content has 64 MiB at most
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REPEATABLE = "reconciler_repeatable"  # request extension: this POST may be sent twice
PROXY = "RECONCILER_PROXY"  # the one variable that asks for a proxy; HTTPS_PROXY and its like are meant for others


class TooLarge(httpx.RequestError):
    """A reply that would fill the memory."""


# Asking again would end the same way.
_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError, TooLarge)
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

Transport = httpx.BaseTransport  # for those who only pass one on
Waiting = Callable[[float, str], None]  # seconds that are left, once a second, and why: for a visible countdown


class Polite(httpx.BaseTransport):
    """Wraps a transport: stays inside the budget, retries what may be retried, waits as long as it is told to."""

    def __init__(
        self,
        inner: httpx.BaseTransport,
        budget: Budget,
        *,
        sleep: Callable[[float], Any] = time.sleep,
        jitter: Callable[[], float] = random.random,
        wall_clock: Callable[[], float] = time.time,
        waiting: Waiting | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._inner, self._budget, self._sleep = inner, budget, sleep
        self._jitter, self._wall_clock, self._waiting, self._retries = jitter, wall_clock, waiting, retries
        self._lock = threading.Lock()
        self.sent = 0  # requests so far, retries included

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            turn = self._turn()
            with self._lock:  # threads share it, and += is two steps
                self.sent += 1
            try:
                outcome = self._send(request)
            finally:
                self._budget.ended(turn)
            pause = self._pause(request, outcome, attempt)
            if pause is None or attempt == self._retries:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
            attempt += 1
            self._wait(pause, _reason(outcome))

    def close(self) -> None:
        self._inner.close()

    def _turn(self) -> Turn:
        """A turn that has come. One that comes while the server wants nobody to call is let go for a later one."""
        while True:
            turn = self._budget.take()
            self._wait(turn.wait, "the request budget")
            if turn.wait <= 0 or not self._budget.blocked():
                return turn

    def _send(self, request: httpx.Request) -> httpx.Response | httpx.RequestError:
        """The reply with its whole body, so that one that breaks off in the middle is an error here and not later."""
        try:
            response = self._inner.handle_request(request)
            try:
                response.request = request
                return _whole(response)
            finally:
                response.close()
        except httpx.RequestError as error:
            return error

    def _pause(
        self, request: httpx.Request, outcome: httpx.Response | httpx.RequestError, attempt: int
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
        if isinstance(outcome, httpx.RequestError):
            if isinstance(outcome, _HOPELESS):
                return None
            return backoff if repeatable or isinstance(outcome, _NEVER_CONNECTED) else None
        if outcome.status_code not in RETRIED_STATUS:
            return None
        asked = _retry_after(outcome, self._wall_clock())
        if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause = asked if asked is not None else max(backoff, 5.0)
            self._budget.block(pause)
            return pause
        return max(asked or 0.0, backoff) if repeatable else None

    def _wait(self, seconds: float, why: str) -> None:
        """Second by second, so that what is left can be shown as it goes down."""
        left = seconds
        while left > 0:
            if self._waiting is not None:
                self._waiting(left, why)
            step = min(left, 1.0)
            self._sleep(step)
            left -= step


class ReadOnly(httpx.BaseTransport):
    """Lets nothing through but GET: a run that only looks has no way to a write, whatever is asked of it."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            what = f"this run only reads, and {request.method} would write: nothing was sent"
            raise LocalError([Problem(what, fix="report it, please: it is a mistake of ours", code="read-only")])
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


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
        if self._base.scheme != "https" and not (self._base.scheme == "http" and is_this_machine(self._base.host)):
            raise ValueError("the address is neither https nor on this machine")
        self._told_to_none = [headers[name].rpartition(" ")[2] for name in headers if name.lower() == "authorization"]
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
        except httpx.RequestError as error:
            return Answer(0, {}, b"", told(error))
        headers = {name.lower(): one for name, one in response.headers.items()}
        return Answer(response.status_code, headers, response.content)

    def without_headers(self, text: str) -> str:
        """What the server says, less the token that it was sent."""
        for one in self._told_to_none:
            text = text.replace(one, "***") if one else text
        return text

    def close(self) -> None:
        self._client.close()


def is_this_machine(host: str) -> bool:
    """Whether a host name means this machine, whatever the name service says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_process(app: Any) -> httpx.BaseTransport:
    """A transport that calls a WSGI application without a socket: how `--local` meets the embedded platform."""
    return httpx.WSGITransport(app=app)


def over_network(to: str, proxy: str = "") -> httpx.BaseTransport:
    """A transport to the API at `to`: TLS verified, no redirects followed, and through no proxy but the one named.

    What is on this machine is never asked for through a proxy. Raises UsageProblem for one that cannot be used.
    """
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
    way = _proxy(proxy) if proxy else None
    if way is None or _is_on_this_machine(to):
        return httpx.HTTPTransport(retries=0, limits=limits)
    return _Proxied(httpx.HTTPTransport(retries=0, limits=limits, proxy=way), way.auth or ())


class _Proxied(httpx.BaseTransport):
    """Through a proxy, which may say anything: it is repeated without the name and password that it was given."""

    def __init__(self, inner: httpx.BaseTransport, given: Collection[str]) -> None:
        self._inner = inner
        self._given = sorted(filter(None, given), key=len, reverse=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._inner.handle_request(request)
        except httpx.ProxyError as error:
            said = str(error)
        for one in self._given:
            said = said.replace(one, "***")
        raise httpx.ProxyError(f"the proxy of {PROXY} refuses: {said}")

    def close(self) -> None:
        self._inner.close()


def _proxy(address: str) -> httpx.Proxy:
    """The address is not repeated: it may hold a password."""
    try:
        url = httpx.URL(address)
        whole = url.scheme in ("http", "https") and url.host and url.path in ("", "/") and not url.query
    except (httpx.InvalidURL, ValueError):
        whole = False
    if not whole:
        raise UsageProblem(
            [
                Problem(
                    f"{PROXY} is not the address of a proxy",
                    why="it is http:// or https://, a host and a port, a name and a password before an @ if need be",
                    fix=f"set {PROXY} to an address such as http://proxy.example.com:3128, or unset it",
                    code="proxy",
                )
            ]
        )
    return httpx.Proxy(url)


def _is_on_this_machine(address: str) -> bool:
    """Of an address that may be none: that is told where it is used."""
    try:
        return is_this_machine(httpx.URL(address).host)
    except (httpx.InvalidURL, ValueError):
        return False


def _retry_after(response: httpx.Response, now: float) -> float | None:
    """Seconds that the server asked for, as a number or as a date; None when it did not say, or said nonsense.

    A date is counted from the server's own, where it tells it: this machine's clock may be a day behind.
    """
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text):
        return float(text)
    until, there = _moment(text), _moment(response.headers.get("date", ""))
    return None if until is None else max(0.0, until - (now if there is None else there))


def _moment(text: str) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
        zone = date.tzinfo or datetime.UTC  # a date of this form is UTC's, also where it says -0000
        return date.replace(tzinfo=zone).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(response: httpx.Response) -> httpx.Response:
    """The reply with its body read and unpacked. Raises when it is larger than any that we ask for."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) <= LARGEST_REPLY and "content-encoding" not in response.headers:
        response.read()  # as much as was told, which the library sees to
        return response
    pieces, size = [], 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > LARGEST_REPLY:
            raise TooLarge(f"the reply has more than {LARGEST_REPLY // 2**20} MiB", request=response.request)
        pieces.append(piece)
    unpacked = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [(name, one) for name, one in response.headers.raw if name.lower() not in unpacked]
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=b"".join(pieces),
        request=response.request,
        extensions=response.extensions,
    )


def told(error: httpx.RequestError) -> str:
    """An error of the HTTP library in words. What it says of a header that it cannot send is that header, token and
    all; such an error is named and no more."""
    said = "" if isinstance(error, httpx.LocalProtocolError) else str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


_BROKEN: Mapping[type[httpx.RequestError], str] = {
    httpx.ConnectError: "no connection could be made",
    httpx.ConnectTimeout: "no connection came about in time",
    httpx.ReadTimeout: "no answer came in time",
    httpx.DecodingError: "the answer could not be unpacked",
}


def _reason(outcome: httpx.Response | httpx.RequestError) -> str:
    if isinstance(outcome, httpx.RequestError):
        return next((word for kind, word in _BROKEN.items() if isinstance(outcome, kind)), "the connection broke")
    if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return "Cloudflare asked to wait (429)"
    return f"Cloudflare answered {outcome.status_code}"
