"""What differs between the repository and what is live, and whose doing it is. Pure: findings from a plan.

change in the plan                       finding
--------------------------------------   ----------------------------------------------------
update, cause drifted or both            drifted: someone else wrote it
create, cause missing                    missing: someone else deleted it
create, update or delete of our own      pending: the repository is ahead
foreign name that the repository wants   unmanaged: it stands in the way
live and not ours                        unmanaged, or what observe.py found of it
drifted, missing or observed, expected   expected, until the day it expires
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from reconciler.load.repository import ExpectedDrift
from reconciler.model import Key
from reconciler.plan import Cause, Change, Plan
from reconciler.plan.results import ALARMS, Finding, FindingKind
from reconciler.show import words

_KINDS = {
    Cause.DRIFTED: FindingKind.DRIFTED,
    Cause.BOTH: FindingKind.DRIFTED,
    Cause.MISSING: FindingKind.MISSING,
}


def findings(
    plan: Plan,
    expected: Sequence[ExpectedDrift],
    today: datetime.date,
    observed: Mapping[Key, Finding | None] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """Everything worth telling, sorted by kind and key. What was observed of a key is all that is told of it."""
    allowed = {name: one for one in expected if one.expires >= today for name in one.names}
    found = [*_of_changes(plan), *(Finding(FindingKind.UNMANAGED, key) for key in plan.unmanaged)]
    found += [
        Finding(FindingKind.UNMANAGED, key, explanation=problem.what, where=problem.where)
        for key, problem in zip(plan.foreign, plan.problems, strict=False)  # those of routes follow
    ]
    found = [one for one in found if one.key not in observed]
    found += [one for one in observed.values() if one is not None]
    order = list(FindingKind)
    excused = [_excused(one, allowed.get(one.key.name)) for one in found]
    return tuple(sorted(excused, key=lambda one: (order.index(one.kind), one.key)))


def _excused(finding: Finding, excuse: ExpectedDrift | None) -> Finding:
    if excuse is None or finding.kind not in ALARMS:
        return finding
    expires = excuse.expires.isoformat()
    return replace(finding, kind=FindingKind.EXPECTED, expected_reason=excuse.reason, expires=expires)


def _of_changes(plan: Plan) -> Iterator[Finding]:
    for change in (*plan.changes, *plan.withheld, *plan.blocked):
        live = change.before
        yield Finding(
            _KINDS.get(change.cause, FindingKind.PENDING),
            change.key,
            customer=change.customer,
            differences=tuple(words.differences(change)),
            explanation=words.gist(change) or _noted(change) or words.cause(change),
            where=change.after.where if change.after else None,
            at=live.modified_on if live else "",
            who=live.writer if live else "",
        )


def _noted(change: Change) -> str:
    """What is seen of a resource that has no spec, where someone else made it so."""
    return change.before.note if change.before and change.cause in _KINDS else ""
