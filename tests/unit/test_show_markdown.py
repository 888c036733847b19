"""The plan as a GitHub comment: complete in its first line, in bounds, and with nothing alive in it but our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.model import Worker
from reconciler.plan import Plan
from reconciler.show import markdown, plan_markdown
from reconciler.show.terminal import printable
from tests import plans

SAMPLES = [plans.nothing, plans.small, plans.middling, plans.alike, plans.hostile]
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OUR_TAGS = re.compile(r"</?(details|details open|summary|b|code|sub|br)>")


def test_the_first_line_says_it_all() -> None:
    first = plan_markdown.render(plans.small()).splitlines()[0]
    assert first == "**1 to create, 1 to update, 1 to delete** · globex, initech · 9 requests, 2 s"


def test_what_is_risky_stands_before_what_is_not() -> None:
    text = plan_markdown.render(plans.middling())
    order = ["[!CAUTION]", "```text", "**withheld**", "**blocked**", "**deletes**", "**overwrites", "**outbound"]
    order += ["**limits**", "**platform module**", "<details>", "<b>platform</b>", "<b>globex</b>", "- cost: "]
    assert [text.index(one) for one in order] == sorted(text.index(one) for one in order)


def test_like_changes_are_one_row() -> None:
    text = plan_markdown.render(plans.alike())
    assert "<b>4,812 scripts of 1,204 customers</b>: <code>platform_module.mjs 27d27a41 → ddff4c9b</code>" in text
    assert len(text) < 2_000


@pytest.mark.parametrize("sample", [*SAMPLES, lambda: plans.large(2_000)])
@pytest.mark.parametrize("cap", [20_000, 40_000, markdown.CAP])
def test_it_is_never_longer_than_the_cap(sample: plans.Sample, cap: int) -> None:
    assert markdown.length(plan_markdown.render(sample(), cap)) <= cap


@pytest.mark.parametrize("cap", [20_000, 30_001, 40_017, markdown.CAP])
def test_what_does_not_fit_is_left_out_by_whole_rows_and_counted(cap: int) -> None:
    text = plan_markdown.render(plans.large(2_000), cap)
    told = len(re.findall(r"^(?:- |\*\*)`+[~+-] customer-", text, re.MULTILINE))
    left = re.search(r"^\*\*([\d,]+) changes of [\d,]+ customers? did not fit here\*\*", text, re.MULTILINE)
    assert left is not None
    assert told + int(left[1].replace(",", "")) == 2_000
    assert text.count("<details") == text.count("</details>")
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_room_goes_first_to_every_change_then_to_fields_then_to_code() -> None:
    text = plan_markdown.render(plans.large(180))
    assert "did not fit here" not in text
    assert text.count("| `limits.cpu_ms` |") == 162
    assert 0 < text.count("```diff") < 144


def test_the_comment_of_a_large_plan_uses_its_room() -> None:
    assert markdown.length(plan_markdown.render(plans.large())) > markdown.CAP * 0.9


@pytest.mark.parametrize("sample", SAMPLES)
def test_nothing_foreign_comes_alive(sample: plans.Sample) -> None:
    _assert_inert(plan_markdown.render(sample()))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("`|\\<>&@#[]()!*_~- \n\taé日💥\u202e\x1b"), min_size=1, max_size=12))
def test_no_text_breaks_out_of_where_it_stands(bad: str) -> None:
    before = plans.worker(bad, f"{bad}\n1\n")
    after = replace(plans.worker(bad, f"{bad}\n2 {bad}\n"), tags=(bad,), settings={bad: bad})
    changes = (plans.update(bad, bad, before, after), plans.delete(bad, f"{bad}2"))
    text = plan_markdown.render(Plan(bad, bad, environment=bad, changes=changes, scope=(bad,)))
    _assert_inert(text)
    tables = [token for token in PARSER.parse(text) if token.type in ("tr_open", "td_open", "th_open")]
    cells = "".join("r" if token.type == "tr_open" else "c" for token in tables)
    assert set(cells.split("r")) <= {"", "cccc", "ccc", "cc"}


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=30))
def test_a_code_span_holds_exactly_its_text(text: str) -> None:
    shown = printable(text).replace("\t", "\\t") or " "
    for told in (markdown.code(text), markdown.cell(text)):
        tokens = PARSER.parseInline(told)[0].children or []
        if told.startswith("<code>"):
            assert "".join(token.content for token in tokens[1:-1]) == shown
        else:
            assert [(token.type, token.content) for token in tokens] == [("code_inline", shown)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet="`~ a\n", max_size=8), max_size=6))
def test_a_fence_holds_exactly_its_lines(lines: list[str]) -> None:
    shown = [printable(line.expandtabs(4)) for line in lines]
    tokens = PARSER.parse("\n".join(markdown.fence(lines, "diff")))
    assert [(token.type, token.content) for token in tokens] == [("fence", "".join(f"{one}\n" for one in shown))]


def test_length_is_counted_in_the_strictest_way() -> None:
    assert [markdown.length(text) for text in ("abc", "é日", "💥", "\udc80")] == [3, 2, 2, 1]


@pytest.mark.parametrize("bare", ["globex", "a-b-c1", "x"])
def test_an_ordinary_id_stands_as_it_is(bare: str) -> None:
    assert markdown.name(bare) == bare


@pytest.mark.parametrize("linked", ["gh-12", "deadbeef", "0123abc", "1st", "a_b", "A", "@a", "a.example", ""])
def test_an_id_that_github_could_link_stands_as_code(linked: str) -> None:
    assert markdown.name(linked) == f"`{linked or ' '}`"


def test_a_new_file_is_told_by_its_size() -> None:
    text = plan_markdown.render(plans.small())
    assert "- `+ landing.mjs` `450f0af4, 19 B`" in text
    assert text.count("```diff") == 1


def test_a_long_diff_is_cut_with_a_count() -> None:
    before = plans.worker("a.mjs", "".join(f"old {n}\n" for n in range(400)))
    after = plans.worker("a.mjs", "".join(f"new {n}\n" for n in range(400)))
    text = plan_markdown.render(Plan("acme", "n", changes=(plans.update("c", "s", before, after),)))
    assert "@@ … 501 more lines @@" in text


def test_a_script_that_loses_its_outbound_worker_is_a_risk() -> None:
    text = plan_markdown.render(plans.middling())
    assert "`routes.scripts.globex-shop.outbound egress-guard → strict`" in text[: text.index("<details")]


def test_a_diff_that_several_scripts_share_is_told_once() -> None:
    text = plan_markdown.render(plans.middling())
    assert text.count('+export const version = "2";') == 1
    assert "<b><code>~ platform_module.mjs</code></b> (platform module) in 301 scripts of 41 customers +1 −1" in text


def test_a_risk_that_many_share_is_one_row() -> None:
    changes = tuple(
        plans.update(
            "c", f"s{n}", plans.worker("a", f"{n}", limits={"cpu_ms": 1}), plans.worker("a", "", limits={"cpu_ms": 2})
        )
        for n in range(5)
    )
    text = plan_markdown.render(Plan("acme", "n", changes=changes))
    assert "| **limits** | `~ 5 scripts` | c | `limits.cpu_ms 1 → 2` |" in text


def test_a_worker_that_lost_its_protection_is_a_risk() -> None:
    change = plans.update("c", "s", Worker("a", ()), Worker("a", (), {"x": 1}))
    assert change.before is not None
    change = replace(change, before=replace(change.before, protected=True))
    text = plan_markdown.render(Plan("acme", "n", changes=(change,)))
    assert "| **protection** | `~ s` | c | no longer protected |" in text


def _assert_inert(text: str) -> None:
    """No link, image, heading or HTML of others, and no mention or address outside of code."""
    assert all(character.isprintable() or character in "\n" for character in text)
    for token in _tokens(PARSER.parse(text)):
        assert token.type not in ("link_open", "image", "autolink", "heading_open", "hr", "s_open", "em_open"), token
        if token.type in ("html_block", "html_inline"):
            outside = re.sub(r"<code>.*?</code>", "", token.content)
            assert OUR_TAGS.sub("", outside).count("<") == 0, token
            assert "@" not in outside
        if token.type == "text" and not token.meta.get("in code"):
            assert not re.search(r"[@#<>]|https?:|www\.|javascript", token.content.replace("[!CAUTION]", "")), token


def _tokens(tokens: list[Token]) -> Iterator[Token]:
    """Every token, those inside <code> marked."""
    inside = False
    for token in tokens:
        if token.type == "html_inline":
            inside = token.content == "<code>" or (inside and token.content != "</code>")
        token.meta["in code"] = inside
        yield token
        yield from _tokens(token.children or [])
