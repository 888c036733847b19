"""What is live, read once: one paged listing and a constant number of calls, never one per script.

The kinds turn what was seen into resources (`live`); they make no calls for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.cloudflare import Api
from reconciler.replies import Listing, Namespace, Row


@dataclass(frozen=True, slots=True)
class Interest:
    """What a platform's repository names of the account, beside its namespace."""

    namespace: str
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


def look(api: Api, interest: Interest, *, progress: Callable[[int], None] | None = None) -> Seen:
    """Read the live side: pages(listing) calls, and at most six with one zone.

    Raises ApiError; a listing that cannot be read is never taken for an empty one.
    """
    found = api.namespace(interest.namespace)
    scripts = api.scripts(interest.namespace, progress=progress) if found is not None else Listing((), 0)
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
    )


def _routes(api: Api, zones: Mapping[str, str]) -> Iterator[Route]:
    for name, identity in zones.items():
        for one in api.routes(identity) if identity else ():
            yield Route(str(one.get("id")), str(one.get("pattern")), str(one.get("script") or ""), name)


def _domains(api: Api) -> Iterator[Route]:
    for one in api.domains():
        zone = str(one.get("zone_name") or "")
        yield Route(str(one.get("id")), str(one.get("hostname")), str(one.get("service") or ""), zone)
