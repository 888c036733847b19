"""Reading content and settings back, a few at a time: user Workers that were verified least recently.

A digest tag says what we uploaded, and the etag that nobody wrote code since; whether settings are still what they
were can only be seen by reading them: two calls a script. So a run checks as many as it is asked to, remembers when
and with what outcome, and tells how old the oldest check is. The platform's own Workers are a handful, and all
traffic goes through them: they are read in every such run.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler import kinds
from reconciler.errors import ReconcilerError
from reconciler.kinds import uploads
from reconciler.kinds.connection import Connection
from reconciler.look.ledger import Entry
from reconciler.model import Key, Resource, SecretReference, State
from reconciler.plan import Coverage
from reconciler.plan.guards import USER_WORKER

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
    """Check `amount` (None: all) of the user Workers that look unchanged, and the platform's own; returns the live
    state with what was found."""
    candidates = [key for key, one in live.resources.items() if _looks_unchanged(desired.resources.get(key), one)]
    candidates = [key for key in candidates if kinds.is_worker(key)]
    checked_at = {key: _checked_at(connection, key, now) for key in candidates}
    own = [key for key in candidates if key.kind != USER_WORKER]
    users = [key for key in candidates if key.kind == USER_WORKER]
    chosen = own + sorted(users, key=lambda key: (checked_at[key], key))[:amount]
    stamp = now.isoformat(timespec="seconds")
    found: dict[Key, Resource] = {}
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="verify") as pool:
        checks = pool.map(lambda key: _check(connection, desired.resources[key], live.resources[key]), chosen)
        for done, (key, after) in enumerate(zip(chosen, checks, strict=True), start=1):
            found[key] = after
            if progress is not None:
                progress(done)
    fresh = [key for key in chosen if found[key].verified and not found[key].altered]
    _remember(connection, [one for one in found.values() if one.verified or one.altered], stamp)
    checked_at |= dict.fromkeys(fresh, stamp)
    altered = frozenset(key for key, one in found.items() if one.altered)
    ages = [checked_at[key] for key in candidates if key not in altered]
    oldest = min(ages, default="")
    coverage = Coverage(
        checked=len(chosen),
        total=len(candidates),
        oldest=oldest,
        altered=len(altered),
        unseen=ages.count(""),
        unread=len(chosen) - len(fresh) - len(altered),
        days=_days(oldest, now),
    )
    return replace(live, resources={**live.resources, **found}), coverage


def _days(oldest: str, now: datetime.datetime) -> int:
    return math.ceil((now - datetime.datetime.fromisoformat(oldest)) / datetime.timedelta(days=1)) if oldest else 0


def _looks_unchanged(want: Resource | None, have: Resource) -> bool:
    return want is not None and want.owner == have.owner and want.digest == have.digest and not have.altered


def _checked_at(connection: Connection, key: Key, now: datetime.datetime) -> str:
    """When it was read back last; "" for never, and for a time that cannot be: a ledger may hold anything."""
    entry = connection.remembered(key.kind).get(key.name)
    try:
        at = datetime.datetime.fromisoformat(entry.verified_at if entry is not None else "")
        return at.isoformat(timespec="seconds") if at <= now else ""
    except (ValueError, TypeError):
        return ""


def _check(connection: Connection, want: Resource, have: Resource) -> Resource:
    """The live resource: altered when it holds other than its digest says, not verified when it cannot be read."""
    kind = kinds.kind_of(have.key)
    wanted = kind.wanted(connection.repository, want)
    try:
        there = kind.read(connection, have, wanted)
    except ReconcilerError:
        return replace(have, verified=False)
    if there is None or wanted is None or there.spec() != wanted.spec():
        return replace(have, altered=True)
    return replace(have, verified=True)


def _remember(connection: Connection, read: Sequence[Resource], stamp: str) -> None:
    secrets = {key: declared for key, declared, _ in kinds.secrets(connection.repository)}
    for kind in sorted({one.key.kind for one in read}):
        known = connection.remembered(kind)
        entries = {
            one.key.name: _entry(one, known.get(one.key.name), secrets.get(one.key, {}), stamp)
            for one in read
            if one.key.kind == kind
        }
        connection.ledger.remember(kind, entries)


def _entry(resource: Resource, known: Entry | None, secrets: Mapping[str, SecretReference], stamp: str) -> Entry:
    """Where we knew nothing, the versions of the secrets are those of the digest, which holds them.

    What is altered gets an entry that stands for no digest: until it is mended, every run sees that this is not what
    we uploaded, whether it reads back or not.
    """
    unknown = Entry("", "", "", customer=resource.customer, secrets=uploads.versions(secrets))
    return (known or unknown)._replace(
        digest="" if resource.altered else resource.digest,
        etag=resource.etag,
        modified_on=resource.modified_on,
        verified_at="" if resource.altered else stamp,
    )
