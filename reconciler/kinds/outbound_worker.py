"""Outbound Workers: ordinary Workers of the platform that every fetch of a user Worker passes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler import config
from reconciler.kinds import uploads
from reconciler.kinds.connection import Connection
from reconciler.look import Seen
from reconciler.model import Key, Resource, Worker
from reconciler.plan import Change
from reconciler.repository import Repository

NAME = "outbound_worker"
ROLE = "outbound-worker"  # a tag: tells our ordinary Workers apart once the repository no longer names them


def desired(repository: Repository) -> Iterator[Resource]:
    for name, one in repository.platform.outbound_workers.items():
        worker = _worker(repository, name)
        yield Resource(Key(NAME, name), digest=worker.digest, owner=repository.platform.name, where=one.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    return uploads.ordinary(seen, connection, NAME, connection.repository.platform.outbound_workers, ROLE)


def put(connection: Connection, change: Change, after: Resource) -> None:
    uploads.put_worker(connection, "", change, after, _worker(connection.repository, after.key.name))


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, "", resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    return _worker(repository, resource.key.name)


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    return uploads.read_worker(connection, "", resource, like)


def _worker(repository: Repository, name: str) -> Worker:
    worker = config.read_outbound(repository, name)
    return replace(worker, tags=(*worker.tags, ROLE))
