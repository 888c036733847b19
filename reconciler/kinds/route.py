"""Workers routes: URL patterns of a zone that lead to the dispatcher."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import edge
from reconciler.kinds.connection import Connection
from reconciler.look import Seen
from reconciler.model import Resource, Worker
from reconciler.plan import Change
from reconciler.repository import Repository

NAME = "route"


def desired(repository: Repository) -> Iterator[Resource]:
    settings = repository.platform.dispatcher
    for one in settings.routes if settings else ():
        yield edge.wanted(repository, NAME, one.pattern, one.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    settings = connection.repository.platform.dispatcher
    names = frozenset(one.pattern for one in settings.routes) if settings else frozenset()
    return edge.live(seen.routes, seen, connection, NAME, names)


def put(connection: Connection, change: Change, after: Resource) -> None:
    settings = connection.repository.platform.dispatcher
    assert settings is not None
    zone = next(one.zone for one in settings.routes if one.pattern == after.key.name)
    identity = change.before.etag if change.before is not None else ""
    connection.api.put_route(edge.zone_of(connection, zone, after), identity, after.key.name, settings.name)


def delete(connection: Connection, resource: Resource) -> None:
    """The zone is the longest of the platform's zones that the pattern's host ends in."""
    settings = connection.repository.platform.dispatcher
    host = resource.key.name.split("/")[0].removeprefix("*.").removeprefix("*")
    zones = [one.zone for one in settings.routes] if settings else []
    fitting = sorted((one for one in zones if host == one or host.endswith(f".{one}")), key=len)
    zone = edge.zone_of(connection, fitting[-1] if fitting else host, resource)
    connection.api.delete_route(zone, resource.etag)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    del repository, resource
    return None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    del connection, resource, like
    return None
