"""`reconciler github`: what a workflow needs of GitHub."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reconciler.github.api import GitHub
    from reconciler.plan import Plan

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def github() -> None:
    """Comment on pull requests, keep the drift issue, check owners.

    Reads GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_API_URL and the event of the run, as GitHub Actions sets them.
    """


_plan_file = click.option("--plan", "plan_file", type=_FILE, required=True, help="A plan saved with `plan --out`.")
_environment = click.option(
    "--env", "environment", default="", envvar="RECONCILER_ENV", help="Environment of platform.yaml."
)


@github.command(short_help="Show a plan in one comment of the pull request.")
@click.option("--plan", "plan_file", type=_FILE, help="A plan saved with `plan --out`.")
@click.option("--outdated", "why", metavar="WHY", help="Instead: mark the comment's plan as outdated.")
@click.option("--pull", type=int, metavar="N", help="Number of the pull request; else that of the event.")
@click.option("--head", metavar="COMMIT", help="Last commit of the pull request; else that of the event.")
@_environment
def comment(plan_file: Path | None, why: str | None, pull: int | None, head: str | None, environment: str) -> int:
    """Show a plan in one comment of the pull request, written over at every push."""
    from reconciler.github import actions, comments

    if (plan_file is None) == (why is None):
        raise click.UsageError("give either --plan or --outdated")
    if pull is None or head is None:
        event = actions.pull_request(os.environ)
        pull, head = pull or event.number, head or event.head
    with _connected() as api:
        if plan_file is not None:
            run = comments.run_url(os.environ)
            found = comments.upsert(api, pull, _plan(plan_file), head, run)
        else:
            found = comments.outdate(api, pull, environment, why or "")
    if found is not None:
        actions.set_outputs(os.environ, {"comment-url": found.url})
    click.echo(found.url if found else "no comment: there is nothing to say", err=found is None)
    return 0


@github.command(short_help="Check that a fresh plan is the reviewed one.")
@_plan_file
@click.option("--commit", metavar="COMMIT", envvar="GITHUB_SHA", required=True, help="What was pushed to the branch.")
def reviewed(plan_file: Path, commit: str) -> int:
    """Check that a fresh plan is the one that the commit's merged pull request showed; print its digest.

    One that differs passes when nothing harmful was added: no delete, nothing of someone else's overwritten, no
    protection lifted, no change to what stands before every customer. Exits 6 otherwise.
    """
    from reconciler.errors import NotReviewed
    from reconciler.github import actions, merges, summaries
    from reconciler.github import reviewed as reviewing

    fresh = _plan(plan_file)
    with _connected() as api:
        merges.refuse_rerun(api, commit, os.environ)
        pull, mark = merges.review_of(api, commit, fresh.environment)
    try:
        told = reviewing.compare(fresh, mark)
    except NotReviewed as error:
        summaries.add_problems(os.environ, error.problems)
        raise
    click.echo(f"#{pull.number}: {told}" if pull else told, err=True)
    actions.set_outputs(os.environ, {"plan-digest": fresh.digest})
    click.echo(fresh.digest)
    return 0


@github.command(short_help="Keep one issue for drift.")
@click.option("--findings", "findings_file", type=_FILE, required=True, help="Saved with `drift --format json`.")
@_environment
def issue(findings_file: Path, environment: str) -> int:
    """Keep one issue for drift: opened when there is some, closed when it is gone."""
    from reconciler.cli import files
    from reconciler.github import actions, comments, issues

    drift = issues.read(files.read(findings_file), str(findings_file))
    with _connected() as api:
        done, found = issues.update(api, drift, environment, comments.run_url(os.environ))
    if found is not None:
        actions.set_outputs(os.environ, {"issue-url": found.url})
    click.echo(f"{done}: {found.url}" if found else done, err=True)
    return 0


@github.command(short_help="Write a plan, what an apply did, or drift, to the run's summary.")
@click.option("--plan", "plan_file", type=_FILE, help="A plan saved with `plan --out`.")
@click.option("--audit", "audit_file", type=_FILE, help="The record of `apply --audit`.")
@click.option("--findings", "findings_file", type=_FILE, help="Saved with `drift --format json`.")
@click.option("--html", "html_file", type=_FILE, help="Also write the plan as one HTML page.")
@_environment
def summary(
    plan_file: Path | None,
    audit_file: Path | None,
    findings_file: Path | None,
    html_file: Path | None,
    environment: str,
) -> int:
    """Write a plan, what an apply did, or drift, to the run's summary and outputs."""
    from reconciler.cli import files
    from reconciler.github import actions, issues, summaries

    if plan_file is not None:
        plan = _plan(plan_file)
        actions.add_summary(os.environ, lambda cap: summaries.plan_summary(plan, cap))
        actions.set_outputs(os.environ, summaries.plan_outputs(plan, plan_file, html_file))
        if html_file is not None:
            files.write(html_file, summaries.plan_page(plan))
    if audit_file is not None:
        text = files.read(audit_file) if audit_file.exists() else ""
        done = summaries.read_audit(text, str(audit_file))
        actions.add_summary(os.environ, lambda cap: summaries.audit_summary(done, cap))
        actions.set_outputs(os.environ, summaries.audit_outputs(done))
    if findings_file is not None:
        drift = issues.read(files.read(findings_file), str(findings_file))
        actions.add_summary(os.environ, lambda cap: summaries.drift_summary(drift, environment, cap))
        actions.set_outputs(os.environ, summaries.drift_outputs(drift))
    return 0


@github.command(short_help="Check that what changed has the owners that it needs.")
@click.option(
    "-C", "folder", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Look for the repository here."
)
@click.option("--base", metavar="REF", required=True, help="The commit that the pull request goes to.")
@click.option("--author", metavar="LOGIN", help="Who wrote the pull request; else that of the event.")
def owners(folder: Path, base: str, author: str | None) -> int:
    """Check that changed customer folders have owners, and that the rest has an owner of the platform behind it.

    An owner of the platform is whom CODEOWNERS names for platform.yaml: author of the pull request, or an approver.
    Without GITHUB_TOKEN nothing is known of approvals: what needs one is told as warnings.
    """
    from reconciler.cli import loading
    from reconciler.cli.terminal import Terminal
    from reconciler.github import approvals, summaries

    terminal = Terminal()
    root = loading.repository_root(folder)
    with _connected() if _has_token() else contextlib.nullcontext() as api:
        outcome = approvals.check(root, base, author, os.environ, api)
    if outcome.problems:
        terminal.problems(outcome.problems)
        summaries.add_problems(os.environ, outcome.problems)
    terminal.say(outcome.told)
    return outcome.code


@github.command(short_help="Start a check of the last push again, after a review.")
@click.option("--workflow", metavar="FILE", required=True, help="Its name in .github/workflows.")
def recheck(workflow: str) -> int:
    """Start a workflow's run for the last push of the pull request again, after a review.

    A new run would leave the old one's failed check standing beside its own.
    """
    from reconciler.github import actions

    head = actions.pull_request(os.environ).head
    with _connected() as api:
        run = api.last_run(workflow, head)
        if run is not None:
            api.run_again(run)
    click.echo(f"started again: run {run}" if run else f"{workflow} has no run for {head[:12]} yet", err=True)
    return 0


def _has_token() -> bool:
    return bool(os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN"))


def _connected() -> contextlib.closing[GitHub]:
    from reconciler.github import api

    return contextlib.closing(api.connect(os.environ))


def _plan(path: Path) -> Plan:
    from reconciler.cli import files
    from reconciler.show import plan_json

    return plan_json.read(files.read(path), str(path))
