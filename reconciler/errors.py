"""Where something is wrong, what it is, why, and what to do: the errors that a user meets.

    ReconcilerError                 shown without a traceback
    ├─ ConfigError(problems)        exit 1: the repository is wrong; holds every problem found
    ├─ UsageProblem(problem)        exit 2: the command line asks for something that cannot be
    ├─ Refused(problem)             exit 5: a guard said no
    ├─ NotReviewed(problem)         exit 6: the fresh plan is not the reviewed one
    ├─ ApiError                     exit 1: Cloudflare said no (look/replies.py has it and its subclasses)
    └─ LocalError(problem)          exit 1: something on this machine is missing or broken

Anything else that escapes is a bug. Text in a Problem is raw: it may hold whatever a file held, and is made
harmless where it is printed (show/), never before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file of the repository. Lines and columns count from 1."""

    file: str  # relative to the repository, with "/"
    line: int = 1
    column: int = 1
    width: int = 1  # how many characters the caret underlines

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    """Errors stop a run before its first call; warnings go with the output."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, told so that the reader can mend it."""

    what: str  # in the user's words, no full stop
    where: Where | None = None
    why: str = ""  # the rule, or the server's own sentence
    fix: str = ""  # one thing to do
    code: str = "problem"  # stable name of the rule, for SARIF and for muting
    severity: Severity = Severity.ERROR
    excerpt: str = ""  # the source line, with secret values already taken out

    @property
    def order(self) -> tuple[str, int, int, str]:
        """Problems are shown by file, line, column and text; those without a place come last."""
        if self.where is None:
            return ("\uffff", 0, 0, self.what)
        return (self.where.file, self.where.line, self.where.column, self.what)


class ReconcilerError(Exception):
    """Shown to the user as its problems, without a traceback."""

    exit_code = 1

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda problem: problem.order))
        super().__init__("; ".join(problem.what for problem in self.problems))


class ConfigError(ReconcilerError):
    """The repository is wrong. Holds every problem that was found, warnings included."""


class UsageProblem(ReconcilerError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class Refused(ReconcilerError):
    """A guard said no: caps, protection, missing proof."""

    exit_code = 5


class NotReviewed(ReconcilerError):
    """The fresh plan is not the one that was reviewed."""

    exit_code = 6


class LocalError(ReconcilerError):
    """Something on this machine is missing or broken: workerd, a port, a file."""
