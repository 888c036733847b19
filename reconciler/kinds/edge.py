"""What the places where a dispatcher answers have in common: they are ours when they point at a Worker of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.errors import Problem, ReconcilerError, Where
from reconciler.kinds import dispatcher
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.ledger import Entry
from reconciler.look.listing import Route, Seen
from reconciler.model import Key, Resource, digest


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
    """Those that point at our dispatcher, now or under a former name, and those whose name we want."""
    settings = connection.repository.platform.dispatcher
    wanted_digest = digest({"script": settings.name}) if settings else ""
    ours = dispatcher.of_ours(seen, connection) | ({settings.name} if settings else frozenset())
    remembered = connection.remembered(kind)
    for one in found:
        if one.script not in ours and one.pattern not in names:
            continue
        there, entry = digest({"script": one.script}), remembered.get(one.pattern)
        yield Resource(
            Key(kind, one.pattern),
            digest=there,
            owner=connection.owner if one.script in ours else "",
            needs=frozenset({Key(dispatcher.NAME, one.script)}),
            etag=one.id,
            altered=entry is not None and there not in (entry.digest, wanted_digest),
            claimed=one.script not in ours and entry is not None,
            note=f"points at {one.script}" if one.script else "points at nothing",
        )


def is_still(resource: Resource, script: str) -> bool:
    """Whether it points where it pointed when this run looked."""
    return resource.digest == digest({"script": script})


def remember(connection: Connection, resource: Resource) -> None:
    """That we made it: should it be gone or point elsewhere one day, it was someone else."""
    connection.ledger.remember(resource.key.kind, {resource.key.name: Entry(resource.digest, "", "")})


def forget(connection: Connection, resource: Resource) -> None:
    connection.ledger.forget(resource.key.kind, [resource.key.name])


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
                why=f"{resource.key.told} belongs to it",
                fix="add the domain to the account, or give the token Zone Read for it",
                code="unknown-zone",
            )
        ]
    )
