"""What Cloudflare's replies mean: the envelope, the errors, the rows of a listing, the modules of a Worker.

Pure: bytes in, values or an ApiError out. A reply that cannot be understood is an error, never an empty result.
Error codes mean something only together with the product whose call answered them; those below are of Workers and
Workers for Platforms (from Cloudflare's OpenAPI document, wrangler and recorded replies).

    ApiError            Cloudflare said no; keeps every code and message, and the ray id
    ├─ NotFound         there is no such thing
    ├─ Unauthorized     the token is missing, wrong, or may not do this
    └─ Unreachable      no usable reply came, after all retries
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from reconciler.errors import Problem, ReconcilerError
from reconciler.model import Module, Secret

# What a missing script, Worker or namespace is called.
_SCRIPT_MISSING = frozenset({10007, 10090, 10092})
_NAMESPACE_MISSING = frozenset({100119, 100120})
_TOKEN_REFUSED = frozenset({10000, 9000, 9103, 9106, 9109, 1000, 1001})
NO_ADD_ON = 10121
_NO_ROUTE = frozenset({7000, 7003})  # the address itself is wrong, which says nothing of the thing that was asked for


@dataclass(frozen=True, slots=True)
class ApiMessage:
    code: int
    text: str


class ApiError(ReconcilerError):
    """Cloudflare refused a call."""

    _outcome = "Cloudflare refused {call}"

    def __init__(
        self, call: str, status: int, messages: Sequence[ApiMessage], ray: str, *, why: str = "", fix: str = ""
    ) -> None:
        self.call, self.status, self.messages, self.ray = call, status, tuple(messages), ray
        codes = ", ".join(f"code {message.code}" for message in self.messages if message.code)
        said = "; ".join(message.text for message in self.messages if message.text)
        numbers = ", ".join(one for one in (str(status) if status else "", codes) if one)
        what = self._outcome.format(call=call) + (f" ({numbers})" if numbers else "")
        why = why or said
        super().__init__([Problem(what, why=f"{why} [cf-ray {ray}]" if ray else why, fix=fix, code="api-error")])

    @property
    def codes(self) -> frozenset[int]:
        return frozenset(message.code for message in self.messages)


class NotFound(ApiError):
    """There is no such thing."""


class Unauthorized(ApiError):
    """The token is missing, wrong, or may not do this."""


class Unreachable(ApiError):
    """No usable reply came, after all retries."""

    _outcome = "{call} got no usable reply from Cloudflare"


class Row(NamedTuple):
    """One script of a listing or of an upload's reply, whatever form it came in. None: the reply did not say."""

    name: str
    tags: tuple[str, ...] | None
    etag: str
    modified_on: str
    created_on: str = ""
    last_deployed_from: str = ""


class Page(NamedTuple):
    """A page of a listing, its rows in the order they came."""

    rows: tuple[Row, ...]
    cursor: str  # of the next page; "" for none
    total: int  # rows in all pages, as far as the reply says; else 0
    nameless: bool  # whether it holds something that is no row


@dataclass(frozen=True, slots=True)
class Listing:
    """All rows, and why they may not be all there are ("" when the listing ended as it should)."""

    rows: tuple[Row, ...]
    pages: int
    incomplete_because: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    script_count: int | None
    trusted: bool | None
    modified_on: str = ""
    modified_by: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, free of the HTTP library. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    hidden: tuple[Secret, ...] = ()  # what no message may tell, should the reply repeat it


def success(reply: Reply, call: str) -> Mapping[str, Any]:
    """The envelope of a good reply; a reply that is no envelope, or says success: false, is an error."""
    if not reply.content:
        return {"result": None}
    envelope = _parsed(reply)
    if not isinstance(envelope, Mapping) or not envelope.keys() & {"result", "success"}:
        raise Unreachable(call, reply.status, [], ray_of(reply.headers), why=_NO_ENVELOPE, fix=_NO_ENVELOPE_FIX)
    if envelope.get("success", True) is not True:
        raise refusal(reply, call)
    return envelope


