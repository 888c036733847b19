"""Outbound Workers: ordinary Workers of the platform that every fetch of a user Worker passes through.

Beside those that the repository declares there is the one that ships with the reconciler, configured by `egress`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.errors import Where
from reconciler.kinds import shipped, tail_worker, uploads
from reconciler.kinds.connection import Connection
from reconciler.load import config, egress
from reconciler.load.repository import DEFAULT_OUTBOUND, Repository
from reconciler.look.listing import Seen
from reconciler.model import Key, Module, Resource, SecretReference, Worker
from reconciler.plan import Change

NAME = "outbound_worker"
ROLE = "outbound-worker"  # a tag: tells our ordinary Workers apart once the repository no longer names them


@dataclass(frozen=True, slots=True)
class Outbound:
    """How an outbound Worker is called in the repository, and in the account."""

    worker: str
    parameters: tuple[str, ...]
    where: Where | None


def declared(repository: Repository) -> Mapping[str, Outbound]:
    """By the name that `outbound_worker:` chooses it by."""
    platform = repository.platform
    found = {name: Outbound(name, one.parameters, one.where) for name, one in sorted(platform.outbound_workers.items())}
    if platform.egress is not None:
        found[DEFAULT_OUTBOUND] = Outbound(f"{platform.name}-egress", egress.PARAMETERS, platform.egress_where)
    return found


def keys(repository: Repository) -> frozenset[Key]:
    return frozenset(Key(NAME, one.worker) for one in declared(repository).values())


def desired(repository: Repository) -> Iterator[Resource]:
    needs = tail_worker.keys(repository)
    for name, one in declared(repository).items():
        digest = _worker(repository, name).digest
        owner = repository.platform.name
        yield Resource(Key(NAME, one.worker), digest=digest, owner=owner, needs=needs, where=one.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    used_elsewhere = frozenset[str]().union(*seen.elsewhere.values())
    ours = uploads.marked(seen, connection, ROLE) - used_elsewhere
    wanted_names = {one.worker for one in declared(connection.repository).values()}
    return uploads.ordinary(seen, connection, NAME, wanted_names, ours)


def secrets(repository: Repository) -> Iterator[tuple[Key, Mapping[str, SecretReference], Where | None]]:
    """Those that the shipped outbound Worker sends along; the declared ones' stand in the repository."""
    one = declared(repository).get(DEFAULT_OUTBOUND)
    if one is not None:
        worker = _worker(repository, DEFAULT_OUTBOUND)
        if worker.secrets:
            yield Key(NAME, one.worker), worker.secrets, one.where


def put(connection: Connection, change: Change, after: Resource) -> str:
    worker = wanted(connection.repository, after)
    assert worker is not None
    return uploads.put_worker(connection, "", change, after, worker)


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, "", resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    names = [name for name, one in declared(repository).items() if one.worker == resource.key.name]
    return _worker(repository, names[0]) if names else None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    return uploads.read_worker(connection, "", resource, like)


def _worker(repository: Repository, name: str) -> Worker:
    if name != DEFAULT_OUTBOUND:
        worker = config.read_outbound(repository, name)
        return replace(worker, tags=(*worker.tags, ROLE))
    section = repository.platform.egress
    assert section is not None
    rules = egress.read(section, _nowhere)
    return Worker(
        main=shipped.EGRESS,
        modules=(shipped.module(shipped.EGRESS), Module(egress.MODULE_NAME, shipped.JAVASCRIPT, egress.module(rules))),
        settings={"compatibility_date": shipped.COMPATIBILITY_DATE, **repository.platform.egress_settings},
        tags=(ROLE,),
        secrets=rules.secrets,
    )


def _nowhere(*path: object) -> None:
    """The section was checked when it was loaded; where its parts stand tells nothing any more."""
    del path
