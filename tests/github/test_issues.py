"""The drift issue: opened, written over, closed; found again by label, marker and author."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.errors import ConfigError, Where
from reconciler.github import issues, summaries
from reconciler.github.api import GitHub
from reconciler.github.issues import Drift
from reconciler.model import Key
from reconciler.plan import Coverage
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import findings as render_findings
from tests import plans
from tests.github.hub import Hub

DRIFTED = Finding(
    FindingKind.DRIFTED,
    Key("user_worker", "globex-shop"),
    "globex",
    "limits.cpu_ms 50 → 80",
    Where("customers/globex/customer.yaml", 3, 5),
    "someone@example.com",
    "2026-11-24T04:00:00Z",
)
PENDING = Finding(FindingKind.PENDING, Key("user_worker", "new"), "globex", "new in the repository")
SEEN = Coverage(100, 4_212, "2026-11-17T00:00:00+00:00", days=9)
UNMANAGED = Finding(FindingKind.UNMANAGED, Key("user_worker", "other"))


def test_drift_is_one_issue_from_the_first_night_to_the_last(hub: Hub, github: GitHub) -> None:
    assert issues.update(github, Drift((PENDING, UNMANAGED)), "")[0] == "nothing"
    assert issues.update(github, Drift((DRIFTED, PENDING)), "", "https://run/1")[0] == "opened"
    assert issues.update(github, Drift((DRIFTED, PENDING)), "", "https://run/2")[0] == "nothing"
    assert issues.update(github, Drift((DRIFTED, DRIFTED)), "", "https://run/3")[0] == "updated"
    assert issues.update(github, Drift((PENDING,)), "", "https://run/4")[0] == "closed"
    (issue,) = hub.issues
    assert (issue["title"], issue["state"]) == ("Drift: 2 drifted", "closed")
    (comment,) = hub.comments[issue["number"]]
    assert comment["body"] == "Closed: the last run found no drift ([run](https://run/4))."
    assert issues.update(github, Drift((DRIFTED,)), "")[0] == "opened"
    assert len(hub.issues) == 2


def test_each_environment_has_an_issue_of_its_own(hub: Hub, github: GitHub) -> None:
    issues.update(github, Drift((DRIFTED,)), "")
    issues.update(github, Drift((DRIFTED,)), "staging")
    assert [one["title"] for one in hub.issues] == ["Drift: 1 drifted", "Drift in staging: 1 drifted"]
    issues.update(github, Drift(()), "staging")
    assert [one["state"] for one in hub.issues] == ["open", "closed"]


def test_an_issue_that_somebody_else_marked_is_left_alone(hub: Hub, github: GitHub) -> None:
    forged = hub.opens("Drift", issues.body(Drift((DRIFTED,)), ""), [issues.LABEL], "mallory")
    assert issues.update(github, Drift(()), "")[0] == "nothing"
    assert forged["state"] == "open"


def test_doubles_are_closed_in_favour_of_the_oldest(hub: Hub, github: GitHub) -> None:
    for _ in range(2):
        hub.opens("Drift", issues.body(Drift((DRIFTED,)), ""), [issues.LABEL])
    issues.update(github, Drift((DRIFTED,)), "")
    assert [one["state"] for one in hub.issues] == ["open", "closed"]


def test_a_night_with_ten_thousand_findings_is_one_valid_issue(hub: Hub, github: GitHub) -> None:
    many = [
        Finding(FindingKind.DRIFTED, Key("user_worker", f"s-{number:05}"), "globex", plans.HOSTILE[number % 20])
        for number in range(10_000)
    ]
    issues.update(github, Drift(tuple(many)), "")
    assert len(hub.issues[0]["body"]) <= 65_536
    assert hub.issues[0]["title"] == "Drift: 10,000 drifted"


def test_findings_read_back_as_they_were_written() -> None:
    findings = (DRIFTED, PENDING, UNMANAGED)
    assert issues.read(render_findings.to_json(findings), "drift.json") == Drift(findings)
    assert issues.read(render_findings.to_json(findings, SEEN), "drift.json") == Drift(findings, SEEN)


def test_the_issue_says_how_much_was_read_back_and_is_not_written_over_for_that_alone(hub: Hub, github: GitHub) -> None:
    assert issues.update(github, Drift((DRIFTED,), SEEN), "", "https://run/1")[0] == "opened"
    told = "<sub>read back 100 of 4,212 · all content seen within 9 days · [the run that found it](https://run/1)</sub>"
    assert hub.issues[0]["body"].rstrip().endswith(told)
    younger = replace(SEEN, checked=200, days=8)
    assert issues.update(github, Drift((DRIFTED,), younger), "", "https://run/2")[0] == "nothing"
    assert "read back 100 of 4,212" in summaries.drift_summary(Drift((DRIFTED,), SEEN), "", 50_000)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 9, "findings": []}', "[" * 100_000, "null"])
def test_a_file_that_holds_no_findings_is_told(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        issues.read(text, "drift.json")
    assert error.value.problems[0].where == Where("drift.json")
