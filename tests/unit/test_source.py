"""YAML 1.2 core as plain data, with the place of every value, and safe against every bomb."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ConfigError, Where
from reconciler.load import source


def data(text: str) -> object:
    return source.parse("f.yaml", text.encode()).data


def problem(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        source.parse("f.yaml", text if isinstance(text, bytes) else text.encode())
    return "; ".join(f"{one.where}: {one.code}" for one in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("y", "y"), ("12:30:45", "12:30:45"), ("1_000", "1_000"),
        ("2026-11-24", "2026-11-24"), ("0b11", "0b11"), ("0777", 777), ("0o17", 15), ("0x1F", 31), ("+12", 12),
        ("-1", -1), ("1.10", 1.1), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ("1e", "1e"), (".", "."), ("-", [None]),
        ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("null", None), ("~", None), ("''", ""),
        ("'1'", "1"), ('"true"', "true"), ("|\n  1\n", "1\n"), ("nullable", "nullable"), ("= ", "="),
    ],
)  # fmt: skip
def test_scalars_are_read_by_the_core_rules_of_yaml_1_2(text: str, value: object) -> None:
    read = data(f"x: {text}" if text != "-" else "x:\n-")
    assert read == {"x": value}
    assert isinstance(read, dict)
    assert type(read["x"]) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert data("1: a\ntrue: b\n1.10: c\n~: d\n") == {"1": "a", "true": "b", "1.10": "c", "~": "d"}


def test_an_empty_file_is_nothing() -> None:
    assert data("") is None
    assert data("# only a comment\n") is None


def test_a_byte_order_mark_is_accepted_and_does_not_move_columns() -> None:
    read = source.parse("f.yaml", b"\xef\xbb\xbfa: 1\n")
    assert read.where(("a",)) == Where("f.yaml", 1, 4, 1)


def test_every_value_has_its_place() -> None:
    read = source.parse("f.yaml", b"a:\n  b: [one, two]\n  c: {d: 'x'}\nlong: |\n  text\n")
    assert read.where(("a",)) == Where("f.yaml", 1, 1, 1), "a block stands at its key"
    assert read.where(("a", "b")) == Where("f.yaml", 2, 6, 10)
    assert read.where(("a", "b", 1)) == Where("f.yaml", 2, 12, 3)
    assert read.where(("a", "c", "d")) == Where("f.yaml", 3, 10, 3)
    assert read.where_key(("a", "c")) == Where("f.yaml", 3, 3, 1)
    assert read.where(()) == Where("f.yaml", 1, 1, 0)


def test_a_value_that_is_not_there_stands_at_its_nearest_ancestor() -> None:
    read = source.parse("f.yaml", b"a:\n  b: 1\n")
    assert read.where(("a", "x", "y")) == read.where(("a",))
    assert read.where(("x",)) == read.where(())


def test_columns_count_characters() -> None:
    read = source.parse("f.yaml", "{グローベックス: é, b: 2}".encode())
    assert read.where(("b",)).column == 17


def test_an_alias_stands_where_its_anchor_does() -> None:
    read = source.parse("f.yaml", b"a: &x [1]\nb: *x\n")
    assert read.data == {"a": [1], "b": [1]}
    assert read.where(("b",)) == Where("f.yaml", 1, 4, 6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: yaml-duplicate-key"),
        ("a: {b: 1, b: 2, c: 3, c: 4}", "f.yaml:1:11: yaml-duplicate-key; f.yaml:1:23: yaml-duplicate-key"),
        ("1: a\n'1': b\n", "f.yaml:2:1: yaml-duplicate-key"),
        ("a: !!str 1", "f.yaml:1:4: yaml-tag"),
        ("<<: {a: 1}", "f.yaml:1:1: yaml-merge"),
        ("a: &a [*a]", "f.yaml:1:4: yaml-alias"),
        ("a: &a {b: *a}", "f.yaml:1:4: yaml-alias"),
        ("a: *b", "f.yaml:1:4: yaml-syntax"),
        ("a: [", "f.yaml:2:1: yaml-syntax"),
        ("a: 1\n--- \nb: 2", "f.yaml:2:1: yaml-syntax"),
        ("a: \x07", "f.yaml:1:4: yaml-syntax"),
        (f"a: {'9' * 5000}", "f.yaml:1:4: yaml-number"),
        ("a: 1e999", "f.yaml:1:4: yaml-number"),
        ("a: -.inf", "f.yaml:1:4: yaml-number"),
        (b"a: 1\nb: \xff", "f.yaml:2:4: yaml-encoding"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: yaml-encoding"),
        ("a: 1".encode("utf-16-le"), "f.yaml:1:1: yaml-encoding"),
        (b" " * (source.MAX_BYTES + 1), "f.yaml:1:1: yaml-size"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(text: str | bytes, told: str) -> None:
    assert problem(text) == told


def test_a_quoted_merge_key_is_a_key() -> None:
    assert data("'<<': 1") == {"<<": 1}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "{" * 50_000,
        "- " * 50_000,
        "? " * 50_000,
        "x: " + "[" * 999 + "]" * 999,
        "\n".join(" " * depth + "a:" for depth in range(600)),
        "a: &a [x,x,x]\n" + "".join(f"{c}: &{c} [*{b},*{b},*{b},*{b}]\n" for b, c in pairwise("abcdefghijklmnop")),
        "[" + "x," * 200_000 + "]",
        "a: &a " + "[" * 39 + "]" * 39 + "\nb: [" + "*a," * 50_000 + "]",
        '"' + "\\x41" * 900_000,
        "#" * 4_000_000,
        "&a " * 20_000,
        "!" * 20_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_bombs_are_refused_or_read_at_once(text: str) -> None:
    began = time.process_time()
    try:
        source.parse("f.yaml", text.encode())
    except ConfigError as error:
        assert error.problems
    assert time.process_time() - began < 2


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t?1.~<", max_size=60).map(str.encode))
def test_no_bytes_make_it_crash(content: bytes) -> None:
    try:
        read = source.parse("f.yaml", content)
    except ConfigError as error:
        assert all(one.where and one.where.file == "f.yaml" for one in error.problems)
    else:
        assert read.where(("a", 0, "b")).line >= 1


def test_an_excerpt_hides_the_values_of_secrets() -> None:
    text = b"secrets:\n  A: hunter2\n  B: {env: B_KEY, value: hunter2}\nvars: {T: ghp_" + b"a" * 36 + b"}\n"
    read = source.parse("f.yaml", text)
    assert [read.excerpt(line) for line in range(1, 5)] == [
        "secrets:", "  A: ***", "  B: {env: B_KEY, value: ***}", "vars: {T: ***}",
    ]  # fmt: skip


def test_an_excerpt_of_a_file_that_cannot_be_parsed_hides_them_too() -> None:
    text = "scripts:\n  shop:\n    secrets:\n      A: hunter2: x\n    main: shop.mjs\n    secrets: {A: hunter2\n"
    broken = source.Source("f.yaml", text, None, None)
    assert broken.excerpt(4) == "      A: ***"
    assert broken.excerpt(5) == "    main: shop.mjs"
    assert "hunter2" not in broken.excerpt(6)


def test_a_number_keeps_the_text_that_it_was_written_as() -> None:
    read = source.parse("f.yaml", b"a: 1.10\nb: '1.10'\nc: [1]\n")
    assert read.scalar(("a",)) == "1.10"
    assert read.scalar(("b",)) is None
    assert read.scalar(("c",)) is None
    assert read.scalar(("x",)) is None
