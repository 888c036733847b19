"""Compiled customers, a hundred thousand of them in memory: as text until someone asks for one.

A plan in which little happens needs the name and digest of each script and nothing else of most customers, so that is
what is read at once (`digests`); a customer is decoded when it is asked for. `fingerprint` names all that is said of
the customers but the digests: what follows from it alone stays true while only code changes.

Law: a customer that is decoded is the one that was encoded (tests/property/test_compiling.py). A row that cannot be
decoded is never taken for anything: its folder is compiled instead.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from sys import intern
from typing import Any, NamedTuple

import msgspec

from reconciler.errors import Where
from reconciler.load import repository
from reconciler.load.files import CUSTOMER_FILE
from reconciler.load.repository import Customer, Facts, Memo, Script
from reconciler.model import SecretReference
from reconciler.routing import Hostname

_Place = tuple[int, int, int]  # line, column, width

_PARSED_AT_ONCE = 1_000  # customers: all of 100,000 at once would take 40 MB


class Row(NamedTuple):
    """One customer as text."""

    path: str  # of its folder
    digests: str  # {"script": "digest"}
    rest: str  # everything else


class Customers(Mapping[str, Customer]):
    """Customers by id, sorted. `compiled` makes one from its folder again."""

    def __init__(self, rows: Iterable[Row], compiled: Callable[[str], Customer]) -> None:
        self._rows = {row.path.rpartition("/")[2]: row for row in rows}
        self._rows = {identity: self._rows[identity] for identity in sorted(self._rows)}
        self._compiled = compiled
        self._made: dict[str, Customer] = {}

    def __getitem__(self, identity: str) -> Customer:
        if identity not in self._made:
            row = self._rows[identity]
            self._made[identity] = decoded(row) or self._compiled(row.path)
        return self._made[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, identity: object) -> bool:
        return identity in self._rows

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """The digest of every script, by name."""
        found: dict[str, str] = {}
        for one in self._digests():
            found |= one
        return found

    def _digests(self) -> Iterator[Mapping[str, str]]:
        """One call of the parser for many takes a third of the time; by row only where a row is not what we wrote."""
        identities = iter(self._rows)
        while some := list(itertools.islice(identities, _PARSED_AT_ONCE)):
            found = _all_digests([self._rows[identity].digests for identity in some])
            if found is None:
                found = [{script.name: script.digest for script in self[identity].scripts} for identity in some]
            yield from found

    @cached_property
    def fingerprint(self) -> str:
        """Names all that is said of the customers, less the digests of their scripts."""
        seen = hashlib.sha256()
        for row in self._rows.values():
            seen.update(f"{row.path}\0{row.rest}\0".encode("utf-8", "surrogatepass"))
        return seen.hexdigest()

    def script(self, name: str) -> Script:
        """Raises KeyError for a name that no customer has."""
        return next(one for one in self[self._whose[name]].scripts if one.name == name)

    @cached_property
    def _whose(self) -> Mapping[str, str]:
        return {name: identity for identity, each in zip(self._rows, self._digests(), strict=True) for name in each}


def facts_of(customers: Customers, memo: Memo) -> Facts:
    """The same as repository.facts_of, looking at no customer where it was worked out before."""
    tags, renaming = _remembered(memo)
    if tags is None:
        worked_out = repository.facts_of(customers)
        tags, renaming = sorted(worked_out.tags), sorted(worked_out.renaming)
        memo.put("facts", _text([tags, renaming]))
    return Facts(customers.digests, customers.script, frozenset(tags), frozenset(renaming))


def _remembered(memo: Memo) -> tuple[list[str] | None, list[str]]:
    try:
        tags, renaming = json.loads(memo.get("facts") or "")
    except (ValueError, TypeError, RecursionError):
        return None, []
    if not all(type(one) is list and all(type(each) is str for each in one) for one in (tags, renaming)):
        return None, []
    return tags, renaming


def encoded(one: Customer) -> Row:
    scripts = tuple(map(_script_row, one.scripts))
    rest = _Rest(one.id, one.name, one.tier, one.suspended, _place(one.where), scripts)
    return Row(one.folder, _text({script.name: script.digest for script in one.scripts}), _text(rest))


def decoded(row: Row) -> Customer | None:
    """None for a row that holds anything else than a customer of that folder."""
    try:
        rest, digests = _rests.decode(row.rest), _digests_of_one.decode(row.digests)
        file = f"{row.path}/{CUSTOMER_FILE}"
        made = tuple(_script(one, rest.id, file, digests[one.name]) for one in rest.scripts)
    except (msgspec.MsgspecError, UnicodeEncodeError, KeyError, RecursionError):
        return None
    if rest.id != posixpath.basename(row.path) or len(made) != len(digests):
        return None
    return Customer(rest.id, rest.name, rest.tier, rest.suspended, row.path, Where(file, *rest.place), made)


def _all_digests(texts: Sequence[str]) -> list[Mapping[str, str]] | None:
    try:
        found = _digests_of_many.decode(f"[{','.join(texts)}]")
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return found if len(found) == len(texts) else None


def _text(value: Any) -> str:
    """Half characters make a text that no file keeps, and no customer is lost for them."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), ensure_ascii=False)


def _place(where: Where) -> _Place:
    return (where.line, where.column, where.width)


class _ScriptRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A script as it stands in a row: less what the row says of the customer, and what `digests` says."""

    name: str
    tier: str
    place: _Place
    tags: tuple[str, ...]
    cpu_ms: int | None
    subrequests: int | None
    outbound_worker: str
    hostnames: tuple[tuple[str, _Place | None], ...]
    protect: bool
    previously: tuple[str, ...]
    secrets: tuple[tuple[str, str, int], ...]  # name, variable, version
    has_assets: bool
    without_stand_in: tuple[str, ...]


class _Rest(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    id: str
    name: str
    tier: str
    suspended: bool
    place: _Place
    scripts: tuple[_ScriptRow, ...]


_rests = msgspec.json.Decoder(_Rest)
_digests_of_one = msgspec.json.Decoder(dict[str, str])
_digests_of_many = msgspec.json.Decoder(list[Mapping[str, str]])


def _script_row(one: Script) -> _ScriptRow:
    return _ScriptRow(
        one.name,
        one.tier,
        _place(one.where),
        one.tags,
        one.cpu_ms,
        one.subrequests,
        one.outbound_worker,
        tuple((host.name, _place(host.where) if host.where else None) for host in one.hostnames),
        one.protect,
        one.previously,
        tuple((name, secret.variable, secret.version) for name, secret in one.secrets),
        one.has_assets,
        one.without_stand_in,
    )


def _script(row: _ScriptRow, customer: str, file: str, digest: str) -> Script:
    return Script(
        row.name,
        customer,
        intern(row.tier),  # these say the same in a hundred thousand rows: half a kilobyte a customer
        Where(file, *row.place),
        digest,
        tuple(map(intern, row.tags)),
        row.cpu_ms,
        row.subrequests,
        intern(row.outbound_worker),
        tuple(Hostname(host, Where(file, *at) if at else None) for host, at in row.hostnames),
        row.protect,
        row.previously,
        tuple((secret, SecretReference(variable, version)) for secret, variable, version in row.secrets),
        row.has_assets,
        row.without_stand_in,
    )
