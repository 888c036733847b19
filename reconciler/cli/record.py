"""How long an apply may take, and the file that records what it did."""

from __future__ import annotations

import datetime
import getpass
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import Problem, UsageProblem
from reconciler.load import git
from reconciler.plan.results import Result, audit_line

_TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def seconds(text: str) -> float:
    """5h30m, 45m, 90s or 90 as seconds."""
    found = _TIME.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageProblem(
            [Problem(f'--time-limit "{text}" is no time', fix="write 90s, 45m or 5h30m", code="bad-time-limit")]
        )
    hours, minutes, rest = (int(one or 0) for one in found.groups())
    return hours * 3600.0 + minutes * 60 + rest


def commit(folder: Path, at: str) -> str:
    """The commit whose files are applied, as far as that is known."""
    return git.commit(folder, at).id if at else os.environ.get("GITHUB_SHA") or git.head(folder)


@contextmanager
def audit_log(path: Path | None, commit: str) -> Iterator[Callable[[Result], None]]:
    """A function that appends one line a result, on the disk before the next one is waited for."""
    if path is None:
        yield _unrecorded
        return
    who = os.environ.get("GITHUB_ACTOR") or getpass.getuser()
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
