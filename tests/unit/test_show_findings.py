"""What a drift run found, in every format."""

from __future__ import annotations

import json

import pytest

from reconciler.errors import Where
from reconciler.model import Key
from reconciler.plan import Coverage
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import findings as render
from reconciler.show import markdown
from reconciler.show.style import PLAIN
from tests import plans

FINDINGS = [
    Finding(
        FindingKind.DRIFTED,
        Key("user_worker", "globex-api"),
        "globex",
        "limits.cpu_ms 50 → 10",
        Where("customers/globex/customer.yaml", 8, 3),
        who="wrangler",
        at="2026-11-20T09:30:00Z",
    ),
    Finding(FindingKind.MISSING, Key("user_worker", "initech-app"), "initech"),
    Finding(FindingKind.UNMANAGED, Key("user_worker", "somebody-elses")),
    Finding(FindingKind.PENDING, Key("dispatcher", "acme"), explanation="edited"),
    Finding(
        FindingKind.EXPECTED,
        Key("user_worker", "globex-lab"),
        "globex",
        "tags +beta",
        expected_reason="trial, ticket 12",
        expires="2026-12-31",
    ),
]
HOSTILE = [
    Finding(kind, Key(bad, bad), bad, bad, Where(bad), bad, bad, bad, bad, told)
    for bad in plans.HOSTILE
    for kind in FindingKind
    for told in ((), (bad,))
]


def test_what_someone_else_did_comes_first() -> None:
    assert render.text(FINDINGS) == (
        "drifted  changed by someone else; the next apply puts it back (live → repository)\n"
        "  ● globex-api  globex  customers/globex/customer.yaml:8:3\n"
        "      limits.cpu_ms 50 → 10\n"
        "      by wrangler at 2026-11-20T09:30:00Z\n"
        "\n"
        "missing  deleted by someone else; the next apply makes it again\n"
        "  ● initech-app  initech\n"
        "\n"
        "unmanaged  live and not ours; left alone\n"
        "  ● somebody-elses\n"
        "\n"
        "pending  the repository is ahead; the next apply brings it\n"
        "  ● dispatcher acme  platform\n"
        "      edited\n"
        "\n"
        "expected  drift that the repository allows for a while\n"
        "  ● globex-lab  globex\n"
        "      tags +beta\n"
        "      expected until 2026-12-31: trial, ticket 12\n"
        "\n"
        "Drift: 1 drifted, 1 missing · 1 unmanaged, 1 pending, 1 expected\n"
    )


def test_what_drifted_has_a_line_for_each_difference_and_says_how_many_more_there_are() -> None:
    told = ("limits.cpu_ms 50 → 10", "tags −eu", "usage_model none → standard", "a.mjs gone", "b.mjs new")
    finding = Finding(FindingKind.DRIFTED, Key("user_worker", "globex-api"), "globex", "all in one", differences=told)
    assert render.text([finding]) == (
        "drifted  changed by someone else; the next apply puts it back (live → repository)\n"
        "  ● globex-api  globex\n"
        "      limits.cpu_ms 50 → 10\n"
        "      tags −eu\n"
        "      usage_model none → standard\n"
        "      … and 2 more\n"
        "\n"
        "Drift: 1 drifted\n"
    )


def test_pending_changes_alone_are_no_drift() -> None:
    assert render.text(FINDINGS[3:4]).splitlines()[-1] == "Drift: none · 1 pending"
    assert render.text([]) == "Drift: none\n"


def test_what_was_read_back_is_told_with_its_age() -> None:
    seen = Coverage(100, 4_212, "2026-11-17T00:00:00+00:00", days=9)
    told = "read back 100 of 4,212 · all content seen within 9 days"
    assert render.text([], PLAIN, seen) == f"{told}\nDrift: none\n"
    assert render.as_markdown([], coverage=seen).splitlines()[2] == f"<sub>{told}</sub>"
    document = json.loads(render.to_json([], seen))["coverage"]
    assert (document["checked"], document["total"], document["text"]) == (100, 4_212, told)
    assert json.loads(render.to_json([]))["coverage"] is None


def test_the_json_form_is_versioned_and_holds_everything() -> None:
    document = json.loads(render.to_json(FINDINGS))
    assert document["format_version"] == 1
    assert document["summary"] == {
        "drifted": 1,
        "missing": 1,
        "observed": 0,
        "unmanaged": 1,
        "pending": 1,
        "expected": 1,
        "text": "1 drifted, 1 missing · 1 unmanaged, 1 pending, 1 expected",
    }
    assert document["findings"][0] == {
        "finding": "drifted",
        "kind": "user_worker",
        "name": "globex-api",
        "customer": "globex",
        "explanation": "limits.cpu_ms 50 → 10",
        "where": {"file": "customers/globex/customer.yaml", "line": 8, "column": 3, "width": 1},
        "who": "wrangler",
        "at": "2026-11-20T09:30:00Z",
        "expected_reason": "",
        "expires": "",
    }
    assert json.loads(render.to_json([]))["findings"] == []


def test_the_markdown_form_says_it_all_in_its_first_line() -> None:
    lines = render.as_markdown(FINDINGS).splitlines()
    assert lines[0] == "**1 drifted, 1 missing · 1 unmanaged, 1 pending, 1 expected**"
    assert (
        "| `globex-api` | globex | `limits.cpu_ms 50 → 10`<br>`customers/globex/customer.yaml:8:3` "
        "| `by wrangler at 2026-11-20T09:30:00Z` |"
    ) in lines


@pytest.mark.parametrize("count", [0, 1, 100, 5_000])
def test_the_markdown_form_fits_an_issue_and_ends_on_a_row(count: int) -> None:
    text = render.as_markdown(FINDINGS[:1] * count + HOSTILE)
    assert markdown.length(text) <= markdown.CAP
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    if count == 5_000:
        assert "more that do not fit here" in text


@pytest.mark.parametrize("form", render.FORMATS)
def test_nothing_foreign_is_more_than_text(form: str) -> None:
    text = render.FORMATS[form](HOSTILE, PLAIN, None)
    assert all(character.isprintable() or character in "\n\t" for character in text)
