"""Forms are read as they were written, whatever bytes are in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.local.multipart import MalformedError, Part, parse, serialize

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='%\\"'), min_size=1, max_size=20)
TYPES = st.sampled_from(["", "text/plain", "application/javascript+module", "application/octet-stream"])
PARTS = st.builds(Part, NAMES, st.one_of(st.just(""), NAMES), TYPES, st.binary(max_size=200))


@given(st.lists(PARTS, max_size=5))
def test_parts_are_read_as_they_were_written(parts: list[Part]) -> None:
    content_type, body = serialize(parts)
    assert parse(content_type, body) == parts


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_malformed(body: bytes) -> None:
    try:
        parse("multipart/form-data; boundary=b", b"--b\r\n" + body)
    except MalformedError:
        return


def test_what_browsers_and_httpx_escape_in_names_is_undone() -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="a%22b%0D%0A"; filename="c.txt"\r\n\r\n'
    assert parse("multipart/form-data; boundary=b", head + b"x\r\n--b--\r\n") == [Part('a"b\r\n', "c.txt", "", b"x")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nno headers\r\n--b--\r\n"),
    ],
)
def test_what_is_no_form_is_malformed(content_type: str, body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(content_type, body)
