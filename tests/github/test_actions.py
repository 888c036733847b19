"""Outputs, summaries and events: within GitHub's limits, and deaf to what people write into them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ConfigError, UsageProblem
from reconciler.github import actions, summaries
from reconciler.plan.results import audit_line
from tests import plans
from tests.github.workflow import assignments

HEAD = "a" * 40


def test_outputs_read_back_whatever_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "output"
    values = {"a": "1", "b": "two\nlines", "c": "EOF\nevil=1", "d": ""}
    actions.set_outputs({"GITHUB_OUTPUT": str(file)}, values)
    assert assignments(file.read_text()) == values


def test_every_output_has_a_delimiter_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "output"
    actions.set_outputs({"GITHUB_OUTPUT": str(file)}, dict.fromkeys("abc", "x"))
    assert len({line.partition("<<")[2] for line in file.read_text().splitlines() if "<<" in line}) == 3


def test_a_value_that_holds_the_delimiter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem):
        actions.set_outputs({"GITHUB_OUTPUT": str(tmp_path / "x")}, {"a": "x\nend\ny"}, lambda: "end")


def test_outputs_hold_no_name_of_a_customers_making() -> None:
    outputs = summaries.plan_outputs(plans.hostile(), Path("plan.json"), Path("plan.html"))
    assert not [value for value in outputs.values() if any(one in value for one in plans.HOSTILE)]
    assert all(value.isalnum() for name, value in outputs.items() if name not in ("plan-json", "plan-html"))


@pytest.mark.parametrize(
    "plan", [plans.large(2_000), plans.hostile(), plans.nothing()], ids=["large", "hostile", "none"]
)
def test_a_summary_stays_under_a_mebibyte(tmp_path: Path, plan: Any) -> None:
    environment = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    for _ in range(2):
        actions.add_summary(environment, lambda cap: summaries.plan_summary(plan, cap))
    assert 0 < (tmp_path / "summary").stat().st_size <= 1_048_576
    assert plan.digest in (tmp_path / "summary").read_text()


def test_a_summary_in_many_bytes_a_character_is_cut_too(tmp_path: Path) -> None:
    environment = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    actions.add_summary(environment, lambda cap: "語" * cap)
    assert 900_000 < (tmp_path / "summary").stat().st_size <= 1_048_576


def test_outside_a_workflow_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[int] = []

    def render(cap: int) -> str:
        asked.append(cap)
        return "x"

    actions.set_outputs({}, {"a": "1"})
    actions.add_summary({}, render)
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def event(tmp_path: Path, payload: Any) -> dict[str, str]:
    (tmp_path / "event.json").write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return {"GITHUB_EVENT_PATH": str(tmp_path / "event.json")}


def pull(**more: Any) -> dict[str, Any]:
    side = {"sha": HEAD, "repo": {"full_name": "acme/platform"}}
    return {"pull_request": {"number": 7, "user": {"login": "octocat"}, "head": side, "base": side, **more}}


def test_an_event_tells_its_pull_request(tmp_path: Path) -> None:
    found = actions.pull_request(event(tmp_path, pull(title="$(rm -rf /)")))
    assert found == actions.PullRequest(7, HEAD, "octocat", False)


def test_a_fork_that_was_deleted_is_still_a_fork(tmp_path: Path) -> None:
    assert actions.pull_request(event(tmp_path, pull(head={"sha": HEAD, "repo": None}))).fork


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{}", "[" * 100_000, {"pull_request": None}, pull(number="7"), pull(head={"sha": "main; rm -rf /"})],
)
def test_an_event_that_tells_none_is_a_problem(tmp_path: Path, payload: Any) -> None:
    with pytest.raises(UsageProblem):
        actions.pull_request(event(tmp_path, payload))


def test_the_summary_of_an_apply_begins_with_what_did_not_take(tmp_path: Path) -> None:
    lines = [audit_line(one, who="x", commit=HEAD, at="2026-11-24T04:00:00Z") for one in plans_results()]
    done = summaries.read_audit("\n".join(lines), "audit.jsonl")
    text = summaries.audit_summary(done, 100_000)
    assert text.startswith("## Apply\n\n**2 applied, 1 failed**\n")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert "**failed**" in rows[0]
    assert summaries.audit_outputs(done) == {"applied": "2", "failed": "1", "skipped": "0", "not-started": "0"}
    assert len(summaries.audit_summary(done * 5_000, 100_000).encode()) <= 100_000


def test_a_line_that_is_no_audit_is_told_with_its_number() -> None:
    with pytest.raises(ConfigError) as error:
        summaries.read_audit("\nno\n", "audit.jsonl")
    assert error.value.problems[0].where is not None


def plans_results() -> list[Any]:
    from reconciler.errors import Problem
    from reconciler.model import Key
    from reconciler.plan import Action
    from reconciler.plan.results import Outcome, Result

    good = Result(Key("user_worker", "shop"), Action.UPDATE, Outcome.APPLIED, "globex")
    bad = replace(good, outcome=Outcome.FAILED, problem=Problem("refused|<b>", why="@octocat"))
    return [good, bad, good]
