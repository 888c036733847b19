"""R2 as scripts ask for it: objects whole or in ranges, conditions, pages of keys, uploads in parts.

    GET    <bucket>/objects?prefix&cursor&limit&delimiter     GET, HEAD, PUT  <bucket>/objects/<key>
    POST   <bucket>/delete                                    POST, PUT, DELETE  <bucket>/uploads/<key>

What an object is stands in the header x-object of the replies that carry its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from reconciler.local.records import R2Object
from reconciler.local.runtime_asks import Ask, Reply, as_json
from reconciler.local.store_r2 import Condition, R2Store

MOST_LISTED = 1000
_NO_UPLOAD = "The specified multipart upload does not exist. (10024)"


def answer(store: R2Store, ask: Ask) -> Reply:
    bucket, what, *rest = ask.path
    if store.bucket(bucket) is None:
        return Reply(404, b"The specified bucket does not exist. (10006)")
    if what == "delete":
        store.delete(bucket, json.loads(ask.body))
        return Reply(200)
    if what == "uploads":
        return _upload(store, bucket, rest[0], ask)
    if not rest:
        return as_json(_listed(store, bucket, ask.query))
    if ask.method == "PUT":
        options = json.loads(ask.query["options"])
        made = store.put(bucket, rest[0], ask.body, options["metadata"], _condition(options.get("only")))
        return as_json(None if made is None else _shown(made))
    return _got(store, bucket, rest[0], ask)


def _got(store: R2Store, bucket: str, key: str, ask: Ask) -> Reply:
    """An object, or the part of it that is asked for; without bytes for HEAD and where the condition does not hold."""
    options = json.loads(ask.query.get("options", "{}"))
    if ask.method == "HEAD" or options.get("head"):
        found = store.head(bucket, key)
        return Reply(204, headers=_header(found)) if found else Reply(404)
    whole = store.get(bucket, key)
    if whole is None:
        return Reply(404)
    found, content = whole
    if not _condition(options.get("only")).holds(found):
        return Reply(204, headers=_header(found))
    span = _span(options.get("range"), found.size)
    if span is None:
        return Reply(416, b"The requested range is not satisfiable (10039)")
    offset, length = span
    told = {"range": {"offset": offset, "length": length}} if options.get("range") else {}
    return Reply(200, content[offset : offset + length], _header(found, **told))


def _span(asked: Mapping[str, Any] | None, size: int) -> tuple[int, int] | None:
    """(offset, length) of {offset, length} or {suffix}; None for one outside of the object."""
    if not asked:
        return 0, size
    if "suffix" in asked:
        length = min(int(asked["suffix"]), size)
        return (size - length, length) if length > 0 else None
    offset = int(asked.get("offset", 0))
    length = min(int(asked.get("length", size)), size - offset)
    return (offset, length) if 0 <= offset < size and length > 0 else None


def _listed(store: R2Store, bucket: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of objects; with a delimiter, what shares a prefix up to it is told once, as that prefix.

    The cursor is the last key of the page before.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = max(1, min(int(query.get("limit", MOST_LISTED)), MOST_LISTED))
    after, objects, folders = query.get("cursor", ""), list[R2Object](), list[str]()
    while True:
        page = store.objects(bucket, prefix=prefix, after=after, limit=MOST_LISTED)
        for one in page:
            head, found, _ = one.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            folder = f"{prefix}{head}{delimiter}" if found else ""
            told = folder in folders[-1:]
            if not told and len(objects) + len(folders) == limit:
                return _page(objects, folders, cursor=after)
            after = one.key
            if not found:
                objects.append(one)
            elif not told:
                folders.append(folder)
        if len(page) < MOST_LISTED:
            return _page(objects, folders, cursor="")


def _page(objects: list[R2Object], folders: list[str], *, cursor: str) -> dict[str, Any]:
    return {"objects": [_shown(one) for one in objects], "folders": folders, "cursor": cursor}


def _upload(store: R2Store, bucket: str, key: str, ask: Ask) -> Reply:
    """POST begins one, or completes it with its parts; PUT adds a part; DELETE gives it up."""
    identity = ask.query.get("upload", "")
    if ask.method == "DELETE":
        store.abort_upload(identity)
        return Reply(200)
    if ask.method == "PUT":
        etag = store.put_part(bucket, key, identity, int(ask.query["part"]), ask.body)
        return as_json({"etag": etag}) if etag else Reply(404, _NO_UPLOAD.encode())
    if not identity:
        return as_json({"upload": store.start_upload(bucket, key, json.loads(ask.body))})
    parts = [(int(one["partNumber"]), str(one["etag"])) for one in json.loads(ask.body)]
    made = store.complete_upload(bucket, key, identity, parts)
    return as_json(_shown(made)) if made else Reply(404, _NO_UPLOAD.encode())


def _condition(asked: Mapping[str, Any] | None) -> Condition:
    names = ("etag_matches", "etag_does_not_match", "uploaded_before", "uploaded_after")
    return Condition(**{name: (asked or {}).get(name) for name in names})


def _header(found: R2Object, **more: Any) -> dict[str, str]:
    return {"x-object": quote(json.dumps({**_shown(found), **more}))}


def _shown(one: R2Object) -> dict[str, Any]:
    return {
        "key": one.key,
        "version": one.version,
        "size": one.size,
        "etag": one.etag,
        "md5": one.md5,
        "uploaded": round(one.uploaded * 1000),
        **one.metadata,
    }
