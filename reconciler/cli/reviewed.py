"""What binds an apply to a review: the expected digest, the time limit, the audit file."""

from __future__ import annotations

import datetime
import getpass
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler import git
from reconciler.errors import NotReviewed, Problem, UsageProblem
from reconciler.plan import Plan
from reconciler.results import Result, audit_line

SHORTEST_DIGEST = 12  # hex digits that --expect needs at least
_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def refuse_another(plan: Plan, expected: str) -> None:
    """Raise unless the fresh plan is the one that was reviewed."""
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_DIGEST},32}}", expected):
        raise UsageProblem(
            [
                Problem(
                    f'--expect takes a plan\'s digest, and "{expected}" is none',
                    why=f"a digest has {SHORTEST_DIGEST} to 32 hex digits",
                    fix="copy it from the last line of the reviewed plan",
                    code="bad-digest",
                )
            ]
        )
    if not plan.digest.startswith(expected):
        raise NotReviewed(
            [
                Problem(
                    f"the plan is now {plan.digest[:SHORTEST_DIGEST]}, not {expected}: nothing was changed",
                    why="the repository or the live namespace has changed since the review",
                    fix="look at the fresh plan with `reconciler plan`, and apply that one",
                    code="not-reviewed",
                )
            ]
        )


def seconds(text: str) -> float:
    """5h30m, 45m, 90s or 90 as seconds."""
    found = _TIME.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageProblem(
            [Problem(f'--time-limit "{text}" is no time', fix="write 90s, 45m or 5h30m", code="bad-time-limit")]
        )
    hours, minutes, rest = (int(one or 0) for one in found.groups())
    return hours * 3600.0 + minutes * 60 + rest


@contextmanager
def audit_log(path: Path | None, root: Path) -> Iterator[Callable[[Result], None]]:
    """A function that appends one line a result, on the disk before the next one is waited for."""
    if path is None:
        yield _unrecorded
        return
    who = os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    commit = os.environ.get("GITHUB_SHA") or git.head(root)
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageProblem(
            [Problem(f"--audit {path} cannot be written", why=str(error.strerror), code="output")]
        ) from None
    with file:

        def record(result: Result) -> None:
            at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            file.write(audit_line(result, who=who, commit=commit, at=at) + "\n")
            file.flush()

        yield record


def _unrecorded(result: Result) -> None:
    """No --audit was given."""
    del result
