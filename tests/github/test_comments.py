"""The plan as a comment: found again, written over, marked, never too long; and what its marker is good for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reconciler.errors import NotReviewed
from reconciler.github import comments, merges, reviewed
from reconciler.github.api import GitHub
from reconciler.github.reviewed import Reviewed
from reconciler.model import Key, Resource
from reconciler.plan import Action, Cause, Change, Plan
from tests import plans
from tests.github.hub import Hub

HEAD = "a" * 40


MIDDLING = replace(plans.middling(), environment="")


def test_a_second_plan_is_written_over_the_first(hub: Hub, github: GitHub) -> None:
    for number in range(35):
        hub.says(7, f"talk {number}", "octocat")
    first = comments.upsert(github, 7, plans.small(), HEAD)
    second = comments.upsert(github, 7, MIDDLING, HEAD)
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert len(hub.comments[7]) == 36


def test_the_same_plan_again_is_no_news(hub: Hub, github: GitHub) -> None:
    comments.upsert(github, 7, plans.small(), HEAD)
    calls = len(hub.calls)
    comments.upsert(github, 7, plans.small(), HEAD)
    assert [call.method for call in hub.calls[calls:]] == ["GET"]


def test_a_plan_that_has_become_empty_is_told_and_one_that_always_was_is_not(hub: Hub, github: GitHub) -> None:
    assert comments.upsert(github, 7, plans.nothing(), HEAD) is None
    comments.upsert(github, 7, plans.small(), HEAD)
    comments.upsert(github, 7, plans.nothing(), HEAD)
    (comment,) = hub.comments[7]
    assert "**nothing to do**" in comment["body"]


def test_each_environment_has_a_comment_of_its_own(hub: Hub, github: GitHub) -> None:
    for environment in ("", "staging", "a--b"):
        comments.upsert(github, 7, replace(plans.small(), environment=environment), HEAD)
        comments.upsert(github, 7, replace(MIDDLING, environment=environment), HEAD)
    assert len(hub.comments[7]) == 3
    assert [len(comments.ours(github, 7, one)) for one in ("", "staging", "a--b", "b")] == [1, 1, 1, 0]


def test_a_marker_that_somebody_else_wrote_is_only_text(hub: Hub, github: GitHub) -> None:
    forged = hub.says(7, comments.body(plans.nothing(), HEAD), "mallory")
    comments.upsert(github, 7, plans.small(), HEAD)
    assert len(hub.comments[7]) == 2
    assert forged["body"] == comments.body(plans.nothing(), HEAD)


def test_a_marker_in_the_middle_of_our_own_comment_is_only_text(hub: Hub, github: GitHub) -> None:
    hub.says(7, "hello\n" + comments.body(plans.nothing(), HEAD))
    assert comments.ours(github, 7, "") == []


def test_doubles_of_two_runs_at_once_are_folded_away(hub: Hub, github: GitHub) -> None:
    first, second = (hub.says(7, comments.body(plans.small(), HEAD)) for _ in range(2))
    comments.upsert(github, 7, MIDDLING, HEAD)
    assert hub.minimized == {second["node_id"]}
    assert first["body"] == comments.body(MIDDLING, HEAD)


def test_an_outdated_plan_is_marked_once_and_is_nobodys_review_any_more(hub: Hub, github: GitHub) -> None:
    comments.upsert(github, 7, plans.small(), HEAD)
    for _ in range(2):
        comments.outdate(github, 7, "", "The newest commit has no plan.")
    (comment,) = hub.comments[7]
    assert comment["body"].count("Outdated") == 1
    mark = comments.read(comment["body"])
    assert mark is not None
    assert mark.head == ""
    comments.upsert(github, 7, plans.small(), HEAD)
    assert "Outdated" not in comment["body"]


def test_nothing_is_marked_where_nothing_was_said(github: GitHub) -> None:
    assert comments.outdate(github, 7, "", "why") is None


@pytest.mark.parametrize(
    "plan", [plans.large(5_000), plans.hostile(), plans.alike()], ids=["large", "hostile", "alike"]
)
def test_any_plan_is_one_valid_comment(hub: Hub, github: GitHub, plan: Plan) -> None:
    comments.upsert(github, 7, plan, HEAD, "https://github.example/acme/platform/actions/runs/1")
    (comment,) = hub.comments[7]
    assert len(comment["body"]) <= 65_536
    opened, closed = (re.findall(one, comment["body"], re.MULTILINE) for one in (r"^<details", r"^</details>$"))
    assert len(opened) == len(closed)
    mark = comments.read(comment["body"])
    assert mark is not None
    assert mark.digest == plan.digest
    notice = comments.outdate(github, 7, "", "why " * 20)
    assert notice is not None
    assert len(notice.body) <= 65_536


def test_five_thousand_deletes_are_one_comment_with_one_digest_for_its_risks() -> None:
    plan = replace(plans.nothing(), changes=tuple(plans.delete("globex", f"s-{number:05}") for number in range(5_000)))
    text = comments.body(plan, HEAD)
    mark = comments.read(text)
    assert mark is not None
    assert len(mark.risks) == 1
    assert len(text) <= 65_536
    assert "reviewed plan" in reviewed.compare(plan, mark)
    assert "nothing harmful" in reviewed.compare(replace(plan, namespace="other"), mark)


# What a review covers


def live(name: str, digest: str = "1" * 32, customer: str = "globex", *, protected: bool = False) -> Resource:
    return Resource(Key("user_worker", name), digest, "acme", customer, etag="e1", protected=protected)


CREATE = Change(Action.CREATE, Key("user_worker", "new"), Cause.ADDED, None, live("new"))
EDIT = Change(Action.UPDATE, Key("user_worker", "shop"), Cause.EDITED, live("shop"), live("shop", "2" * 32))
DELETE = Change(Action.DELETE, Key("user_worker", "old"), Cause.REMOVED, live("old"), None)
OVERWRITE = replace(EDIT, cause=Cause.DRIFTED)
UNPROTECT = replace(EDIT, before=live("shop", protected=True))
FRONT = Change(
    Action.UPDATE,
    Key("dispatcher", "acme"),
    Cause.EDITED,
    Resource(Key("dispatcher", "acme"), "1" * 32, etag="e1"),
    Resource(Key("dispatcher", "acme"), "2" * 32),
)


def plan_of(*changes: Change) -> Plan:
    return Plan("acme", "acme-production", changes=tuple(sorted(changes, key=lambda change: change.key)))


def test_the_reviewed_plan_may_be_applied_whatever_it_holds() -> None:
    plan = plan_of(DELETE, FRONT, OVERWRITE)
    assert reviewed.compare(plan, reviewed.remember(plan, HEAD)) == "it is the reviewed plan"


def test_creates_and_edits_need_no_review_of_their_own() -> None:
    """The pull request before this one was not applied to its end, say."""
    assert "nothing harmful was added" in reviewed.compare(
        plan_of(CREATE, EDIT), reviewed.remember(plan_of(EDIT), HEAD)
    )
    assert "nothing harmful was added" in reviewed.compare(plan_of(CREATE), None)


def test_what_is_left_of_the_reviewed_plan_may_be_applied() -> None:
    assert reviewed.compare(plan_of(DELETE), reviewed.remember(plan_of(DELETE, CREATE, FRONT), HEAD))


@pytest.mark.parametrize(
    "harm", [DELETE, OVERWRITE, UNPROTECT, FRONT], ids=["delete", "overwrite", "unprotect", "front"]
)
def test_harm_that_nobody_saw_is_refused(harm: Change) -> None:
    fresh = plan_of(CREATE, harm)
    for mark in (None, reviewed.remember(plan_of(CREATE), HEAD)):
        with pytest.raises(NotReviewed) as error:
            reviewed.compare(fresh, mark)
        (problem,) = error.value.problems
        called = {"user_worker": "script", "dispatcher": "dispatcher"}[harm.key.kind]
        assert f"{harm.action} {called} {harm.key.name}" in problem.what
        assert fresh.digest in problem.fix


def test_the_delete_of_another_version_than_the_reviewed_one_is_refused() -> None:
    """Someone uploaded it anew since: what would be deleted is not what people saw."""
    mark = reviewed.remember(plan_of(DELETE), HEAD)
    with pytest.raises(NotReviewed):
        reviewed.compare(plan_of(replace(DELETE, before=replace(live("old"), etag="e2"))), mark)


def test_the_dispatcher_may_have_moved_on_with_other_merges() -> None:
    assert FRONT.after is not None
    mark = reviewed.remember(plan_of(FRONT), HEAD)
    assert reviewed.compare(plan_of(replace(FRONT, after=replace(FRONT.after, digest="3" * 32))), mark)


def merged(hub: Hub, commit: str, number: int = 7, head: str = HEAD) -> None:
    row = {"number": number, "head": {"sha": head}, "base": {"ref": "main"}, "merge_commit_sha": commit}
    hub.pulls.append({**row, "merged_at": "2026-11-24T04:00:00Z", "html_url": ""})


def test_the_review_of_a_commit_is_that_of_the_pull_request_that_became_it(hub: Hub, github: GitHub) -> None:
    merged(hub, "c" * 40)
    comments.upsert(github, 7, plans.small(), HEAD)
    pull, mark = merges.review_of(github, "c" * 40, "")
    assert pull is not None
    assert mark is not None
    assert (pull.number, mark.digest) == (7, plans.small().digest)
    assert merges.review_of(github, "c" * 40, "staging") == (pull, None)
    assert merges.review_of(github, "d" * 40, "") == (None, None)


def test_a_comment_of_an_earlier_push_is_no_review(hub: Hub, github: GitHub) -> None:
    merged(hub, "c" * 40, head="b" * 40)
    comments.upsert(github, 7, plans.small(), HEAD)
    assert merges.review_of(github, "c" * 40, "")[1] is None


def test_a_forged_comment_is_no_review(hub: Hub, github: GitHub) -> None:
    merged(hub, "c" * 40)
    hub.says(7, comments.body(plans.small(), HEAD), "mallory")
    assert merges.review_of(github, "c" * 40, "")[1] is None


def test_an_open_pull_request_is_no_review(hub: Hub, github: GitHub) -> None:
    merged(hub, "c" * 40)
    hub.pulls[0]["merged_at"] = None
    comments.upsert(github, 7, plans.small(), HEAD)
    assert merges.review_of(github, "c" * 40, "") == (None, None)


def test_an_old_run_started_again_is_refused_once_the_branch_went_on(hub: Hub, github: GitHub) -> None:
    hub.tips = {"main": "d" * 40}
    environment = {"GITHUB_REF_NAME": "main", "GITHUB_RUN_ATTEMPT": "2"}
    with pytest.raises(NotReviewed) as error:
        merges.refuse_rerun(github, "c" * 40, environment)
    assert "would undo" in error.value.problems[0].why
    merges.refuse_rerun(github, "d" * 40, environment)
    merges.refuse_rerun(github, "c" * 40, {**environment, "GITHUB_RUN_ATTEMPT": "1"})


def test_a_marker_reads_back_as_it_was_written() -> None:
    mark = Reviewed("eu-1 --> x", "0" * 32, ("a" * 12, "b" * 12), HEAD)
    text = comments.body(replace(plans.small(), environment=mark.environment), HEAD)
    assert text.splitlines()[0].count("-->") == 1
    read = comments.read(text)
    assert read is not None
    assert (read.environment, read.head) == (mark.environment, HEAD)
    assert comments.read(text.replace("\n", "\r\n")) == read
