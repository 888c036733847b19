"""A JSON Schema as a function that says yes or no, in microseconds.

Law: it says yes if and only if jsonschema does (tests/property/test_validation.py). It knows the keywords that our
own schemas use, and a schema with another one does not compile. Why a document is wrong is told in validation.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from reconciler.model import canonical

Check = Callable[[Any], bool]
Schema = Mapping[str, Any]


@cache
def checker(document: Callable[[], dict[str, Any]]) -> Check:
    """The check of a schema, given by the function that makes it."""
    schema = document()
    return _compiled(schema, _Definitions(schema))


@cache
def pattern(text: str) -> re.Pattern[str]:
    """An expression of ECMAScript, where $ is the end and not also the place before a last line break."""
    return re.compile(text[:-1] + r"\Z" if text.endswith("$") else text)


def is_type(name: str, value: Any) -> bool:
    return _TYPES[name](value)


def unique(value: list[Any], wanted: bool) -> bool:
    return not wanted or len({canonical(one) for one in value}) == len(value)


class _Definitions:
    """The parts that $ref names, compiled when they are first met: most documents meet few of the 38 bindings."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._made: dict[str, Check] = {}

    def __getitem__(self, reference: str) -> Check:
        if reference not in self._made:
            self._made[reference] = _compiled(self._root["$defs"][reference.removeprefix("#/$defs/")], self)
        return self._made[reference]


_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "examples", "default", "errorMessage", "then"}
)
_OF_OBJECTS = ("properties", "patternProperties", "additionalProperties", "propertyNames")


def _compiled(schema: Schema, definitions: _Definitions) -> Check:
    keywords = [keyword for keyword in schema if keyword not in _ANNOTATIONS and keyword not in _OF_OBJECTS]
    checks = [_KEYWORDS[keyword](schema[keyword], schema, definitions) for keyword in keywords]
    checks += [_entries(schema, definitions)] if any(keyword in schema for keyword in _OF_OBJECTS) else []
    if len(checks) == 1:
        return checks[0]

    def all_of(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 - a loop takes half the time of all() with a generator
            if not check(value):
                return False
        return True

    return all_of


def _entries(schema: Schema, definitions: _Definitions) -> Check:
    """Everything about the keys and values of a map, in one pass."""
    known = {name: _compiled(one, definitions) for name, one in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties", True)
    other = _compiled(others, definitions) if isinstance(others, dict) else None
    name_is_good = _compiled(schema["propertyNames"], definitions) if "propertyNames" in schema else None
    patterns = [
        (pattern(one).search, _compiled(rest, definitions)) for one, rest in schema.get("patternProperties", {}).items()
    ]

    def check(value: Any) -> bool:
        if type(value) is not dict:
            return True
        for name, one in value.items():
            own = known.get(name)
            if own is not None:
                if not own(one):
                    return False
            elif not any(search(name) for search, _ in patterns) and not (other(one) if other else others):
                return False
            if name_is_good is not None and not name_is_good(name):
                return False
            for search, rest in patterns:
                if search(name) and not rest(one):
                    return False
        return True

    return check


def _type(names: str | list[str], schema: Schema, definitions: _Definitions) -> Check:
    del schema, definitions
    checks = [_TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    if len(checks) == 1:
        return checks[0]
    first, second = checks
    return lambda value: first(value) or second(value)


def _all_of(parts: Sequence[Schema], schema: Schema, definitions: _Definitions) -> Check:
    """Parts that all say `if a key has this value, then` are looked up by the value."""
    del schema
    cases = [_case(one) for one in parts]
    keys = {case[0] for case in cases if case is not None}
    if len(keys) != 1 or None in cases:
        raise ValueError("allOf is known here as a list of cases of one key")
    key = keys.pop()
    then = {value: reference for _, value, reference in filter(None, cases)}

    def check(value: Any) -> bool:
        if type(value) is not dict or type(value.get(key)) is not str:
            return True
        reference = then.get(value[key])
        return reference is None or definitions[reference](value)

    return check


def _case(part: Schema) -> tuple[str, str, str] | None:
    condition = part.get("if", {})
    for key, one in condition.get("properties", {}).items():
        if set(part) == {"if", "then"} and condition.get("required") == [key] and set(part["then"]) == {"$ref"}:
            return key, one["const"], part["then"]["$ref"]
    return None


def _items(one: Schema, schema: Schema, definitions: _Definitions) -> Check:
    del schema
    check = _compiled(one, definitions)
    return lambda value: type(value) is not list or all(map(check, value))


def _limit(holds: Callable[[Any, Any], bool], applies: Check) -> Any:
    def compiled(limit: Any, schema: Schema, definitions: _Definitions) -> Check:
        del schema, definitions
        return lambda value: not applies(value) or holds(value, limit)

    return compiled


def _enum(known: list[Any], schema: Schema, definitions: _Definitions) -> Check:
    """By JSON's equality, in which true is not 1 and 1.0 is."""
    del schema, definitions
    allowed = {(type(one) is bool, one) for one in known}
    return lambda value: type(value) in _HASHABLE and (type(value) is bool, value) in allowed


def _text_limit(text: str, schema: Schema, definitions: _Definitions) -> Check:
    del schema, definitions
    search = pattern(text).search
    return lambda value: type(value) is not str or search(value) is not None


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


_HASHABLE = (str, int, float, bool, type(None))
_TYPES: Mapping[str, Check] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": _is_number,
}
_TEXT, _LIST, _MAP = _TYPES["string"], _TYPES["array"], _TYPES["object"]

_KEYWORDS: Mapping[str, Callable[[Any, Schema, _Definitions], Check]] = {
    "type": _type,
    "allOf": _all_of,
    "items": _items,
    "enum": _enum,
    "const": lambda value, schema, made: _enum([value], schema, made),
    "pattern": _text_limit,
    "$ref": lambda reference, _, made: lambda value: made[reference](value),
    "required": _limit(lambda value, names: all(name in value for name in names), _MAP),
    "minLength": _limit(lambda value, least: len(value) >= least, _TEXT),
    "minItems": _limit(lambda value, least: len(value) >= least, _LIST),
    "uniqueItems": _limit(unique, _LIST),
    "minimum": _limit(lambda value, least: value >= least, _is_number),
    "maximum": _limit(lambda value, most: value <= most, _is_number),
}
