"""Scripts as the API shows them: rows of listings, replies to uploads, settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from reconciler.local.records import ScriptRow, StoredScript, Syntax
from reconciler.local.switches import Switches

_SALT = b"etag"  # an etag is not the plain hash of anything that a client has
_OBSERVABILITY = {"enabled": False, "head_sampling_rate": 1}
_LOGS = {"enabled": False, "head_sampling_rate": 1, "invocation_logs": True, "persist": True}


def etag_of(script: StoredScript, switches: Switches) -> str:
    """64 hex that change with the code, and with what the switches say. The same content has the same etag."""
    digest = hashlib.sha256(_SALT + script.main.encode())
    for module in script.modules:
        digest.update(json.dumps([module.name, module.type, len(module.content)]).encode())
        digest.update(module.content)
    parts: dict[str, Any] = {"assets": {path: one.hash for path, one in script.assets.items()}}
    if "metadata" in switches.etag_moved_by:
        parts["metadata"] = script.metadata
    if "tags" in switches.etag_moved_by:
        parts["tags"] = script.tags
    if "secrets" in switches.etag_moved_by:
        parts["secrets"] = script.secrets
    digest.update(json.dumps(parts, sort_keys=True).encode())
    return digest.hexdigest()


def flat(row: ScriptRow) -> dict[str, Any]:
    """A script's row, as the listing of ordinary Workers has it."""
    metadata = row.metadata
    return {
        "id": row.name,
        "tag": row.id,
        "tags": None if row.tags is None else list(row.tags),
        "etag": row.etag,
        "handlers": list(row.handlers),
        "created_on": row.created_on,
        "modified_on": row.modified_on,
        "last_deployed_from": row.deployed_from,
        "has_assets": row.has_assets,
        "has_modules": row.syntax is Syntax.MODULES,
        "compatibility_date": metadata.get("compatibility_date", ""),
        "compatibility_flags": metadata.get("compatibility_flags", []),
        "logpush": metadata.get("logpush", False),
        "observability": observability(metadata.get("observability")),
        "tail_consumers": metadata.get("tail_consumers"),
        "usage_model": metadata.get("usage_model", "standard"),
        **{key: metadata[key] for key in ("cache_options", "exports", "migration_tag", "placement") if key in metadata},
    }


def listed(row: ScriptRow, switches: Switches) -> dict[str, Any]:
    """A row of a namespace's listing, in the form that the switches say."""
    shown = flat(row)
    if not switches.tags_in_rows:
        del shown["tags"]
    if not switches.etag_in_rows:
        del shown["etag"]
    return nested(row, shown) if switches.rows == "nested" else shown


def nested(row: ScriptRow, shown: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A script of a namespace, as its own GET has it."""
    return {
        "dispatch_namespace": row.namespace,
        "created_on": row.created_on,
        "modified_on": row.modified_on,
        "script": shown or flat(row),
    }


def uploaded(row: ScriptRow) -> dict[str, Any]:
    """The reply to an upload. Nothing is started before it is first asked for, so the start took no time."""
    return {
        **flat(row),
        "entry_point": row.main,
        "deployment_id": row.version_id.replace("-", ""),
        "startup_time_ms": 0,
    }


def bindings(script: StoredScript) -> list[dict[str, Any]]:
    """Every binding by name; of a secret its name and kind, never its value."""
    shown = [dict(one) for one in script.bindings] + secrets(script)
    return sorted(shown, key=lambda one: str(one["name"]))


def secrets(script: StoredScript) -> list[dict[str, Any]]:
    return [secret(name, binding) for name, binding in sorted(script.secrets.items())]


def secret(name: str, binding: Mapping[str, Any]) -> dict[str, Any]:
    """A secret as it is shown: what it may be used for, never its value."""
    shown = {key: binding[key] for key in ("algorithm", "format", "usages") if key in binding}
    return {"name": name, "type": binding["type"], **shown}


def settings(script: StoredScript) -> dict[str, Any]:
    """The only place where limits can be read back."""
    metadata = script.metadata
    return {
        "bindings": bindings(script),
        "compatibility_date": metadata.get("compatibility_date", ""),
        "compatibility_flags": metadata.get("compatibility_flags", []),
        "limits": metadata.get("limits"),
        "usage_model": metadata.get("usage_model", "standard"),
        "placement": metadata.get("placement") or None,
        "cache_options": metadata.get("cache_options"),
        **{key: metadata[key] for key in ("exports", "migration_tag") if key in metadata},
        **script_settings(script),
    }


def script_settings(row: ScriptRow) -> dict[str, Any]:
    """The settings that are no part of a version."""
    return {
        "logpush": row.metadata.get("logpush", False),
        "observability": observability(row.metadata.get("observability")),
        "tags": None if row.tags is None else list(row.tags),
        "tail_consumers": row.metadata.get("tail_consumers"),
    }


def observability(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """With Cloudflare's defaults filled in, as replies were seen to have them."""
    given = given or {}
    shown = {**_OBSERVABILITY, **given}
    shown["logs"] = {**_LOGS, "enabled": shown["enabled"], **(given.get("logs") or {})}
    return shown
