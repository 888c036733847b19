"""The repository as values: what platform.yaml and customers/ say, resolved and typed.

Nothing here reads a file. A Script is a row, small enough for a million of them; the whole Worker behind it is read
again when it is shown or sent (config.read_worker).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from msgspec import Struct

from reconciler.errors import Problem, Where
from reconciler.load.source import Source
from reconciler.model import Module, SecretReference
from reconciler.routing import Hostname, RoutedScript

T = TypeVar("T")

DEFAULT_OUTBOUND = "default"  # the outbound Worker that ships with the reconciler, configured by `egress`


@dataclass(frozen=True, slots=True)
class Approval:
    """Permission to delete some scripts, past caps and protection."""

    names: tuple[str, ...]
    reason: str
    expires: datetime.date  # the last day that it holds
    where: Where


@dataclass(frozen=True, slots=True)
class ExpectedDrift:
    """Scripts whose drift is known, until a day."""

    names: tuple[str, ...]
    reason: str
    expires: datetime.date
    where: Where


@dataclass(frozen=True, slots=True)
class Safety:
    max_deletes_count: int = 25
    max_deletes_percent: int = 20  # of our live scripts; at least one may go
    max_deletes_per_customer_percent: int = 100
    approvals: tuple[Approval, ...] = ()
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class Route:
    pattern: str
    zone: str
    where: Where


@dataclass(frozen=True, slots=True)
class Ordinary:
    """A Worker that the platform itself runs. Settings and bindings are in wire form; contents are read on demand."""

    name: str
    where: Where
    main: str = ""  # relative to the repository
    modules: tuple[str, ...] = ()  # paths and patterns
    settings: Mapping[str, Any] = field(default_factory=dict)
    bindings: tuple[Mapping[str, Any], ...] = ()
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutboundWorker(Ordinary):
    """A Worker that the fetches of user Workers pass through."""

    parameters: tuple[str, ...] = ()  # what the dispatcher tells it, request by request


@dataclass(frozen=True, slots=True)
class Dispatcher(Ordinary):
    """The Worker that leads requests to scripts. `main` is "" for the shim that ships with the reconciler."""

    hostname: str = ""  # pattern; "" for none
    path: str = ""
    routes: tuple[Route, ...] = ()
    custom_domains: tuple[Hostname, ...] = ()
    workers_dev: bool = False
    table: Literal["bundle", "kv"] = "bundle"
    pages: Mapping[str, str] = field(default_factory=dict)  # a name of routing.PAGES -> HTML
    hostname_where: Where | None = None
    path_where: Where | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """platform.yaml, with the chosen environment over it."""

    name: str  # the owner's id
    namespace: str
    where: Where
    account_id: str = ""  # "" when neither platform.yaml nor the environment says it
    trusted: bool = False
    environment: str = ""
    prune: bool = False
    safety: Safety = field(default_factory=Safety)
    dispatcher: Dispatcher | None = None
    outbound_workers: Mapping[str, OutboundWorker] = field(default_factory=dict)
    tail_workers: Mapping[str, Ordinary] = field(default_factory=dict)
    egress: Mapping[str, Any] | None = None  # the section as it is written
    egress_settings: Mapping[str, Any] = field(default_factory=dict)  # of its Worker, in wire form
    egress_where: Where | None = None
    tiers: tuple[str, ...] = ()
    expected_drift: tuple[ExpectedDrift, ...] = ()
    self_service: tuple[str, ...] = ()


class Script(Struct, frozen=True, gc=False):
    """A row for one user Worker. A struct is made in a sixth of the time that a dataclass takes, as are those below."""

    name: str
    customer: str
    tier: str
    where: Where
    digest: str  # of its whole Worker
    tags: tuple[str, ...] = ()  # without the owner's and the digest's
    cpu_ms: int | None = None
    subrequests: int | None = None
    outbound_worker: str = ""  # "" for none
    hostnames: tuple[Hostname, ...] = ()
    protect: bool = False
    previously: tuple[str, ...] = ()
    secrets: tuple[tuple[str, SecretReference], ...] = ()
    has_assets: bool = False
    without_stand_in: tuple[str, ...] = ()  # its bindings that the embedded platform does not have


class Customer(Struct, frozen=True, gc=False):
    id: str
    name: str
    tier: str
    suspended: bool
    folder: str  # relative to the repository, with "/"
    where: Where
    scripts: tuple[Script, ...] = ()  # by name


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of values, and where it stands."""

    label: str  # "defaults", "tier basic", "customer globex", "script globex-shop"
    data: Mapping[str, Any]
    source: Source
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """All of the platform that a customer's scripts depend on."""

    defaults: tuple[Layer, ...]
    tiers: Mapping[str, tuple[Layer, ...]]
    modules: tuple[Module, ...]  # injected into every upload
    outbound_workers: frozenset[str]
    today: datetime.date


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of all scripts together, for those who would otherwise look at every one of them."""

    digests: Mapping[str, str]  # by name
    script: Callable[[str], Script]  # raises KeyError
    tags: frozenset[str]  # that users chose, on top of customer and tier
    renaming: frozenset[str]  # the scripts that name a former name


def facts_of(customers: Mapping[str, Customer]) -> Facts:
    rows = {script.name: script for customer in customers.values() for script in customer.scripts}
    return Facts(
        {name: script.digest for name, script in rows.items()},
        rows.__getitem__,
        frozenset(tag for one in rows.values() for tag in one.tags if tag not in (one.customer, one.tier)),
        frozenset(name for name, one in rows.items() if one.previously),
    )


class Memo(Protocol):
    """What followed from these customers before, by a name for all else that it follows from."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...


class NoMemo:
    """Remembers nothing."""

    def get(self, name: str) -> str | None:
        del name
        return None

    def put(self, name: str, value: str) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Repository:
    """Everything that was loaded, without a problem."""

    root: Path
    platform: Platform
    customers: Mapping[str, Customer]
    warnings: tuple[Problem, ...] = ()
    scope: frozenset[str] = frozenset()  # the customers that a run looks at; empty for all
    elsewhere: tuple[RoutedScript, ...] | None = None  # under a scope: how the others are routed by now
    terms: Terms | None = field(default=None, repr=False)
    known: Facts | None = field(default=None, repr=False, compare=False)  # without looking at every customer
    settled: Set[str] = frozenset()  # scripts of which nothing is to be said: they are live as they are wanted
    memo: Memo = field(default_factory=NoMemo, repr=False, compare=False)

    def scripts(self) -> Iterator[Script]:
        """Every script, by name, but those that are settled."""
        for name in sorted(self.facts.digests.keys() - self.settled):
            yield self.facts.script(name)

    def script(self, name: str) -> Script:
        """Raises KeyError for a name that the repository does not have."""
        return self.facts.script(name)

    def once(self, name: str, make: Callable[[Repository], T]) -> T:
        """What `make` makes of this repository, made at the first call: a value stays what it is."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast(T, self._made[name])

    def but_for(self, settled: Set[str]) -> Repository:
        """The same where these scripts need no look. What is made of it once is made of the customers, and stays."""
        narrowed = replace(self, settled=settled)
        vars(narrowed)["_made"] = self._made
        return narrowed

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}

    @cached_property
    def facts(self) -> Facts:
        return self.known or facts_of(self.customers)
