"""What differs between the repository and what is live, and whose doing it is. Pure: findings from a plan.

change in the plan                       finding
--------------------------------------   ----------------------------------------------------
update, cause drifted or both            drifted: someone else wrote it
create, cause missing                    missing: someone else deleted it
create, update or delete of our own      pending: the repository is ahead
foreign name that the repository wants   unmanaged: it stands in the way
live and not ours                        unmanaged
any of the first two, expected           expected, until the day it expires
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from reconciler.load.repository import ExpectedDrift
from reconciler.plan import Cause, Change, Plan
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import words

_KINDS = {
    Cause.DRIFTED: FindingKind.DRIFTED,
    Cause.BOTH: FindingKind.DRIFTED,
    Cause.MISSING: FindingKind.MISSING,
}


def findings(plan: Plan, expected: Sequence[ExpectedDrift], today: datetime.date) -> tuple[Finding, ...]:
    """Everything worth telling, sorted by kind and key."""
    allowed = {name: one for one in expected if one.expires >= today for name in one.names}
    found = [*_of_changes(plan, allowed), *(Finding(FindingKind.UNMANAGED, key) for key in plan.unmanaged)]
    found += [
        Finding(FindingKind.UNMANAGED, key, explanation=problem.what, where=problem.where)
        for key, problem in zip(plan.foreign, plan.problems, strict=False)  # those of routes follow
    ]
    order = list(FindingKind)
    return tuple(sorted(found, key=lambda one: (order.index(one.kind), one.key)))


def _of_changes(plan: Plan, allowed: dict[str, ExpectedDrift]) -> Iterator[Finding]:
    for change in (*plan.changes, *plan.withheld, *plan.blocked):
        kind = _KINDS.get(change.cause, FindingKind.PENDING)
        excuse = allowed.get(change.key.name) if kind is not FindingKind.PENDING else None
        live = change.before
        yield Finding(
            FindingKind.EXPECTED if excuse else kind,
            change.key,
            customer=change.customer,
            explanation=words.gist(change) or _noted(change) or words.cause(change),
            where=change.after.where if change.after else None,
            at=live.modified_on if live else "",
            who=live.writer if live else "",
            expected_reason=excuse.reason if excuse else "",
            expires=excuse.expires.isoformat() if excuse else "",
        )


def _noted(change: Change) -> str:
    """What is seen of a resource that has no spec, where someone else made it so."""
    return change.before.note if change.before and change.cause in _KINDS else ""
