"""Whether a pull request has the owners that it needs: its files from git, its reviews from GitHub."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.errors import Problem, ReconcilerError, Severity
from reconciler.github import actions, owners
from reconciler.github.api import GitHub
from reconciler.github.owners import Files, Verdict
from reconciler.load import git, source
from reconciler.load.files import PLATFORM_FILE
from reconciler.load.source import Source

_ADMINISTERING = ("admin", "maintain")


@dataclass(frozen=True)
class Outcome:
    """What to tell, and the exit code."""

    problems: tuple[Problem, ...]
    told: str
    code: int


def check(root: Path, base: str, author: str | None, environment: Mapping[str, str], github: GitHub | None) -> Outcome:
    """Judge the work tree against a commit. Without `github`, what needs an approval is told as a warning.

    finding                          an owner of the platform is        result
                                     author or approver
    ------------------------------   --------------------------------   -----------------------
    a customer folder has no owner   either                             error
    something beyond self-service    yes                                nothing
                                     no                                 error
                                     not known: no token, or a team     warning without a token,
                                     that the token may not see         error with one
    """
    verdict = _verdict(root, base)
    if verdict is None:
        return Outcome((), "no CODEOWNERS: owners are not checked", 0)
    code = 1 if verdict.unowned else 0
    if not verdict.beyond:
        return Outcome(verdict.unowned, "customers change only what is theirs", code)
    if github is None:
        told = [replace(one, severity=Severity.WARNING) for one in verdict.beyond]
        return Outcome((*verdict.unowned, *told), "an owner of the platform has to approve", code)
    approver, unknown = _approver(verdict.platform_owners, author, environment, github)
    if approver:
        return Outcome(
            verdict.unowned, f"{approver} owns the platform and stands behind it", int(bool(verdict.unowned))
        )
    return Outcome((*verdict.unowned, *verdict.beyond, *unknown), "an owner of the platform has to approve", 1)


def _verdict(root: Path, base: str) -> Verdict | None:
    """None where the commit that the pull request goes to has no CODEOWNERS."""
    commit = git.commit(root, base)
    changed = git.changed_files(root, commit)
    files = owners.customer_files(changed)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        before = Path(folder)
        git.write_tree(root, commit, before, (*owners.CODEOWNERS, PLATFORM_FILE, *files))
        listed = next((before / name for name in owners.CODEOWNERS if (before / name).is_file()), None)
        if listed is None:
            return None
        known = owners.rules(listed.read_text(encoding="utf-8", errors="replace"))
        return owners.judge(changed, _files(before, files), _files(root, files), known)


def _files(root: Path, customers: Iterable[str]) -> Files:
    found = {one.rpartition("/")[0]: _source(root, one) for one in customers}
    return Files(_source(root, PLATFORM_FILE), {name: one for name, one in found.items() if one is not None})


def _source(root: Path, file: str) -> Source | None:
    """A file that cannot be read as YAML is `validate`'s business; here it is as if it were not there."""
    path = root / file
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return source.parse(file, path.read_bytes())
    except ReconcilerError:
        return None


def _approver(
    platform: Sequence[str], author: str | None, environment: Mapping[str, str], github: GitHub
) -> tuple[str, tuple[Problem, ...]]:
    """Who of the platform's owners wrote or approved the pull request; "" and why not all could be asked."""
    event = actions.pull_request(environment)
    standing = {author or event.author: "APPROVED"}
    for review in github.reviews(event.number):
        if review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            # An approval of an earlier push does not cover what was pushed since.
            stale = review.state == "APPROVED" and review.commit != event.head
            if review.author != event.author:
                standing[review.author] = "STALE" if stale else review.state
    people = sorted(login for login, state in standing.items() if state == "APPROVED" and login)
    unknown: list[Problem] = []
    for owner in platform:
        organization, slash, team = owner.removeprefix("@").partition("/")
        for login in people:
            member = github.in_team(organization, team, login) if slash else login.lower() == organization.lower()
            # Who administers the repository could change this very rule.
            if member or (member is None and github.role(login) in _ADMINISTERING):
                return login, ()
            if member is None and not any(owner in one.what for one in unknown):
                unknown.append(_unseen(owner))
    return "", tuple(unknown)


def _unseen(team: str) -> Problem:
    return Problem(
        f"whether someone is a member of {team} cannot be read with this token",
        why="the token of a workflow run sees no teams, so only who administers or maintains the repository counts",
        fix="name people beside the team in CODEOWNERS, or pass a GitHub App's token with Members: read",
        code="team-unseen",
        severity=Severity.WARNING,
    )
