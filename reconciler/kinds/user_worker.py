"""User Workers: the customers' scripts in the dispatch namespace."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler import config, wire
from reconciler.guards import USER_WORKER
from reconciler.kinds import namespace, uploads
from reconciler.kinds.connection import Connection
from reconciler.look import Seen
from reconciler.model import PROTECT_TAG, Key, Resource, Worker
from reconciler.plan import Change
from reconciler.repository import Repository

NAME = USER_WORKER


def desired(repository: Repository) -> Iterator[Resource]:
    needs = frozenset({namespace.key(repository)})
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
    for row in seen.scripts.rows:
        customer = customer_in(row.tags or (), repository)
        yield uploads.resource_of(row, Key(NAME, row.name), remembered.get(row.name), customer=customer, needs=needs)


def put(connection: Connection, change: Change, after: Resource) -> None:
    worker = config.read_worker(connection.repository, after.key.name)
    uploads.put_worker(connection, connection.namespace, change, after, worker)


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, connection.namespace, resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    return config.read_worker(repository, resource.key.name)


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    return uploads.read_worker(connection, connection.namespace, resource, like)


def customer_in(tags: tuple[str, ...], repository: Repository) -> str:
    """Whose script this is, by its tags: a customer that the repository knows, else the one tag that is no tier.

    "" where that is not certain; such a script is never deleted under a scope.
    """
    plain = [tag for tag in wire.unmarked(tags) if tag != PROTECT_TAG]
    known = [tag for tag in plain if tag in repository.customers]
    if len(known) == 1:
        return known[0]
    others = [tag for tag in plain if tag not in repository.platform.tiers]
    return others[0] if len(others) == 1 and not known else ""
