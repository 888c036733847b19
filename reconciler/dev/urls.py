"""The local addresses of every script: by host name, where the platform has a pattern for it, and by path.

`*.localhost` is this machine for every browser and for curl. The data plane shows Workers `acme.app` in the place of
`localhost`, so that http://shop.localhost:8787/ is answered as shop.acme.app is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.load.repository import Customer, Repository
from reconciler.routing.patterns import filled, uses

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one script answers on this machine."""

    script: str
    customer: str
    by_host: str  # a URL; "" where the platform has no hostname pattern
    by_path: str  # a URL; "" where the platform has no path pattern
    hostnames: tuple[str, ...]  # its own, for the Host header

    @property
    def url(self) -> str:
        """The one to show first; "" for a script that can be reached by its own hostnames alone."""
        return self.by_host or self.by_path


def suffix(pattern: str) -> str:
    """What follows the names in a hostname pattern: "acme.app" for "{script}.acme.app"; "" where nothing can stand
    for it."""
    _, brace, tail = pattern.rpartition("}")
    return tail.partition(".")[2] if brace else ""


def addresses(repository: Repository, port: int) -> Iterator[Address]:
    """Every script's, by name."""
    dispatcher = repository.platform.dispatcher
    hostname, path = (dispatcher.hostname, dispatcher.path) if dispatcher else ("", "")
    for script in repository.scripts():
        customer = repository.customers[script.customer]
        host = _filled(hostname, script.name, customer)
        place = _filled(path, script.name, customer)
        local = host.removesuffix(suffix(hostname)).removesuffix(".") if host else ""
        yield Address(
            script.name,
            script.customer,
            f"http://{local}.localhost:{port}/" if local else "",
            f"http://{LOOPBACK}:{port}{place}" if place else "",
            tuple(one.name for one in script.hostnames),
        )


def _filled(pattern: str, script: str, customer: Customer) -> str:
    """The pattern for this script; "" where it leads to another one, or to none."""
    if not pattern or (not uses(pattern, "script") and _stands_for(customer) != script):
        return ""
    return filled(pattern, script=script, customer=customer.id)


def _stands_for(customer: Customer) -> str:
    """The script that a pattern with the customer alone leads to: the one of the same name, or the only one."""
    names = [script.name for script in customer.scripts]
    if customer.id in names:
        return customer.id
    return names[0] if len(names) == 1 else ""
