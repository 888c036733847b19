"""What became of a plan, and what a drift run found: values that apply and drift make and show/ shows.

Nothing here decides or prints. The audit line is the record that outlives the run: one JSON object a change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import Problem, Where
from reconciler.model import Key
from reconciler.plan import Action


class Outcome(StrEnum):
    APPLIED = "applied"
    FAILED = "failed"
    SKIPPED = "skipped"  # it waits for one that failed
    NOT_STARTED = "not started"  # Ctrl-C or the time limit came first


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one change."""

    key: Key
    action: Action
    outcome: Outcome
    customer: str = ""
    seconds: float = 0.0
    problem: Problem | None = None  # why it failed, or was skipped
    before_digest: str = ""
    after_digest: str = ""
    ray: str = ""  # Cloudflare's id of the deciding request, for its support
    note: str = ""  # what is worth telling beside that it took


def outcomes(results: Iterable[Result]) -> dict[Outcome, int]:
    """How many of each, every outcome present."""
    counted = dict.fromkeys(Outcome, 0)
    for result in results:
        counted[result.outcome] += 1
    return counted


def audit_line(result: Result, *, who: str, commit: str, at: str) -> str:
    """One line of JSON for `--audit`, sorted, without its newline. `at` is ISO 8601 in UTC."""
    problem = result.problem
    return json.dumps(
        {
            "format_version": 1,
            "at": at,
            "who": who,
            "commit": commit,
            "action": result.action.value,
            "kind": result.key.kind,
            "name": result.key.name,
            "customer": result.customer,
            "outcome": result.outcome.value,
            "seconds": round(result.seconds, 3),
            "before_digest": result.before_digest,
            "after_digest": result.after_digest,
            "ray": result.ray,
            "note": result.note,
            "problem": {"code": problem.code, "what": problem.what, "why": problem.why} if problem else None,
        },
        sort_keys=True,
    )


class FindingKind(StrEnum):
    DRIFTED = "drifted"  # live was changed by someone else
    MISSING = "missing"  # we made it, and someone else deleted it
    OBSERVED = "observed"  # live, not ours, watched, and changed
    UNMANAGED = "unmanaged"  # live, not ours
    PENDING = "pending"  # git is ahead of what is live
    EXPECTED = "expected"  # drift that the repository allows for a while, with a reason


ALARMS = (FindingKind.DRIFTED, FindingKind.MISSING, FindingKind.OBSERVED)  # what exit code 4 stands for


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between git and what is live, and whose it is."""

    kind: FindingKind
    key: Key
    customer: str = ""
    explanation: str = ""  # in words: what differs
    where: Where | None = None  # the line that declares it
    who: str = ""  # who wrote it last, as far as the API tells
    at: str = ""  # when, ISO 8601 in UTC
    expected_reason: str = ""
    expires: str = ""  # the day on which expected drift becomes drift again
    differences: tuple[str, ...] = ()  # the explanation, one by one
