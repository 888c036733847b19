"""Data against a JSON Schema: a quick yes or no for what is good, and problems in plain words for what is not.

Law: `check` says yes if and only if jsonschema does (tests/property/test_validation.py). jsonschema itself, which
takes longer to import than a small platform takes to load, is asked only when there is something to explain.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from reconciler.errors import Problem, Where
from reconciler.model import canonical
from reconciler.source import Source

Check = Callable[[Any], bool]
Schema = Mapping[str, Any]
Path = tuple[str | int, ...]

MAX_PROBLEMS = 100  # of one file: whoever has more knows what to do after the first
MAX_NAMES, MAX_NAME_LENGTH = 2_000, 100  # looking for a near name takes time for each


@cache
def checker(document: Callable[[], dict[str, Any]]) -> Check:
    """The quick check of a schema, given by the function that makes it."""
    schema = document()
    return _check(schema, _Definitions(schema))


def explain(schema: Schema, source: Source) -> list[Problem]:
    """What is wrong, one problem for each cause, up to MAX_PROBLEMS."""
    import jsonschema  # 95 ms: only when something is wrong

    extend: Any = jsonschema.validators.extend  # untyped in its stubs
    own = {"pattern": _whole_pattern, "uniqueItems": _no_twins}
    errors = extend(jsonschema.Draft202012Validator, own)(dict(schema)).iter_errors(source.data)
    return list(_problems(itertools.islice(errors, MAX_PROBLEMS), source))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The nearest of the names, or "" when none is near."""
    known = sorted(names)[:MAX_NAMES]
    if len(name) > MAX_NAME_LENGTH:
        return ""
    alike = [one for one in known if _bare(one) == _bare(name)]
    close = alike or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return (close or [one for one in known if len(name) > 1 and one.startswith(name)] or [""])[0]


def listed(names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return ", ".join(known[:20]) + more


# --- the quick check: closures that answer yes or no

_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "examples", "default", "errorMessage", "then", "else"}
)
_TYPES: Mapping[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
}


class _Definitions:
    """The parts that $ref names, compiled when they are first met."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._made: dict[str, Check] = {}

    def __getitem__(self, reference: str) -> Check:
        if reference not in self._made:
            self._made[reference] = _check(self._root["$defs"][reference.removeprefix("#/$defs/")], self)
        return self._made[reference]


def _check(schema: Schema, definitions: _Definitions) -> Check:
    tests = [
        _KEYWORDS[keyword](value, schema, definitions)
        for keyword, value in schema.items()
        if keyword not in _ANNOTATIONS
    ]
    if len(tests) == 1:
        return tests[0]

    def all_of(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 - a loop takes half the time of all() with a generator
            if not test(value):
                return False
        return True

    return all_of


def _type(names: str | list[str], schema: Schema, definitions: _Definitions) -> Check:
    del schema, definitions
    tests = [_TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _properties(_: Any, schema: Schema, definitions: _Definitions) -> Check:
    """`properties`, `patternProperties`, `additionalProperties` and `propertyNames` in one pass over the keys."""
    known = {name: _lazy(one, definitions) for name, one in schema.get("properties", {}).items()}
    patterns = [(_pattern(one), _lazy(rest, definitions)) for one, rest in schema.get("patternProperties", {}).items()]
    other = schema.get("additionalProperties", True)
    others = _lazy(other, definitions) if isinstance(other, dict) else lambda _: bool(other)
    names = _check(schema.get("propertyNames", {}), definitions)

    def test(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name, one in value.items():
            own = known.get(name)
            matching = [check for pattern, check in patterns if pattern.search(name)]
            if not names(name) or (own is not None and not own(one)) or not all(check(one) for check in matching):
                return False
            if own is None and not matching and not others(one):
                return False
        return True

    return test


def _lazy(schema: Schema, definitions: _Definitions) -> Check:
    """Compiled at first use: most documents meet few of the 38 kinds of binding."""
    compiled: list[Check] = []

    def test(value: Any) -> bool:
        if not compiled:
            compiled.append(_check(schema, definitions))
        return compiled[0](value)

    return test


def _all_of(parts: Sequence[Schema], schema: Schema, definitions: _Definitions) -> Check:
    del schema
    tests = [_lazy(one, definitions) for one in parts]
    return lambda value: all(test(value) for test in tests)


def _if(condition: Schema, schema: Schema, definitions: _Definitions) -> Check:
    premise, conclusion = _check(condition, definitions), _lazy(schema.get("then", {}), definitions)
    return lambda value: not premise(value) or conclusion(value)


def _items(one: Schema, schema: Schema, definitions: _Definitions) -> Check:
    del schema
    test = _lazy(one, definitions)
    return lambda value: not isinstance(value, list) or all(test(item) for item in value)


def _limit(holds: Callable[[Any, Any], bool], applies: Check) -> Any:
    def compile_(limit: Any, schema: Schema, definitions: _Definitions) -> Check:
        del schema, definitions
        return lambda value: not applies(value) or holds(value, limit)

    return compile_


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """JSON's equality: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _unique(value: list[Any], wanted: bool) -> bool:
    return not wanted or len({canonical(one) for one in value}) == len(value)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """An expression of ECMAScript, where $ is the end and not also the place before a last line break."""
    return re.compile(text[:-1] + r"\Z" if text.endswith("$") else text)


