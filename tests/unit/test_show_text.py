"""The plan on a terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reconciler.plan import Action, Explanation, FieldChange, Plan
from reconciler.plan.explain import explain_worker
from reconciler.show import plan_text
from reconciler.show.style import coloured, columns, cut, plain
from tests import plans

SAMPLES = [plans.nothing, plans.small, plans.middling, plans.alike, plans.hostile]


def test_the_last_line_alone_is_enough() -> None:
    plan = plans.small()
    last = plan_text.render(plan).splitlines()[-1]
    assert last == (
        "Plan: 1 to create, 1 to update, 1 to delete · globex, initech · 9 requests, about 2 s · " + plan.digest[:12]
    )


def test_without_changes_it_says_so() -> None:
    assert plan_text.render(plans.nothing()).startswith("Plan: nothing to do · 4,830 as they should be · ")


def test_the_platform_comes_before_its_customers() -> None:
    headings = [line for line in plan_text.render(plans.middling()).splitlines() if line.startswith("▸")]
    assert [line.split()[1] for line in headings] == ["platform", "globex", "initech", "umbrella"]


def test_like_changes_are_one_line() -> None:
    text = plan_text.render(plans.alike())
    assert "4,812 scripts of 1,204 customers: platform_module.mjs 27d27a41 → ddff4c9b" in text
    assert text.count("\n") < 20


def test_every_delete_of_a_normal_plan_is_named_with_its_owner() -> None:
    text = plan_text.render(plans.middling())
    assert "  - hooli-0  hooli · gone from the repository" in text
    assert "  - initech-old  gone from the repository" in text


def test_ten_thousand_changes_stay_readable() -> None:
    text = plan_text.render(plans.large())
    assert text.count("\n") < 600
    assert text.splitlines()[-1].startswith("Plan: 1,000 to create, 8,000 to update, 1,000 to delete · ")
    assert "… and 9,600 changes of 960 more customers" in text


@pytest.mark.parametrize("sample", SAMPLES)
def test_colour_changes_nothing_but_colour(sample: plans.Sample) -> None:
    text = plan_text.render(sample(), coloured())
    assert "\x1b[" in text
    assert re.sub(r"\x1b\[[0-9;]*m", "", text) == plan_text.render(sample())


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one is not plans.hostile])
@pytest.mark.parametrize("width", [80, 120, 200])
def test_lines_fit_the_terminal_unless_a_name_is_long(sample: plans.Sample, width: int) -> None:
    *lines, _ = plan_text.render(sample(), plain(width)).splitlines()
    assert [line for line in lines if columns(line) > width and "error:" not in line] == []


def test_nothing_foreign_reaches_the_terminal_as_a_command() -> None:
    text = plan_text.render(plans.hostile())
    assert all(character.isprintable() or character in "\n\t" for character in text)
    assert "##[" not in text
    assert [line for line in text.splitlines() if line.lstrip().startswith("::")] == []


def test_a_new_file_is_told_by_its_size_and_an_edited_one_by_its_diff() -> None:
    text = plan_text.render(plans.small())
    assert "+ landing.mjs  450f0af4, 19 B" in text
    assert "        │ -      return new Response(PRICES[env.TIER]);" in text


def test_a_diff_that_several_scripts_share_is_told_once() -> None:
    text = plan_text.render(plans.middling())
    assert text.count('+export const version = "2";') == 1
    assert text.index("the same change of code in several scripts") < text.index("▸ platform")
    assert "~ platform_module.mjs (platform module)  27d27a41 → ddff4c9b, 76 B" in text


def test_what_a_deleted_script_was_is_not_told() -> None:
    gone = plans.worker("a.mjs", "x\n", limits={"cpu_ms": 10})
    change = replace(plans.delete("c", "s"), explanation=explain_worker(gone, None))
    text = plan_text.render(Plan("acme", "n", changes=(change,)))
    assert "  - s  gone from the repository\n\n" in text
    assert "cpu_ms" not in text


def test_thousands_of_fields_are_counted() -> None:
    fields = tuple(FieldChange(("routes", f"s{n}"), 1, 2) for n in range(3_000))
    change = replace(
        plans.update("c", "s", plans.worker("a", ""), plans.worker("a", "")), explanation=Explanation(fields)
    )
    assert "… and 2,960 more fields" in plan_text.render(Plan("acme", "n", changes=(change,)))


def test_minified_code_is_told_by_its_size() -> None:
    assert "~ bundle.mjs  b68b598a → cf34d03a, 20.0 kB → 20.4 kB" in plan_text.render(plans.middling())


def test_a_long_diff_is_cut_with_a_count() -> None:
    before = plans.worker("a.mjs", "".join(f"old {n}\n" for n in range(100)))
    after = plans.worker("a.mjs", "".join(f"new {n}\n" for n in range(100)))
    text = plan_text.render(Plan("acme", "n", changes=(plans.update("c", "s", before, after),)))
    assert "~ a.mjs  +100 −100" in text
    assert "│ … 121 more lines" in text


def test_what_was_not_read_back_says_why() -> None:
    change = replace(
        plans.delete("c", "s"), action=Action.UPDATE, explanation=Explanation(unread="past --diff-limit 50")
    )
    change = replace(change, after=change.before)
    assert "      past --diff-limit 50\n" in plan_text.render(Plan("acme", "n", changes=(change,)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (FieldChange(("limits", "cpu_ms"), 50, 80), "limits.cpu_ms  50 → 80"),
        (FieldChange(("a b", "c"), None, ""), '"a b".c  null → ""'),
        (FieldChange(("v",), "1", 1), 'v  "1" → 1'),
        (FieldChange(("v",), "none", "true"), 'v  "none" → "true"'),
        (FieldChange(("v",), {"text": "a b", "type": "x"}, [1, None]), 'v  {type: x, text: "a b"} → [1, null]'),
        (FieldChange(("tags",), ["a", "b"], ["b", "c"]), "tags  +c −a"),
        (FieldChange(("tags",), ["a", "b"], ["b", "a"]), "tags  [a, b] → [b, a]"),
        (FieldChange(("tags",), ["a"], ["a", "a"]), "tags  [a] → [a, a]"),
        (FieldChange(("secrets", "KEY"), 1, 2), "secrets.KEY  version 1 → version 2"),
    ],
)
def test_a_field_is_told_by_both_its_values(change: FieldChange, told: str) -> None:
    explained = replace(plans.delete("c", "s"), action=Action.UPDATE, explanation=Explanation((change,)))
    explained = replace(explained, after=explained.before)
    assert f"      {told}\n" in plan_text.render(Plan("acme", "n", changes=(explained,)))


def test_wide_characters_take_two_columns() -> None:
    assert columns("日本é") == 5
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
