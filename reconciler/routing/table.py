"""The routing table as bytes: compiled from the repository, read by the dispatcher, read back to be compared.

A *part* holds routes: `hosts` and `customers` lead to a script's name, `scripts` to its customer and to its place in
`terms` (tier, suspension, limits, outbound Worker, which many scripts share). The bundle form is the head and one
part in one module. The KV form spreads the routes over 2^n parts by a stable hash; each is stored under its own
digest, so that a key never changes its value and may be cached for ever, and the module lists the digests. A change
of one hostname rewrites the part it falls into, and the upload of the module switches all at once.

Law: `resolve` answers as workers/dispatcher.mjs does (tests/e2e/test_dispatcher.py).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from reconciler.errors import Problem, Where
from reconciler.model import DIGEST_LENGTH
from reconciler.routing.patterns import filled, host_expression, path_expression, uses
from reconciler.routing.routes import (
    DispatcherSettings,
    OutboundBinding,
    RoutedScript,
    binding_name,
    customer_scripts,
    normal_hostname,
)

MODULE_NAME = "routing_table.mjs"
KV_BINDING = "ROUTES"
KEY_PREFIX = "routes/"  # of parts in Workers KV
BUNDLE_LIMIT = 2 * 1024 * 1024  # a module is parsed at every cold start, in at most a second of startup time

_FORMAT = 1
_ROUTES_PER_PART = 256  # about 12 KB: one KV read, parsed in well under a millisecond
_MOST_PARTS = 32_768  # 35 bytes each in the module; past 8 million routes the parts grow instead
_PROLOGUE, _EPILOGUE = "export default ", ";\n"
# In an object literal this one key would set the prototype; in brackets it is a key like any other.
_PROTO, _COMPUTED_PROTO = '"__proto__":', '["__proto__"]:'

_SECTIONS = ("customers", "hosts", "scripts", "terms")

Part = Mapping[str, Any]
_encode = json.encoder.encode_basestring_ascii


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where a route leads, and on which terms."""

    script: str
    customer: str
    tier: str
    suspended: bool = False
    cpu_ms: int | None = None
    subrequests: int | None = None
    outbound: str = ""


class Parts(Protocol):
    """The parts of a table, in memory or read on demand."""

    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> bytes: ...
    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class Table:
    """A compiled routing table. Two tables with the same digest are the same."""

    head: Mapping[str, Any]
    parts: Parts = field(repr=False)  # JSON; one for a bundle, 2^n in KV
    part_digests: tuple[str, ...] = field(default=(), repr=False)  # () for a bundle

    @property
    def in_kv(self) -> bool:
        return bool(self.part_digests)

    def module(self) -> bytes:
        """The ES module that is uploaded beside the dispatcher, one route or digest a line."""
        routes = {"shards": list(self.part_digests)} if self.in_kv else json.loads(self.parts[0])
        text = _lines({**self.head, **routes}).replace(_PROTO, _COMPUTED_PROTO)
        return f"{_PROLOGUE}{text}{_EPILOGUE}".encode()

    @property
    def digest(self) -> str:
        return _digest(self.module())

    def part(self, section: str, name: str) -> Part:
        """The part that holds what is known of a name."""
        return read_part(self.parts[part_number(section, name, len(self.parts))])


def compile_table(
    settings: DispatcherSettings, scripts: Collection[RoutedScript], outbounds: Iterable[OutboundBinding]
) -> Table:
    """The table of a repository without problems. Same inputs in any order, same bytes."""
    bindings = sorted(outbounds, key=lambda one: one.name)
    head = {
        "format": _FORMAT,
        "platform": settings.platform,
        "hostname": settings.hostname or None,
        "path": settings.path or None,
        "bindings": {"": binding_name("")} | {one.name: one.binding for one in bindings},
        "parameters": {one.name: list(one.parameters) for one in bindings},
        "pages": dict(sorted(settings.pages.items())),
    }
    if settings.table == "bundle":
        return Table(head, (_part(*_routes(settings, scripts, 1)),))
    count = sum(len(script.hostnames) + settings.by_script for script in scripts)
    buckets = _routes(settings, scripts, part_count(count))
    parts = []
    for position, bucket in enumerate(buckets):
        parts.append(_part(bucket))
        buckets[position] = _Bucket()  # given back at once: a million routes are to fit into a gigabyte
    return Table(head, parts, tuple(_digest(one) for one in parts))


