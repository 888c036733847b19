"""The kinds of resources: how each is wanted, how it is seen, how it is written.

A kind is a module with the functions of `Kind`; planner, renderers, apply and drift know only resources.
To add a kind: write one file here and name it in KINDS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from reconciler.kinds import (
    custom_domain,
    dispatcher,
    namespace,
    outbound_worker,
    route,
    tail_worker,
    user_worker,
    workers_dev,
)
from reconciler.kinds.connection import Connection
from reconciler.look import Interest, Seen
from reconciler.model import Key, Resource, State, Worker
from reconciler.plan import Action, Change
from reconciler.repository import Repository


class Kind(Protocol):
    """What a module in this folder has."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The first half of its resources' keys."""

    def desired(self, repository: Repository) -> Iterator[Resource]:
        """What the repository wants, as small rows."""

    def live(self, seen: Seen, connection: Connection) -> Iterator[Resource]:
        """What was seen, as small rows. Makes no calls."""

    def put(self, connection: Connection, change: Change, after: Resource) -> None:
        """Create or update; `after` is the change's. Raises ReconcilerError when it did not take in full."""

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

_BY_NAME = {kind.NAME: kind for kind in KINDS}


def kind_of(key: Key) -> Kind:
    return _BY_NAME[key.kind]


def is_worker(key: Key) -> bool:
    """Whether there is code and settings behind it to read back."""
    return key.kind in (user_worker.NAME, tail_worker.NAME, outbound_worker.NAME, dispatcher.NAME)


def desired(repository: Repository) -> State:
    """Everything that the repository wants."""
    return State.of(resource for kind in KINDS for resource in kind.desired(repository))


def interest(repository: Repository) -> Interest:
    """What has to be looked at for this repository."""
    platform = repository.platform
    settings = platform.dispatcher
    if settings is None:
        return Interest(platform.namespace)
    zones = frozenset(one.zone for one in settings.routes)
    return Interest(platform.namespace, settings.name, zones, domains=True)


def live(seen: Seen, connection: Connection) -> State:
    """Everything that was seen, with what our ledger remembers and nobody sees any more."""
    resources = [resource for kind in KINDS for resource in kind.live(seen, connection)]
    there = {resource.key for resource in resources}
    vanished = [
        Key(kind.NAME, name)
        for kind in KINDS
        for name in connection.remembered(kind.NAME)
        if Key(kind.NAME, name) not in there
    ]
    return State.of(resources, incomplete_because=seen.incomplete_because, vanished=vanished)


def requests(repository: Repository, change: Change) -> int:
    """How many calls a change takes: one, and one more where secrets go with an upload."""
    if change.action is Action.DELETE or change.key.kind != user_worker.NAME:
        return 1
    return 2 if repository.script(change.key.name).secrets else 1
