"""Ordinary Workers: versions and deployments, workers.dev, schedules, and the older views that wrangler asks for.

One version at a time runs here: where a deployment divides requests between two, the larger share gets all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local import script_replies, upload
from reconciler.local.api_scripts import asset_files, check_start, delete_script, draft
from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import refuse, success
from reconciler.local.records import Deployment, ScriptRow, StoredScript, Version
from reconciler.local.script_changes import changed_script, check_references, stored
from reconciler.local.store import ORDINARY

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CRON = re.compile(r"\S+( \S+){4}")
_HUNDRED = 100.0
_ENVIRONMENT = "production"


def create_version(call: Call, name: str) -> Response:
    """Upload a version that does not run until it is deployed."""
    asked = upload.read(call)
    old = stored(call, ORDINARY, name)
    manifest = asset_files(call, ORDINARY, name, asked.metadata)
    check_references(call, asked.bindings)
    script = replace(draft(call, old, asked, manifest, ORDINARY, name), id=old.id)
    check_start(call, script)
    annotations = {"workers/triggered_by": "version_upload", **(asked.metadata.get("annotations") or {})}
    return success({**_version(call.store.versions.add(script, annotations)), "startup_time_ms": 0})


def list_versions(call: Call, name: str) -> Response:
    call.ordinary(name)
    page = call.number("page", 1, least=1, most=100_000)
    size = call.number("per_page", 10, least=1, most=100)
    versions = call.store.versions.versions(name)
    shown = [_version_row(one) for one in versions[(page - 1) * size : page * size]]
    info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(versions)}
    return success({"items": shown}, info=info)


def get_version(call: Call, name: str, version: str) -> Response:
    call.ordinary(name)
    found = call.store.versions.version(name, version)
    if found is None:
        raise refuse(10009, what="version")
    return success(_version(found))


def list_deployments(call: Call, name: str) -> Response:
    call.ordinary(name)
    return success({"deployments": [_deployment(one) for one in call.store.versions.deployments(name)]})


def get_deployment(call: Call, name: str, deployment: str) -> Response:
    call.ordinary(name)
    found = [one for one in call.store.versions.deployments(name) if one.id == deployment]
    if not found:
        raise refuse(10009, what="deployment")
    return success(_deployment(found[0]))


def create_deployment(call: Call, name: str) -> Response:
    """Make a version answer."""
    call.ordinary(name)
    asked = call.object()
    shares = _shares(asked)
    largest = max(shares, key=lambda one: one[1])[0]
    found = {one: call.store.versions.version(name, one) for one, _ in shares}
    missing = next((one for one, version in found.items() if version is None), None)
    version = found[largest]
    if missing is not None or version is None:
        raise refuse(10021, why=f"the Worker has no version {missing}")

    def change(old: StoredScript) -> StoredScript:
        kept = version.script
        return replace(kept, created_on=old.created_on, subdomain=old.subdomain, previews=old.previews)

    new = changed_script(call, ORDINARY, name, change)
    annotations = {"workers/triggered_by": "deployment", **(asked.get("annotations") or {})}
    made = call.store.versions.deploy(name, shares, source=new.deployed_from, annotations=annotations)
    call.changed(ORDINARY, name)
    return success(_deployment(made))


def delete_deployment(call: Call, name: str, deployment: str) -> Response:
    """Forget one that is over; the newest is in force."""
    call.ordinary(name)
    found = [one.id for one in call.store.versions.deployments(name)]
    if deployment not in found:
        raise refuse(10009, what="deployment")
    if deployment == found[0]:
        raise refuse(10021, why="the deployment is in force and cannot be deleted")
    call.store.versions.delete_deployment(name, deployment)
    return success(None)


def get_subdomain(call: Call, name: str) -> Response:
    return success(_subdomain(call.ordinary(name)))


def set_subdomain(call: Call, name: str) -> Response:
    """Switch a Worker's workers.dev address on or off."""
    asked = call.object()
    if not isinstance(asked.get("enabled"), bool):
        raise refuse(10021, why="enabled must be true or false")
    return _switch_subdomain(call, name, asked["enabled"], bool(asked.get("previews_enabled", asked["enabled"])))


