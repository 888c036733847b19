"""A plan as JSON: everything in it, versioned, and read back without loss.

Law: `read(render(plan)) == plan`. The form follows the dataclasses of plan/, and PLAN_SCHEMA follows the form, so
that a new field of a plan needs nothing here; FORMAT_VERSION goes up when a field goes away or changes its meaning.
The text is ASCII: what a name may hold reaches no terminal and no log as anything but \\u escapes.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from reconciler.errors import ConfigError, NotReviewed, Problem
from reconciler.model import canonical
from reconciler.plan import ABSENT, Plan
from reconciler.show import words
from reconciler.show.json_position import position

FORMAT_VERSION = 1
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def render(plan: Plan) -> str:
    """Sorted, one line for each change, so that line tools and diffs work on it."""
    document = {**_encode(plan), **_derived(plan)}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(document[name])}" for name in sorted(document)) + "\n}\n"


def read(text: str, file: str = "plan.json") -> Plan:
    """The plan that a file holds, for `apply --plan` and for showing it elsewhere.

    Raises ConfigError, with line and column, for a file that is no plan of this version, and NotReviewed for one that
    was edited: its digest is not that of its changes.
    """
    document = _parsed(text, file)
    try:
        version = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(document, dict) and version != FORMAT_VERSION:
            raise _Malformed(("format_version",), f"this is no plan of format {FORMAT_VERSION}", "make the plan anew")
        plan: Plan = _decode(Plan, document, ())
    except _Malformed as wrong:
        raise ConfigError([wrong.problem(text, file)]) from None
    if document["digest"] != plan.digest:
        where = position(text, ("digest",), file)
        raise NotReviewed(
            [Problem("the plan was edited after it was made: its digest is another one", where, code="plan-file")]
        )
    return plan


def plan_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of `plan --format json`."""
    definitions: dict[str, Any] = {}
    _schema(Plan, definitions)
    root = definitions.pop("Plan")
    root["properties"] |= {
        "format_version": {"const": FORMAT_VERSION},
        "digest": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Names the plan, for --expect."},
        "summary": {
            "type": "object",
            "description": "The line that says it all, and its numbers.",
            "properties": {"text": {"type": "string"}} | dict.fromkeys(_SUMMARY_COUNTS, _COUNT),
            "required": ["text", *_SUMMARY_COUNTS],
            "additionalProperties": False,
        },
    }
    root["required"] = sorted(root["properties"])
    return {"$schema": SCHEMA_DIALECT, "title": "Plan", **root, "$defs": dict(sorted(definitions.items()))}


class _Malformed(Exception):
    """What is wrong at a place of the document."""

    def __init__(self, path: tuple[str | int, ...], what: str, fix: str = "") -> None:
        super().__init__(what)
        self.path, self.what, self.fix = path, what, fix

    def problem(self, text: str, file: str) -> Problem:
        fix = self.fix or "make the plan anew with `reconciler plan --out FILE`"
        return Problem(self.what, position(text, self.path, file), fix=fix, code="plan-file")


_SUMMARY_COUNTS = ("create", "update", "delete", "withheld", "blocked")
_COUNT = {"type": "integer", "minimum": 0}


def _derived(plan: Plan) -> dict[str, Any]:
    counts = {action.value: count for action, count in plan.count.items()}
    counts |= {"withheld": len(plan.withheld), "blocked": len(plan.blocked)}
    return {
        "format_version": FORMAT_VERSION,
        "digest": plan.digest,
        "summary": {"text": words.summary_line(plan), **counts},
    }


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, sort_keys=True)
    return "[\n  " + ",\n  ".join(json.dumps(one, sort_keys=True) for one in value) + "\n]"


def _parsed(text: str, file: str) -> Any:
    fix = "make the plan anew, with `reconciler plan --out FILE`"
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = position(text, error.pos, file)
        raise ConfigError([Problem(f"this is not JSON: {error.msg}", where, fix=fix, code="plan-file")]) from None
    except (ValueError, RecursionError) as error:  # NaN, a number of 5,000 digits, 100,000 brackets
        where = position(text, 0, file)
        raise ConfigError(
            [Problem("this is not JSON that a plan could be", where, why=str(error), fix=fix, code="plan-file")]
        ) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _encode(one) for name, one in fields if one is not ABSENT}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, frozenset):
        return sorted((_encode(one) for one in value), key=canonical)
    if isinstance(value, Mapping):
        return {str(key): _encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(one) for one in value]
    return value


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type and whether it may be missing, of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    return tuple((field.name, hints[field.name], hints[field.name] is Any) for field in dataclasses.fields(kind))


def _decode(kind: Any, value: Any, path: tuple[str | int, ...]) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_object(kind, value, path)
    if isinstance(kind, types.UnionType):  # every union here is "one type, or null"
        return None if value is None else _decode(typing.get_args(kind)[0], value, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise _Malformed(path, f"{_told(value)} is none of {', '.join(kind)}")
        return kind(value)
    container = typing.get_origin(kind)
    if container in (tuple, frozenset):
        one = typing.get_args(kind)[0]
        return container(_decode(one, item, (*path, at)) for at, item in enumerate(_checked(list, value, path)))
    return _checked(kind, value, path)


def _decode_object(kind: type, value: Any, path: tuple[str | int, ...]) -> Any:
    found = _checked(dict, value, path)
    arguments: dict[str, Any] = {}
    for name, one, optional in _fields(kind):
        if name in found:
            arguments[name] = _decode(one, found[name], (*path, name))
        elif optional:
            arguments[name] = ABSENT
        else:
            raise _Malformed(path, f"the field {name} is missing")
    if kind is Plan and "digest" not in found:
        raise _Malformed(path, "the field digest is missing")
    return kind(**arguments)


_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _checked(kind: type, value: Any, path: tuple[str | int, ...]) -> Any:
    if type(value) is not kind:  # isinstance would take true for a whole number
        raise _Malformed(path, f"{_told(value)} is not {_NAMES[kind]}")
    return value


def _told(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


_SCHEMAS: Mapping[type, dict[str, Any]] = {str: {"type": "string"}, int: _COUNT, bool: {"type": "boolean"}}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _schema_of_object(kind, definitions)
    if isinstance(kind, types.UnionType):
        return {"anyOf": [_schema(typing.get_args(kind)[0], definitions), {"type": "null"}]}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": list(map(str, kind))}
    if typing.get_origin(kind) in (tuple, frozenset):
        return {"type": "array", "items": _schema(typing.get_args(kind)[0], definitions)}
    return _SCHEMAS[kind]


def _schema_of_object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # stands there already while its own fields are looked at
        fields = _fields(kind)
        definitions[kind.__name__] = {
            "type": "object",
            "description": (kind.__doc__ or "").partition("\n")[0],
            "properties": {name: _schema(one, definitions) for name, one, _ in fields},
            "required": sorted(name for name, _, optional in fields if not optional),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}
