"""How long an apply may take, and the file that records what it did."""

from __future__ import annotations

import datetime
import getpass
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

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


class Record:
    """The file that `--audit` names. A line is on its way to the disk before the next result is waited for."""

    def __init__(self, file: TextIO | None, commit: str) -> None:
        self._file, self._commit, self._who = file, commit, _who()
        self.lost = ""  # why it cannot be written any more: what is not recorded must not be done

    def write(self, result: Result) -> None:
        """Appends one line; nothing after one that did not get there."""
        if self._file is None or self.lost:
            return
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        try:
            self._file.write(audit_line(result, who=self._who, commit=self._commit, at=at) + "\n")
            self._file.flush()
        except OSError as error:
            self.lost = error.strerror or str(error)


@contextmanager
def audit_log(path: Path | None, commit: str) -> Iterator[Record]:
    """The record of one apply; without a path one that keeps nothing. Begins on a line of its own, whatever an
    earlier run left."""
    if path is None:
        yield Record(None, commit)
        return
    try:
        file = path.open("a+b")
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
            file.flush()
    except OSError as error:
        raise UsageProblem([_unwritable(path, error.strerror or str(error))]) from None
    with suppress(OSError), io.TextIOWrapper(file, encoding="utf-8") as text:  # what is left in it is told already
        yield Record(text, commit)


def unwritable(path: Path | None, why: str) -> Problem:
    """An audit file that could not be written on the way."""
    return Problem(
        f"--audit {path} cannot be written: nothing more was begun",
        why=f"{why}; the change that ended last is not in it",
        fix="make room, and run again: the next run goes on from what is live",
        code="output",
    )


def _unwritable(path: Path, why: str) -> Problem:
    fix = "name a file in a folder that is there and can be written"
    return Problem(f"--audit {path} cannot be written", why=why, fix=fix, code="output")


def _who() -> str:
    """Who applies, as far as that is known: a container's user may have no name."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
