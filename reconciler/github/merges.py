"""From a commit on the branch that is applied to the review that let it in."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.errors import NotReviewed, Problem
from reconciler.github import comments
from reconciler.github.api import GitHub, Pull
from reconciler.github.reviewed import Reviewed


def review_of(github: GitHub, commit: str, environment: str) -> tuple[Pull | None, Reviewed | None]:
    """The pull request that became a commit, and what our comment on it remembers of its last push."""
    pull = next((one for one in github.pulls_of(commit) if one.merged_as == commit), None)
    if pull is None:
        return None, None
    marks = [comments.read(comment.body) for comment in comments.ours(github, pull.number, environment)]
    return pull, next((mark for mark in marks if mark is not None and mark.head == pull.head), None)


def refuse_rerun(github: GitHub, commit: str, environment: Mapping[str, str]) -> None:
    """Raise NotReviewed when an old run is started again after the branch went on: it would undo what came since."""
    branch = environment.get("GITHUB_REF_NAME", "")
    if environment.get("GITHUB_RUN_ATTEMPT", "1") == "1" or not branch:
        return
    tip = github.tip(branch)
    if tip != commit:
        raise NotReviewed(
            [
                Problem(
                    f"this run is of commit {commit[:12]}, and {branch} is at {tip[:12]} by now",
                    why="started again, it would undo what was merged since",
                    fix="start the newest run again; to go back, revert the commit",
                    code="old-run",
                )
            ]
        )
