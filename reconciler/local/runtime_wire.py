"""A stored script as the platform's Worker loads it: modules, values, bindings and limits as one JSON object. Pure.

To add a binding kind: one row in `_BINDINGS` and one function in workers/local/injected/bindings.mjs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.local.records import StoredModule, StoredScript, Syntax

Wire = dict[str, Any]

OLDEST_DATE = "2021-11-02"  # what Cloudflare takes for an upload without a compatibility date
NAVIGATION_DATE = "2025-04-01"  # from here a browser's navigation prefers a page over the code
_KINDS = {
    "application/javascript+module": "js",
    "text/javascript+module": "js",
    "application/javascript": "cjs",
    "text/javascript": "cjs",
    "application/wasm": "wasm",
    "application/json": "json",
    "text/plain": "text",
    "text/html": "text",
}
_NOT_LOADED = frozenset({"application/source-map", "text/x-python", "text/x-python-requirement"})
_BINARY = frozenset({"data", "wasm"})


def wire(script: StoredScript, *, trusted: bool, newest_date: str) -> Wire:
    """Everything that is needed to run a script. A compatibility date that workerd does not know yet is its newest."""
    values, bindings = _environment(script)
    metadata = script.metadata
    limits = metadata.get("limits") or {}
    return {
        "namespace": script.namespace,
        "name": script.name,
        "revision": script.revision,
        "syntax": script.syntax.value,
        "main": script.main.removeprefix("./"),
        "modules": [_module(script, one) for one in script.modules if one.type not in _NOT_LOADED],
        "compatibilityDate": min(metadata.get("compatibility_date") or OLDEST_DATE, newest_date),
        "compatibilityFlags": _flags(metadata.get("compatibility_flags") or ()),
        "limits": _without_none({"cpuMs": limits.get("cpu_ms"), "subRequests": limits.get("subrequests")}),
        "values": values,
        "bindings": bindings,
        "assets": _assets(script) if script.assets else None,
        "tails": _tails(script),
        "trusted": trusted,
        "suspect": False,
        "problem": _problem(script),
    }


def _problem(script: StoredScript) -> str | None:
    main = script.main_module
    if main is not None and main.type == "text/x-python":
        return f"{script.name} is a Python Worker. The embedded platform runs JavaScript and WebAssembly only."
    return None


def _flags(flags: Any) -> list[str]:
    # The injected modules carry each request's context through node:async_hooks.
    enough = {"nodejs_als", "nodejs_compat", "nodejs_compat_v2"}
    return [*flags] if enough.intersection(flags) else [*flags, "nodejs_als"]


def _module(script: StoredScript, module: StoredModule) -> Wire:
    kind = _KINDS.get(module.type, "data")
    if script.syntax is Syntax.SERVICE_WORKER and module.name == script.main:
        kind = "cjs"  # the one kind of module that is not strict, as scripts are not
    name = module.name.removeprefix("./")
    if kind in _BINARY:
        return {"name": name, "kind": kind, "base64": base64.b64encode(module.content).decode()}
    return {"name": name, "kind": kind, "text": module.content.decode("utf-8", "replace")}


def _environment(script: StoredScript) -> tuple[Wire, list[Wire]]:
    """Plain values by name, and the bindings that need more."""
    values: Wire = {}
    bindings: list[Wire] = []
    secrets = [{"name": name, **binding} for name, binding in script.secrets.items()]
    for binding in (*script.bindings, *secrets):
        name, kind = binding["name"], binding["type"]
        if kind in _VALUES:
            values[name] = _VALUES[kind](script, binding)
        elif kind in _BINDINGS:
            bindings.append({"name": name, "kind": kind, **_BINDINGS[kind](script, binding)})
        else:
            why = _REASONS.get(kind, "it has no local stand-in")
            bindings.append({"name": name, "kind": "unavailable", "type": kind, "why": why})
    return values, bindings


def _json_value(value: Any) -> Any:
    """The SDK sends JSON as text, wrangler as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _version(script: StoredScript, _binding: Mapping[str, Any]) -> Wire:
    return {"id": script.version_id, "tag": "", "timestamp": script.modified_on}


