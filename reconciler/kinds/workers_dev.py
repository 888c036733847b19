"""Whether the dispatcher also answers on the account's workers.dev subdomain."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import dispatcher, edge
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.listing import Seen
from reconciler.model import Key, Resource, Worker, digest
from reconciler.plan import Change

NAME = "workers_dev"


def desired(repository: Repository) -> Iterator[Resource]:
    """Declared only where it is on: off is how a Worker that is uploaded through the API begins."""
    settings = repository.platform.dispatcher
    if settings is not None and settings.workers_dev:
        yield Resource(
            Key(NAME, settings.name),
            digest=digest({"enabled": True}),
            owner=repository.platform.name,
            needs=frozenset({Key(dispatcher.NAME, settings.name)}),
            where=settings.where,
        )


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    settings = connection.repository.platform.dispatcher
    if settings is None or not seen.workers_dev:
        return
    needs = frozenset({Key(dispatcher.NAME, settings.name)})
    yield Resource(Key(NAME, settings.name), digest=digest({"enabled": True}), owner=connection.owner, needs=needs)


def put(connection: Connection, change: Change, after: Resource) -> None:
    del change
    connection.api.put_workers_dev(after.key.name, True)
    edge.remember(connection, after)


def delete(connection: Connection, resource: Resource) -> None:
    connection.api.put_workers_dev(resource.key.name, False)
    edge.forget(connection, resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    del repository, resource
    return None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    del connection, resource, like
    return None
