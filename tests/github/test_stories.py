"""Longer stories: several pull requests at once, several environments, a repository fresh from `init`, the action."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reconciler.begin import scaffold
from reconciler.cli.init import init
from reconciler.github import templates
from tests.github import workflow
from tests.github.expressions import Expressions
from tests.github.test_lint import documented
from tests.github.world import FILES, SHOP, WRITE_TOKEN, World, by_hand, event_of, nightly, push, world

NEW_SHOP = 'export default { fetch: () => new Response("new shop") };\n'
HELLO = "customers/initech/hello.mjs"
SECOND = FILES["customers/initech/customer.yaml"] + "  initech-second:\n    main: hello.mjs\n"


def test_two_pull_requests_merged_at_once_are_each_applied_as_reviewed(acme: World) -> None:
    """Both were planned before either was merged; the queue holds the second apply until the first is done."""
    one = acme.change({SHOP: NEW_SHOP}, number=7, branch="one")
    two = acme.change({"customers/initech/customer.yaml": SECOND}, number=8, branch="two")
    assert acme.plan(one).result == acme.plan(two).result == "success"

    pushes = [acme.merge(one, "one"), acme.merge(two, "two")]
    runs = [acme.run("apply.yml", event) for event in pushes]

    assert [job.result for job in runs] == ["success", "success"], runs[1].log
    assert all("it is the reviewed plan" in job.log for job in runs)
    assert acme.code("globex-shop") == NEW_SHOP
    assert "initech-second" in acme.live()

    again = acme.run("apply.yml", replace(pushes[0], attempt=2))
    assert again.result == "failure"
    assert "would undo what was merged since" in again.step("Compare with the review").log
    assert "initech-second" in acme.live()


@pytest.mark.deep
def test_a_delete_that_another_pull_request_left_over_is_not_slipped_in(acme: World) -> None:
    """The first apply never ran (its token had expired, say); the second pull request did not show the delete."""
    safety = FILES["platform.yaml"] + "safety: {max_deletes: {percent: 100}}\n"
    gone = {"customers/initech/customer.yaml": None, HELLO: None, "platform.yaml": safety}
    one = acme.change(gone, number=7, branch="one")
    two = acme.change({SHOP: NEW_SHOP}, number=8, branch="two")
    assert acme.plan(one).result == acme.plan(two).result == "success"
    acme.merge(one, "one")

    job = acme.run("apply.yml", acme.merge(two, "two"))

    assert job.result == "failure"
    assert "delete script initech-hello" in job.step("Compare with the review").log
    assert acme.writes() == []


@pytest.mark.deep
def test_each_environment_has_its_own_comment_tokens_and_order(acme: World) -> None:
    acme.hosted.variables = {"RECONCILER_ENVIRONMENTS": '["staging", ""]'}
    tokens = {name: acme.hosted.secrets[name] for name in acme.hosted.secrets}
    acme.hosted.secrets = {
        **tokens,
        "staging": tokens["production"],
        "staging-plan": tokens["production-plan"],
    }
    pull = acme.change({SHOP: NEW_SHOP})

    planned = [job for job in workflow.run(acme.hosted, "plan.yml", event_of(pull)) if job.name == "plan"]

    assert [job.environment for job in planned] == ["staging-plan", "production-plan"]
    assert [job.result for job in planned] == ["success", "success"], planned[0].log
    first, second = acme.hub.comments[pull.number]
    assert "`acme-staging` (`staging`)" in first["body"]
    assert "`acme-production`" in second["body"]

    applied = workflow.run(acme.hosted, "apply.yml", acme.merge(pull))
    assert [(job.environment, job.result) for job in applied] == [("staging", "success"), ("production", "success")]
    assert acme.live("acme-staging") == acme.live() == {"globex-shop", "initech-hello"}

    acme.edit_by_hand("globex-shop", "export default {};\n")  # in production only; staging has nothing to do
    commit = acme.repository.commit({})
    *_, refused = workflow.run(acme.hosted, "apply.yml", push(commit))
    assert refused.result == "failure"
    digest = refused.step("Show").outputs["plan-digest"]
    by_digest = workflow.run(acme.hosted, "apply.yml", by_hand(commit, digest=digest))
    assert [(job.environment, job.result) for job in by_digest] == [("staging", "success"), ("production", "success")]
    assert [job.step("Apply").outcome for job in by_digest] == ["skipped", "success"]
    assert acme.code("globex-shop") == NEW_SHOP


@pytest.mark.deep
def test_cloudflare_down_fails_the_plan_after_patient_retries(acme: World) -> None:
    pull = acme.change({SHOP: NEW_SHOP})
    acme.hosted.cloudflare_url = "http://127.0.0.1:1/client/v4"

    job = acme.plan(pull)

    assert job.result == "failure"
    assert "Traceback" not in job.log
    assert job.step("Show").outcome == "skipped"


def test_another_branch_cannot_apply(acme: World) -> None:
    commit = acme.repository.commit({}, branch="mine")
    assert workflow.started(acme.hosted, "apply.yml", by_hand(commit)) == ["apply"]
    assert workflow.started(acme.hosted, "apply.yml", replace(by_hand(commit), ref="refs/heads/mine")) == []


def test_dependabot_is_planned_offline_like_a_fork(acme: World) -> None:
    pull = acme.change({})
    assert workflow.started(acme.hosted, "plan.yml", event_of(pull)) == ["plan", "planned"]
    for event in (event_of(pull, author="dependabot[bot]"), event_of(pull, fork=True)):
        assert workflow.started(acme.hosted, "plan.yml", event) == ["offline", "planned"]


def test_a_new_repository_from_init_to_its_first_night(tmp_path: Path, expressions: Expressions) -> None:
    """The first pull request is that of README.md: a customer, by someone who administers the repository."""
    files = from_init(tmp_path / "acme")
    (tmp_path / "world").mkdir()
    with world(tmp_path / "world", expressions, files=files) as acme:
        acme.hosted.variables = {"CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef"}
        acme.hub.roles = {"octocat": "admin"}
        pull = acme.change(scaffold.customer("globex", "basic", {"globex-hello": "hello.mjs"}))

        planned = acme.plan(pull)
        owned = acme.run("owners.yml", event_of(pull))

        assert (planned.title, planned.result) == ("Plan production", "success"), planned.log
        (comment,) = acme.hub.comments[pull.number]
        shown = comment["body"].splitlines()
        count = planned.step("Show").outputs["to-create"]
        assert shown[0].startswith("<!-- reconciler plan env= digest=")
        assert shown[1].startswith(f"**{count} to create** · platform, ")
        assert shown[1] in planned.summary
        assert planned.step("Comment").outputs["comment-url"] == comment["html_url"]
        assert acme.writes() == []
        assert owned.result == "success", owned.log
        assert "octocat owns the platform and stands behind it" in owned.log

        applied = acme.run("apply.yml", acme.merge(pull))

        assert applied.result == "success", applied.log
        assert "#7: it is the reviewed plan" in applied.step("Compare with the review").log
        assert f"**{count} applied**" in applied.summary
        assert list(acme.hosted.caches) == ["reconciler//103/1"]
        assert b'"outcome": "applied"' in acme.hosted.artifacts["103"]["apply-production-1"]

        quiet = acme.run("drift.yml", nightly("main"))

        assert quiet.result == "success", quiet.log
        assert acme.hub.issues == []
        assert all(method == "GET" for method, _ in acme.requests[-5:])


def from_init(folder: Path) -> dict[str, str]:
    """The files of a new repository, by name, and in them where the reconciler is got from."""
    with contextlib.redirect_stderr(io.StringIO()):
        assert init.main([str(folder), "--platform", "acme"], standalone_mode=False) == 0
    files = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        **files,
        templates.RECONCILER: "wfp-reconciler @ https://example.com/wfp_reconciler-0.1.0-py3-none-any.whl\n",
    }


@pytest.mark.deep
def test_the_rounds_of_the_guide_apply_and_then_find_nothing_to_do(acme: World) -> None:
    files = {f".github/workflows/{name}": text for name, text in documented().items()}
    commit = acme.repository.commit({**files, SHOP: NEW_SHOP})
    first, second = (acme.run("apply-in-rounds.yml", nightly(commit)) for _ in range(2))
    assert (first.result, second.result) == ("success", "success"), first.log
    assert "**1 applied**" in first.summary
    assert "**nothing was changed**" in second.summary
    assert acme.code("globex-shop") == NEW_SHOP


CALLER = """\
name: Caller
on:
  push:
