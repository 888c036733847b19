"""A plan cut for one of several runs that go on at the same time, each with a token of its own.

Law: every customer is in exactly one shard, whatever else the repository holds, and stays in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from dataclasses import dataclass, replace

from reconciler.errors import Problem, Severity
from reconciler.plan import Change, Plan
from reconciler.plan.guards import USER_WORKER


@dataclass(frozen=True, slots=True)
class Shard:
    """The share `number` of `of`, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, customer: str) -> bool:
        place = int.from_bytes(hashlib.sha256(customer.encode()).digest()[:8], "big")
        return place % self.of == self.number - 1


def sharded(plan: Plan, shard: Shard, first: Container[str]) -> Plan:
    """The creates and updates of user Workers of a shard's customers, and those of the kinds that come `first`.

    All else needs the whole: routes lead to scripts of every shard, and nothing is deleted while it may be routed to.
    """

    def is_ours(change: Change) -> bool:
        if change.after is None:
            return False
        return change.key.kind in first or (change.key.kind == USER_WORKER and shard.holds(change.customer))

    changes = tuple(one for one in plan.changes if is_ours(one))
    blocked = tuple(one for one in plan.blocked if is_ours(one))
    left = len(plan.changes) + len(plan.withheld) + len(plan.blocked) - len(changes) - len(blocked)
    warnings = (*plan.warnings, _told(shard, left)) if left else plan.warnings
    return replace(plan, changes=changes, blocked=blocked, withheld=(), refusals=(), warnings=warnings)


def _told(shard: Shard, left: int) -> Problem:
    amount = "1 change is" if left == 1 else f"{left:,} changes are"
    return Problem(
        f"this run looks at shard {shard} only; {amount} left to others",
        why="a shard writes user Workers of its own customers: the routing table and every delete need the whole",
        fix="run once without --shard when all shards are done",
        code="shard",
        severity=Severity.WARNING,
    )
