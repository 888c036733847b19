"""What every change of a stored script has in common: bindings that are kept, references that must exist, versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.local import metadata, script_replies
from reconciler.local.binding_kinds import SECRET_KINDS
from reconciler.local.call import Call
from reconciler.local.envelope import refuse
from reconciler.local.records import Deployment, StoredScript
from reconciler.local.store import ORDINARY

Bindings = Sequence[Mapping[str, Any]]
_ALL = 100.0  # percent of the requests
_IDENTITY = re.compile(r"[0-9A-Za-z_-]{1,64}")  # names a file


def stored(call: Call, namespace: str, name: str) -> StoredScript:
    """A script that must be there."""
    script = call.store.script(namespace, name)
    if script is None:
        raise refuse(10007)
    return script


def changed_script(
    call: Call, namespace: str, name: str, change: Callable[[StoredScript], StoredScript]
) -> StoredScript:
    """Change a script that must be there. Its etag follows, as far as the switches say."""

    def apply(old: StoredScript | None) -> StoredScript:
        if old is None:
            raise refuse(10007)
        call.faults.remember(call.store.clock(), namespace, name, old)
        new = change(old)
        return replace(new, etag=script_replies.etag_of(new, call.switches))

    return call.store.change_script(namespace, name, apply)


def resolved_bindings(
    old: StoredScript | None, asked: Bindings, *, keep: Collection[str], strict: bool
) -> tuple[list[dict[str, Any]], dict[str, Mapping[str, Any]]]:
    """(bindings, secrets) from those that are asked for.

    `inherit` takes what the script had under that name; where it had nothing, it is an error when `strict`, and else
    left out. What the script had of the kinds in `keep` stays, under names that are not asked for.
    """
    before = {str(one["name"]): dict(one) for one in old.bindings} if old else {}
    before |= {name: {**secret, "name": name} for name, secret in old.secrets.items()} if old else {}
    found: dict[str, dict[str, Any]] = {
        name: one
        for name, one in before.items()
        if one["type"] in keep and all(name != other["name"] for other in asked)
    }
    for one in asked:
        if one["type"] != "inherit":
            found[one["name"]] = _normal(one)
            continue
        source = before.get(one.get("old_name") or one["name"])
        if source is not None:
            found[one["name"]] = {**source, "name": one["name"]}
        elif strict:
            raise refuse(10057, name=one["name"])
    plain = [one for one in found.values() if one["type"] not in SECRET_KINDS]
    secrets: dict[str, Mapping[str, Any]] = {
        name: {key: value for key, value in one.items() if key != "name"}
        for name, one in sorted(found.items())
        if one["type"] in SECRET_KINDS
    }
    return plain, secrets


def kept_metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an upload's metadata with the script, besides its bindings."""
    return {key: given[key] for key in metadata.KEPT if given.get(key) is not None}


def check_references(call: Call, bindings: Bindings) -> None:
    """Refuse bindings to what the account does not have. Only what the emulated account knows of is checked."""
    for binding in bindings:
        check = _REFERENCES.get(binding["type"])
        if check is not None:
            check(call, binding)


def record_version(call: Call, script: StoredScript, *, trigger: str) -> Deployment:
    """An ordinary Worker's change is a version of its own, deployed at once to everyone."""
    annotations = {"workers/triggered_by": trigger}
    call.store.versions.add(script, annotations)
    return call.store.versions.deploy(
        script.name, [(script.version_id, _ALL)], source=script.deployed_from, annotations=annotations
    )


def _normal(binding: Mapping[str, Any]) -> dict[str, Any]:
    """A D1 binding may name its database in `id`, as older clients do; it is shown as `database_id`."""
    if binding["type"] == "d1" and not binding.get("database_id"):
        return {**binding, "database_id": binding["id"]}
    return dict(binding)


def _check_kv(call: Call, binding: Mapping[str, Any]) -> None:
    identity = binding["namespace_id"]
    if call.switches.bindings_on_demand:
        call.store.kv.ensure_namespace(identity, identity)
    elif call.store.kv.namespace(identity) is None:
        raise refuse(10041, name=identity, status=400)


def _check_d1(call: Call, binding: Mapping[str, Any]) -> None:
    identity = binding.get("database_id") or binding["id"]
    if call.switches.bindings_on_demand and _IDENTITY.fullmatch(identity):
        call.store.d1.ensure_database(identity, identity)
    elif call.store.d1.database(identity) is None:
        raise refuse(10181, binding=binding["name"], name=identity)


def _check_r2(call: Call, binding: Mapping[str, Any]) -> None:
    if call.switches.bindings_on_demand:
        call.store.r2.create_bucket(binding["bucket_name"])
    elif call.store.r2.bucket(binding["bucket_name"]) is None:
        raise refuse(10085, name=binding["bucket_name"])


def _check_service(call: Call, binding: Mapping[str, Any]) -> None:
    if not call.switches.bindings_on_demand:
        _require_worker(call, binding["name"], binding["service"])


def _require_worker(call: Call, binding: str, service: str) -> None:
    if call.store.row(ORDINARY, service) is None:
        raise refuse(10143, binding=binding, name=service)


def _check_dispatch_namespace(call: Call, binding: Mapping[str, Any]) -> None:
    if not call.store.has_namespace(binding["namespace"]):
        raise refuse(100119, name=binding["namespace"], status=400)
    worker = (binding.get("outbound") or {}).get("worker")
    if worker is not None:
        _require_worker(call, binding["name"], worker["service"])


_REFERENCES: Mapping[str, Callable[[Call, Mapping[str, Any]], None]] = {
    "kv_namespace": _check_kv,
    "d1": _check_d1,
    "r2_bucket": _check_r2,
    "service": _check_service,
    "dispatch_namespace": _check_dispatch_namespace,
}
