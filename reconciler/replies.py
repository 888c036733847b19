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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from reconciler.errors import Problem, ReconcilerError
from reconciler.model import Module

# What a missing script, Worker or namespace is called.
_SCRIPT_MISSING = frozenset({10007, 10090, 10092})
_NAMESPACE_MISSING = frozenset({100119, 100120})
_TOKEN_REFUSED = frozenset({10000, 9000, 9103, 9106, 9109, 1000, 1001})
_NO_ADD_ON = 10121


@dataclass(frozen=True, slots=True)
class ApiMessage:
    code: int
    text: str


class ApiError(ReconcilerError):
    """Cloudflare refused a call."""

    def __init__(
        self, call: str, status: int, messages: Sequence[ApiMessage], ray: str, *, why: str = "", fix: str = ""
    ) -> None:
        self.call, self.status, self.messages, self.ray = call, status, tuple(messages), ray
        codes = ", ".join(f"code {message.code}" for message in self.messages if message.code)
        said = "; ".join(message.text for message in self.messages if message.text)
        what = f"Cloudflare refused {call} ({status}{', ' + codes if codes else ''})"
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


@dataclass(frozen=True, slots=True)
class Row:
    """One script of a listing or of an upload's reply, whatever form it came in. None: the reply did not say."""

    name: str
    tags: tuple[str, ...] | None
    etag: str
    modified_on: str
    created_on: str = ""
    last_deployed_from: str = ""


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, free of the HTTP library. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def success(reply: Reply, call: str) -> Mapping[str, Any]:
    """The envelope of a good reply; a reply that is no envelope, or says success: false, is an error."""
    if not reply.content:
        return {"result": None}
    envelope = _parsed(reply)
    if not isinstance(envelope, Mapping) or "result" not in envelope:
        raise Unreachable(call, reply.status, [], _ray(reply), why="the reply is not what the API promises")
    if envelope.get("success") is False:
        raise refusal(reply, call)
    return envelope


def refusal(reply: Reply, call: str) -> ApiError:
    envelope = _parsed(reply)
    messages = _messages(envelope)
    codes = {message.code for message in messages}
    ray, status = _ray(reply), reply.status
    if status == 404 and (not codes or codes & (_SCRIPT_MISSING | _NAMESPACE_MISSING)):
        return NotFound(call, status, messages, ray)
    if codes & (_SCRIPT_MISSING | _NAMESPACE_MISSING):
        return NotFound(call, status, messages, ray)
    if _NO_ADD_ON in codes:
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
    if not messages:
        return Unreachable(
            call, status, messages, ray, why="the reply is no JSON of the API; a gateway may be in trouble"
        )
    return ApiError(call, status, messages, ray)


def _parsed(reply: Reply) -> Any:
    try:
        return json.loads(reply.content)
    except (ValueError, RecursionError):
        return None


def _messages(envelope: Any) -> list[ApiMessage]:
    errors = envelope.get("errors") if isinstance(envelope, Mapping) else None
    found = []
    for one in errors if isinstance(errors, list) else []:
        if isinstance(one, Mapping):
            code = one.get("code")
            found.append(ApiMessage(code if isinstance(code, int) else 0, str(one.get("message", ""))[:2000]))
    return found


def _ray(reply: Reply) -> str:
    return str(reply.headers.get("cf-ray", ""))[:64]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any, call: str) -> Sequence[Any]:
    """A list result. Anything else is refused: an unreadable listing must never pass for an empty one."""
    if isinstance(value, list):
        return value
    raise Unreachable(call, 200, [], "", why="the listing is not a list")


def row_of(item: Any) -> Row | None:
    """A listed script: flat, as every client reads it, or nested under `script`, as the API's document says."""
    if not isinstance(item, Mapping):
        return None
    script = item.get("script")
    row: Mapping[str, Any] = {**item, **script} if isinstance(script, Mapping) else item
    name = row.get("id")
    if not isinstance(name, str) or not name:
        return None
    tags = row.get("tags")
    if tags is None and "tags" in row:  # never set; a row that is silent about tags has no such field
        tags = []
    return Row(
        name,
        tuple(str(tag) for tag in tags) if isinstance(tags, list) else None,
        str(row.get("etag") or ""),
        str(row.get("modified_on") or ""),
        str(row.get("created_on") or ""),
        str(row.get("last_deployed_from") or ""),
    )


def cursor_of(envelope: Mapping[str, Any]) -> str:
    information = mapping(envelope.get("result_info"))
    cursors = mapping(information.get("cursors"))
    return str(information.get("cursor") or cursors.get("after") or "")


def modules_of(reply: Reply) -> tuple[Module, ...]:
    """A Worker's content: multipart form data, or one bare script. The main module is the first, where the reply
    names it."""
    kind = reply.headers.get("content-type", "")
    boundary = re.search(r'boundary="?([^";]+)"?', kind)
    if boundary is None:
        name = reply.headers.get("cf-entrypoint", "worker.js")
        return (Module(name, kind.split(";")[0].strip() or "application/javascript", reply.content),)
    parts = _parts(reply.content, b"--" + boundary[1].encode("latin-1"))
    main = unquote(reply.headers.get("cf-entrypoint", ""))
    return tuple(sorted(parts, key=lambda one: one.name != main))


def _parts(body: bytes, delimiter: bytes) -> Iterator[Module]:
    """The parts of multipart form data, byte for byte: code and wasm must come out as they went in."""
    for piece in (b"\r\n" + body).split(b"\r\n" + delimiter)[1:]:
        if piece.startswith(b"--"):
            return
        header, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in header.decode("utf-8", "replace").split("\r\n"))
        }
        disposition = fields.get("content-disposition", "")
        name = re.search(r'filename="([^"]*)"', disposition) or re.search(r'\bname="([^"]*)"', disposition)
        if name is not None:
            kind = fields.get("content-type", "application/octet-stream").split(";")[0].strip()
            yield Module(unquote(name[1]).removeprefix("./"), kind, content)
