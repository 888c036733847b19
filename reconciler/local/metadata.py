"""The metadata of an upload and the body of a settings change: which keys there are, and what each may hold.

To add a key: one row in KEYS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from reconciler.local.envelope import refuse

TAGS_PER_SCRIPT = 8
_USAGE_MODELS = ("standard", "bundled", "unbound")
_HTML_HANDLING = ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none")
_NOT_FOUND_HANDLING = ("none", "404-page", "single-page-application")
# (least, most): CPU time can be raised to five minutes, subrequests to ten million.
_LIMITS = {"cpu_ms": (1, 300_000), "subrequests": (1, 10_000_000)}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Problem = str  # "" where there is none


def checked(metadata: Any, *, settings: bool = False) -> dict[str, Any]:
    """The object, or a refusal that names what is wrong with it. `settings`: of a settings change."""
    where = "settings" if settings else "metadata"
    if not isinstance(metadata, dict):
        raise refuse(10021, why=f"{where} must be a JSON object")
    for key, value in metadata.items():
        if key not in KEYS or (settings and key in _UPLOAD_ONLY):
            raise refuse(10021, why=f"{where} has an unknown field `{key}`")
        if value is not None and (why := KEYS[key](value)):
            raise refuse(10021, why=f"{where}.{key} {why}")
    return metadata


def tags_problem(tags: Any) -> Problem:
    """What is wrong with a script's tags."""
    if why := _strings(tags):
        return why
    if len(set(tags)) > TAGS_PER_SCRIPT:
        return f"has {len(set(tags))} tags, {TAGS_PER_SCRIPT} are allowed"
    bad = next((tag for tag in tags if not tag or "," in tag or "&" in tag), None)
    return "" if bad is None else f"has the tag {bad!r}: a tag is not empty and holds no comma and no &"


def _string(value: Any) -> Problem:
    return "" if isinstance(value, str) else "must be a string"


def _boolean(value: Any) -> Problem:
    return "" if isinstance(value, bool) else "must be true or false"


def _object(value: Any) -> Problem:
    return "" if isinstance(value, dict) else "must be an object"


def _list(value: Any) -> Problem:
    return "" if isinstance(value, list) else "must be a list"


def _strings(value: Any) -> Problem:
    return "" if isinstance(value, list) and all(isinstance(one, str) for one in value) else "must be a list of strings"


def _one_of(*allowed: str) -> Callable[[Any], Problem]:
    return lambda value: "" if value in allowed else f"must be one of {', '.join(allowed)}"


def _compatibility_date(value: Any) -> Problem:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return "must be a date such as 2026-11-01"
    try:
        date.fromisoformat(value)
    except ValueError:
        return f"is no date: {value}"
    return ""


def _limits(value: Any) -> Problem:
    if not isinstance(value, dict):
        return "must be an object"
    for name, number in value.items():
        if name not in _LIMITS:
            return f"has an unknown field `{name}`"
        least, most = _LIMITS[name]
        if number is not None and (type(number) is not int or not least <= number <= most):
            return f"has a {name} that is no whole number from {least} to {most}"
    return ""


def _observability(value: Any) -> Problem:
    if not isinstance(value, dict) or not isinstance(value.get("enabled"), bool):
        return "must be an object with `enabled`"
    rate = value.get("head_sampling_rate")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1):
        return "has a head_sampling_rate that is no number from 0 to 1"
    return ""


def _tail_consumers(value: Any) -> Problem:
    if not isinstance(value, list):
        return "must be a list"
    held = all(isinstance(one, dict) and isinstance(one.get("service"), str) for one in value)
    return "" if held else "must be a list of objects with a `service`"


def _assets(value: Any) -> Problem:
    if not isinstance(value, dict):
        return "must be an object"
    config = value.get("config") or {}
    if not isinstance(config, dict):
        return "has a config that is no object"
    for name, allowed in (("html_handling", _HTML_HANDLING), ("not_found_handling", _NOT_FOUND_HANDLING)):
        if config.get(name) is not None and config[name] not in allowed:
            return f"has a config with a {name} that is none of {', '.join(allowed)}"
    first = config.get("run_worker_first")
    if first is not None and not isinstance(first, bool) and _strings(first):
        return "has a config with a run_worker_first that is neither true nor false nor a list of patterns"
    return ""


KEYS: Mapping[str, Callable[[Any], Problem]] = {
    "annotations": _object,  # namespace scripts: accepted and not kept, as wrangler sends it to them too
    "assets": _assets,
    "bindings": _list,
    "body_part": _string,
    "cache_options": _object,
    "code_update_strategy": _object,  # sent by wrangler; says how fast an update spreads
    "compatibility_date": _compatibility_date,
    "compatibility_flags": _strings,
    "exports": _object,
    "keep_assets": _boolean,
    "keep_bindings": _strings,
    "limits": _limits,
    "logpush": _boolean,
    "main_module": _string,
    "migrations": _object,
    "observability": _observability,
    "package_dependencies": _list,
    "placement": _object,
    "tags": tags_problem,
    "tail_consumers": _tail_consumers,
    "usage_model": _one_of(*_USAGE_MODELS),
}
_UPLOAD_ONLY = ("assets", "body_part", "code_update_strategy", "keep_assets", "main_module", "package_dependencies")
# What is kept with a script, besides its bindings; the rest is used up by the upload, or has a place of its own.
KEPT = (
    "cache_options",
    "compatibility_date",
    "compatibility_flags",
    "exports",
    "limits",
    "logpush",
    "observability",
    "package_dependencies",
    "placement",
    "tail_consumers",
    "usage_model",
)
