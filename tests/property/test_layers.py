"""What `explain` says is what is resolved, and each value stands on the line that it names."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.load import config, layers, resolution, source

NAMES = st.sampled_from(["A", "B", "C"])
TEXTS = st.sampled_from(["1", "x", "NO"])
JSON: st.SearchStrategy[Any] = TEXTS | st.integers(0, 9) | st.booleans() | st.lists(st.integers(0, 3), max_size=2)
JSON |= st.dictionaries(st.sampled_from("pq"), st.integers(0, 3) | st.none(), max_size=2)


def maybe(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return value | st.none()


LAYERS = st.fixed_dictionaries(
    {},
    optional={
        "limits": maybe(
            st.fixed_dictionaries(
                {}, optional={"cpu_ms": maybe(st.integers(1, 99)), "subrequests": maybe(st.integers(0, 9))}
            )
        ),
        "vars": maybe(st.dictionaries(NAMES, maybe(JSON), max_size=3)),
        "tags": st.lists(st.sampled_from(["eu", "us", "vip"]), max_size=2, unique=True),
        "outbound_worker": maybe(st.just("guard")),
        "observability": maybe(
            st.fixed_dictionaries(
                {},
                optional={
                    "enabled": st.booleans(),
                    "logs": st.fixed_dictionaries({}, optional={"persist": st.booleans()}),
                },
            )
        ),
        "compatibility_flags": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    },
)


def reference(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The rule of the documentation, written down in another way: value by value, from the highest layer down."""

    def at(key: str) -> list[Any]:
        below: list[Any] = []
        for layer in found:
            if key in layer:
                below = [] if layer[key] is None else [*below, layer[key]]
        return below

    def merged(values: list[Any]) -> Any:
        if not values or not isinstance(values[-1], Mapping):
            return values[-1] if values else None
        keys = {key for value in values for key in value}
        picked = {key: merged(_since_null([value[key] for value in values if key in value])) for key in keys}
        return {key: value for key, value in picked.items() if value is not None}

    result: dict[str, Any] = {}
    for key in {key for layer in found for key in layer}:
        values = at(key)
        if not values:
            continue
        if key == "tags":
            result[key] = list(dict.fromkeys(tag for value in values for tag in value))
        elif key == "vars":
            entries = {name: value for one in values for name, value in one.items()}
            result[key] = {name: value for name, value in entries.items() if value is not None}
        else:
            result[key] = merged(values)
    return result


def _since_null(values: list[Any]) -> list[Any]:
    last = max((at for at, value in enumerate(values) if value is None), default=-1)
    return values[last + 1 :]


@given(st.lists(LAYERS, max_size=5))
def test_layers_resolve_as_documented(found: list[Mapping[str, Any]]) -> None:
    assert layers.resolve(found) == reference(found)


@settings(max_examples=60, deadline=None)
@given(
    defaults=LAYERS, staged=LAYERS, tier=LAYERS, staged_tier=LAYERS, customer=LAYERS, script=LAYERS, env=st.booleans()
)
def test_what_is_explained_is_what_is_resolved(
    defaults: Any, staged: Any, tier: Any, staged_tier: Any, customer: Any, script: Any, env: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, defaults, staged, tier, staged_tier, customer, script)
        environment = "staging" if env else ""
        values = resolution.explain(root, "globex/shop", environment)
        chain = [defaults, *([staged] if env else []), tier, *([staged_tier] if env else []), customer, script]
        assert as_tree(values) == without_empty(reference(chain))
        for value in values:
            assert_stands_there(root, value)
        repository = config.load(root, environment, variables={})
        limits = reference(chain).get("limits", {})
        row = repository.script("shop")
        assert (row.cpu_ms, row.subrequests) == (limits.get("cpu_ms"), limits.get("subrequests"))
        assert row.outbound_worker == (reference(chain).get("outbound_worker") or "")


def write(root: Path, defaults: Any, staged: Any, tier: Any, staged_tier: Any, customer: Any, script: Any) -> None:
    platform = {
        "platform": "acme",
        "namespace": "acme",
        "prune": True,
        "outbound_workers": {"guard": {"main": "platform/guard.mjs"}},
        "defaults": defaults,
        "tiers": {"basic": tier},
        "environments": {"staging": {"defaults": staged, "tiers": {"basic": staged_tier}}},
    }
    own = {**customer, "tier": "basic", "scripts": {"shop": {**script, "main": "shop.mjs"}}}
    files = {
        "platform.yaml": json.dumps(platform, indent=1),
        "platform/guard.mjs": "",
        "customers/globex/customer.yaml": json.dumps(own, indent=1),
        "customers/globex/shop.mjs": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def as_tree(values: tuple[resolution.Value, ...]) -> dict[str, Any]:
    """The values that the layers can set, as one tree again."""
    tree: dict[str, Any] = {}
    for value in values:
        if value.path[0] in ("main", "tier"):
            continue
        if value.path[0] == "tags":
            tree.setdefault("tags", []).append(value.value)
            tree["tags"].sort()
            continue
        below = tree
        for part in value.path[:-1]:
            below = below.setdefault(part, {})
        below[value.path[-1]] = value.value
    return without_empty(tree)


def without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """An empty map or list of tags has no value that could be explained."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if key == "tags":
            kept |= {key: sorted(value)} if value else {}
        elif isinstance(value, dict) and key != "vars":
            inner = without_empty(value)
            kept |= {key: inner} if inner else {}
        elif value != {}:
            kept[key] = value
    return kept


def assert_stands_there(root: Path, value: resolution.Value) -> None:
    """The file holds, at that place, the value that is said to come from there."""
    read = source.parse(value.where.file, (root / value.where.file).read_bytes())
    rest = read.text.split("\n")[value.where.line - 1][value.where.column - 1 :]
    written = json.dumps(value.value)
    if isinstance(value.value, dict | list) and value.value:
        assert rest[0] in "[{" or rest.startswith(f'"{value.path[-1]}"')
    else:
        assert rest.startswith(written), (rest, value)
