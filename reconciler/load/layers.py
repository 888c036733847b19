"""Layers of values, each over the one below, and which of them set what.

defaults < tier < customer < script; an environment's part of a layer goes over that layer. Maps merge, lists replace,
tags add up, null takes away; an entry of vars, bindings or secrets is one value and replaces the one below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.load.repository import Layer

Data = Mapping[str, Any]

TAGS = "tags"
ENTRIES = frozenset({"vars", "bindings", "secrets"})


def resolve(layers: Iterable[Data]) -> dict[str, Any]:
    """The values that hold when each layer goes over those before it."""
    found: dict[str, Any] = {}
    for layer in layers:
        found = merge(found, layer)
    return found


def merge(lower: Data, upper: Data) -> dict[str, Any]:
    """One layer over another."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif key == TAGS and isinstance(value, list):
            merged[key] = list(dict.fromkeys([*(below or ()), *value]))
        elif key in ENTRIES:
            entries = {**below, **value} if below else value
            merged[key] = {name: one for name, one in entries.items() if one is not None}
        elif isinstance(value, dict):
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def overlay(base: Data, upper: Data) -> dict[str, Any]:
    """An environment over the platform. The null of a layer stays, to take away what is below that layer."""
    result = dict(base)
    for key, value in upper.items():
        below = result.get(key)
        if key == TAGS and isinstance(value, list) and isinstance(below, list):
            result[key] = [*below, *(one for one in value if one not in below)]
        elif key in ENTRIES and isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = {**below, **value}
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = overlay(below, value)
        else:
            result[key] = value
    return result


def origins(layers: Iterable[Layer]) -> Iterator[tuple[tuple[str, ...], Any, Layer, tuple[str | int, ...]]]:
    """Each value that holds, by path: the value, the layer that set it, and its path in that layer's file.

    A tag counts as a value of its own, set by the first layer that has it.
    """
    ordered = list(layers)
    for path, value in _leaves(resolve(layer.data for layer in ordered), ()):
        if path == (TAGS,):
            for tag in value:
                layer = next(one for one in ordered if tag in (one.data.get(TAGS) or ()))
                yield (TAGS, tag), tag, layer, (*layer.path, TAGS, layer.data[TAGS].index(tag))
            continue
        layer = next(one for one in reversed(ordered) if holds(one.data, path))
        yield path, value, layer, (*layer.path, *path)


def _leaves(data: Data, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in data.items():
        here = (*path, key)
        entry = len(path) == 1 and path[0] in ENTRIES
        if isinstance(value, Mapping) and not entry:
            yield from _leaves(value, here)
        else:
            yield here, value


def holds(data: Any, path: tuple[str | int, ...]) -> bool:
    """Whether a layer says something at a path; positions in lists belong to their list."""
    for part in path:
        if isinstance(data, list):
            return isinstance(part, int) and part < len(data)
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True
