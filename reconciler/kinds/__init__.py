"""The kinds of resources: how each is wanted, how it is seen, how it is written.

A kind is a module with the functions of `Kind`; planner, renderers, apply and drift know only resources.
To add a kind: write one file here and name it in KINDS. The other modules are what kinds share:

uploads      of all kinds that are Workers; assets and keeping are parts of an upload
edge         of the places where a dispatcher answers
switching    the routing table: what a run may make of it; routing_kv is its form in Workers KV
connection   what a kind needs to look and to write
shipped      the JavaScript that ships with the reconciler
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from reconciler.errors import Where
from reconciler.kinds import (
    custom_domain,
    dispatcher,
    keeping,
    namespace,
    outbound_worker,
    route,
    tail_worker,
    user_worker,
    workers_dev,
)
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Repository
from reconciler.look.answers import moves_nothing
from reconciler.look.listing import Interest, Seen, list_namespace, look, with_missing
from reconciler.model import Key, Resource, SecretReference, State, Worker
from reconciler.plan import Action, Cause, Change
from reconciler.plan.guards import USER_WORKER


class Kind(Protocol):
    """What a module in this folder has."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The first half of its resources' keys."""

    def desired(self, repository: Repository) -> Iterator[Resource]:
        """What the repository wants, as small rows."""

    def live(self, seen: Seen, connection: Connection) -> Iterator[Resource]:
        """What was seen, as small rows. Makes no calls."""

    def put(self, connection: Connection, change: Change, after: Resource) -> str | None:
        """Create or update; `after` is the change's. Returns what is worth telling beside that it took. Raises
        ReconcilerError when it did not take in full."""

    def delete(self, connection: Connection, resource: Resource) -> None:
        """Delete. What is gone already counts as deleted."""

    def wanted(self, repository: Repository, resource: Resource) -> Worker | None:
        """The Worker behind a wanted resource, read from the files again; None for a kind that is none."""

    def read(self, connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
        """The Worker behind a live resource; None for a kind that is none, or when it is gone."""


KINDS: tuple[Kind, ...] = (
    namespace,
    tail_worker,
    outbound_worker,
    user_worker,
    dispatcher,
    route,
    custom_domain,
    workers_dev,
)

# What an upload of a user Worker needs; to write it twice does no harm.
FIRST = frozenset({namespace.NAME, tail_worker.NAME})

_BY_NAME = {kind.NAME: kind for kind in KINDS}


def kind_of(key: Key) -> Kind:
    return _BY_NAME[key.kind]


def is_worker(key: Key) -> bool:
    """Whether there is code and settings behind it to read back."""
    return key.kind in (user_worker.NAME, tail_worker.NAME, outbound_worker.NAME, dispatcher.NAME)


def desired(repository: Repository) -> State:
    """Everything that the repository wants."""
    return State.of(resource for kind in KINDS for resource in kind.desired(repository))


def secrets(repository: Repository) -> Iterator[tuple[Key, Mapping[str, SecretReference], Where | None]]:
    """Every Worker that declares secrets, with the line that declares it."""
    for script in repository.scripts():
        if script.secrets:
            yield Key(USER_WORKER, script.name), dict(script.secrets), script.where
    settings = repository.platform.dispatcher
    for kind, ordinary in (
        *((outbound_worker.NAME, one) for one in repository.platform.outbound_workers.values()),
        *((tail_worker.NAME, one) for one in repository.platform.tail_workers.values()),
        *(((dispatcher.NAME, settings),) if settings else ()),
    ):
        if ordinary.secrets:
            yield Key(kind, ordinary.name), ordinary.secrets, ordinary.where
    yield from outbound_worker.secrets(repository)


def see(connection: Connection, *, progress: Callable[[int], None] | None = None) -> Seen:
    """Look at everything that this repository is about, once."""
    known = (connection.remembered(kind) for kind in (user_worker.NAME, user_worker.READ))  # read when it is needed
    ahead = connection.ahead
    listed = ahead.listed() if ahead else list_namespace(connection.api, connection.namespace, progress)
    seen = look(connection.api, _interest(connection), listed, known)
    connection.ledger.remember(user_worker.READ, seen.read_tags)
    if connection.remembered(user_worker.GONE):
        rows = tuple(row for row in seen.scripts.rows if not user_worker.is_gone(row, connection))
        seen = replace(seen, scripts=replace(seen.scripts, rows=rows))
    if seen.namespace is None or not seen.incomplete_because:
        return seen
    names = sorted(script.name for script in connection.repository.scripts())
    return with_missing(connection.api, connection.namespace, seen, names)


def _interest(connection: Connection) -> Interest:
    """The zones are those that routes are declared in, and those that we made routes in before."""
    repository = connection.repository
    platform, settings = repository.platform, repository.platform.dispatcher
    declared = (*outbound_worker.keys(repository), *tail_worker.keys(repository))
    zones = {one.zone for one in settings.routes} if settings else set()
    return Interest(
        platform.namespace,
        platform.name,
        role=dispatcher.ROLE,
        home=dispatcher.home_tag(repository),
        workers=frozenset(key.name for key in declared),
        dispatcher=settings.name if settings else "",
        zones=frozenset(zones | connection.remembered(route.ZONE).keys()),
        domains=settings is not None or bool(connection.remembered(custom_domain.NAME)),
    )


def live(seen: Seen, connection: Connection) -> State:
    """Everything that was seen, with what our ledger remembers and nobody sees any more."""
    resources = [resource for kind in KINDS for resource in kind.live(seen, connection)]
    settled = connection.repository.settled
    vanished = []
    for kind in KINDS:
        there = {resource.key.name for resource in resources if resource.key.kind == kind.NAME}
        there |= settled if kind.NAME == user_worker.NAME else frozenset()
        vanished += [Key(kind.NAME, name) for name in connection.remembered(kind.NAME).keys() - there]
    return State.of(resources, incomplete_because=seen.incomplete_because, vanished=vanished, settled=len(settled))


# Calls of a put and of a delete, where they are not one: a zone is looked up by its name, and what is deleted is looked
# at before.
_CALLS: Mapping[str, tuple[int, int]] = {
    namespace.NAME: (2, 1),
    user_worker.NAME: (1, 2),
    outbound_worker.NAME: (1, 2),
    tail_worker.NAME: (1, 2),
    dispatcher.NAME: (1, 2),
    route.NAME: (2, 3),
    custom_domain.NAME: (2, 2),
}


def requests(repository: Repository, change: Change, known: Mapping[str, str]) -> int:
    """How many calls a change takes: one, and more of

    a delete         1   what is deleted is looked at before
    a route, domain  1   its zone is looked up by name
    secrets          5   they are sent after the upload, settings are read back, the digest tag is set, row and settings
                         are read; and one before, to see which names are live, of a script that is not new
    static files     2   a session and one bucket; a file that is there already is not sent, and buckets may be several
    a table in KV    6   the live one is read, its KV namespace found, keys listed before and after, parts written and
                         removed; the first one has less to do, and past 1,000 parts the listings have more pages
    taking over      4   settings and content are read, only the tags are set, and row and settings are read back

    No row is read back where a probe saw that such writes move nothing in it: `known` is what it learnt.
    """
    settings = repository.platform.dispatcher
    put, delete = _CALLS.get(change.key.kind, (1, 1))
    if change.action is Action.DELETE:
        return delete
    if change.key.kind == dispatcher.NAME and settings is not None:
        return put + 6 * (settings.table == "kv")
    if change.key.kind != user_worker.NAME:
        return put
    if change.cause is Cause.ADOPTED:
        return 5 - 2 * moves_nothing(known, "tags")
    script = repository.script(change.key.name)
    looked_at = change.action is Action.UPDATE
    of_secrets = 5 + looked_at - 2 * moves_nothing(known, "secret", "tags") if script.secrets else 0
    return put + of_secrets + 2 * script.has_assets


def read_back(connection: Connection, changes: Iterable[Change]) -> Iterator[Key]:
    """The changes whose upload is read back to see whether this account keeps what it says: one call more for each.

    As far as it is known before: bindings of user Workers stand in their files, which a plan does not read.
    """
    kept, limited = connection.kept, False
    for change in changes:
        if change.key.kind == dispatcher.NAME and change.after is not None:
            if not kept.knows("", "binding dispatch_namespace"):
                yield change.key
        elif change.key.kind == user_worker.NAME and change.after is not None and not limited:
            script = connection.repository.script(change.key.name)
            limited = script.cpu_ms is not None or script.subrequests is not None
            if limited and not kept.knows(connection.namespace, keeping.LIMITS):
                yield change.key
