"""What differs inside a changed resource, for people: fields with DeepDiff, code as unified diffs.

Law: canonical JSON differs if and only if there is at least one FieldChange (tests/property/test_explain.py).
Pure. Nothing is decided here: digests have decided already.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler import routing
from reconciler.model import Module, Spec, Worker, canonical
from reconciler.plan import ABSENT, CodeChange, Explanation, FieldChange
from reconciler.routing import told as routing_told

CONTEXT_LINES = 3
# Past these a line diff tells a reader nothing (a bundle on one line), or takes difflib seconds.
LONGEST_LINE = 2_000
LONGEST_AVERAGE = 500
LARGEST_BYTES = 1 << 20
MOST_LINES = 5_000  # from the first line that differs to the last: 1.5 s at worst

# Modules that we compile from data: a reader wants to know which script lost its outbound Worker, not which line.
# Each with the word that its fields stand under.
DATA_MODULES: Mapping[str, tuple[str, Callable[[bytes], Spec]]] = {routing.MODULE_NAME: ("routes", routing_told.told)}

NO_NEWLINE = "\\ No newline at end of file"  # as git and diff have it
HIDDEN = "***"
_HUNK_START = re.compile(r"(?<=[-+])\d+")
_SECRET_BINDINGS = frozenset({"secret_text", "secret_key"})
_SECRET_FIELDS = frozenset({"text", "key_base64", "key_jwk"})


def explain_worker(before: Worker | None, after: Worker | None) -> Explanation:
    """Everything that differs between two uploads; None for a Worker that is new, or gone.

    A module that differs is told once: as code, or by its fields where it holds data of ours.
    """
    old, new = before.modules if before else (), after.modules if after else ()
    data = {name: changes for name in DATA_MODULES if (changes := _explain_data(name, old, new))}
    code = tuple(one for one in explain_code(old, new) if one.module not in data)
    fields = [
        one for one in explain(before.spec() if before else {}, after.spec() if after else {}) if not _is_code(one)
    ]
    return Explanation((*fields, *(change for changes in data.values() for change in changes)), code)


def explain(before: Spec, after: Spec) -> tuple[FieldChange, ...]:
    """Every field that differs, by path. A list of plain values is told whole: positions in it say nothing."""
    old, new = _differing(_plain(before), _plain(after))
    if not old and not new:
        return ()  # DeepDiff takes 0.1 s to import
    found = {path: (left, right) for path, left, right in _differences(old, new)}
    return tuple(
        FieldChange(path, *_without_secrets(path, found[path], before, after)) for path in sorted(found, key=_by_number)
    )


def explain_code(before: Sequence[Module], after: Sequence[Module]) -> tuple[CodeChange, ...]:
    """The modules that differ in name, type or content, by name."""
    old = {one.name: one for one in before}
    new = {one.name: one for one in after}
    return tuple(
        _code_change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in old
        or name not in new
        or (old[name].type, old[name].content) != (new[name].type, new[name].content)
    )


def _plain(spec: Spec) -> dict[str, Any]:
    """The spec as canonical JSON has it: 1.0 is 1, tuples are lists, and no two places share an object."""
    plain: dict[str, Any] = json.loads(canonical(spec))
    return plain


def _differing(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without what they have in common: DeepDiff takes a hundred times longer to find it equal."""
    left, right = {}, {}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            left[name] = old[name]
        elif name not in old:
            right[name] = new[name]
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            inner = _differing(old[name], new[name])
            if any(inner):
                left[name], right[name] = inner
        elif canonical(old[name]) != canonical(new[name]):
            left[name], right[name] = old[name], new[name]
    return left, right


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[tuple[str, ...], Any, Any]]:
    from deepdiff import DeepDiff  # 0.1 s: only what has something to explain pays for it

    # Its defaults hide what matters here: [0] equals [False] without zip_ordered_iterables; names that begin with
    # "__" (a binding may be called __STATIC_CONTENT) are skipped; and maps with little in common are told whole.
    tree = DeepDiff(
        old,
        new,
        view="tree",
        zip_ordered_iterables=True,
        ignore_private_variables=False,
        threshold_to_diff_deeper=0,
    )
    return [_difference(level) for levels in tree.values() for level in levels]


def _difference(level: Any) -> tuple[tuple[str, ...], Any, Any]:
    path = tuple(str(step) for step in level.path(output_format="list"))
    parent = level.up
    if isinstance(parent.t1, list) and isinstance(parent.t2, list) and _scalars(parent.t1 + parent.t2):
        return path[:-1], parent.t1, parent.t2
    return path, _or_absent(level.t1), _or_absent(level.t2)


