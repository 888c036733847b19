"""Reading content and settings back, a few at a time, least recently verified first.

A digest tag says what we uploaded, and the etag that nobody wrote code since; whether settings are still what they
were can only be seen by reading them: two calls a script. So a run checks as many as it is asked to, remembers when,
and tells how old the oldest check is.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler import kinds
from reconciler.errors import ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.ledger import Entry
from reconciler.model import Key, Resource, State
from reconciler.plan import Coverage

READERS = 8


def verify(
    connection: Connection,
    desired: State,
    live: State,
    amount: int | None,
    now: datetime.datetime,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[State, Coverage]:
    """Check `amount` (None: all) of the Workers that look unchanged; returns the live state with what was found."""
    candidates = [key for key, one in live.resources.items() if _looks_unchanged(desired.resources.get(key), one)]
    candidates = [key for key in candidates if kinds.is_worker(key)]
    checked_at = {key: _checked_at(connection, key) for key in candidates}
    chosen = sorted(candidates, key=lambda key: (checked_at[key], key))[:amount]
    stamp = now.isoformat(timespec="seconds")
    found: dict[Key, Resource] = {}
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="verify") as pool:
        checks = pool.map(lambda key: _check(connection, desired.resources[key], live.resources[key]), chosen)
        for done, (key, after) in enumerate(zip(chosen, checks, strict=True), start=1):
            found[key] = after
            if progress is not None:
                progress(done)
    fresh = [key for key in chosen if not found[key].altered]
    for kind in {key.kind for key in fresh}:
        known = connection.remembered(kind)
        entries = {key.name: _entry(found[key], known.get(key.name), stamp) for key in fresh if key.kind == kind}
        connection.ledger.remember(kind, entries)
    checked_at |= dict.fromkeys(fresh, stamp)
    ages = [checked_at[key] for key in candidates if key not in found or key in fresh]
    coverage = Coverage(len(chosen), len(candidates), min(ages, default=""), sum(one.altered for one in found.values()))
    return replace(live, resources={**live.resources, **found}), coverage


def _looks_unchanged(want: Resource | None, have: Resource) -> bool:
    return want is not None and want.owner == have.owner and want.digest == have.digest and not have.altered


def _checked_at(connection: Connection, key: Key) -> str:
    entry = connection.remembered(key.kind).get(key.name)
    return entry.verified_at if entry is not None else ""


def _check(connection: Connection, want: Resource, have: Resource) -> Resource:
    """The live resource, marked altered when what it holds is not what its digest says."""
    kind = kinds.kind_of(have.key)
    wanted = kind.wanted(connection.repository, want)
    try:
        there = kind.read(connection, have, wanted)
    except ReconcilerError:
        return replace(have, verified=False)
    if there is None or wanted is None or there.spec() != wanted.spec():
        return replace(have, altered=True)
    return replace(have, verified=True)


def _entry(resource: Resource, known: Entry | None, stamp: str) -> Entry:
    entry = known or Entry(resource.digest, resource.etag, resource.modified_on, customer=resource.customer)
    return replace(
        entry, digest=resource.digest, etag=resource.etag, modified_on=resource.modified_on, verified_at=stamp
    )