permissions: {}
concurrency:
  group: caller
jobs:
  caller:
    runs-on: ubuntu-24.04
    permissions:
      contents: read
      issues: write
      pull-requests: write
    environment: production
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - id: reconciler
        name: Reconciler
        uses: acme/reconciler@0000000000000000000000000000000000000000
        with:
          command: COMMAND
          working-directory: .
          verify: all
          api-token: ${{ secrets.CLOUDFLARE_API_TOKEN }}
          api-base-url: ${{ vars.BASE_URL }}
          github-token: ${{ github.token }}
      - name: Told
        if: always()
        env:
          TOLD: ${{ toJSON(steps.reconciler.outputs) }}
        run: echo "$TOLD"
"""


def calling(acme: World, command: str, **files: str) -> workflow.JobRun:
    acme.hosted.variables = {"BASE_URL": acme.hosted.cloudflare_url}
    caller = CALLER.replace("COMMAND", command)
    return acme.run("caller.yml", push(acme.repository.commit({".github/workflows/caller.yml": caller, **files})))


def test_the_action_applies_and_tells_what_it_did(acme: World) -> None:
    job = calling(acme, "apply", **{SHOP: NEW_SHOP})

    assert job.result == "success", job.log
    outputs = job.step("Reconciler").outputs
    assert (outputs["changes"], outputs["to-update"], outputs["applied"], outputs["failed"]) == ("1", "1", "1", "0")
    assert Path(outputs["plan-html"]).is_file()
    assert acme.code("globex-shop") == NEW_SHOP
    pip = (Path(outputs["plan-json"]).parent / "pip.log").read_text()
    assert "--require-hashes" in pip
    assert WRITE_TOKEN not in job.log


def test_the_action_comments_on_a_pull_request_and_marks_what_is_outdated(acme: World) -> None:
    acme.hosted.variables = {"BASE_URL": acme.hosted.cloudflare_url}
    caller = {".github/workflows/caller.yml": CALLER.replace("COMMAND", "plan")}
    job = acme.run("caller.yml", event_of(acme.change({**caller, SHOP: NEW_SHOP})))
    assert job.result == "success", job.log
    (comment,) = acme.hub.comments[7]
    assert "**1 to update** · globex" in comment["body"]
    outputs = job.step("Reconciler").outputs
    assert (outputs["comment-url"], outputs["problems"]) == (comment["html_url"], "0")

    broken = acme.run("caller.yml", event_of(acme.change({"platform.yaml": "platform: [\n"})))
    assert broken.result == "failure"
    assert "**Outdated.**" in comment["body"]


def test_the_action_tells_drift(acme: World) -> None:
    acme.edit_by_hand("globex-shop", "export default {};\n")
    job = calling(acme, "drift")
    assert job.result == "success", job.log
    outputs = job.step("Reconciler").outputs
    assert (outputs["drift"], outputs["issue-url"]) == ("true", acme.hub.issues[0]["html_url"])


@pytest.mark.deep
@pytest.mark.parametrize("action", ["action.yml", ".github/actions/setup/action.yml"])
def test_the_actions_install_themselves_into_an_empty_python(tmp_path: Path, action: str) -> None:
    """With hashes, from the package index, and nothing else; from the folder of a repository that is not ours."""
    steps = yaml.safe_load((workflow.ROOT / action).read_text())["runs"]["steps"]
    script = next(step["run"] for step in steps if step.get("name") == "Install")
    venv.create(tmp_path / "python", with_pip=True)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}/python/bin:{os.environ['PATH']}",
        "GITHUB_ACTION_PATH": str(workflow.ROOT),
    }
    here = workflow.ROOT if "setup" in action else tmp_path
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", f"{script}\nreconciler schema --help"], cwd=here, env=env, check=True
    )
    listed = subprocess.run([tmp_path / "python/bin/pip", "list", "--format=json"], capture_output=True, check=True)
    names = {one["name"] for one in json.loads(listed.stdout)}
    assert {"wfp-reconciler", "httpx"} <= names
    assert names.isdisjoint({"pytest", "mypy", "werkzeug", "cloudflare"})


def test_the_action_refuses_a_command_that_it_does_not_know(acme: World) -> None:
    job = calling(acme, "destroy; touch pwned")
    assert job.result == "failure"
    assert job.step("Check the inputs").commands == [("error", "the input command is validate, plan, apply or drift")]
    assert job.step("Apply").outcome == "skipped"
