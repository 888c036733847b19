"""The workflows, run step by step against a GitHub and a Cloudflare on loopback: what people and strangers do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.github import templates
from reconciler.origin import UNKNOWN
from tests.github import workflow
from tests.github.world import (
    COMPILED,
    FILES,
    LEDGER,
    NAMESPACE,
    PLATFORM,
    READ_TOKEN,
    SHOP,
    WRITE_TOKEN,
    World,
    by_hand,
    event_of,
    nightly,
    push,
    reviewed,
    saved,
)

NEW_SHOP = 'export default { fetch: () => new Response("new shop") };\n'
GLOBEX = "customers/globex/customer.yaml"
HELLO, INITECH = "customers/initech/hello.mjs", "customers/initech/customer.yaml"


def test_a_pull_request_that_changes_nothing_live_gets_no_comment(acme: World) -> None:
    job = acme.plan(acme.change({"README.md": "Hello.\n"}))
    assert job.result == "success", job.log
    assert "**nothing to do**" in job.summary
    assert acme.hub.comments == {}


def test_a_fork_gets_an_offline_plan_and_no_token_is_anywhere_near(acme: World) -> None:
    acme.hosted.secrets = {**acme.hosted.secrets, "": {"CLOUDFLARE_API_TOKEN": "a-secret-of-the-repository"}}
    pull = acme.change({SHOP: NEW_SHOP})

    job = acme.plan(pull, fork=True)

    assert (job.name, job.result) == ("offline", "success"), job.log
    assert job.permissions == {"contents": "read"}
    assert job.environment == ""
    secrets = [acme.hosted.token, READ_TOKEN, WRITE_TOKEN, "a-secret-of-the-repository"]
    for step in job.steps:
        told = " ".join([*step.env.values(), *step.inputs.values(), step.log, step.summary])
        assert not [one for one in secrets if one in told], step.name
        assert not [name for name in step.env if "TOKEN" in name or "SECRET" in name], step.name
    assert "**1 to update** · globex" in job.summary
    assert acme.requests == []
    assert acme.hub.calls == []


def test_a_fork_cannot_ask_for_approvals_and_is_told_what_needs_one(acme: World) -> None:
    job = acme.run("owners.yml", event_of(acme.change({"platform.yaml": PLATFORM + "trusted: false\n"}), fork=True))
    assert job.result == "success", job.log
    assert job.step("Owners").env["GITHUB_TOKEN"] == ""
    assert acme.hosted.token not in job.log
    assert "platform.yaml:1:1: warning: this file is the platform's" in job.log
    assert "platform.yaml:1:1: warning: this file is the platform's" in job.summary
    assert acme.hub.calls == []


def test_problems_past_githubs_ten_stand_in_the_summary(acme: World) -> None:
    broken = {f"customers/c{number}/customer.yaml": "tier: none-such\nscripts: {}\n" for number in range(12)}
    job = acme.plan(acme.change(broken))
    assert job.result == "failure"
    told = job.step("Validate").commands
    assert len(told) == 10
    assert told[-1] == ("error", "and 3 more problems: the summary of this run holds all")
    assert all(f"\n{name}:1:7: error:" in job.summary for name in broken)


def test_a_name_of_someone_else_is_shown_and_stops_nothing_but_itself(acme: World) -> None:
    shop = acme.store.script(NAMESPACE, "globex-shop")
    assert shop is not None
    acme.store.change_script(NAMESPACE, "taken", lambda _: replace(shop, name="taken", tags=()))
    pull = acme.change({HELLO: NEW_SHOP, INITECH: FILES[INITECH] + "  taken:\n    main: hello.mjs\n"})

    planned = acme.plan(pull)

    assert planned.result == "failure"
    assert [step.name for step in planned.steps if step.conclusion == "failure"] == ["Nothing stands in the way"]
    (comment,) = acme.hub.comments[pull.number]
    assert "**1 to update, 1 blocked, 1 problem** · platform, initech" in comment["body"]
    assert "script taken" in comment["body"]
    assert "Outdated" not in comment["body"]

    applied = acme.run("apply.yml", acme.merge(pull))

    assert applied.result == "failure"
    assert applied.step("Compare with the review").outcome == "success", applied.log
    assert "**1 applied**" in applied.summary
    assert acme.code("initech-hello") == NEW_SHOP
    assert acme.code("taken") == FILES[SHOP]


def test_where_to_get_the_reconciler_is_asked_for_where_it_is_not_known(acme: World) -> None:
    unknown = templates.files(requirement=f"wfp-reconciler @ {UNKNOWN}", owner="@octo-boss")[templates.RECONCILER]
    job = acme.plan(acme.change({templates.RECONCILER: unknown}))
    assert job.result == "failure"
    assert job.step("Install").commands == [("error", "say where to get the reconciler: a commit of it, or a wheel")]
    assert job.step("Validate").outcome == "skipped"


HOSTILE = "$(touch pwned) `touch pwned` \"; touch pwned; ' %0A::error::x\n::error::y"


def test_hostile_titles_names_and_contents_stay_text(acme: World, tmp_path: Path) -> None:
    code = f"/*\n::add-mask::shop\n  ::error::owned\n##[error]owned\n::stop-commands::x\n{HOSTILE}\n*/\n{NEW_SHOP}"
    module = "customers/globex/lib/$(touch pwned);::error::owned.mjs"
    customer = FILES["customers/globex/customer.yaml"] + '    modules: ["lib/*.mjs"]\n'
    pull = acme.change({SHOP: code, module: NEW_SHOP, "customers/globex/customer.yaml": customer})

    job = acme.plan(pull, title=HOSTILE)

    assert job.result == "success", job.log
    assert not list(tmp_path.rglob("pwned"))
    assert "+::add-mask::shop" in job.step("Plan").log
    assert [name for step in job.steps for name, _ in step.commands] == ["stop-commands"]
    assert not [step.name for step in job.steps if "owned" in " ".join(step.outputs.values())]
    (comment,) = acme.hub.comments[pull.number]
    assert "owned" in comment["body"]


def test_a_hostile_name_that_is_refused_is_told_as_one_annotation(acme: World) -> None:
    folder = "customers/Evil\n::error file=platform.yaml::owned"
    pull = acme.change({f"{folder}/customer.yaml": "scripts: {}\n"})

    job = acme.plan(pull)

    assert job.result == "failure"
    assert {name for name, _ in job.step("Validate").commands} == {"error"}
    assert not [value for _, value in job.step("Validate").commands if value == "owned"]


def test_an_apply_whose_plan_nobody_reviewed_is_refused_and_goes_on_by_hand(acme: World) -> None:
    """The delete came into the repository by a push that no pull request showed."""
    commit = acme.repository.commit({INITECH: None, HELLO: None})
    acme.repository.commit({"platform.yaml": FILES["platform.yaml"] + "safety: {max_deletes: {percent: 100}}\n"})
    commit = acme.repository.commit({})

    refused = acme.run("apply.yml", push(commit))

    assert refused.result == "failure"
    told = refused.step("Compare with the review").log
    assert "holds what nobody reviewed: " in told
    assert "delete script initech-hello" in told
    assert "holds what nobody reviewed: " in refused.summary
    assert refused.step("Apply").outcome == "skipped"
    assert acme.writes() == []

    digest = refused.step("Show").outputs["plan-digest"]
    assert digest in told
    applied = acme.run("apply.yml", by_hand(commit, digest=digest))
    assert applied.result == "success", applied.log
    assert acme.live() == {"globex-shop"}


def test_drift_opens_one_issue_and_closes_it_when_it_is_gone(acme: World) -> None:
    before = acme.edit_by_hand("globex-shop", "export default {}; // a hot fix in the dashboard\n")

    night = acme.run("drift.yml", nightly("main"))

    assert night.result == "success", night.log
    assert "**1 drifted**" in night.summary
    (issue,) = acme.hub.issues
    assert issue["title"] == "Drift: 1 drifted"
    assert "globex-shop" in issue["body"]

    acme.put_back(before)
    again = acme.run("drift.yml", nightly("main"))
    assert again.result == "success", again.log
    restored = next(step for step in again.steps if step.uses.startswith("actions/cache/restore"))
    assert restored.outputs["cache-matched-key"] == "reconciler//101/1"  # what the night before learned
    assert issue["state"] == "closed"
    assert "no drift" in acme.hub.comments[issue["number"]][0]["body"]
    assert acme.writes() == []


def test_without_a_token_the_plan_fails_and_the_comment_is_marked(acme: World) -> None:
    pull = acme.change({SHOP: NEW_SHOP})
    old = f"<!-- reconciler plan env= digest={'0' * 32} risks= head={pull.head} -->\n**1 to update**\n"
    comment = acme.hub.says(pull.number, old)
    acme.hosted.secrets = {}

    job = acme.plan(pull)

    assert job.result == "failure"
    assert "CLOUDFLARE_API_TOKEN is not set" in job.step("Plan").log
    assert "**Outdated.**" in comment["body"]
    assert "head= -->" in comment["body"]


@pytest.mark.parametrize("status", [pytest.param(503, marks=pytest.mark.deep), 401])
def test_github_down_fails_the_job_and_loses_neither_summary_nor_artifact(acme: World, status: int) -> None:
    """503 is tried again for a while; 401 stands for it where there is no time."""
    pull = acme.change({SHOP: NEW_SHOP})
    acme.hub.down = status

    job = acme.plan(pull)

    assert job.result == "failure"
    assert f"GitHub answered {status} to GET" in job.step("Comment").log
    assert "Traceback" not in job.log
    assert "**1 to update** · globex" in job.summary
    assert acme.hosted.artifacts["101"]["plan-production"]


def test_an_apply_is_refused_while_github_cannot_tell_what_was_reviewed(acme: World) -> None:
    commit = acme.repository.commit({SHOP: NEW_SHOP})
    acme.hub.token = "someone-else's"

    job = acme.run("apply.yml", push(commit))

    assert job.result == "failure"
    assert job.step("Apply").outcome == "skipped"
    assert acme.writes() == []


def test_a_poisoned_ledger_costs_nothing_but_its_memory(acme: World) -> None:
    acme.hosted.caches["reconciler//999/1"] = saved(b"SQLite format 3\0" + b"poison" * 1000)
    commit = acme.repository.commit({SHOP: NEW_SHOP})

    job = acme.run("apply.yml", push(commit))

    assert job.result == "success", job.log
    assert acme.code("globex-shop") == NEW_SHOP
    kept = acme.hosted.caches["reconciler//101/1"].files
    assert kept.keys() == {LEDGER, COMPILED}
    assert b"poison" not in kept[LEDGER]


def test_what_is_not_for_customers_to_set_needs_an_owner_of_the_platform(acme: World) -> None:
    customer = FILES[GLOBEX].replace("tier: basic", "tier: basic\nlimits: {cpu_ms: 900}")
    pull = acme.change({GLOBEX: customer, SHOP: NEW_SHOP})
    event = event_of(pull, author="globex-dev")

    job = acme.run("owners.yml", event)

    assert job.result == "failure", job.log
    assert 'the key "limits.cpu_ms" is not for customers to set' in job.log

    acme.hub.reviews[pull.number] = [{"user": {"login": "octo-boss"}, "state": "APPROVED", "commit_id": pull.head}]
    asked = acme.run("reviewed.yml", reviewed(event))
    assert asked.result == "success", asked.log
    assert acme.hub.again == [101]  # the very run of the push: GitHub would keep its failed check beside a new one

    again = acme.run("owners.yml", replace(event, attempt=2))
    assert again.result == "success", again.log
    assert "octo-boss owns the platform" in again.log


def test_what_an_owner_of_the_platform_writes_needs_no_other(acme: World) -> None:
    pull = acme.change({"platform.yaml": FILES["platform.yaml"] + "trusted: false\n"})
    job = acme.run("owners.yml", event_of(pull, author="octo-boss"))
    assert job.result == "success", job.log


def test_talk_and_forks_have_nothing_checked_again(acme: World) -> None:
    event = event_of(acme.change({}))
    assert workflow.started(acme.hosted, "reviewed.yml", reviewed(event)) == ["reviewed"]
    for one in (reviewed(event, "commented"), reviewed(event_of(acme.change({}), fork=True))):
        assert workflow.started(acme.hosted, "reviewed.yml", one) == []


def test_a_secret_that_the_step_lacks_is_told_before_the_first_write(acme: World) -> None:
    """The plan of a pull request needs no customer's secret, so that none is within its reach."""
    secret = FILES[GLOBEX] + "    secrets: {API_KEY: {env: GLOBEX_API_KEY}}\n"
    pull = acme.change({GLOBEX: secret, HELLO: NEW_SHOP})
    assert acme.plan(pull).result == "success"

    job = acme.run("apply.yml", acme.merge(pull))

    assert job.result == "failure"
    assert "GLOBEX_API_KEY" in job.step("Apply").log
    assert "nothing was changed" in job.summary
    assert acme.writes() == []
