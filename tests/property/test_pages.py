"""A page of the listing says the same whichever way it is read."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from reconciler.look import pages, plain_pages
from reconciler.look.pages import LARGE, page_of, patient
from reconciler.look.replies import ApiError, Page, Reply, Row

CALL = "GET workers/dispatch/namespaces/shops/scripts"
TEXT = st.text(max_size=6)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda number: usual if number else ANYTHING)


OPTIONAL = st.none() | TEXT
ROWS = st.fixed_dictionaries(
    {"id": mostly(st.text(min_size=1, max_size=6))},
    optional={
        "tags": mostly(st.none() | st.lists(TEXT, max_size=3)),
        "etag": mostly(OPTIONAL),
        "modified_on": mostly(OPTIONAL),
        "created_on": mostly(OPTIONAL),
        "last_deployed_from": mostly(OPTIONAL),
        "script": mostly(st.none()),
        "handlers": ANYTHING,
        "name": ANYTHING,
    },
)
INFORMATION = st.fixed_dictionaries(
    {},
    optional={
        "cursor": mostly(OPTIONAL),
        "cursors": mostly(st.none() | st.fixed_dictionaries({}, optional={"after": mostly(OPTIONAL)})),
        "total_count": mostly(st.none() | st.integers(0, 2**70)),
        "count": ANYTHING,
    },
)
ENVELOPES = st.fixed_dictionaries(
    {"result": mostly(st.lists(mostly(ROWS), max_size=3))},
    optional={
        "success": mostly(st.just(True)),
        "errors": ANYTHING,
        "result_info": mostly(st.none() | INFORMATION),
    },
)


@settings(max_examples=600, deadline=None)
@given(ENVELOPES, st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]), st.booleans())
@example({"result": [{"id": "a", "tags": ["\ud800"]}]}, "utf-8", True)
def test_a_page_that_is_read_quickly_says_what_patience_finds(envelope: Any, encoding: str, ascii_only: bool) -> None:
    text = json.dumps(envelope, ensure_ascii=ascii_only)
    content = text.encode(encoding, "surrogatepass")
    plain = plain_pages.decoded(content)
    event("plain" if plain is not None else "odd")
    if plain is not None:
        assert plain == patient(Reply(200, {}, content), CALL)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.lists(st.sampled_from('{}[]":,1atrue\\ ')).map(lambda one: "".join(one).encode()))
def test_what_is_no_page_is_none_either_way(content: bytes) -> None:
    if plain_pages.decoded(content) is not None:
        patient(Reply(200, {}, content), CALL)


def test_a_large_page_is_read_quickly_and_one_with_a_nested_row_all_the_same() -> None:
    def page(last: dict[str, Any]) -> Reply:
        rows = [{"id": f"shop-{n}", "tags": None, "etag": "e" * 40, "modified_on": "m"} for n in range(1000)]
        content = json.dumps({"success": True, "result": [*rows, last], "result_info": {"cursor": "next"}}).encode()
        assert len(content) > LARGE
        return Reply(200, {}, content)

    plain, nested = page({"id": "z"}), page({"script": {"id": "z"}})
    assert plain_pages.decoded(plain.content) is not None
    assert plain_pages.decoded(nested.content) is None
    assert page_of(plain, CALL) == page_of(nested, CALL)
    assert page_of(plain, CALL).rows[-1] == Row("z", None, "", "")
    assert page_of(plain, CALL)[1:] == Page((), "next", 0, nameless=False)[1:]


def test_a_large_reply_that_says_no_is_an_error() -> None:
    rows = [{"id": f"shop-{n}", "etag": "e" * 40} for n in range(1000)]
    content = json.dumps({"success": False, "errors": [{"code": 10000, "message": "no"}], "result": rows}).encode()
    try:
        pages.page_of(Reply(200, {}, content), CALL)
    except ApiError as error:
        assert 10000 in error.codes
    else:
        raise AssertionError("a refusal was taken for a page")
