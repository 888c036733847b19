"""What the routing table is compiled from: scripts with their terms and hostnames, and the dispatcher's settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from reconciler.errors import Where
from reconciler.routing.patterns import uses

# What a dispatcher can tell an outbound Worker about a request; a binding declares which of them it takes.
PARAMETERS = ("customer", "tier", "script", "url", "hostname", "trace")

# The answers that the dispatcher gives by itself. Each can be overridden by a page of the platform.
PAGES: Mapping[str, int] = {
    "unknown": 404,  # no route for this host and path
    "missing": 404,  # the route's script is not in the namespace
    "suspended": 403,
    "cpu": 429,
    "subrequests": 503,
    "failed": 502,  # the user Worker threw
    "unavailable": 503,  # the routing table cannot be read
}


class Hostname(Struct, frozen=True, gc=False):
    """An exact hostname of a script, and the line that declares it."""

    name: str
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class RoutedScript:
    """One user Worker as the dispatcher needs to know it."""

    name: str
    customer: str
    tier: str
    suspended: bool = False
    cpu_ms: int | None = None
    subrequests: int | None = None
    outbound: str = ""  # the outbound Worker's name; "" for none
    hostnames: tuple[Hostname, ...] = ()
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class OutboundBinding:
    """The dispatcher's binding to the namespace by way of one outbound Worker."""

    name: str
    binding: str
    parameters: tuple[str, ...] = ()  # a selection of PARAMETERS
    where: Where | None = None


@dataclass(frozen=True)
class DispatcherSettings:
    """The `dispatcher` section of platform.yaml, as far as routes go."""

    platform: str
    hostname: str = ""  # "{script}.acme.app"; "" for no hostname pattern
    path: str = ""  # "/dispatch/{script}"; "" for no path route
    table: Literal["bundle", "kv"] = "bundle"
    pages: Mapping[str, str] = field(default_factory=dict)  # a name of PAGES -> HTML
    hostname_where: Where | None = None
    path_where: Where | None = None

    @property
    def by_script(self) -> bool:
        """Some pattern leads to a script by its name."""
        return uses(self.hostname, "script") or uses(self.path, "script")

    @property
    def by_customer(self) -> bool:
        """Some pattern names a customer only, and leads to that customer's one script."""
        return any(uses(one, "customer") and not uses(one, "script") for one in (self.hostname, self.path))


def outbound_bindings(parameters: Mapping[str, Iterable[str]]) -> tuple[OutboundBinding, ...]:
    """A binding for each outbound Worker, by name: egress-guard is bound as DISPATCH_EGRESS_GUARD."""
    return tuple(OutboundBinding(name, binding_name(name), tuple(parameters[name])) for name in sorted(parameters))


def binding_name(outbound: str) -> str:
    """The name that the dispatcher's code finds the namespace under; "" means without an outbound Worker."""
    return f"DISPATCH_{outbound.upper().replace('-', '_')}" if outbound else "DISPATCH"


def customer_scripts(scripts: Collection[RoutedScript]) -> dict[str, str | None]:
    """The script that stands for each customer: the one named like the customer, or the only one; else None."""
    found: dict[str, str | None] = {}
    for script in scripts:
        found[script.customer] = script.name if script.customer not in found else None
    found.update({script.customer: script.name for script in scripts if script.name == script.customer})
    return found


def normal_hostname(name: str) -> str:
    """A hostname as the dispatcher sees it: small letters, no dot at the end."""
    normal = name.lower().removesuffix(".")
    return name if normal == name else normal  # a million copies of what is normal already would be 75 MB
