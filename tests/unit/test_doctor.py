"""What doctor makes of replies, whatever form they take."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from reconciler.doctor import form_of, moment_of

ROW = {"id": "shop", "tags": ["eu"], "etag": "1"}
LIKELY = {"rows": "flat", "tags": "yes", "etag": "yes", "paging": "cursor", "limit": "honoured"}


@pytest.mark.parametrize(
    ("envelope", "differing"),
    [
        ({"result": [ROW] * 3, "result_info": {"cursor": "x"}}, {}),
        ({"result": [{"script": ROW}] * 3, "result_info": {"cursor": "x"}}, {"rows": "nested"}),
        ({"result": [{"id": "shop"}], "result_info": {"cursor": "x"}}, {"tags": "no", "etag": "no"}),
        ({"result": [ROW] * 4}, {"paging": "none seen", "limit": "not honoured"}),
        ({"result": [ROW] * 2, "result_info": {"cursor": ""}}, {"limit": "not seen, with so few"}),
    ],
)
def test_the_form_of_a_listing(envelope: dict[str, Any], differing: dict[str, str]) -> None:
    assert form_of(envelope) == {**LIKELY, **differing}


@pytest.mark.parametrize("envelope", [{}, {"result": []}, {"result": None}])
def test_a_listing_without_rows_tells_nothing(envelope: dict[str, Any]) -> None:
    assert form_of(envelope) == {"rows": "none yet"}


@pytest.mark.parametrize("date", ["Thu, 26 Nov 2026 17:00:00 GMT", "Thu, 26 Nov 2026 17:00:00 -0000"])
def test_a_date_of_the_api_is_utc(date: str) -> None:
    assert moment_of(date) == datetime.datetime(2026, 11, 26, 17, tzinfo=datetime.UTC)


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 17:00:00 GMT"])
def test_a_date_that_is_none_is_no_error(date: str) -> None:
    assert moment_of(date) is None
