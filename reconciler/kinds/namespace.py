"""The dispatch namespace itself: made when it is missing, trusted or not, and never deleted.

Deleting a namespace deletes every script in it, so no plan of ours ever does.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.errors import Problem, Refused
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.ledger import Entry
from reconciler.look.listing import Seen
from reconciler.look.replies import ApiError
from reconciler.model import Key, Resource, Worker, digest
from reconciler.plan import Change

NAME = "namespace"


def desired(repository: Repository) -> Iterator[Resource]:
    platform = repository.platform
    yield Resource(
        key(repository), digest=digest({"trusted": platform.trusted}), owner=platform.name, where=platform.where
    )


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    """A namespace carries no mark: the one that platform.yaml names is ours to keep as it says."""
    if seen.namespace is None:
        return
    trusted = seen.namespace.trusted
    platform = connection.repository.platform
    known = platform.trusted if trusted is None else trusted  # older replies leave it out
    there, entry = digest({"trusted": known}), connection.remembered(NAME).get(platform.namespace)
    altered = entry is not None and entry.digest != there and known != platform.trusted
    yield Resource(
        key(connection.repository),
        digest=there,
        owner=platform.name,
        modified_on=seen.namespace.modified_on,
        altered=altered,
        writer=seen.namespace.modified_by,
        note="trusted" if known else "not trusted",
    )


def put(connection: Connection, change: Change, after: Resource) -> None:
    del change
    name, trusted = after.key.name, connection.repository.platform.trusted
    missing = connection.api.namespace(name) is None
    if missing:
        _create(connection, name)
    if trusted or not missing:
        connection.api.trust_namespace(name, trusted)
    connection.ledger.remember(NAME, {name: Entry(after.digest, "", "")})


def _create(connection: Connection, name: str) -> None:
    """Several shards may begin at once: a namespace that another has made meanwhile is made."""
    try:
        connection.api.create_namespace(name)
    except ApiError:
        if connection.api.namespace(name) is None:
            raise


def delete(connection: Connection, resource: Resource) -> None:
    del connection
    raise Refused(
        [Problem(f"{resource.key.told} is never deleted by a plan", why="every script in it would go with it")]
    )


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    del repository, resource
    return None


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    del connection, resource, like
    return None


def key(repository: Repository) -> Key:
    return Key(NAME, repository.platform.namespace)