def _text_part(script: StoredScript, binding: Mapping[str, Any]) -> str:
    found = next((one for one in script.modules if one.name == binding.get("part")), None)
    return found.content.decode("utf-8", "replace") if found else ""


def _kv(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    return {"stub": {"entrypoint": "Storage", "props": {"kind": "kv", "id": binding["namespace_id"]}}}


def _d1(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    identity = binding.get("id") or binding.get("database_id")
    return {"stub": {"entrypoint": "Storage", "props": {"kind": "d1", "id": identity}}}


def _r2(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    return {"stub": {"entrypoint": "Storage", "props": {"kind": "r2", "id": binding["bucket_name"]}}}


def _service(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    props = {"namespace": "", "service": binding["service"], "entrypoint": binding.get("entrypoint")}
    return {"stub": {"entrypoint": "Service", "props": {**_without_none(props), "props": binding.get("props") or {}}}}


def _dispatch(script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    """The dispatcher's tail Workers get the events of the user Workers that it calls."""
    outbound = binding.get("outbound")
    parameters = [one["name"] if isinstance(one, dict) else one for one in (outbound or {}).get("params") or ()]
    through = None
    if outbound:
        worker = outbound["worker"]
        entrypoint = worker.get("entrypoint")
        through = _without_none({"service": worker["service"], "entrypoint": entrypoint, "parameters": parameters})
    props = {"namespace": binding["namespace"], "outbound": through, "tails": _tails(script)}
    return {"parameters": parameters, "stub": {"entrypoint": "Dispatch", "props": props}}


def _tails(script: StoredScript) -> list[str]:
    return [one["service"] for one in script.metadata.get("tail_consumers") or ()]


def _own_assets(script: StoredScript, _binding: Mapping[str, Any]) -> Wire:
    return {"stub": {"entrypoint": "Assets", "props": {"namespace": script.namespace, "name": script.name}}}


def _rate_limit(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    return {"limit": binding["simple"]["limit"], "period": binding["simple"]["period"]}


def _secret_key(_script: StoredScript, binding: Mapping[str, Any]) -> Wire:
    return {
        "format": binding["format"],
        "key": binding.get("key_jwk") or binding.get("key_base64"),
        "algorithm": binding["algorithm"],
        "usages": binding.get("usages") or [],
        "extractable": False,
    }


Reader = Callable[[StoredScript, Mapping[str, Any]], Any]

_VALUES: Mapping[str, Reader] = {
    "plain_text": lambda _script, binding: binding["text"],
    "secret_text": lambda _script, binding: binding["text"],
    "json": lambda _script, binding: _json_value(binding["json"]),
    "text_blob": _text_part,
    "version_metadata": _version,
}
_BINDINGS: Mapping[str, Reader] = {
    "analytics_engine": lambda _script, _binding: {},
    "assets": _own_assets,
    "d1": _d1,
    "dispatch_namespace": _dispatch,
    "kv_namespace": _kv,
    "queue": lambda _script, binding: {"queue": binding["queue_name"]},
    "r2_bucket": _r2,
    "ratelimit": _rate_limit,
    "secret_key": _secret_key,
    "service": _service,
}
_REASONS = {
    "durable_object_namespace": "Durable Objects of loaded Workers are not run locally",
    "ai": "models run at Cloudflare only",
    "browser": "browsers run at Cloudflare only",
}


def _assets(script: StoredScript) -> Wire:
    given = script.metadata.get("assets") or {}
    config = given.get("config") or {}
    date = script.metadata.get("compatibility_date") or OLDEST_DATE
    return {
        "files": {path: one.hash for path, one in script.assets.items()},
        "htmlHandling": config.get("html_handling") or "auto-trailing-slash",
        "notFoundHandling": config.get("not_found_handling") or "none",
        "workerFirst": config.get("run_worker_first") or False,
        "headers": config.get("_headers") or "",
        "redirects": config.get("_redirects") or "",
        "navigation": date >= NAVIGATION_DATE,
    }


def _without_none(values: Mapping[str, Any]) -> Wire:
    return {name: value for name, value in values.items() if value is not None}
