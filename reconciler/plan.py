"""The difference between what should be and what is, as a value.

Pure: two states in, one plan out. Applying the plan to the live state gives the desired state, and a second
plan is empty (tests/property/test_laws.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.errors import Problem
from reconciler.model import Key, Resource, digest


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"

    @property
    def symbol(self) -> str:
        return {"create": "+", "update": "~", "delete": "-"}[self.value]


class Cause(StrEnum):
    """Why there is a change."""

    ADDED = "added"  # new in the repository
    EDITED = "edited"  # the repository is ahead of what is live
    DRIFTED = "drifted"  # someone else changed what is live
    BOTH = "edited and drifted"
    MISSING = "missing"  # we made it, and someone else deleted it
    ADOPTED = "adopted"  # foreign until now, taken over because --adopt named it
    REMOVED = "removed"  # gone from the repository
    RENAMED = "renamed"  # gone from the repository, and named by the `previously` of another


class _Absent:
    """The side of a field that does not exist; null is a value, this is none."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value of a spec that differs. Values are JSON, or ABSENT."""

    path: tuple[str, ...]  # ("limits", "cpu_ms"); list positions as "0", "1"
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class CodeChange:
    """One module that differs. A digest of "" means that this side does not exist; sizes are bytes."""

    module: str
    before_digest: str
    after_digest: str
    before_size: int = 0
    after_size: int = 0
    diff: tuple[str, ...] = ()  # unified diff without file headers; () where it is not text, minified, or not read back
    injected: bool = False  # the platform's module, not the customer's


@dataclass(frozen=True, slots=True)
class Explanation:
    """What differs inside a changed resource; made for what is shown, never used to decide."""

    fields: tuple[FieldChange, ...] = ()
    code: tuple[CodeChange, ...] = ()
    unread: str = ""  # why the live side was not read back; "" when it was


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do. `before` is None for a create, `after` for a delete."""

    action: Action
    key: Key
    cause: Cause
    before: Resource | None
    after: Resource | None
    explanation: Explanation | None = None

    @property
    def customer(self) -> str:
        one = self.after or self.before
        return one.customer if one else ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What carrying out the plan takes, and what the namespace costs before and after it."""

    requests: int = 0
    seconds: int = 0  # at the request rate in force
    scripts_before: int = 0
    scripts_after: int = 0
    cents_before: int = 0  # a month, US cents
    cents_after: int = 0


@dataclass(frozen=True)
class Plan:
    """Everything that a reviewer sees and that apply carries out. Sorted; the same bytes for the same inputs."""

    platform: str
    namespace: str
    environment: str = ""
    changes: tuple[Change, ...] = ()  # by key
    withheld: tuple[Change, ...] = ()  # deletes that a guard refuses in this run
    blocked: tuple[Change, ...] = ()  # what needs something that a foreign resource stands in the way of
    refusals: tuple[Problem, ...] = ()  # why deletes are withheld, and the exact way to allow them
    problems: tuple[Problem, ...] = ()  # foreign names that the repository wants
    warnings: tuple[Problem, ...] = ()
    unmanaged: tuple[Key, ...] = ()  # live, not ours, left alone
    unverified: int = 0  # ours, trusted by their tag alone
    unchanged: int = 0
    scope: tuple[str, ...] = ()  # the customers that were looked at; () for all
    cost: Cost = field(default_factory=Cost)

    @property
    def digest(self) -> str:
        """Names the plan: what would be done to what. Two plans with one digest do the same."""
        return digest(
            {
                "platform": self.platform,
                "namespace": self.namespace,
                "changes": [_identity(change) for change in self.changes],
                "withheld": [_identity(change) for change in self.withheld],
                "blocked": [_identity(change) for change in self.blocked],
            }
        )

    @property
    def count(self) -> Mapping[Action, int]:
        return {action: sum(change.action is action for change in self.changes) for action in Action}

    def __bool__(self) -> bool:
        """True when there is something to do or something was refused."""
        return bool(self.changes or self.withheld or self.blocked)


def _identity(change: Change) -> list[str]:
    before = f"{change.before.digest}@{change.before.etag}" if change.before else ""
    after = change.after.digest if change.after else ""
    return [change.action.value, str(change.key), before, after]