def parse_module(content: bytes, read: Callable[[str], bytes]) -> Table:
    """The table that a live module holds; parts in KV are read by their key when they are asked for.

    Raises ValueError for a module that was not compiled here.
    """
    text = content.decode()
    if not text.startswith(_PROLOGUE) or not text.endswith(_EPILOGUE):
        raise ValueError(f"this module is not a routing table: it does not begin with {_PROLOGUE!r}")
    value = json.loads(text[len(_PROLOGUE) : -len(_EPILOGUE)].replace(_COMPUTED_PROTO, _PROTO))
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise ValueError(f"this routing table is not of format {_FORMAT}")
    if "shards" in value:
        digests = tuple(value.pop("shards"))
        return Table(value, _Stored(digests, read), digests)
    routes = {section: value.pop(section, None) for section in _SECTIONS}
    if not _sound(routes):
        raise ValueError("this routing table has routes that lead nowhere")
    return Table(value, (_compact(routes),))


def kv_pairs(table: Table, present: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """What has to be in Workers KV before this table is switched to, less the keys that are present already."""
    for digest, content in zip(table.part_digests, table.parts, strict=False):
        if part_key(digest) not in present:
            yield part_key(digest), content.decode()


def stale_keys(present: Iterable[str], *tables: Table) -> Iterator[str]:
    """Keys of routing tables that none of these tables reads. Name the table that was live until now as well:
    some isolates go on with it for a while after the switch."""
    used = {part_key(digest) for table in tables for digest in table.part_digests}
    return (key for key in present if key.startswith(KEY_PREFIX) and key not in used)


def size_problem(table: Table, where: Where | None) -> Problem | None:
    """The refusal of a module that is too large to go with the dispatcher."""
    size = len(table.module())
    if size <= BUNDLE_LIMIT:
        return None
    return Problem(
        f"the routing table has {size:,} bytes; {BUNDLE_LIMIT:,} is the most that goes with the dispatcher",
        where,
        why="the dispatcher reads it whole at every cold start",
        fix="shorten the pages of the dispatcher" if table.in_kv else "set `table: kv` under `dispatcher`",
        code="routing-table-size",
    )


def resolve(table: Table, host: str, path: str) -> Target | None:
    """Where a request leads: by exact hostname, then by hostname pattern, then by path."""
    host = normal_hostname(host)
    exact = table.part("h", host)
    if host in exact["hosts"]:
        return _target(exact, exact["hosts"][host])
    by_host = host_expression(table.head["hostname"]).match(host) if table.head["hostname"] else None
    if by_host:
        return _named(table, by_host.groupdict())
    by_path = path_expression(table.head["path"]).match(path) if table.head["path"] else None
    return _named(table, by_path.groupdict()) if by_path else None


def routes(table: Table, number: int) -> Iterator[tuple[str, Target]]:
    """Each address that a part answers for, in the order of the part: exact hostnames, then patterns filled in."""
    part = read_part(table.parts[number])
    for host, script in part["hosts"].items():
        yield host, _target(part, script)
    for pattern in filter(None, (table.head["hostname"], table.head["path"])):
        for script, customer in _answered(part, pattern, number, len(table.parts)):
            yield filled(pattern, script=script, customer=customer), _target(part, script)


@lru_cache(maxsize=256)
def read_part(content: bytes) -> Part:
    value: Part = json.loads(content)
    return value


def part_key(digest: str) -> str:
    return f"{KEY_PREFIX}{digest}"


def part_digest(content: bytes) -> str:
    return _digest(content)


def part_count(routes: int) -> int:
    """A power of two, so that between 128 and 256 routes fall into a part on average."""
    return min(_MOST_PARTS, 1 << max(0, -(-routes // _ROUTES_PER_PART) - 1).bit_length())


def part_number(section: str, name: str, count: int) -> int:
    """The part of "h" a hostname, "s" a script, "c" a customer. The dispatcher computes the same CRC-32."""
    return zlib.crc32(f"{section}:{name}".encode()) & (count - 1)


class _Stored:
    """Parts that are read from KV one by one, when they are needed."""

    def __init__(self, digests: tuple[str, ...], read: Callable[[str], bytes]) -> None:
        self._digests = digests
        self._read = read

    def __len__(self) -> int:
        return len(self._digests)

    def __getitem__(self, position: int, /) -> bytes:
        content = self._read(part_key(self._digests[position]))
        if _digest(content) != self._digests[position]:
            raise ValueError(f"the KV value of {part_key(self._digests[position])} is not what its key stands for")
        return content

    def __iter__(self) -> Iterator[bytes]:
        return (self[position] for position in range(len(self)))


@dataclass(slots=True)
class _Bucket:
    """What falls into one part: hostnames, and scripts by their own name and by their customer's."""

    hosts: list[tuple[str, RoutedScript]] = field(default_factory=list)
    scripts: list[RoutedScript] = field(default_factory=list)
    customers: list[RoutedScript] = field(default_factory=list)


def _routes(settings: DispatcherSettings, scripts: Collection[RoutedScript], count: int) -> list[_Bucket]:
    buckets = [_Bucket() for _ in range(count)]
    by_script = settings.by_script or settings.table == "bundle"
    for script in scripts:
        for hostname in script.hostnames:
            host = normal_hostname(hostname.name)
            buckets[part_number("h", host, count)].hosts.append((host, script))
        if by_script:
            buckets[part_number("s", script.name, count)].scripts.append(script)
    if settings.by_customer:
        standing = customer_scripts(scripts)
        for script in scripts:
            if standing[script.customer] == script.name:
                buckets[part_number("c", script.customer, count)].customers.append(script)
    return buckets


def _part(bucket: _Bucket) -> bytes:
    """The scripts of a part are those that its own routes lead to, so that one read is enough for a request."""
    reached = {script.name: script for script in bucket.scripts}
    reached |= {script.name: script for script in bucket.customers}
    reached |= {script.name: script for _, script in bucket.hosts}
    terms_of = {name: _terms(script) for name, script in reached.items()}
    places = {terms: place for place, terms in enumerate(sorted(set(terms_of.values())))}
    return _compact(
        {
            "customers": {script.customer: script.name for script in bucket.customers},
            "hosts": {host: script.name for host, script in bucket.hosts},
            "scripts": {name: [script.customer, places[terms_of[name]]] for name, script in reached.items()},
            "terms": [json.loads(terms) for terms in places],
        }
    )


def _terms(script: RoutedScript) -> str:
    limits = {"cpuMs": script.cpu_ms, "subRequests": script.subrequests}
    return _terms_text(
        script.tier, script.suspended, script.outbound, tuple((k, v) for k, v in limits.items() if v is not None)
    )


@lru_cache(maxsize=4096)
def _terms_text(tier: str, suspended: bool, outbound: str, limits: tuple[tuple[str, int], ...]) -> str:
    terms: dict[str, Any] = {"tier": tier}
    terms |= {"suspended": True} if suspended else {}
    terms |= {"outbound": outbound} if outbound else {}
    terms |= {"limits": dict(limits)} if limits else {}
    return _compact(terms).decode()


def _named(table: Table, names: Mapping[str, str]) -> Target | None:
    """Where a pattern leads. With both names in it, the script must be that customer's."""
    customer = names.get("customer")
    script = names.get("script")
    if script is None:
        part = table.part("c", customer or "")
        return _target(part, part["customers"][customer]) if customer in part["customers"] else None
    part = table.part("s", script)
    if script not in part["scripts"] or customer not in (None, part["scripts"][script][0]):
        return None
    return _target(part, script)


def _answered(part: Part, pattern: str, number: int, count: int) -> Iterator[tuple[str, str]]:
    """Script and customer of each address that a pattern has in a part, without the guests of other parts."""
    if not uses(pattern, "script"):
        yield from ((script, customer) for customer, script in part["customers"].items())
        return
    for script, (customer, _) in part["scripts"].items():
        if part_number("s", script, count) == number:
            yield script, customer


def _target(part: Part, script: str) -> Target:
    customer, place = part["scripts"][script]
    terms = part["terms"][place]
    limits = terms.get("limits", {})
    return Target(
        script,
        customer,
        terms["tier"],
        suspended=terms.get("suspended", False),
        cpu_ms=limits.get("cpuMs"),
        subrequests=limits.get("subRequests"),
        outbound=terms.get("outbound", ""),
    )


def _compact(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sound(part: Part) -> bool:
    """What someone else wrote into a live module is not trusted to hang together."""
    customers, hosts, scripts, terms = (part[section] for section in _SECTIONS)
    try:
        for script in (*customers.values(), *hosts.values()):
            scripts[script]
        return all(isinstance(customer, str) and "tier" in terms[place] for customer, place in scripts.values())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


def _lines(value: Mapping[str, Any]) -> str:
    """JSON with one entry of each section a line: small, and readable in a diff."""
    return "{\n" + ",\n".join(f"{_encode(name)}:{_section(value[name])}" for name in sorted(value)) + "\n}"


def _section(value: Any) -> str:
    if not value or not isinstance(value, dict | list):
        return _compact(value).decode()
    if isinstance(value, list):
        return "[\n" + ",\n".join(_compact(one).decode() for one in value) + "\n]"
    return "{\n" + ",\n".join(f"{_encode(k)}:{_compact(value[k]).decode()}" for k in sorted(value)) + "\n}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
