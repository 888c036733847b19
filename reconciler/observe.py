"""Foreign scripts that are watched: drift without ownership. What changed of them is told, and nothing is written.

the script is                                      told when
------------------------------------------------   --------------------------------------------------------------
declared here and not taken over, as after an      it is not what the repository says: read back once, and again
import                                             only when its etag or time of change, or the repository, moved
not declared                                       it was written again since the run before
gone since the run before                          in this run

Law: what is remembered for it stands in the ledger under a kind of its own, and no plan reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler import kinds
from reconciler.errors import ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.look.ledger import Entry
from reconciler.model import Key, Resource, State, Worker
from reconciler.plan import Action, Cause, Change
from reconciler.plan.explain import explain_worker
from reconciler.plan.guards import USER_WORKER, Policy
from reconciler.plan.results import Finding, FindingKind
from reconciler.show import words

SEEN = "observed"  # what the ledger keeps them under
READERS = 8


def observe(
    connection: Connection,
    desired: State,
    live: State,
    names: frozenset[str],
    *,
    scope: frozenset[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> Mapping[Key, Finding | None]:
    """Look at the foreign scripts of these names or patterns. What was found of each that there is something to say
    of; None for one that is declared here and is as the repository says.

    A pattern does not watch what another platform has marked: its own runs change that. With a scope, only what these
    customers declare is watched.
    """
    if not names:
        return {}
    policy = Policy(connection.owner, adopt=names)
    remembered = connection.remembered(SEEN)
    inside = [one for key, one in live.resources.items() if not scope or _customer(desired, key) in scope]
    watched = [one for one in inside if _is_foreign(one, connection) and policy.adopts(one)]
    found: dict[Key, Finding | None] = {}
    fresh: dict[str, Entry] = {}

    def look(one: Resource) -> tuple[Finding | None, bool]:
        return _look(connection, desired.resources.get(one.key), one, remembered.get(one.key.name))

    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="observe") as pool:
        for done, (one, (finding, sound)) in enumerate(zip(watched, pool.map(look, watched), strict=True), start=1):
            want = desired.resources.get(one.key)
            if finding is not None or want is not None:
                found[one.key] = finding
            if sound:
                fresh[one.key.name] = Entry(want.digest if want else "", one.etag, one.modified_on)
            if progress is not None:
                progress(done)
    gone = [key for key in _gone(remembered, live, policy) if not scope or _customer(desired, key) in scope]
    found |= {key: Finding(FindingKind.OBSERVED, key, explanation="gone since the last look") for key in gone}
    connection.ledger.remember(SEEN, fresh)
    connection.ledger.forget(SEEN, [key.name for key in gone])
    return found


def _is_foreign(one: Resource, connection: Connection) -> bool:
    return one.key.kind == USER_WORKER and one.owner != connection.owner and not one.claimed


def _customer(desired: State, key: Key) -> str:
    return desired.resources[key].customer if key in desired.resources else ""


def _gone(remembered: Mapping[str, Entry], live: State, policy: Policy) -> Iterator[Key]:
    """Of a listing that is not proven whole, nothing is gone."""
    for name in () if live.incomplete_because else remembered:
        key = Key(USER_WORKER, name)
        if key not in live.resources and policy.adopts(Resource(key)):
            yield key


def _look(
    connection: Connection, want: Resource | None, have: Resource, entry: Entry | None
) -> tuple[Finding | None, bool]:
    """What there is to say of one script, and whether the next run may take it for seen."""
    still = entry is not None and (entry.etag, entry.modified_on) == (have.etag, have.modified_on)
    if want is None:
        if entry is None or still:
            return None, True
        return _finding(have, want, "written again since the last look"), True
    if still and entry is not None and entry.digest == want.digest and (have.etag or have.modified_on):
        return None, True
    kind = kinds.kind_of(have.key)
    try:
        wanted = kind.wanted(connection.repository, want)
        there = kind.read(connection, have, wanted)
    except ReconcilerError as error:
        told = f"not read back: {error.problems[0].what}"
        return replace(_finding(have, want, told), kind=FindingKind.UNMANAGED), False
    assert wanted is not None  # a script of the repository
    if there is not None:
        there = replace(there, tags=_tags(there, wanted))
    if there is not None and there.spec() == wanted.spec():
        return None, True
    explained = Change(Action.UPDATE, have.key, Cause.DRIFTED, have, want, explain_worker(there, wanted))
    return _finding(have, want, words.gist(explained)), False


def _tags(there: Worker, wanted: Worker) -> tuple[str, ...]:
    """The customer and the tier become tags when a script is taken over: that they lack is no drift."""
    added = {*there.tags, *wanted.tags} if set(there.tags) <= set(wanted.tags) else set(there.tags)
    return tuple(sorted(added))


def _finding(have: Resource, want: Resource | None, explanation: str) -> Finding:
    return Finding(
        FindingKind.OBSERVED,
        have.key,
        customer=(want or have).customer,
        explanation=explanation,
        where=want.where if want else None,
        at=have.modified_on,
        who=have.writer,
    )