_text, _list, _map = _TYPES["string"], _TYPES["array"], _TYPES["object"]

_KEYWORDS: Mapping[str, Callable[[Any, Schema, _Definitions], Check]] = {
    "type": _type,
    "properties": _properties,
    "patternProperties": lambda value, schema, made: (
        _properties(value, schema, made) if "properties" not in schema else lambda _: True
    ),
    "additionalProperties": lambda value, schema, made: (
        _properties(value, schema, made) if not {"properties", "patternProperties"} & schema.keys() else lambda _: True
    ),
    "propertyNames": lambda value, schema, made: (
        _properties(value, schema, made)
        if not {"properties", "patternProperties", "additionalProperties"} & schema.keys()
        else lambda _: True
    ),
    "allOf": _all_of,
    "if": _if,
    "items": _items,
    "$ref": lambda reference, _, made: lambda value: made[reference](value),
    "required": _limit(lambda value, names: all(name in value for name in names), _map),
    "enum": _limit(lambda value, known: any(_same(value, one) for one in known), lambda _: True),
    "const": _limit(_same, lambda _: True),
    "pattern": _limit(lambda value, text: _pattern(text).search(value) is not None, _text),
    "minLength": _limit(lambda value, least: len(value) >= least, _text),
    "minItems": _limit(lambda value, least: len(value) >= least, _list),
    "uniqueItems": _limit(_unique, _list),
    "minimum": _limit(lambda value, least: value >= least, _is_number),
    "maximum": _limit(lambda value, most: value <= most, _is_number),
}


