"""The quick check says yes if and only if jsonschema does, and then there is nothing to explain."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.load import schema, source, validation
from reconciler.load.checker import checker

PLATFORM = {
    "platform": "acme",
    "account_id": "0" * 32,
    "namespace": "acme-production",
    "trusted": False,
    "defaults": {"compatibility_date": "2026-10-01", "vars": {"A": {"b": [1]}}, "tags": ["all"]},
    "platform_modules": {"kit.mjs": "platform/kit.mjs"},
    "outbound_workers": {"guard": {"main": "platform/guard.mjs", "parameters": ["customer", "tier"]}},
    "tiers": {"basic": {"limits": {"cpu_ms": 10, "subrequests": None}, "outbound_worker": "guard"}},
    "dispatcher": {"name": "acme", "routes": [{"pattern": "*.a.app/*", "zone": "a.app"}], "table": "kv"},
    "prune": True,
    "safety": {"max_deletes": {"count": 1}, "approvals": [{"delete": ["a"], "reason": "r", "expires": "2026-01-01"}]},
    "egress": {"allow": ["*"], "tiers": {"basic": {"deny": ["a.com"]}}, "log": "all"},
    "environments": {"staging": {"namespace": "staging", "dispatcher": {"table": "bundle"}}},
}
CUSTOMER = {
    "$schema": "x",
    "x-shared": [1],
    "name": "Globex",
    "tier": "basic",
    "suspended": False,
    "observability": {"enabled": True, "head_sampling_rate": 0.5, "logs": {"destinations": ["a"]}},
    "placement": {"mode": "smart"},
    "scripts": {
        "shop": {
            "main": "shop.mjs",
            "hostnames": ["a.com"],
            "assets": {"directory": "public", "run_worker_first": ["/api/*"]},
            "secrets": {"A": {"env": "A", "version": 2}},
            "bindings": {
                "B": {"type": "kv_namespace", "namespace_id": "x"},
                "C": {"type": "ratelimit", "namespace_id": "1", "simple": {"limit": 1, "period": 10}},
                "D": {"type": "secret_text", "text": "x"},
            },
        }
    },
}

VALUES = st.sampled_from(
    [None, True, False, 0, 1, -1, 1.0, 0.5, 10**12, "", "x", "basic", "kv", "a b", "acme\n", "2026-01-01", [], ["x"],
     ["eu", "eu"], [1, True], {}, {"type": "kv_namespace"}, {"type": "d1", "database_id": "x"}, {"x": 1}]
)  # fmt: skip
KEYS = st.sampled_from(["x", "name", "type", "A", "bad name", "x-any", "scripts", "tags", "vars", "limits", "bindings"])


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """The document with up to three changes anywhere in it."""
    changed: Any = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        places = list(walk(changed))
        parent, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                parent[key] = copy.deepcopy(draw(VALUES))
            case "remove":
                del parent[key]
            case "add" if isinstance(parent, dict):
                parent[draw(KEYS)] = copy.deepcopy(draw(VALUES))
            case _:
                parent.append(copy.deepcopy(draw(VALUES))) if isinstance(parent, list) else None
        if not list(walk(changed)):
            break
    return changed


def walk(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from walk(value[key])


def agree(document: Callable[[], dict[str, Any]], value: Any) -> None:
    good = checker(document)(value)
    read = source.parse("f.yaml", json.dumps(value, indent=1).encode())
    problems = validation.explain(document(), read)
    assert good == (not problems)
    if "\n" not in json.dumps(value).replace("\\n", "\n"):  # where $ means the same to both
        assert good == jsonschema.Draft202012Validator(document()).is_valid(value)
    for one in problems:
        assert one.what
        assert one.where is not None
        assert not any(word in one.what + one.why for word in ("dict", "None", "does not match", "valid under"))


@settings(max_examples=150, deadline=None)
@given(mutated(PLATFORM))
def test_the_quick_check_of_platforms_agrees_with_jsonschema(value: Any) -> None:
    agree(schema.platform, value)


@settings(max_examples=150, deadline=None)
@given(mutated(CUSTOMER))
def test_the_quick_check_of_customers_agrees_with_jsonschema(value: Any) -> None:
    agree(schema.customer, value)


@settings(max_examples=50, deadline=None)
@given(VALUES.map(copy.deepcopy))
def test_a_document_that_is_no_map_is_told(value: Any) -> None:
    agree(schema.customer, value)
