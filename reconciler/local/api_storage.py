"""Workers KV: namespaces, keys, values, and the bulk calls."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.call import Call, Endpoint, decode_cursor, encode_cursor
from reconciler.local.envelope import paged, refuse, success
from reconciler.local.records import KvKey, KvNamespace, KvPair

MOST_PAIRS = 10_000  # in one bulk write or delete
MOST_READ = 100  # in one bulk read
LARGEST_KEY, LARGEST_METADATA, LARGEST_VALUE = 512, 1024, 25 * 1024 * 1024  # bytes
SHORTEST_TTL = 60  # seconds


def list_namespaces(call: Call) -> Response:
    page = call.number("page", 1, least=1, most=100_000)
    size = call.number("per_page", 20, least=1, most=1000)
    found = [_namespace(one) for one in call.store.kv.namespaces()]
    if call.request.args.get("direction") == "desc":
        found.reverse()
    return paged(found, page, size)


def create_namespace(call: Call) -> Response:
    made = call.store.kv.create_namespace(_title(call))
    if made is None:
        raise refuse(10014)
    return success(_namespace(made))


def get_namespace(call: Call, kv: str) -> Response:
    return success(_namespace(_found(call, kv)))


def rename_namespace(call: Call, kv: str) -> Response:
    _found(call, kv)
    if not call.store.kv.rename_namespace(kv, _title(call)):
        raise refuse(10014)
    return success(_namespace(_found(call, kv)))


def delete_namespace(call: Call, kv: str) -> Response:
    _found(call, kv)
    call.store.kv.delete_namespace(kv)
    return success(None)


def list_keys(call: Call, kv: str) -> Response:
    """Keys by their bytes, with a cursor while there are more."""
    _found(call, kv)
    limit = call.number("limit", 1000, least=10, most=1000)
    after = decode_cursor(call.request.args.get("cursor", ""))
    keys = call.store.kv.keys(kv, prefix=call.request.args.get("prefix", ""), after=after, limit=limit + 1)
    cursor = encode_cursor(keys[limit - 1].name) if len(keys) > limit else ""
    shown = [_key(one) for one in keys[:limit]]
    return success(shown, info={"count": len(shown), "cursor": cursor})


def get_value(call: Call, kv: str, key: str) -> Response:
    """The bare bytes, without an envelope."""
    pair = _pair(call, kv, key)
    response = Response(pair.value, mimetype="application/octet-stream")
    if pair.expires is not None:
        response.headers["expiration"] = str(pair.expires)
    return response


def get_metadata(call: Call, kv: str, key: str) -> Response:
    return success(_pair(call, kv, key).metadata)


def put_value(call: Call, kv: str, key: str) -> Response:
    """The value as the body, or as a form with value and metadata."""
    _found(call, kv)
    value, metadata = call.request.get_data(), None
    if call.request.mimetype == "multipart/form-data":
        parts = {part.name: part.content for part in call.parts()}
        if "value" not in parts:
            raise refuse(10012, why="the form has no part named value")
        value = parts["value"]
        metadata = _json(parts.get("metadata", b"null"))
    pair = KvPair(key, value, metadata, _expires(call, call.request.args))
    if why := _problem(pair):
        raise refuse(10012, why=why)
    call.store.kv.put(kv, [pair])
    return success(None)


def delete_value(call: Call, kv: str, key: str) -> Response:
    _found(call, kv)
    call.store.kv.delete(kv, [key])
    return success(None)


def put_bulk(call: Call, kv: str) -> Response:
    """All pairs or none."""
    _found(call, kv)
    asked = call.json()
    if not isinstance(asked, list) or len(asked) > MOST_PAIRS:
        raise refuse(10012, why=f"a list of at most {MOST_PAIRS} pairs is expected")
    pairs = [_asked_pair(call, one, number) for number, one in enumerate(asked, start=1)]
    call.store.kv.put(kv, pairs)
    return success({"successful_key_count": len(pairs), "unsuccessful_keys": []})


def delete_bulk(call: Call, kv: str) -> Response:
    _found(call, kv)
    keys = _keys(call.json(), MOST_PAIRS)
    call.store.kv.delete(kv, keys)
    return success({"successful_key_count": len(keys), "unsuccessful_keys": []})


def get_bulk(call: Call, kv: str) -> Response:
    """Values by key; null for one that is not there."""
    _found(call, kv)
    asked = call.object()
    as_json, with_metadata = asked.get("type", "text") == "json", bool(asked.get("withMetadata"))
    values: dict[str, Any] = {}
    for key in _keys(asked.get("keys"), MOST_READ):
        pair = call.store.kv.get(kv, key)
        if pair is None:
            values[key] = None
            continue
        text = pair.value.decode("utf-8", "replace")
        value = _json(pair.value) if as_json else text
        expiration = {} if pair.expires is None else {"expiration": pair.expires}
        values[key] = {"value": value, "metadata": pair.metadata, **expiration} if with_metadata else value
    return success({"values": values})


def _found(call: Call, identity: str) -> KvNamespace:
    namespace = call.store.kv.namespace(identity)
    if namespace is None:
        raise refuse(10013)
    return namespace


def _pair(call: Call, kv: str, key: str) -> KvPair:
    _found(call, kv)
    pair = call.store.kv.get(kv, key)
    if pair is None:
        raise refuse(10009, what="key")
    return pair


def _title(call: Call) -> str:
    title = call.object().get("title")
    if not isinstance(title, str) or not title:
        raise refuse(10019)
    return title


def _asked_pair(call: Call, asked: Any, number: int) -> KvPair:
    if not isinstance(asked, dict) or not isinstance(asked.get("key"), str) or not isinstance(asked.get("value"), str):
        raise refuse(10012, why=f"pair number {number} must have a key and a value, both strings")
    value = asked["value"].encode()
    if asked.get("base64"):
        try:
            value = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise refuse(10012, why=f"the value of pair number {number} is not base64") from error
    pair = KvPair(asked["key"], value, asked.get("metadata"), _expires(call, asked))
    if why := _problem(pair):
        raise refuse(10012, why=why)
    return pair


def _problem(pair: KvPair) -> str:
    if pair.key in ("", ".", ".."):
        return f"the key {pair.key!r} is not allowed"
    checks = (
        (len(pair.key.encode()), LARGEST_KEY, "key"),
        (len(pair.value), LARGEST_VALUE, "value"),
        (len(json.dumps(pair.metadata).encode()), LARGEST_METADATA, "metadata"),
    )
    return next((f"the {what} has {size} bytes, {most} are allowed" for size, most, what in checks if size > most), "")


def _expires(call: Call, given: Mapping[str, Any]) -> int | None:
    """When the pair ends, in seconds from 1970; at least a minute from now."""
    now = call.store.clock()
    try:
        if given.get("expiration_ttl"):
            expires = int(now) + int(given["expiration_ttl"])
        elif given.get("expiration"):
            expires = int(given["expiration"])
        else:
            return None
    except (TypeError, ValueError) as error:
        raise refuse(10034, why="expiration and expiration_ttl are whole numbers of seconds") from error
    if expires < int(now) + SHORTEST_TTL:
        raise refuse(10034, why=f"a pair must live for at least {SHORTEST_TTL} seconds")
    return expires


def _keys(keys: Any, most: int) -> list[str]:
    if not isinstance(keys, list) or len(keys) > most or not all(isinstance(key, str) for key in keys):
        raise refuse(10012, why=f"a list of at most {most} keys is expected")
    return keys


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(10012, why=f"not JSON: {error}") from error


def _namespace(one: KvNamespace) -> dict[str, Any]:
    return {"id": one.id, "title": one.title, "supports_url_encoding": True}


def _key(one: KvKey) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": one.name}
    if one.expires is not None:
        shown["expiration"] = one.expires
    if one.metadata is not None:
        shown["metadata"] = one.metadata
    return shown


def _endpoints() -> tuple[Endpoint, ...]:
    namespaces = "/accounts/<account>/storage/kv/namespaces"
    rows = (
        ("GET", "", list_namespaces),
        ("POST", "", create_namespace),
        ("GET", "/<kv>", get_namespace),
        ("PUT", "/<kv>", rename_namespace),
        ("DELETE", "/<kv>", delete_namespace),
        ("GET", "/<kv>/keys", list_keys),
        ("PUT", "/<kv>/bulk", put_bulk),
        ("POST", "/<kv>/bulk/delete", delete_bulk),
        ("POST", "/<kv>/bulk/get", get_bulk),
        ("GET", "/<kv>/metadata/<path:key>", get_metadata),
        ("GET", "/<kv>/values/<path:key>", get_value),
        ("PUT", "/<kv>/values/<path:key>", put_value),
        ("DELETE", "/<kv>/values/<path:key>", delete_value),
    )
    return tuple(
        Endpoint(method, namespaces + path, handler, rate_limit_headers=False) for method, path, handler in rows
    )


ENDPOINTS = _endpoints()
