"""Workers routes: URL patterns of a zone that lead to the dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.kinds import edge, uploads
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.ledger import Entry
from reconciler.look.listing import Route, Seen
from reconciler.model import Resource, Worker
from reconciler.plan import Change

NAME = "route"
ZONE = "zone"  # what the ledger keeps zones under that we made routes in: they are looked at as long as one may be left


def desired(repository: Repository) -> Iterator[Resource]:
    settings = repository.platform.dispatcher
    for one in settings.routes if settings else ():
        yield edge.wanted(repository, NAME, one.pattern, one.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    settings = connection.repository.platform.dispatcher
    names = frozenset(one.pattern for one in settings.routes) if settings else frozenset()
    return edge.live(map(_with_zone, seen.routes), seen, connection, NAME, names)


def put(connection: Connection, change: Change, after: Resource) -> None:
    settings = connection.repository.platform.dispatcher
    assert settings is not None
    zone = next(one.zone for one in settings.routes if one.pattern == after.key.name)
    identity = change.before.etag.partition("/")[2] if change.before is not None else ""
    connection.api.put_route(edge.zone_of(connection, zone, after), identity, after.key.name, settings.name)
    connection.ledger.remember(ZONE, {zone: Entry("", "", "")})
    edge.remember(connection, after)


def delete(connection: Connection, resource: Resource) -> None:
    """A route that someone else has led elsewhere by now is theirs."""
    zone, _, identity = resource.etag.partition("/")
    zone_id = edge.zone_of(connection, zone, resource)
    for one in connection.api.routes(zone_id):
        if str(one.get("id")) != identity:
            continue
        if not edge.is_still(resource, str(one.get("script") or "")):
            raise uploads.changed_since(resource)
        connection.api.delete_route(zone_id, identity)
    edge.forget(connection, resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    del repository, resource
    return None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    del connection, resource, like
    return None


def _with_zone(route: Route) -> Route:
    """A route's id means something in its zone only."""
    return replace(route, id=f"{route.zone}/{route.id}")
