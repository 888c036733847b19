"""The HTML form of a plan, without a browser; tests/browser/test_plan_page.py looks at it in one."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from reconciler.plan import Action, Change, Explanation, FieldChange, Plan
from reconciler.show import plan_html
from tests import plans

SAMPLES = [plans.nothing, plans.small, plans.middling, plans.alike, plans.hostile]
OUR_TAGS = (
    "html head meta title style body header main section article form input button output script details summary "
    "h1 h2 p b i a code pre span div ul li dl dt dd table tr th td svg rect ins del"
)


class _Page(HTMLParser):
    """Tags, attributes and texts as a browser takes them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "input", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_is_well_formed_and_holds_no_tag_but_ours(sample: plans.Sample) -> None:
    page = _Page(plan_html.render(sample()))
    assert page.open == []
    assert set(page.tags) <= set(OUR_TAGS.split())
    assert page.tags.count("script") == page.tags.count("style") == 1


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_needs_no_host_and_no_inline_handler(sample: plans.Sample) -> None:
    for name, value in _Page(plan_html.render(sample())).attributes:
        assert not name.startswith("on")
        assert name not in ("src", "style", "action", "formaction", "srcdoc")
        assert name != "href" or re.fullmatch(r"#[cs]\d+", value)


def test_the_policy_names_the_hashes_of_what_stands_in_the_page() -> None:
    text = plan_html.render(plans.small())
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        found = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_hostile_names_stand_in_the_text_as_escapes() -> None:
    page = _Page(plan_html.render(plans.hostile()))
    for text in [*page.texts, *(value for _, value in page.attributes)]:
        assert all(character.isprintable() or character in "\n\t" for character in text)
    texts = "".join(page.texts)
    for bad in ("<script>alert(1)</script>", "</details></summary>", "{{ 7 * 7 }}{% raw %}", "a\\u202etxt.exe"):
        assert bad in texts


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_change_stands_in_the_page(sample: plans.Sample) -> None:
    plan, page = sample(), _Page(plan_html.render(sample()))
    assert sum(int(value) for name, value in page.attributes if name == "data-count") == len(plan.changes)


def test_a_new_file_is_there_with_all_its_lines() -> None:
    assert "<ins>+export default {};\n</ins>" in plan_html.render(plans.small())


def test_a_plan_of_refusals_alone_is_not_as_it_should_be() -> None:
    assert "Everything is as it should be." in plan_html.render(plans.nothing())
    withheld = Plan("acme", "n", withheld=(plans.delete("c", "s"),))
    assert "Everything is as it should be." not in plan_html.render(withheld)


def test_a_value_of_none_is_told_apart_from_the_word() -> None:
    change = Change(
        Action.UPDATE,
        plans.delete("c", "s").key,
        plans.delete("c", "s").cause,
        plans.delete("c", "s").before,
        plans.delete("c", "s").before,
        Explanation((FieldChange(("a",), "none", None),)),
    )
    text = plan_html.render(Plan("acme", "n", changes=(change,)))
    assert '<td class="before">&#34;none&#34;</td><td class="after">null</td>' in text


def test_the_same_plan_gives_the_same_page() -> None:
    assert plan_html.render(plans.middling()) == plan_html.render(plans.middling())


@pytest.mark.deep
def test_ten_thousand_changes_fit_a_page_of_some_megabytes() -> None:
    assert len(plan_html.render(plans.large())) < 20_000_000
