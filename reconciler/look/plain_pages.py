"""A page of the listing as nearly all are: flat rows, whose fields have the types that Cloudflare's document gives.

Law: what is not exactly that is not read here at all (pages.py), so that nothing depends on how forgiving a decoder is.
"""

from __future__ import annotations

from sys import intern

import msgspec
from msgspec import UNSET, UnsetType

from reconciler.look.replies import Page, Row


def decoded(content: bytes) -> Page | None:
    """None for a page that is not plain."""
    try:
        envelope = _envelopes.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    found = envelope.result
    if not envelope.success or not all(one.id for one in found):
        return None
    told = envelope.result_info or _NOTHING_TOLD
    cursor = told.cursor or (told.cursors.after if told.cursors else "") or ""
    return Page(tuple(map(_row, found)), cursor, told.total_count or 0, nameless=False)


class _Listed(msgspec.Struct, gc=False):
    id: str
    tags: tuple[str, ...] | UnsetType | None = UNSET
    etag: str | None = None
    modified_on: str | None = None
    created_on: str | None = None
    last_deployed_from: str | None = None
    script: UnsetType | None = UNSET  # an object there makes the row a nested one


class _Cursors(msgspec.Struct):
    after: str | None = None


class _Told(msgspec.Struct):
    cursor: str | None = None
    cursors: _Cursors | None = None
    total_count: int | None = None


class _Envelope(msgspec.Struct):
    result: list[_Listed]
    success: bool = True
    result_info: _Told | None = None


_envelopes = msgspec.json.Decoder(_Envelope)
_NOTHING_TOLD = _Told()


def _row(one: _Listed) -> Row:
    """As replies.row_of makes it: null says that there are no tags, silence says nothing. What most rows say alike is
    kept once: 150 bytes a script."""
    tags = None if one.tags is UNSET else tuple(map(intern, one.tags or ()))
    modified, created = one.modified_on or "", one.created_on or ""
    created = modified if created == modified else created
    return Row(one.id, tags, one.etag or "", modified, created, intern(one.last_deployed_from or ""))
