"""Whether a fresh plan may be applied because of the review of an earlier one. Pure.

A plan that is not the reviewed one is often harmless: another pull request was applied in between, or what its apply
left over is done now. It is harmful when it holds something that nobody saw and that takes something away.

change                                          harmful unless the reviewed plan held
---------------------------------------------   -------------------------------------------
delete                                          the delete of the same live version
update of what someone else changed or owned    the overwriting of the same live version
update that takes protection away               the same
update of what stands before every customer     an update of the same (its content moves with every
(dispatcher, outbound Worker, route, ...)       merge: the routing table is part of it)
create, any other update                        never harmful
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.errors import NotReviewed, Problem
from reconciler.model import Resource, digest
from reconciler.plan import Action, Cause, Change, Plan

MOST_RISKS = 1_000  # 13 characters each in the comment's marker; more are remembered by one digest over them all
_RISK_DIGITS = 12
_OVERWRITING = (Cause.DRIFTED, Cause.BOTH, Cause.ADOPTED)
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the comment on a pull request remembers of the plan that it shows."""

    environment: str
    digest: str
    risks: tuple[str, ...] = ()  # sorted ids of what is harmful in it, or one digest over them all
    head: str = ""  # the commit of the pull request that it was made for


def remember(plan: Plan, head: str) -> Reviewed:
    """The mark of a plan that is shown for a commit."""
    return Reviewed(plan.environment, plan.digest, _remembered(risk for _, risk in _risks(plan)), head)


def compare(fresh: Plan, reviewed: Reviewed | None) -> str:
    """Why the fresh plan may be applied, in words. Raises NotReviewed when it may not."""
    if reviewed is not None and reviewed.digest == fresh.digest:
        return "it is the reviewed plan"
    risks = _risks(fresh)
    known = set(reviewed.risks) if reviewed is not None else set()
    added = [change for change, risk in risks if risk not in known]
    if not added or (reviewed is not None and _remembered(risk for _, risk in risks) == reviewed.risks):
        return "it is not the plan that was shown, and nothing harmful was added" if fresh else "there is nothing to do"
    raise NotReviewed([_not_reviewed(fresh, reviewed, added)])


def _risks(plan: Plan) -> list[tuple[Change, str]]:
    """What is harmful in a plan, and the id that stands for it in a marker."""
    told = ((change, _harm(change)) for change in plan.changes)
    return [(change, digest(list(harm))[:_RISK_DIGITS]) for change, harm in told if harm]


def _harm(change: Change) -> tuple[str, ...]:
    """What makes two harmful changes the same one; () for a harmless change."""
    before, after, key = change.before, change.after, str(change.key)
    if before is None:
        return ()
    if change.action is Action.DELETE or change.cause in _OVERWRITING:
        return (change.action.value, key, _version(before))
    if after is not None and before.protected and not after.protected:
        return ("unprotect", key, after.digest)
    return ("update", key) if not change.customer else ()


def _version(resource: Resource) -> str:
    return f"{resource.digest}@{resource.etag}"


def _remembered(risks: Iterable[str]) -> tuple[str, ...]:
    ids = tuple(sorted(risks))
    return ids if len(ids) <= MOST_RISKS else (digest(list(ids)),)


def _not_reviewed(fresh: Plan, reviewed: Reviewed | None, added: list[Change]) -> Problem:
    names = ", ".join(f"{change.action} {change.key.told}" for change in added[:_NAMED])
    more = f" and {len(added) - _NAMED:,} more" if len(added) > _NAMED else ""
    shown = (
        f"its pull request showed plan {reviewed.digest[:12]}" if reviewed else "no pull request showed a plan of it"
    )
    return Problem(
        f"plan {fresh.digest[:12]} holds what nobody reviewed: {names}{more}",
        why=f"{shown}, and the repository or the live namespace has changed since",
        fix=f"read the plan in this run's summary, and start the apply workflow by hand with digest {fresh.digest}",
        code="not-reviewed",
    )
