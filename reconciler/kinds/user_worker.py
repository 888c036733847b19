"""User Workers: the customers' scripts in the dispatch namespace."""

from __future__ import annotations

from collections.abc import Container, Iterator, Set
from dataclasses import dataclass

from reconciler.kinds import namespace, tail_worker, uploads
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Facts, Repository
from reconciler.look import wire
from reconciler.look.ledger import Entry
from reconciler.look.listing import Seen
from reconciler.look.replies import Row
from reconciler.model import PROTECT_TAG, RESERVED_PREFIX, Key, Resource, Worker, digest_tag, owner_tag
from reconciler.plan import Change
from reconciler.plan.guards import USER_WORKER

NAME = USER_WORKER
READ = "user_worker_read"  # what the ledger keeps tags under that were read, and are not of an upload of ours
GONE = "user_worker_gone"  # what the ledger keeps what we deleted under: a listing that lags shows it for a while


def desired(repository: Repository) -> Iterator[Resource]:
    needs = frozenset({namespace.key(repository), *tail_worker.keys(repository)})
    for script in repository.scripts():
        yield Resource(
            Key(NAME, script.name),
            digest=script.digest,
            owner=repository.platform.name,
            customer=script.customer,
            needs=needs,
            where=script.where,
            protected=script.protect,
            previously=script.previously,
        )


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    repository = connection.repository
    needs = frozenset({namespace.key(repository)})
    remembered = connection.remembered(NAME)
    others = frozenset(repository.platform.tiers) | repository.facts.tags | {PROTECT_TAG}
    for row in seen.scripts.rows:
        if row.name in repository.settled:
            continue
        entry = remembered.get(row.name)
        customer = customer_in(row.tags or (), repository.customers, others, entry.customer if entry else "")
        yield uploads.resource_of(row, Key(NAME, row.name), entry, customer=customer, needs=needs)


@dataclass(frozen=True, slots=True)
class Settled:
    """Scripts of which nothing is to be said: each is live as it is wanted."""

    names: Set[str]
    unverified: int  # trusted by their tag alone
    remembered: dict[str, Entry]  # what our ledger holds of all others


def settled(seen: Seen, connection: Connection) -> Settled:
    """Most scripts on most days, told in a fraction of the time and memory that resources and entries take.

    Law: without them a plan says the same of all others (each run of tests/scenarios compares the two).
    """
    facts, owner = connection.repository.facts, owner_tag(connection.owner)
    rows = {row.name: row for row in seen.scripts.rows if _is_as_wanted(row, facts, owner)}
    verified = 0

    def is_settled(name: str, entry: Entry) -> bool:
        nonlocal verified
        row = rows.get(name)
        if row is None:
            return False
        if uploads.is_as_left(row, entry, facts.digests[name]):
            verified += 1
            return True
        del rows[name]
        return False

    left = connection.ledger.entries_but(NAME, is_settled)
    return Settled(rows.keys(), len(rows) - verified, left)


def _is_as_wanted(row: Row, facts: Facts, owner: str) -> bool:
    """By its tags: ours, with the digest that is wanted and no other."""
    digest = facts.digests.get(row.name)
    if digest is None or row.tags is None or row.name in facts.renaming:
        return False
    marks = [tag for tag in row.tags if tag[:4] == RESERVED_PREFIX]
    if len(marks) > 2:
        marks = [tag for tag in marks if tag != PROTECT_TAG]
    return len(marks) == 2 and owner in marks and digest_tag(digest) in marks


def put(connection: Connection, change: Change, after: Resource) -> str:
    worker = config.read_worker(connection.repository, after.key.name)
    note = uploads.put_worker(connection, connection.namespace, change, after, worker)
    if after.key.name in connection.remembered(GONE):
        connection.ledger.forget(GONE, [after.key.name])
    return note


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, connection.namespace, resource)
    gone = Entry(resource.digest, resource.etag, resource.modified_on)
    connection.ledger.remember(GONE, {resource.key.name: gone})


def is_gone(row: Row, connection: Connection) -> bool:
    """Whether this is the very script that we deleted: a name that is taken anew has another time."""
    entry = connection.remembered(GONE).get(row.name)
    if entry is None or not (row.etag or row.modified_on):
        return False
    return (row.etag, row.modified_on) == (entry.etag, entry.modified_on)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    return config.read_worker(repository, resource.key.name)


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    return uploads.read_worker(connection, connection.namespace, resource, like)


def customer_in(tags: tuple[str, ...], known: Container[str], others: Container[str], remembered: str = "") -> str:
    """Whose script this is, by its tags.

    a customer that the repository knows                     that one
    the one that our ledger remembers, if the tags have it   that one
    the only tag that is no tier and no tag of the users'    that one
    otherwise                                                "": never deleted under a scope
    """
    plain = wire.unmarked(tags)
    there = [tag for tag in plain if tag in known]
    if len(there) == 1:
        return there[0]
    if remembered in plain:
        return remembered
    left = [tag for tag in plain if tag not in others]
    return left[0] if len(left) == 1 and not there else ""
