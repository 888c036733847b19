"""What the places where a dispatcher answers have in common: they are ours when they point at a Worker of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.errors import Problem, ReconcilerError, Where
from reconciler.kinds import dispatcher
from reconciler.kinds.connection import Connection
from reconciler.look import Route, Seen
from reconciler.model import Key, Resource, digest, owner_in
from reconciler.repository import Repository


def wanted(repository: Repository, kind: str, name: str, where: Where | None) -> Resource:
    settings = repository.platform.dispatcher
    assert settings is not None
    return Resource(
        Key(kind, name),
        digest=digest({"script": settings.name}),
        owner=repository.platform.name,
        needs=frozenset({Key(dispatcher.NAME, settings.name)}),
        where=where,
    )


def live(
    found: Iterable[Route], seen: Seen, connection: Connection, kind: str, names: frozenset[str]
) -> Iterator[Resource]:
    """Those that point at our dispatcher or at another Worker that carries our mark, and those whose name we want."""
    settings = connection.repository.platform.dispatcher
    ours = {name for name, row in seen.workers.items() if owner_in(row.tags or ()) == connection.owner}
    ours |= {settings.name} if settings else set()
    for one in found:
        if one.script in ours or one.pattern in names:
            yield Resource(
                Key(kind, one.pattern),
                digest=digest({"script": one.script}),
                owner=connection.owner if one.script in ours else "",
                needs=frozenset({Key(dispatcher.NAME, one.script)}),
                etag=one.id,
                note=f"points at {one.script}" if one.script else "points at nothing",
            )


def zone_of(connection: Connection, name: str, resource: Resource) -> str:
    """The id of a zone. Raises when the account does not have it."""
    identity = connection.api.zone(name)
    if identity:
        return identity
    raise ReconcilerError(
        [
            Problem(
                f"the account has no zone {name}",
                resource.where,
                why=f"{resource.key} belongs to it",
                fix="add the domain to the account, or give the token Zone Read for it",
                code="unknown-zone",
            )
        ]
    )
