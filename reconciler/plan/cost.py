"""What a plan costs: API requests, the time they take at the rate in force, and the namespace's monthly bill.

Pure. The price itself is in prices.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from reconciler.model import Key, State
from reconciler.plan import Action, Change, Cost
from reconciler.plan.guards import USER_WORKER
from reconciler.plan.prices import monthly_cents

# Eight uploads at a time and about 0.4 seconds each, as long as the budget's window is not used up.
REQUESTS_PER_SECOND_UNHINDERED = 20.0


def cost(
    changes: Iterable[Change], live: State, requests: Mapping[Key, int], *, per_window: int, window: float
) -> Cost:
    """`requests`: the calls of a change where it is not one. `per_window`: the budget in force, 0 for none."""
    changes = tuple(changes)
    calls = sum(requests.get(change.key, 1) for change in changes)
    before = live.settled + sum(key.kind == USER_WORKER for key in live.resources)
    made = sum(one.action is Action.CREATE and one.key.kind == USER_WORKER for one in changes)
    gone = sum(one.action is Action.DELETE and one.key.kind == USER_WORKER for one in changes)
    after = before + made - gone
    return Cost(
        requests=calls,
        seconds=seconds(calls, per_window=per_window, window=window),
        scripts_before=before,
        scripts_after=after,
        cents_before=monthly_cents(before),
        cents_after=monthly_cents(after),
    )


def seconds(requests: int, *, per_window: int, window: float) -> int:
    """About how long so many requests take: at once until the window is full, then one window after another."""
    unhindered = requests / REQUESTS_PER_SECOND_UNHINDERED
    full = (requests - 1) // per_window if per_window and requests else 0
    return math.ceil(max(unhindered, full * window))
