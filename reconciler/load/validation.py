"""What is wrong with data by a JSON Schema, in plain words and in its place.

Good data never comes here: checker.py says yes in microseconds. jsonschema takes longer to import than a small
platform takes to load, so it is asked only when there is something to explain.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.errors import ConfigError, Problem, Where
from reconciler.load.checker import checker, is_type, pattern, unique
from reconciler.load.source import MAX_PROBLEMS, Source
from reconciler.model import canonical
from reconciler.names import did_you_mean

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]


class NotValid(ConfigError):
    """A source is not what its schema says. Holds what is left of it, so that all else that is wrong can be told."""

    def __init__(self, problems: Iterable[Problem], left: Source | None, gone: Collection[Path]) -> None:
        """`left` is valid but for what a file has to have at its top, and None where too much would have to go. `gone`
        are the paths that were taken out, those that are missing, and those that were meant by a name that is none."""
        super().__init__(problems)
        self.left, self.gone = left, gone


def refuse_bad(document: Callable[[], dict[str, Any]], source: Source) -> None:
    """Raise NotValid when a source is not what the schema says, which is given by the function that makes it."""
    if not checker(document)(source.data):
        errors = _errors(document(), source.data)
        left, gone = _left(document, source, errors)
        raise NotValid(_problems(errors, source), left, gone)


def explain(schema: Schema, source: Source) -> list[Problem]:
    """What is wrong, one problem for each cause, up to MAX_PROBLEMS."""
    return list(_problems(_errors(schema, source.data), source))


def _errors(schema: Schema, value: Any) -> list[Any]:
    import jsonschema  # 95 ms: only when something is wrong

    extend: Any = jsonschema.validators.extend  # untyped in its stubs
    own = {"pattern": _whole_pattern, "uniqueItems": _no_twins}
    found = extend(jsonschema.Draft202012Validator, own)(dict(schema)).iter_errors(value)
    return list(itertools.islice(found, MAX_PROBLEMS))


def _left(
    document: Callable[[], dict[str, Any]], source: Source, errors: list[Any]
) -> tuple[Source | None, Collection[Path]]:
    """What is valid of a source, and what is not. Where something required is wrong, what it belongs to goes too."""
    left, gone = source.data, set[Path]()
    for _ in range(_LEVELS):
        wrong = {path for error in errors for path in itertools.islice(_places(error), MAX_PROBLEMS)}
        if () in wrong:
            break
        gone |= wrong
        left = _without(left, {_in_a_map(path) for path in wrong})
        errors = [] if checker(document)(left) else _errors(document(), left)
        if all(_at_the_top_is_missing(error) for error in errors):
            return replace(source, data=left), gone | {path for error in errors for path in _places(error)}
    return None, gone


def _at_the_top_is_missing(error: Any) -> bool:
    return not error.absolute_path and error.validator == "required"


def _places(error: Any) -> Iterator[Path]:
    """What an error says is wrong, and what a wrong name was meant to be."""
    path: Path = tuple(error.absolute_path)
    if _at_the_top_is_missing(error):
        yield from ((name,) for name in error.validator_value if name not in error.instance)
    elif error.validator == "additionalProperties":
        for name, _ in _unknown(error):
            yield (*path, name)
            meant = did_you_mean(name, error.schema.get("properties", ()))
            if meant and meant not in error.instance:
                yield (*path, meant)
    elif "propertyNames" in error.absolute_schema_path:
        yield (*path, str(error.instance))
    else:
        yield path


def _in_a_map(path: Path) -> Path:
    """What holds it and has a name of its own: without one element, the others of a list would change their places."""
    numbered = next((at for at, part in enumerate(path) if isinstance(part, int)), len(path))
    return path[:numbered]


def _without(value: Any, paths: Collection[Path]) -> Any:
    if not isinstance(value, dict):
        return value
    below: dict[str | int, set[Path]] = {}
    for first, *rest in paths:
        below.setdefault(first, set()).add(tuple(rest))
    kept = {name: one for name, one in value.items() if () not in below.get(name, ())}
    return kept | {name: _without(kept[name], below[name]) for name in below if name in kept}


def _whole_pattern(validator: Any, text: str, value: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    del validator, schema
    if isinstance(value, str) and not pattern(text).search(value):
        yield jsonschema.ValidationError("does not match")


def _no_twins(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    del validator, schema
    if isinstance(value, list) and not unique(value, wanted):
        yield jsonschema.ValidationError("not unique")


_LEVELS = 4  # from a value to the script or binding that cannot be without it, and one more
_LONGEST_NAME = 100  # that a better one is looked for

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
        # What is empty does not match either, and the pattern's rule says more.
        told = {"additionalProperties", *("minLength" for error in here if error.validator == "pattern")}
        for error in here:
            if error.validator == "required":
                missing = [name for name in error.validator_value if name not in error.instance]
                yield from (_missing(path, name, error, source) for name in missing if name not in meant)
                meant |= set(missing)  # jsonschema reports each missing name by itself
            elif error.validator not in told:
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
        if name not in known and not any(pattern(one).search(name) for one in patterns)
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
        f"{subject(path)} cannot be {_quoted(error.instance)}",
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
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name[:_LONGEST_NAME]).strip("-")
    with_dots = re.sub(r"[^A-Za-z0-9.]+", "-", name[:_LONGEST_NAME]).strip("-.")
    for candidate in (with_dots, plain, plain.replace("-", "_"), plain.lower()):
        if candidate and not name.startswith("rcn-") and pattern(error.validator_value).search(candidate):
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
    "headers": "header",
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
    return next(_NOUNS[name] for name in ("boolean", "integer", *_NOUNS) if is_type(name, value))


def _quoted(value: Any) -> str:
    return _shown(value) if isinstance(value, dict | list) else f'"{_shown(value)}"'


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return canonical(value)[:80] if isinstance(value, dict | list) or value is None else str(value)[:80]