def _whole_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    del validator, schema
    if isinstance(value, str) and not _pattern(pattern).search(value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _no_twins(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    del validator, schema
    if isinstance(value, list) and not _unique(value, wanted):
        yield jsonschema.ValidationError("not unique")


# --- the explanation: jsonschema's errors in plain words

_NOUNS = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "empty",
}


def _problems(errors: Iterable[Any], source: Source) -> Iterator[Problem]:
    by_place: dict[Path, list[Any]] = {}
    for error in errors:
        by_place.setdefault(tuple(error.absolute_path), []).append(error)
    for path, here in by_place.items():
        inline = _inline_value(path, here)
        if inline:
            yield _inline_secret(path, source.where_key((*path, inline)))
            continue
        unknown = [one for error in here if error.validator == "additionalProperties" for one in _unknown(error)]
        meant = {did_you_mean(name, error.schema.get("properties", ())) for name, error in unknown}
        for name, error in unknown:
            yield _unknown_field(path, name, error, source)
        for error in here:
            if error.validator == "required":
                missing = [name for name in error.validator_value if name not in error.instance]
                yield from (_missing(path, name, error, source) for name in missing if name not in meant)
                meant |= set(missing)  # jsonschema reports each missing name by itself
            elif error.validator != "additionalProperties":
                yield _WORDS[error.validator](path, error, source)


def _inline_value(path: Path, errors: list[Any]) -> str:
    """The field of a secret that holds its value, as far as its name tells."""
    if path[-2:-1] != ("secrets",):
        return ""
    unknown = [name for error in errors if error.validator == "additionalProperties" for name, _ in _unknown(error)]
    return next((name for name in unknown if name in ("value", "text", "secret", "key", "plain", "literal")), "")


def _inline_secret(path: Path, where: Where) -> Problem:
    return Problem(
        f"{subject(path)} has its value written here",
        where,
        why="what stands in a repository is no secret any more",
        fix=f"revoke it, set the next one in the environment, and refer to it: `{path[-1]}: {{env: {path[-1]}}}`",
        code="secret-inline",
    )


def _unknown(error: Any) -> list[tuple[str, Any]]:
    known, patterns = error.schema.get("properties", {}), error.schema.get("patternProperties", {})
    return [
        (name, error)
        for name in error.instance
        if name not in known and not any(_pattern(one).search(name) for one in patterns)
    ]


def _unknown_field(path: Path, name: str, error: Any, source: Source) -> Problem:
    fields = [one for one in error.schema.get("properties", {}) if one != "$schema"]
    nearest = did_you_mean(name, fields)
    return Problem(
        f'{subject(path)} has an unknown field "{name}"',
        source.where_key((*path, name)),
        why=f"{_kind(path, error)} has the fields {', '.join(fields)}",
        fix=f'rename it to "{nearest}"' if nearest else "remove it",
        code="unknown-field",
    )


def _missing(path: Path, name: str, error: Any, source: Source) -> Problem:
    told = error.schema.get("properties", {}).get(name, {})
    examples = told.get("examples", [])
    example = f", as in `{name}: {_shown(examples[0])}`" if examples else ""
    if told.get("type") == "boolean":
        example = f", `{name}: true` or `{name}: false`"
    return Problem(
        f'{subject(path)} has no "{name}"',
        source.where_key(path) if path else source.where(()),
        why=f'"{name}" is required: {_sentence(told)}' if told.get("description") else "it is required",
        fix=f"add it{example}",
        code="missing-field",
    )


def _wrong_type(path: Path, error: Any, source: Source) -> Problem:
    if not path and error.instance is None:
        needed = " and ".join(f"`{name}`" for name in error.schema.get("required", ()))
        return Problem("the file is empty", source.where(), f"it needs {needed}", "", "empty")
    if path[-2:-1] == ("secrets",) and error.instance is not None:
        return _inline_secret(path, source.where(path))
    types = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    wanted = [_NOUNS[one] for one in types if one != "null"]
    what, fix = f"{subject(path)} must be {' or '.join(wanted)}", ""
    text = source.scalar(path)
    if "string" in types and isinstance(error.instance, int | float) and text is not None:
        fix = f'quote it: "{text}"'
    elif "array" in types and not isinstance(error.instance, dict | list):
        fix = f"write it in brackets: [{_shown(error.instance)}]" if error.instance is not None else "write []"
    elif error.instance is None:
        none = {"object": "{}", "array": "[]"}.get(types[0])
        fix = f"write it, or {none} for none" if none else "write it, or remove the key"
    elif isinstance(error.instance, str) and not {"string", "object", "array"} & set(types):
        fix = "take the quotes away" if text is None else f"write {wanted[0]}"
    return Problem(what, source.where(path), f"it is {_noun(error.instance)}", fix, "wrong-type")


def _not_one_of(path: Path, error: Any, source: Source) -> Problem:
    known = [str(one) for one in error.validator_value]
    nearest = did_you_mean(str(error.instance), known)
    return Problem(
        f'{subject(path)} cannot be "{_shown(error.instance)}"',
        source.where(path),
        why=f"it is one of {', '.join(known)}",
        fix=f'write "{nearest}"' if nearest else "",
        code="unknown-value",
    )


def _pattern_words(path: Path, error: Any, source: Source) -> Problem:
    rule = error.schema.get("errorMessage", "")
    if "propertyNames" in error.absolute_schema_path:
        name = str(error.instance)
        where = source.where_key((*path, name))
        noun = _SUBJECTS.get(str(path[-1]), "key")
        what = f'"{name}" cannot be the name of {_article(noun)}'
        return Problem(what, where, rule, _nearest(name, error), "name-syntax")
    fix = _nearest(error.instance, error)
    return Problem(f'{subject(path)} cannot be "{error.instance}"', source.where(path), rule, fix, "syntax")


def _nearest(name: str, error: Any) -> str:
    """The same name in the letters that are allowed, if that makes one."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name[:MAX_NAME_LENGTH]).strip("-")
    for candidate in (plain, plain.replace("-", "_"), plain.lower()):
        if candidate and not name.startswith("rcn-") and _pattern(error.validator_value).search(candidate):
            return f'write "{candidate}"'
    return ""


def _bound(word: str) -> Callable[[Path, Any, Source], Problem]:
    def told(path: Path, error: Any, source: Source) -> Problem:
        what = f"{subject(path)} is {_shown(error.instance)}"
        return Problem(what, source.where(path), f"{word} {error.validator_value:,}", "", "out-of-range")

    return told


def _empty(path: Path, error: Any, source: Source) -> Problem:
    del error
    return Problem(f"{subject(path)} is empty", source.where(path), "", "write it, or remove the key", "empty")


def _twice(path: Path, error: Any, source: Source) -> Problem:
    seen = [canonical(one) for one in error.instance]
    at = next(at for at, one in enumerate(seen) if seen.index(one) < at)
    what = f'{subject(path)} names "{_shown(error.instance[at])}" twice'
    return Problem(what, source.where((*path, at)), "", "remove one of the two", "twice")


_WORDS: Mapping[str, Callable[[Path, Any, Source], Problem]] = {
    "type": _wrong_type,
    "enum": _not_one_of,
    "const": _not_one_of,
    "pattern": _pattern_words,
    "minimum": _bound("it is at least"),
    "maximum": _bound("it is at most"),
    "minLength": _empty,
    "minItems": _empty,
    "uniqueItems": _twice,
}

# What a thing is called in a message, by the key that it stands under.
_SUBJECTS = {
    "scripts": "script",
    "tiers": "tier",
    "bindings": "binding",
    "vars": "variable",
    "secrets": "secret",
    "outbound_workers": "outbound Worker",
    "tail_workers": "tail Worker",
    "platform_modules": "platform module",
    "environments": "environment",
}


def subject(path: Path) -> str:
    """The thing at a path, in the user's words: `binding CACHE`, `limits.cpu_ms`."""
    if not path:
        return "the file"
    for at in range(len(path) - 1, 0, -1):
        if path[at - 1] in _SUBJECTS and isinstance(path[at], str):
            rest = path[at + 1 :]
            name = f"{_SUBJECTS[str(path[at - 1])]} {path[at]}"
            return f"{_dotted(rest)} of {name}" if rest else name
    return _dotted(path)


def _dotted(path: Sequence[str | int]) -> str:
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return text.removeprefix(".")


def _kind(path: Path, error: Any) -> str:
    """What the thing is one of: `a kv_namespace binding`, `a script`."""
    if len(path) > 1 and path[-2] == "bindings" and isinstance(error.instance.get("type"), str):
        return _article(f"{error.instance['type']} binding")
    if len(path) > 1 and path[-2] in _SUBJECTS and isinstance(path[-1], str):
        return _article(_SUBJECTS[str(path[-2])])
    return "it"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' or noun.startswith('r2') else 'a'} {noun}"


def _sentence(schema: Schema) -> str:
    text = str(schema["description"]).rstrip(".")
    return text[0].lower() + text[1:]


def _noun(value: Any) -> str:
    return next(_NOUNS[name] for name in ("boolean", "integer", *_NOUNS) if _TYPES[name](value))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)[:80]


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
