"""Custom domains: hostnames that lead to the dispatcher as a whole, with their certificate made by Cloudflare."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.errors import Problem, ReconcilerError
from reconciler.kinds import edge, uploads
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.listing import Seen
from reconciler.model import Resource, Worker
from reconciler.plan import Change

NAME = "custom_domain"


def desired(repository: Repository) -> Iterator[Resource]:
    settings = repository.platform.dispatcher
    for hostname in settings.custom_domains if settings else ():
        yield edge.wanted(repository, NAME, hostname.name, hostname.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    settings = connection.repository.platform.dispatcher
    names = frozenset(one.name for one in settings.custom_domains) if settings else frozenset()
    return edge.live(seen.domains, seen, connection, NAME, names)


def put(connection: Connection, change: Change, after: Resource) -> None:
    settings = connection.repository.platform.dispatcher
    assert settings is not None
    del change  # the call is an upsert by hostname
    connection.api.put_domain(after.key.name, settings.name, _zone(connection, after))
    edge.remember(connection, after)


def delete(connection: Connection, resource: Resource) -> None:
    """A domain that someone else has led elsewhere by now is theirs."""
    for one in connection.api.domains():
        if str(one.get("id")) != resource.etag:
            continue
        if not edge.is_still(resource, str(one.get("service") or "")):
            raise uploads.changed_since(resource)
        connection.api.delete_domain(resource.etag)
    edge.forget(connection, resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    del repository, resource
    return None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    del connection, resource, like
    return None


def _zone(connection: Connection, resource: Resource) -> str:
    """A hostname's zone is the longest ending of it that the account has as a zone."""
    labels = resource.key.name.split(".")
    for start in range(len(labels) - 1):
        identity = connection.api.zone(".".join(labels[start:]))
        if identity:
            return identity
    raise ReconcilerError(
        [
            Problem(
                f"the account has no zone that {resource.key.name} belongs to",
                resource.where,
                fix="add the domain to the account, or give the token Zone Read for it",
                code="unknown-zone",
            )
        ]
    )
