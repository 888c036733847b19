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
    rest = [
        one.id,
        one.name,
        one.tier,
        one.suspended,
        _place(one.where),
        [_script_row(script) for script in one.scripts],
    ]
    return Row(one.folder, _text({script.name: script.digest for script in one.scripts}), _text(rest))


def decoded(row: Row) -> Customer | None:
    """None for a row that holds anything else than a customer of that folder."""
    try:
        identity, name, tier, suspended, place, scripts = _parsed(row.rest)
        digests = _parsed(row.digests)
        file = f"{row.path}/{CUSTOMER_FILE}"
        made = tuple(_script(one, identity, file, digests) for one in scripts)
        if identity != posixpath.basename(row.path) or len(made) != len(digests):
            return None
        return Customer(identity, name, tier, suspended, row.path, Where(file, *place), made)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _all_digests(texts: Sequence[str]) -> list[Mapping[str, str]] | None:
    try:
        found = _digests_of_many.decode(f"[{','.join(texts)}]")
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return found if len(found) == len(texts) else None


_digests_of_many = msgspec.json.Decoder(list[Mapping[str, str]])


def _text(value: Any) -> str:
    """Half characters make a text that no file keeps, and no customer is lost for them."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _parsed(text: str) -> Any:
    """A text that `_text` made. Raises ValueError for what is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ValueError(text) from error


def _place(where: Where) -> list[Any]:
    return [where.line, where.column, where.width]


def _script_row(one: Script) -> list[Any]:
    return [
        one.name,
        one.tier,
        _place(one.where),
        one.tags,
        one.cpu_ms,
        one.subrequests,
        one.outbound_worker,
        [[hostname.name, _place(hostname.where) if hostname.where else None] for hostname in one.hostnames],
        one.protect,
        one.previously,
        [[name, secret.variable, secret.version] for name, secret in one.secrets],
        one.has_assets,
        one.without_stand_in,
    ]


def _script(row: Sequence[Any], customer: str, file: str, digests: Mapping[str, str]) -> Script:
    (
        name, tier, place, tags, cpu_ms, subrequests, outbound, hostnames, protect, previously, secrets, assets,
        without_stand_in,
    ) = row  # fmt: skip
    return Script(
        name,
        customer,
        intern(tier),  # these say the same in a hundred thousand rows: half a kilobyte a customer
        Where(file, *place),
        digests[name],
        tuple(map(intern, tags)),
        cpu_ms,
        subrequests,
        intern(outbound),
        tuple(Hostname(host, Where(file, *at) if at else None) for host, at in hostnames),
        protect,
        tuple(previously),
        tuple((secret, SecretReference(variable, version)) for secret, variable, version in secrets),
        assets,
        tuple(without_stand_in),
    )
