"""The results of an apply, and the record of them."""

from __future__ import annotations

import json
from dataclasses import replace

from reconciler.errors import Problem, Where
from reconciler.model import Key
from reconciler.plan import Action, Plan
from reconciler.plan.prices import monthly_cents
from reconciler.plan.results import Outcome, Result, audit_line
from reconciler.show.results_text import result_line, results_summary
from reconciler.show.style import coloured
from tests import plans

PLAN = Plan("acme", "acme-production")
APPLIED = Result(Key("user_worker", "globex-shop"), Action.CREATE, Outcome.APPLIED, "globex", 1.234)
FAILED = Result(
    Key("user_worker", "globex-api"),
    Action.UPDATE,
    Outcome.FAILED,
    "globex",
    0.4,
    Problem(
        "Cloudflare refused the upload (400, code 10021)",
        Where("customers/globex/customer.yaml", 8, 3),
        why="Uncaught SyntaxError: Unexpected token '}' at api.mjs:14:1",
        fix="correct customers/globex/api.mjs:14",
        code="upload-refused",
    ),
    before_digest="1" * 32,
    after_digest="2" * 32,
    ray="8f1c2d-FRA",
)
SKIPPED = Result(
    Key("dispatcher", "acme"), Action.UPDATE, Outcome.SKIPPED, problem=Problem("globex-api failed, and this needs it")
)
LEFT = Result(Key("user_worker", "old"), Action.DELETE, Outcome.NOT_STARTED, "initech")


def test_each_result_is_one_line_as_it_ends() -> None:
    assert result_line(APPLIED) == "✓ + globex-shop                       1.2 s"
    assert result_line(LEFT) == "○ - old                               not started"


def test_a_failure_says_where_why_and_how_to_mend_it() -> None:
    assert result_line(FAILED).splitlines() == [
        "✗ ~ globex-api                        failed",
        "    Cloudflare refused the upload (400, code 10021)",
        "    customers/globex/customer.yaml:8:3",
        "    why: Uncaught SyntaxError: Unexpected token '}' at api.mjs:14:1",
        "    fix: correct customers/globex/api.mjs:14",
        "    ref: cf-ray 8f1c2d-FRA",
    ]


def test_the_summary_tells_failures_again_and_ends_with_the_counts() -> None:
    text = results_summary([APPLIED, FAILED, SKIPPED, LEFT], plans.middling())
    assert text.splitlines()[1:3] == ["1 change failed", "✗ ~ globex-api                        failed"]
    assert text.splitlines()[-1] == (
        "Applied 1 of 4: 1 created · 1 failed · 1 skipped · 1 not started · 3 deletes withheld · 1 blocked"
    )
    assert "run `reconciler apply` again" in text


def test_a_summary_without_failures_is_one_line() -> None:
    assert results_summary([APPLIED, replace(APPLIED, action=Action.DELETE)], PLAN).strip() == (
        "Applied 2 of 2: 1 created, 1 deleted"
    )


def test_thousands_of_failures_are_counted() -> None:
    text = results_summary([FAILED] * 3_000, PLAN)
    assert "3,000 changes failed" in text
    assert "… and 2,980 more" in text
    assert text.count("\n") < 200


def test_names_and_replies_cannot_command_the_terminal() -> None:
    for bad in plans.HOSTILE:
        problem = Problem(bad, Where(bad), why=bad, fix=bad)
        result = replace(FAILED, key=Key("user_worker", bad), problem=problem, ray=bad)
        assert all(one.isprintable() or one in "\n\t" for one in result_line(result) + results_summary([result], PLAN))
    assert "\x1b[" in result_line(FAILED, coloured())


def test_an_audit_line_is_one_sorted_object() -> None:
    line = audit_line(FAILED, who="ada", commit="0123abc", at="2026-11-24T03:30:00Z")
    assert "\n" not in line
    assert json.loads(line) == {
        "format_version": 1,
        "at": "2026-11-24T03:30:00Z",
        "who": "ada",
        "commit": "0123abc",
        "action": "update",
        "kind": "user_worker",
        "name": "globex-api",
        "customer": "globex",
        "outcome": "failed",
        "seconds": 0.4,
        "before_digest": "1" * 32,
        "after_digest": "2" * 32,
        "note": "",
        "ray": "8f1c2d-FRA",
        "problem": {
            "code": "upload-refused",
            "what": "Cloudflare refused the upload (400, code 10021)",
            "why": "Uncaught SyntaxError: Unexpected token '}' at api.mjs:14:1",
        },
    }
    assert list(json.loads(line)) == sorted(json.loads(line))
    for bad in plans.HOSTILE:
        assert audit_line(APPLIED, who=bad, commit=bad, at="").isascii()


def test_a_thousand_scripts_are_included_and_each_further_one_costs_two_cents() -> None:
    assert [monthly_cents(n) for n in (0, 1_000, 1_001, 10_000)] == [2_500, 2_500, 2_502, 20_500]
