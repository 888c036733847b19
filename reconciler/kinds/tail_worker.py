"""Tail Workers: ordinary Workers of the platform that receive the trace events of others.

The dispatcher names all of them unless it says otherwise, and with it they get the events of every user Worker that it
calls. One without code of its own is the sample that ships with the reconciler: one JSON line for each invocation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.kinds import shipped, uploads
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.look.listing import Seen
from reconciler.model import Key, Resource, Worker
from reconciler.plan import Change

NAME = "tail_worker"
ROLE = "tail-worker"  # a tag, as in outbound_worker


def keys(repository: Repository) -> frozenset[Key]:
    """Whoever may name a tail Worker waits for all of them: they are few, and come first."""
    return frozenset(Key(NAME, name) for name in repository.platform.tail_workers)


def desired(repository: Repository) -> Iterator[Resource]:
    for name, one in repository.platform.tail_workers.items():
        digest = _worker(repository, name).digest
        yield Resource(Key(NAME, name), digest=digest, owner=repository.platform.name, where=one.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    # Scripts of another namespace may name it, which only a look at each of them would tell: then it stays.
    ours = frozenset[str]() if seen.elsewhere else uploads.marked(seen, connection, ROLE)
    return uploads.ordinary(seen, connection, NAME, connection.repository.platform.tail_workers, ours)


def put(connection: Connection, change: Change, after: Resource) -> str:
    return uploads.put_worker(connection, "", change, after, _worker(connection.repository, after.key.name))


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, "", resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    return _worker(repository, resource.key.name) if resource.key.name in repository.platform.tail_workers else None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    return uploads.read_worker(connection, "", resource, like)


def _worker(repository: Repository, name: str) -> Worker:
    settings = repository.platform.tail_workers[name]
    if settings.main:
        worker = config.read_ordinary(repository, settings)
        return replace(worker, tags=(*worker.tags, ROLE))
    return Worker(
        main=shipped.TAIL,
        modules=(shipped.module(shipped.TAIL),),
        settings={"compatibility_date": shipped.COMPATIBILITY_DATE, **settings.settings},
        bindings=settings.bindings,
        tags=(ROLE,),
        secrets=settings.secrets,
    )
