"""A digest names a value by one text, whichever encoder writes it: another text would upload every script anew."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import canonical, digest

TEXT = st.text(st.characters(), max_size=8)  # half characters included
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | TEXT | st.sampled_from([1.0, -0.0, 1.5, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    return [whole(one) for one in value] if isinstance(value, list) else value


def written(value: Any) -> str:
    return json.dumps(whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_a_value_has_the_text_that_the_standard_library_gives_it(value: Any) -> None:
    assert canonical(value) == written(value)


def test_every_character_is_written_as_the_standard_library_writes_it() -> None:
    for first in range(0, 0x110000, 0x400):
        text = "".join(map(chr, range(first, first + 0x400)))
        assert canonical({text: text}) == written({text: text})


def test_a_digest_stays_what_it_was() -> None:
    """As scripts carry it that are live."""
    spec = {"main": "a.mjs", "tags": ["é", "\n", "\u2028"], "limits": {"cpu_ms": 50.0}, "bindings": {}, "none": None}
    assert canonical(spec) == (
        '{"bindings":{},"limits":{"cpu_ms":50},"main":"a.mjs","none":null,"tags":["é","\\n","\u2028"]}'
    )
    assert digest(spec) == "5fd9920b7d2d1bc30b5cdade445997b9"
    assert digest(MappingProxyType(spec)) == digest(spec)
    assert digest((1, "a")) == digest([1, "a"])


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), float("nan"), float("inf")])
def test_what_is_no_json_has_no_digest(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        digest({"value": value})