def delete_subdomain(call: Call, name: str) -> Response:
    return _switch_subdomain(call, name, False, False)


def get_account_subdomain(call: Call) -> Response:
    subdomain = call.store.value("subdomain")
    if not subdomain:
        raise refuse(10063)
    return success({"subdomain": subdomain})


def set_account_subdomain(call: Call) -> Response:
    subdomain = call.object().get("subdomain")
    if not isinstance(subdomain, str) or not _SUBDOMAIN.fullmatch(subdomain):
        raise refuse(10021, why="subdomain must be a label of a hostname")
    call.store.set_value("subdomain", subdomain)
    return success({"subdomain": subdomain})


def delete_account_subdomain(call: Call) -> Response:
    call.store.set_value("subdomain", "")
    return success(None)


def get_schedules(call: Call, name: str) -> Response:
    text = call.store.value(f"schedules/{call.ordinary(name).id}")
    return success({"schedules": json.loads(text) if text else []})


def put_schedules(call: Call, name: str) -> Response:
    """Replace the cron triggers of a Worker."""
    row = call.ordinary(name)
    asked = call.json()
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise refuse(10021, why="a list of objects with a cron is expected")
    for one in asked:
        if not isinstance(one.get("cron"), str) or not _CRON.fullmatch(one["cron"]):
            raise refuse(10021, why=f"{one.get('cron')!r} is no cron expression of five fields")
    now = call.store.now()
    schedules = [{"cron": one["cron"], "created_on": now, "modified_on": now} for one in asked]
    call.store.set_value(f"schedules/{row.id}", json.dumps(schedules))
    return success({"schedules": schedules})


def get_service(call: Call, name: str) -> Response:
    """The view of a Worker from when it was called a service."""
    row = call.store.row(ORDINARY, name)
    if row is None:
        raise refuse(10090)
    environment = {
        "environment": _ENVIRONMENT,
        "created_on": row.created_on,
        "modified_on": row.modified_on,
        "script": script_replies.flat(row),
    }
    result = {
        "id": row.name,
        "default_environment": environment,
        "created_on": row.created_on,
        "modified_on": row.modified_on,
        "usage_model": row.metadata.get("usage_model", "standard"),
        "environments": [{key: value for key, value in environment.items() if key != "script"}],
    }
    return success(result)


def delete_service(call: Call, name: str) -> Response:
    """The older way to delete a Worker, which wrangler takes."""
    if call.store.row(ORDINARY, name) is None:
        raise refuse(10090)
    return delete_script(call, ORDINARY, name)


def get_worker(call: Call, name: str) -> Response:
    """The newer view of a Worker, by name or id."""
    rows = call.store.rows(ORDINARY)
    row = next((row for row in rows if name in (row.name, row.id)), None)
    if row is None:
        raise refuse(10007)
    result = {
        "id": row.id,
        "name": row.name,
        "created_on": row.created_on,
        "updated_on": row.modified_on,
        "logpush": row.metadata.get("logpush", False),
        "observability": script_replies.observability(row.metadata.get("observability")),
        "references": {"domains": [], "durable_objects": [], "queues": [], "workers": []},
        "subdomain": _subdomain(row),
        "tags": list(row.tags or ()),
        "tail_consumers": [{"name": one["service"]} for one in row.metadata.get("tail_consumers") or ()],
    }
    return success(result)


def _switch_subdomain(call: Call, name: str, enabled: bool, previews: bool) -> Response:
    call.ordinary(name)
    if enabled and not call.store.value("subdomain"):
        raise refuse(10063)
    new = changed_script(call, ORDINARY, name, lambda old: replace(old, subdomain=enabled, previews=previews))
    call.changed(ORDINARY, name)
    return success(_subdomain(new))


def _subdomain(row: ScriptRow) -> dict[str, bool]:
    return {"enabled": row.subdomain, "previews_enabled": row.previews}