_NO_ENVELOPE = "the reply is not what the API promises; something between here and Cloudflare may have answered"
_NO_ENVELOPE_FIX = "check CLOUDFLARE_API_BASE_URL, if it is set, and what stands between; then run again"


def refusal(reply: Reply, call: str) -> ApiError:
    """What a reply that is no good reply says.

    reply                                                  error
    ----------------------------------------------------   ------------
    a code for a missing script or namespace               NotFound
    401, 403, or a code for a refused token                Unauthorized
    404 in an envelope, but for an address without route   NotFound
    no envelope, or one without a word                     Unreachable
    anything else                                          ApiError
    """
    envelope = _parsed(reply)
    messages = _messages(envelope, reply.hidden)
    codes = {message.code for message in messages}
    ray, status = ray_of(reply.headers), reply.status
    if codes & (_SCRIPT_MISSING | _NAMESPACE_MISSING):
        return NotFound(call, status, messages, ray)
    if NO_ADD_ON in codes:
        return Unauthorized(
            call, status, messages, ray,
            why="this account has no Workers for Platforms",
            fix="add Workers for Platforms to the account in Cloudflare's dashboard, or set another account_id",
        )  # fmt: skip
    if status in (401, 403) or codes & _TOKEN_REFUSED:
        return Unauthorized(
            call, status, messages, ray,
            fix="check CLOUDFLARE_API_TOKEN and the account: reading needs Workers Scripts Read, applying needs "
            "Workers Scripts Write; `reconciler doctor` tests each",
        )  # fmt: skip
    if codes & _NO_ROUTE:
        return ApiError(call, status, messages, ray, fix="check account_id, and CLOUDFLARE_API_BASE_URL if it is set")
    if status == 404 and isinstance(envelope, Mapping) and "success" in envelope:
        return NotFound(call, status, messages, ray)
    if 300 <= status < 400:
        why = "the server points to another address, and the token is sent to no other than the one that was set"
        return Unreachable(call, status, messages, ray, why=why, fix="check CLOUDFLARE_API_BASE_URL")
    if not messages:
        return Unreachable(call, status, messages, ray, why=_NO_ENVELOPE, fix=_NO_ENVELOPE_FIX)
    return ApiError(call, status, messages, ray)


def _parsed(reply: Reply) -> Any:
    try:
        return json.loads(reply.content)
    except (ValueError, RecursionError):
        return None


def _messages(envelope: Any, hidden: Sequence[Secret]) -> list[ApiMessage]:
    errors = envelope.get("errors") if isinstance(envelope, Mapping) else None
    found = []
    for one in errors if isinstance(errors, list) else []:
        if isinstance(one, Mapping):
            code = one.get("code")
            text = without(str(one.get("message") or ""), hidden)
            found.append(ApiMessage(code if isinstance(code, int) else 0, text[:2000]))
    return found


def without(text: str, hidden: Sequence[Secret]) -> str:
    """The text without what must not be told. Values of one or two letters would only garble it."""
    for value in sorted((one.reveal() for one in hidden), key=len, reverse=True):
        text = text.replace(value, "***") if len(value) > 2 else text
    return text


def ray_of(headers: Mapping[str, str]) -> str:
    """Cloudflare's id of a request, for its support."""
    return str(headers.get("cf-ray", ""))[:64]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def one_of(value: Any, call: str) -> Mapping[str, Any]:
    """An object as the result. Anything else is refused: settings that cannot be read are not empty settings."""
    if isinstance(value, Mapping):
        return value
    raise Unreachable(call, 200, [], "", why="the result is not an object")


def sequence(value: Any, call: str) -> Sequence[Any]:
    """A list result. Anything else is refused: an unreadable listing must never pass for an empty one."""
    if isinstance(value, list):
        return value
    raise Unreachable(call, 200, [], "", why="the listing is not a list")


