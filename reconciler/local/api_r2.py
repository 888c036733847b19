"""R2: buckets, and objects as command-line tools write and read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import refuse, success
from reconciler.local.records import R2Bucket, R2Object

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_HTTP_METADATA = {
    "contentType": "content-type",
    "contentLanguage": "content-language",
    "contentDisposition": "content-disposition",
    "contentEncoding": "content-encoding",
    "cacheControl": "cache-control",
}


def list_buckets(call: Call) -> Response:
    """By name; a part of the name, and where to begin, may be asked for."""
    part, after = call.request.args.get("name_contains", ""), call.request.args.get("start_after", "")
    size = call.number("per_page", 1000, least=1, most=1000)
    found = [_bucket(one) for one in call.store.r2.buckets() if part in one.name and one.name > after]
    return success({"buckets": found[:size]})


def create_bucket(call: Call) -> Response:
    name = call.object().get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse(10005)
    made = call.store.r2.create_bucket(name)
    if made is None:
        raise refuse(10004, why="The bucket you tried to create already exists, and you own it.", status=409)
    return success(_bucket(made))


def get_bucket(call: Call, bucket: str) -> Response:
    return success(_bucket(_found(call, bucket)))


def delete_bucket(call: Call, bucket: str) -> Response:
    _found(call, bucket)
    if not call.store.r2.delete_bucket(bucket):
        raise refuse(10008)
    return success({})


def get_object(call: Call, bucket: str, key: str) -> Response:
    """The bare bytes, without an envelope."""
    _found(call, bucket)
    found = call.store.r2.get(bucket, key)
    if found is None:
        raise refuse(10007, status=404)
    one, content = found
    http: Mapping[str, str] = one.metadata.get("httpMetadata", {})
    response = Response(content, mimetype="application/octet-stream")
    response.headers["etag"] = f'"{one.etag}"'
    for name, header in _HTTP_METADATA.items():
        if name in http:
            response.headers[header] = http[name]
    return response


def put_object(call: Call, bucket: str, key: str) -> Response:
    _found(call, bucket)
    headers = call.request.headers
    http = {name: headers[header] for name, header in _HTTP_METADATA.items() if header in headers}
    metadata = {"httpMetadata": http, "customMetadata": {}, "storageClass": "Standard"}
    made = call.store.r2.put(bucket, key, call.request.get_data(), metadata)
    assert made is not None  # without a condition it is always written
    return success(_object(made))


def delete_object(call: Call, bucket: str, key: str) -> Response:
    _found(call, bucket)
    call.store.r2.delete(bucket, [key])
    return success({"key": key})


def _found(call: Call, name: str) -> R2Bucket:
    bucket = call.store.r2.bucket(name)
    if bucket is None:
        raise refuse(10006, why="The specified bucket does not exist.", status=404)
    return bucket


def _bucket(one: R2Bucket) -> dict[str, Any]:
    return {"name": one.name, "creation_date": one.created_on, "location": "LOCAL", "storage_class": "Standard"}


def _object(one: R2Object) -> dict[str, Any]:
    return {
        "key": one.key,
        "etag": one.etag,
        "version": one.version,
        "size": str(one.size),
        "storage_class": "Standard",
    }


_BUCKETS = "/accounts/<account>/r2/buckets"
_OBJECT = f"{_BUCKETS}/<bucket>/objects/<path:key>"
ENDPOINTS = (
    Endpoint("GET", _BUCKETS, list_buckets, rate_limit_headers=False),
    Endpoint("POST", _BUCKETS, create_bucket, rate_limit_headers=False),
    Endpoint("GET", f"{_BUCKETS}/<bucket>", get_bucket, rate_limit_headers=False),
    Endpoint("DELETE", f"{_BUCKETS}/<bucket>", delete_bucket, rate_limit_headers=False),
    Endpoint("GET", _OBJECT, get_object, rate_limit_headers=False),
    Endpoint("PUT", _OBJECT, put_object, rate_limit_headers=False),
    Endpoint("DELETE", _OBJECT, delete_object, rate_limit_headers=False),
)
