"""One request to Cloudflare's API and its reply: where it goes, what it carries, and what must not be told of it.

Law (tests/unit/test_cloudflare.py): the token goes to the one address that was set, over https or to this machine, and
stands in no message, whatever the server or the HTTP library says. Nothing here knows what is asked for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from reconciler.errors import LocalError, Problem, UsageProblem
from reconciler.look.replies import Reply, Unreachable, ray_of, refusal, sequence, success, without
from reconciler.look.transport import PROXY, REPEATABLE, Polite, is_this_machine, told
from reconciler.model import Secret

DEFAULT_BASE_URL = "https://api.cloudflare.com/client/v4"
LONGEST_SEGMENT = 1_024  # characters; a KV key has 512 bytes at most, and nothing else comes near
_FIT = re.compile(r"[\x21-\x7e]+")  # what may stand in a header after "Bearer"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body."""

    name: str
    content: bytes
    type: str


class Exchange:
    """Requests to one address for one account. Refuses to send a token anywhere but over https, or to this machine.

    Straight to the transport, which does all that is wanted: the library's client would follow redirects, which carry
    the token to another host, keep cookies, and ask the environment for a proxy, at a third of a millisecond a call.
    """

    def __init__(
        self, base_url: str, token: Secret | None, account: str, transport: httpx.BaseTransport, *, timeout: float
    ) -> None:
        _refuse_unsafe(base_url)
        self._headers = httpx.Headers(  # which shows no authorization, whoever prints it
            {"user-agent": "reconciler", "accept": "application/json", "accept-encoding": "gzip, deflate"}
        )
        if token is not None:
            _refuse_unfit(token)
            self._headers["authorization"] = f"Bearer {token.reveal()}"
        self._base_url, self._host = base_url.rstrip("/") + "/", httpx.URL(base_url).host
        self._timeout = httpx.Timeout(timeout).as_dict()
        self._transport, self._account, self._latest = transport, account, threading.local()
        self._hidden = () if token is None else (token,)

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._transport.sent if isinstance(self._transport, Polite) else 0

    @property
    def host(self) -> str:
        return self._host

    @property
    def ray(self) -> str:
        """Cloudflare's id of the reply that this thread got last; "" when it carried none."""
        return str(getattr(self._latest, "ray", ""))

    def close(self) -> None:
        self._transport.close()

    def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
        hidden: Sequence[Secret] = (),
    ) -> Any:
        """The result inside the envelope of a good reply."""
        envelope = self.envelope(
            method, *path, query=query, body=body, parts=parts, repeatable=repeatable, token=token, hidden=hidden
        )
        return envelope.get("result")

    def list(self, method: str, *path: str) -> Sequence[Any]:
        """A short list, which may be null where there is nothing to tell."""
        found = self.call(method, *path)
        return () if found is None else sequence(found, self.named(method, path))

    def envelope(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
        hidden: Sequence[Secret] = (),
    ) -> Mapping[str, Any]:
        """The envelope of a good reply, for what stands beside the result."""
        reply = self.send(
            method, path, query=query, body=body, parts=parts, repeatable=repeatable, token=token, hidden=hidden
        )
        return success(reply, self.named(method, path))

    def send(
        self,
        method: str,
        path: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
        hidden: Sequence[Secret] = (),
    ) -> Reply:
        """One request, answered well. Raises ApiError for everything else."""
        content: dict[str, Any] = {}
        headers = self._headers
        if token is not None:  # an upload session's own, instead of the account's
            headers = httpx.Headers({**headers, "authorization": f"Bearer {token.reveal()}"})
        if parts:
            # Cloudflare keys modules by file name, older clients by part name: both are the module's name.
            content["files"] = [(one.name, (one.name, one.content, one.type)) for one in parts]
        elif body is not None:
            content["json"] = body
        url = f"{self._base_url}{'/'.join(map(_segment, path))}{_query(query)}"
        extensions = {REPEATABLE: repeatable, "timeout": self._timeout}
        request = httpx.Request(method, url, headers=headers, extensions=extensions, **content)
        call = self.named(method, path)
        if request.url.host != self._host:
            raise Unreachable(call, 0, [], "", why="the path leads to another host")
        told_to_none = (Secret(self._account), *self._hidden, *hidden, *((token,) if token is not None else ()))
        reply = self._exchange(request, call, told_to_none)
        if 200 <= reply.status < 300:
            return reply
        raise refusal(reply, call)

    def _exchange(self, request: httpx.Request, call: str, hidden: tuple[Secret, ...]) -> Reply:
        """The library's error holds the request with its token, so it is told in words and never kept as a cause."""
        try:
            response = self._transport.handle_request(request)
            content = response.read()
        except httpx.RequestError as error:
            why = without(told(error), hidden)
        else:
            headers = {name: without(value, hidden) for name, value in response.headers.items()}
            self._latest.ray = ray_of(headers)
            return Reply(response.status_code, headers, content, hidden)
        way = f"check the network (where a proxy is the only way out, {PROXY} names it)"
        fix = f"{way} and run again: what was done is live, and the next plan goes on from there"
        raise Unreachable(call, 0, [], "", why=why, fix=fix)

    def named(self, method: str, path: Sequence[str]) -> str:
        """The call in words that fit a message: no account id, no query."""
        shown = path[2:] if path[0] == "accounts" else path
        return f"{method} {'/'.join(shown)}"


def _segment(text: str) -> str:
    """One path segment. A name that would climb in the path is a bug here or a lie in a reply: never sent."""
    if text in ("", ".", "..") or len(text) > LONGEST_SEGMENT:
        raise UsageProblem([Problem(f'"{text[:80]}" cannot be the name of anything at Cloudflare', code="bad-name")])
    return quote(text, safe="", errors="replace")


def _query(asked: Mapping[str, str] | None) -> str:
    return f"?{urlencode(asked, quote_via=quote)}" if asked else ""


def session_token(jwt: Any, call: str) -> Secret:
    """The token of an upload session. It goes into a header, where not every text can stand."""
    if isinstance(jwt, str) and _FIT.fullmatch(jwt):
        return Secret(jwt)
    raise Unreachable(call, 200, [], "", why="the session for uploading static assets came without a usable token")


def _refuse_unfit(token: Secret) -> None:
    if not _FIT.fullmatch(token.reveal()):
        raise LocalError(
            [
                Problem(
                    "CLOUDFLARE_API_TOKEN holds a character that no token has",
                    why="most often it is a line break or a space at its end",
                    fix="set it anew, without anything around it",
                    code="bad-token",
                )
            ]
        )


def _refuse_unsafe(base_url: str) -> None:
    """Raise unless a token may be sent there. The address is not repeated where it may hold a password."""
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError):
        raise _unsafe("the API's address is not a URL", "CLOUDFLARE_API_BASE_URL must be like the default") from None
    if url.userinfo or url.query or url.fragment or not url.host:
        raise _unsafe(
            "the API's address holds more or less than a host and a path",
            "a name, a password or a query in it would be sent along with every request",
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_this_machine(url.host)):
        raise _unsafe(
            f"the API's address {base_url} is neither https nor on this machine",
            "the token would travel in the clear",
        )


def _unsafe(what: str, why: str) -> UsageProblem:
    fix = f"set CLOUDFLARE_API_BASE_URL to an https address such as {DEFAULT_BASE_URL}"
    return UsageProblem([Problem(what, why=why, fix=fix, code="unsafe-base-url")])