def _scalars(values: list[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _or_absent(value: Any) -> Any:
    return ABSENT if type(value).__name__ == "NotPresent" else value


def _by_number(path: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Position 10 of a list comes after position 9."""
    return tuple((int(step), step) if step.isdecimal() and len(step) < 10 else (-1, step) for step in path)


def _without_secrets(path: tuple[str, ...], sides: tuple[Any, Any], before: Spec, after: Spec) -> tuple[Any, Any]:
    """A secret binding has no value in our specs; what a live one answers is not shown either."""
    if path[0] != "bindings":
        return sides
    return _mask(sides[0], path[1:], before), _mask(sides[1], path[1:], after)


def _mask(value: Any, path: tuple[str, ...], spec: Spec) -> Any:
    if value is ABSENT:
        return ABSENT
    if not path:
        return {name: _mask(one, (name,), spec) for name, one in value.items()} if isinstance(value, dict) else value
    bindings = spec.get("bindings")
    binding = bindings.get(path[0]) if isinstance(bindings, Mapping) else None
    if not isinstance(binding, Mapping) or binding.get("type") not in _SECRET_BINDINGS:
        return value
    if len(path) == 1 and isinstance(value, dict):
        return {name: HIDDEN if name in _SECRET_FIELDS else one for name, one in value.items()}
    return HIDDEN if len(path) > 1 and path[1] in _SECRET_FIELDS else value


def _explain_data(name: str, old: Sequence[Module], new: Sequence[Module]) -> tuple[FieldChange, ...]:
    """The fields of a data module that is on both sides; () where one of them is not ours after all."""
    contents = [one.content for modules in (old, new) for one in modules if one.name == name]
    if len(contents) != 2:
        return ()
    place, read = DATA_MODULES[name]
    try:
        before, after = map(read, contents)
    except ValueError:
        return ()
    return tuple(FieldChange((place, *one.path), one.before, one.after) for one in explain(before, after))


def _is_code(change: FieldChange) -> bool:
    """The hash of a module, or a whole module that came or went; its type alone stays a field."""
    if change.path[0] != "modules":
        return False
    return len(change.path) <= 2 or change.path[-1] == "sha256"


def _code_change(name: str, old: Module | None, new: Module | None) -> CodeChange:
    one = new or old
    return CodeChange(
        module=name,
        before_digest=old.sha256 if old else "",
        after_digest=new.sha256 if new else "",
        before_size=len(old.content) if old else 0,
        after_size=len(new.content) if new else 0,
        diff=_diff(old.content if old else b"", new.content if new else b""),
        injected=one.injected if one else False,
    )


def _diff(old: bytes, new: bytes) -> tuple[str, ...]:
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        return ()
    start, before, after = _around_change(before, after)
    if max(len(before), len(after)) > MOST_LINES:
        return ()
    told: list[str] = []
    for line in list(difflib.unified_diff(before, after, n=CONTEXT_LINES))[2:]:  # without the lines that name files
        told.append(_moved(line, start) if line.startswith("@@") else line.removesuffix("\n"))
        if not line.endswith("\n"):
            told.append(NO_NEWLINE)
    return tuple(told)


def _moved(hunk: str, by: int) -> str:
    """The line `@@ -8,7 +8,7 @@` of a diff, for a text that begins `by` lines earlier."""
    return _HUNK_START.sub(lambda found: str(int(found[0]) + by), hunk.removesuffix("\n"))


def _around_change(before: list[str], after: list[str]) -> tuple[int, list[str], list[str]]:
    """Both texts without what they begin and end with in common, but for the context; and how much was cut before.

    A small edit of a large file then costs what a small file costs.
    """
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    tail = next((n for n in range(shorter - head) if before[-1 - n] != after[-1 - n]), shorter - head)
    start, end = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    return start, before[start : len(before) - end], after[start : len(after) - end]


def _lines(content: bytes) -> list[str] | None:
    """The lines of a text that people write, with their newlines; None for anything else."""
    if len(content) > LARGEST_BYTES or b"\0" in content:
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]  # what follows the last newline; most often nothing
    if not lines[-1]:
        lines.pop()
    if max(map(len, lines), default=0) > LONGEST_LINE:
        return None
    return None if len(text) > LONGEST_AVERAGE * max(1, len(lines)) else lines
