"""What is live, read once: one paged listing and a constant number of calls, never one per script.

The kinds turn what was seen into resources (`live`); they make no calls for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.look import row_tags
from reconciler.look.cloudflare import Api
from reconciler.look.ledger import Entry
from reconciler.look.replies import Listing, Namespace, Row, mapping
from reconciler.model import owner_in

READERS = 8


@dataclass(frozen=True, slots=True)
class Interest:
    """What a platform's repository names of the account, beside its namespace."""

    namespace: str
    owner: str
    role: str  # the tag of every dispatcher of ours
    home: str  # the tag of those that lead into this namespace
    workers: frozenset[str] = frozenset()  # the ordinary Workers that it declares
    dispatcher: str = ""  # "" for none
    zones: frozenset[str] = frozenset()  # whose routes are looked at
    domains: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A Workers route of a zone, or a custom domain (its pattern is then the hostname)."""

    id: str
    pattern: str
    script: str
    zone: str


@dataclass(frozen=True)
class Seen:
    """The live side of one account and namespace, as the API showed it."""

    namespace: Namespace | None
    scripts: Listing
    workers: Mapping[str, Row]
    zones: Mapping[str, str] = field(default_factory=dict)  # name to id; "" for one that the account does not have
    routes: tuple[Route, ...] = ()
    domains: tuple[Route, ...] = ()
    workers_dev: bool | None = None  # of the dispatcher; None when it is not there
    # Dispatchers of ours that lead into other namespaces, and the Workers that they send fetches and traces through
    # (read only where a Worker of ours is left that this repository does not declare).
    elsewhere: Mapping[str, frozenset[str]] = field(default_factory=dict)
    read_tags: Mapping[str, Entry] = field(default_factory=dict)  # what had to be read, to be remembered
    tags_in_rows: bool = True  # whether the listing itself shows them

    @property
    def incomplete_because(self) -> str:
        """Why the listing is not proven to be whole; "" when it is.

        The namespace's own count of its scripts is a second witness. It is asked for before the listing, so a
        script that was made in between shows as one too many, which harms nothing: only too few rows do.
        """
        if self.scripts.incomplete_because:
            return self.scripts.incomplete_because
        count = self.namespace.script_count if self.namespace is not None else None
        if count is not None and len(self.scripts.rows) < count:
            return f"the listing shows {len(self.scripts.rows)} scripts and the namespace counts {count}"
        return ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A namespace with its scripts: what takes long to read, and needs no more of a repository than its name."""

    namespace: Namespace | None
    scripts: Listing


def list_namespace(api: Api, name: str, progress: Callable[[int], None] | None = None) -> Listed:
    """One call, and one for each page of the listing. Raises ApiError; a listing that cannot be read is never taken for
    an empty one."""
    found = api.namespace(name)
    return Listed(found, api.scripts(name, progress=progress) if found is not None else Listing((), 0))


def look(api: Api, interest: Interest, listed: Listed, known: Iterable[Mapping[str, Entry]] = ()) -> Seen:
    """All the rest of the live side: at most five calls with one zone. Rows without tags: see row_tags.

    `known` is what the ledger has of user Workers. Raises ApiError.
    """
    found = listed.namespace
    scripts, read_tags = row_tags.complete(api, interest.namespace, interest.owner, listed.scripts, known)
    workers = {row.name: row for row in api.workers()}
    zones = {name: api.zone(name) for name in sorted(interest.zones)}
    return Seen(
        found,
        scripts,
        workers,
        zones,
        tuple(_routes(api, zones)),
        tuple(_domains(api)) if interest.domains else (),
        api.workers_dev(interest.dispatcher) if interest.dispatcher in workers else None,
        _elsewhere(api, interest, workers.values()),
        read_tags,
        all(row.tags is not None for row in listed.scripts.rows),
    )


def with_missing(api: Api, namespace: str, seen: Seen, names: Iterable[str]) -> Seen:
    """A listing that is not whole, with those of `names` that it leaves out and that are there: one call each.

    A name that it does not show is not free: whoever holds it would be overwritten.
    """
    listed = {row.name for row in seen.scripts.rows}
    missing = [name for name in names if name not in listed]
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="look") as pool:
        found = [row for row in pool.map(lambda name: _by_name(api, namespace, name), missing) if row is not None]
    rows = tuple(sorted((*seen.scripts.rows, *found), key=lambda row: row.name))
    return replace(seen, scripts=Listing(rows, seen.scripts.pages, seen.incomplete_because))


def _by_name(api: Api, namespace: str, name: str) -> Row | None:
    row = api.script(namespace, name)
    return row._replace(tags=api.script_tags(namespace, name)) if row is not None and row.tags is None else row


def _elsewhere(api: Api, interest: Interest, workers: Collection[Row]) -> Mapping[str, frozenset[str]]:
    """Environments of one platform share an account, and may share its ordinary Workers."""
    ours = [row for row in workers if owner_in(row.tags or ()) == interest.owner]
    others = [row.name for row in ours if interest.role in (row.tags or ()) and interest.home not in (row.tags or ())]
    left = [row.name for row in ours if interest.role not in (row.tags or ()) and row.name not in interest.workers]
    return {name: frozenset(_used_by(api.settings("", name) or {})) if left else frozenset() for name in others}


def _used_by(settings: Mapping[str, Any]) -> Iterator[str]:
    for binding in settings.get("bindings") or ():
        yield str(mapping(mapping(mapping(binding).get("outbound")).get("worker")).get("service") or "")
    for consumer in settings.get("tail_consumers") or ():
        yield str(mapping(consumer).get("service") or "")


def _routes(api: Api, zones: Mapping[str, str]) -> Iterator[Route]:
    for name, identity in zones.items():
        for one in api.routes(identity) if identity else ():
            yield Route(str(one.get("id")), str(one.get("pattern")), str(one.get("script") or ""), name)


def _domains(api: Api) -> Iterator[Route]:
    for one in api.domains():
        zone = str(one.get("zone_name") or "")
        yield Route(str(one.get("id")), str(one.get("hostname")), str(one.get("service") or ""), zone)