def total_of(envelope: Mapping[str, Any]) -> int:
    """How many rows there are in all, as far as the reply says; else 0."""
    total = mapping(envelope.get("result_info")).get("total_count")
    return total if isinstance(total, int) and not isinstance(total, bool) else 0


def row_of(item: Any) -> Row | None:
    """A listed script: flat, as every client reads it, or nested under `script`, as the API's document says."""
    if not isinstance(item, dict):  # what JSON has; Mapping takes ten times as long to ask for
        return None
    script = item.get("script")
    row: Mapping[str, Any] = item
    if isinstance(script, dict):
        row = {**item, **{name: value for name, value in script.items() if value is not None or name not in item}}
    name = row.get("id")
    if not isinstance(name, str) or not name:
        return None
    tags = row.get("tags")
    if tags is None and "tags" in row:  # never set; a row that is silent about tags has no such field
        tags = []
    return Row(
        name,
        tuple(map(sys.intern, map(str, tags))) if isinstance(tags, list) else None,  # most are the same in many rows
        str(row.get("etag") or ""),
        str(row.get("modified_on") or ""),
        str(row.get("created_on") or ""),
        str(row.get("last_deployed_from") or ""),
    )


def cursor_of(envelope: Mapping[str, Any]) -> str:
    information = mapping(envelope.get("result_info"))
    cursors = mapping(information.get("cursors"))
    cursor = information.get("cursor") or cursors.get("after") or ""
    return cursor if isinstance(cursor, str) else ""


def modules_of(reply: Reply, call: str) -> tuple[Module, ...]:
    """A Worker's content: multipart form data, or one bare script. A body that broke off is an error.

    The main module comes first: wrangler reads its name from the header cf-entrypoint, whatever the order of the parts.
    """
    main = reply.headers.get("cf-entrypoint") or ""
    kind = reply.headers.get("content-type", "")
    boundary = re.search(r'boundary=(?:"([^"]+)"|([^";\s]+))', kind, re.IGNORECASE)
    if boundary is not None:
        modules = _parts(reply.content, (boundary[1] or boundary[2]).encode("latin-1", "replace"))
        if modules is None:
            raise Unreachable(call, reply.status, [], ray_of(reply.headers), why="the Worker's content breaks off")
        return tuple(sorted(modules, key=lambda module: module.name not in (main, unquote(main))))
    bare = kind.split(";")[0].strip().lower()
    if bare in _NO_SCRIPT:
        raise Unreachable(call, reply.status, [], ray_of(reply.headers), why=f"the Worker's content came as {bare}")
    return (Module(main or "worker.js", bare or "application/javascript", reply.content),)


_NO_SCRIPT = frozenset({"text/html", "application/json", "application/problem+json", "multipart/form-data"})
# A quotation mark and line breaks are all that a file name in form data escapes (the WHATWG's rule for browsers).
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}


def _parts(body: bytes, boundary: bytes) -> tuple[Module, ...] | None:
    """The parts of multipart form data, byte for byte: code and wasm must come out as they went in. None when the
    last delimiter is missing."""
    pieces = re.split(rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r\n|\Z)", b"\r\n" + body)
    # Every delimiter stands between two pieces as b"--" where it is the last one, else None.
    delimiters, contents = pieces[1::2], pieces[2::2]
    if b"--" not in delimiters:
        return None
    parts = [_part(content) for content in contents[: delimiters.index(b"--")]]
    return None if None in parts else tuple(part for part in parts if part is not None)


def _part(part: bytes) -> Module | None:
    header, blank, content = part.partition(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in header.decode("utf-8", "replace").split("\r\n"))
    }
    disposition = fields.get("content-disposition", "")
    found = re.search(r'filename="([^"]*)"', disposition) or re.search(r'\bname="([^"]*)"', disposition)
    if found is None or not blank:
        return None
    name = re.sub("%22|%0D|%0A", lambda escape: _ESCAPES[escape[0]], found[1])
    kind = fields.get("content-type", "application/octet-stream").split(";")[0].strip()
    return Module(name.removeprefix("./"), kind, content)
