"""The kinds of bindings that an upload may name, and the shape that the API asks of each.

Written down here once more, and not taken from the reconciler's own classes: code that both sides shared would agree
with itself. To add a kind: one row in KINDS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.local.envelope import refuse

_ANY = object


# kind: (fields that must be there, fields that may be). Besides these every binding has `type` and `name`.
Fields = Mapping[str, type]
KINDS: Mapping[str, tuple[Fields, Fields]] = {
    "ai": ({}, {}),
    "ai_search": ({"instance_name": str}, {"namespace": str}),
    "ai_search_namespace": ({"namespace": str}, {}),
    "analytics_engine": ({"dataset": str}, {}),
    "artifacts": ({"namespace": str}, {}),
    "assets": ({}, {}),
    "browser": ({}, {}),
    "d1": ({}, {"database_id": str, "id": str}),  # one of the two: see _problem
    "data_blob": ({"part": str}, {}),
    "dispatch_namespace": ({"namespace": str}, {"outbound": dict}),
    "durable_object_namespace": (
        {},
        {"class_name": str, "dispatch_namespace": str, "environment": str, "namespace_id": str, "script_name": str},
    ),
    "flagship": ({"app_id": str}, {}),
    "hyperdrive": ({"id": str}, {}),
    "images": ({}, {}),
    "inherit": ({}, {"old_name": str, "version_id": str}),
    "json": ({"json": _ANY}, {}),
    "k2": ({"stream": str}, {}),
    "kv_namespace": ({"namespace_id": str}, {}),
    "media": ({}, {}),
    "messaging": ({"namespace": str}, {}),
    "mtls_certificate": ({"certificate_id": str}, {}),
    "pipelines": ({"pipeline": str}, {}),
    "plain_text": ({"text": str}, {}),
    "queue": ({"queue_name": str}, {"delivery_delay": int}),
    "r2_bucket": ({"bucket_name": str}, {"jurisdiction": str}),
    "ratelimit": ({"namespace_id": str, "simple": dict}, {}),
    "secret_key": ({"algorithm": _ANY, "format": str, "usages": list}, {"key_base64": str, "key_jwk": _ANY}),
    "secret_text": ({"text": str}, {}),
    "secrets_store_secret": ({"secret_name": str, "store_id": str}, {}),
    "send_email": (
        {},
        {"allowed_destination_addresses": list, "allowed_sender_addresses": list, "destination_address": str},
    ),
    "service": ({"service": str}, {"entrypoint": str, "environment": str, "props": dict}),
    "text_blob": ({"part": str}, {}),
    "vectorize": ({"index_name": str}, {}),
    "version_metadata": ({}, {}),
    "vpc_network": ({}, {"identity": str, "network_id": str, "tunnel_id": str}),
    "vpc_service": ({"service_id": str}, {}),
    "wasm_module": ({"part": str}, {}),
    "workflow": ({"workflow_name": str}, {"class_name": str, "script_name": str}),
}
SECRET_KINDS = ("secret_text", "secret_key")
PART_KINDS = ("data_blob", "text_blob", "wasm_module")  # `part` names a part of the same upload
VARIABLE_KINDS = ("plain_text", "json", *SECRET_KINDS)  # what counts as an environment variable
_JSON_NAMES = {str: "a string", int: "a number", dict: "an object", list: "a list"}


def checked(bindings: Any) -> tuple[dict[str, Any], ...]:
    """The bindings of an upload; refuses a list with an unknown kind, a missing field, a wrong type or a name twice."""
    if bindings is None:
        return ()
    if not isinstance(bindings, list):
        raise refuse(10021, why="metadata.bindings must be a list")
    names: set[str] = set()
    for number, binding in enumerate(bindings, start=1):
        if not isinstance(binding, dict):
            raise refuse(10021, why=f"binding number {number} must be an object")
        name = binding.get("name")
        if not isinstance(name, str) or not name:
            raise refuse(10052, number=number)
        if name in names:
            raise refuse(10021, why=f"there are several bindings named '{name}'")
        names.add(name)
        if why := _problem(name, binding):
            raise refuse(10021, why=why)
    return tuple(bindings)


def _problem(name: str, binding: Mapping[str, Any]) -> str:
    kind = binding.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        return f"binding {name} has an unknown type {kind!r}"
    required, optional = KINDS[kind]
    for field, wanted in {**required, **optional}.items():
        value = binding.get(field)
        if field not in binding or (value is None and wanted is not _ANY):
            if field in required:
                return f"binding {name} of type {kind} must have a valid `{field}` specified"
            continue
        if wanted is not _ANY and (not isinstance(value, wanted) or isinstance(value, bool)):
            return f"binding {name} of type {kind}: `{field}` must be {_JSON_NAMES[wanted]}"
    if kind == "d1" and not (binding.get("database_id") or binding.get("id")):
        return f"binding {name} of type d1 must have a valid `id` specified"
    if kind == "dispatch_namespace" and binding.get("outbound") is not None:
        return _outbound_problem(name, binding["outbound"])
    return ""


def _outbound_problem(name: str, outbound: Mapping[str, Any]) -> str:
    worker = outbound.get("worker")
    if not isinstance(worker, dict) or not isinstance(worker.get("service"), str):
        return f"binding {name} of type dispatch_namespace: `outbound.worker.service` must be a string"
    params = outbound.get("params") or []
    if not isinstance(params, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in params
    ):
        return f"binding {name} of type dispatch_namespace: `outbound.params` must be a list of objects with a name"
    return ""
