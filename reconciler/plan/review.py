"""What binds an apply to the plan that people reviewed. Pure.

`expected` holds the whole plan to one digest; `reviewed_only` takes a saved plan and keeps each item whose two sides
are still what they were, so that one foreign write blocks one item and not ten thousand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.errors import NotReviewed, Problem, UsageProblem
from reconciler.model import Key, Resource
from reconciler.plan import Action, Change, Plan, waits

ROUTES = "dispatcher"  # the kind that leads to others, and whose update takes routes away
SHORTEST_DIGEST = 12  # hex digits that name a plan at least
_DIGEST = re.compile(rf"[0-9a-f]{{{SHORTEST_DIGEST},32}}")


@dataclass(frozen=True)
class Reviewed:
    """The fresh changes that were reviewed, and what was left out, each with its reason."""

    changes: tuple[Change, ...]
    left_out: tuple[tuple[Key, str], ...]


def expected(plan: Plan, digest: str) -> None:
    """Raise NotReviewed unless the fresh plan has this digest, or one that begins so."""
    if not _DIGEST.fullmatch(digest):
        raise UsageProblem(
            [
                Problem(
                    f'--expect takes a plan\'s digest, and "{digest}" is none',
                    why=f"a digest has {SHORTEST_DIGEST} to 32 hex digits",
                    fix="copy it from the last line of the reviewed plan",
                    code="bad-digest",
                )
            ]
        )
    if not plan.digest.startswith(digest):
        raise NotReviewed(
            [
                Problem(
                    f"the plan is now {plan.digest[:SHORTEST_DIGEST]}, not {digest[:SHORTEST_DIGEST]}: "
                    "nothing was changed",
                    why="the repository or the live namespace has changed since the review",
                    fix="look at the fresh plan with `reconciler plan`, and apply that one",
                    code="not-reviewed",
                )
            ]
        )


def reviewed_only(fresh: Plan, saved: Plan) -> Reviewed:
    """The changes of the fresh plan that the saved one holds unchanged.

    saved      fresh                             result
    --------   -------------------------------   ---------------------------------------------
    a change   the same                          applied
    a change   other before or after             left out: its live or desired side has changed
    a change   none                              left out: done already, or no longer allowed
    –          a change                          left out: it was not reviewed
    any        needs one left out that is new    left out with it
    a delete   the dispatcher is left out        left out with it: its live table may lead there
    """
    if (fresh.platform, fresh.namespace) != (saved.platform, saved.namespace):
        raise NotReviewed(
            [
                Problem(
                    f"the plan is for {saved.platform} in {saved.namespace}, not for {fresh.platform} in "
                    f"{fresh.namespace}: nothing was changed",
                    fix="apply it in the repository and environment it was made for",
                    code="other-platform",
                )
            ]
        )
    then = {change.key: change for change in saved.changes}
    left_out = {change.key: reason for change in fresh.changes if (reason := _reason(then.get(change.key), change))}
    now = {change.key for change in fresh.changes}
    gone = [(key, "it is done already, or no longer allowed") for key in sorted(then.keys() - now)]
    graph = waits(fresh.changes)
    missing = {change.key for change in fresh.changes if change.action is not Action.UPDATE}
    while True:
        more = {
            key: f"it waits for {min(graph[key] & left_out.keys() & missing).told}"
            for key in graph
            if key not in left_out and graph[key] & left_out.keys() & missing
        }
        if not more:
            break
        left_out |= more
    switch = next((key for key in sorted(left_out) if key.kind == ROUTES), None)
    if switch is not None:
        deletes = {change.key for change in fresh.changes if change.action is Action.DELETE}
        left_out |= dict.fromkeys(deletes - left_out.keys(), f"{switch.told}, which is left out, may still lead there")
    kept = tuple(change for change in fresh.changes if change.key not in left_out)
    return Reviewed(kept, (*sorted(left_out.items()), *gone))


def _reason(then: Change | None, now: Change) -> str:
    if then is None:
        return "it is not in the reviewed plan"
    if then.action is not now.action:
        return f"it was reviewed as {then.action}, and is now {now.action}"
    if _side(then.after) != _side(now.after):
        return "the repository has changed since the review"
    if _side(then.before) != _side(now.before):
        return "what is live has changed since the review"
    return ""


def _side(resource: Resource | None) -> tuple[str, str]:
    return (resource.digest, resource.etag) if resource is not None else ("", "")