def _shares(asked: Mapping[str, Any]) -> list[tuple[str, float]]:
    versions = asked.get("versions")
    if asked.get("strategy", "percentage") != "percentage" or not isinstance(versions, list) or not versions:
        raise refuse(10021, why="strategy must be percentage, and versions a list that is not empty")
    shares = []
    for one in versions:
        share = one.get("percentage") if isinstance(one, dict) else None
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= _HUNDRED:
            raise refuse(10021, why="every version needs a version_id and a percentage from 0 to 100")
        shares.append((str(one.get("version_id")), float(share)))
    if len(shares) > 2 or sum(share for _, share in shares) != _HUNDRED:
        raise refuse(10021, why="a deployment has two versions at most, and their percentages add up to 100")
    return shares


def _version_row(version: Version) -> dict[str, Any]:
    script = version.script
    return {
        "id": script.version_id,
        "number": version.number,
        "metadata": {
            "author_id": "",
            "author_email": "",
            "created_on": script.modified_on,
            "modified_on": script.modified_on,
            "source": script.deployed_from,
            "hasPreview": script.previews,
        },
        "annotations": dict(version.annotations),
    }


def _version(version: Version) -> dict[str, Any]:
    script = version.script
    metadata = script.metadata
    return {
        **_version_row(version),
        "resources": {
            "bindings": script_replies.bindings(script),
            "script": {
                "etag": script.etag,
                "handlers": list(script.handlers),
                "last_deployed_from": script.deployed_from,
            },
            "script_runtime": {
                "compatibility_date": metadata.get("compatibility_date", ""),
                "compatibility_flags": metadata.get("compatibility_flags", []),
                "usage_model": metadata.get("usage_model", "standard"),
                **({"limits": metadata["limits"]} if "limits" in metadata else {}),
                **({"migration_tag": metadata["migration_tag"]} if "migration_tag" in metadata else {}),
            },
        },
    }


def _deployment(one: Deployment) -> dict[str, Any]:
    return {
        "id": one.id,
        "source": one.source,
        "strategy": "percentage",
        "author_email": "",
        "annotations": dict(one.annotations),
        "versions": [{"version_id": identity, "percentage": share} for identity, share in one.versions],
        "created_on": one.created_on,
    }


_SCRIPT = "/accounts/<account>/workers/scripts/<name>"
ENDPOINTS = (
    Endpoint("GET", f"{_SCRIPT}/versions", list_versions),
    Endpoint("POST", f"{_SCRIPT}/versions", create_version),
    Endpoint("GET", f"{_SCRIPT}/versions/<version>", get_version),
    Endpoint("GET", f"{_SCRIPT}/deployments", list_deployments),
    Endpoint("POST", f"{_SCRIPT}/deployments", create_deployment),
    Endpoint("GET", f"{_SCRIPT}/deployments/<deployment>", get_deployment),
    Endpoint("DELETE", f"{_SCRIPT}/deployments/<deployment>", delete_deployment),
    Endpoint("GET", f"{_SCRIPT}/subdomain", get_subdomain),
    Endpoint("POST", f"{_SCRIPT}/subdomain", set_subdomain),
    Endpoint("DELETE", f"{_SCRIPT}/subdomain", delete_subdomain),
    Endpoint("GET", f"{_SCRIPT}/schedules", get_schedules),
    Endpoint("PUT", f"{_SCRIPT}/schedules", put_schedules),
    Endpoint("GET", "/accounts/<account>/workers/subdomain", get_account_subdomain),
    Endpoint("PUT", "/accounts/<account>/workers/subdomain", set_account_subdomain),
    Endpoint("DELETE", "/accounts/<account>/workers/subdomain", delete_account_subdomain),
    Endpoint("GET", "/accounts/<account>/workers/services/<name>", get_service),
    Endpoint("DELETE", "/accounts/<account>/workers/services/<name>", delete_service),
    Endpoint("GET", "/accounts/<account>/workers/workers/<name>", get_worker),
)
