"""A customer's row in the cache: what is not exactly a customer is none, since anyone may have written the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.errors import Where
from reconciler.load.compiled import Row, decoded, encoded
from reconciler.load.repository import Customer, Script
from reconciler.model import SecretReference
from reconciler.routing import Hostname

FILE = "customers/globex/customer.yaml"
SHOP = Script(
    "shop", "globex", "basic", Where(FILE, 4, 3, 4), "a" * 32, ("basic", "globex"), 50, None, "guard",
    (Hostname("shop.example", Where(FILE, 5, 10, 12)),), True, ("store",), (("KEY", SecretReference("GLOBEX_KEY", 2)),),
    True, ("BROWSER",),
)  # fmt: skip
GLOBEX = Customer("globex", "Globex", "basic", False, "customers/globex", Where(FILE, width=0), (SHOP,))
ROW = encoded(GLOBEX)


def _altered(value: Any) -> Iterator[Any]:
    """The value with something else, with more or with less at each place in it."""
    yield 1.5
    yield {"a": 1}
    if not isinstance(value, list):
        return
    yield [*value, "more"]
    yield from (value[:at] + value[at + 1 :] for at in range(len(value)))
    for at, one in enumerate(value):
        yield from ([*value[:at], other, *value[at + 1 :]] for other in _altered(one))


def _is_as_good(rest: Any) -> bool:
    """Lists of text may be longer and shorter, and there may be no hostname, secret or script."""
    return decoded(ROW._replace(rest=json.dumps(rest))) in (None, *_variants())


def _variants() -> Iterator[Customer]:
    for tags in (("basic",), ("globex",), ("basic", "globex", "more")):
        yield _with(tags=tags)
    for names in ((), ("store", "more")):
        yield _with(previously=names)
    for names in ((), ("BROWSER", "more")):
        yield _with(without_stand_in=names)
    yield _with(hostnames=())
    yield _with(secrets=())


def _with(**fields: Any) -> Customer:
    values = {name: getattr(SHOP, name) for name in SHOP.__struct_fields__} | fields
    whole = {name: getattr(GLOBEX, name) for name in GLOBEX.__struct_fields__}
    return Customer(**{**whole, "scripts": (Script(**values),)})


def test_a_row_says_what_the_customer_said() -> None:
    assert decoded(ROW) == GLOBEX


def test_a_row_with_a_field_of_another_kind_or_number_of_fields_is_no_customer() -> None:
    altered = list(_altered(json.loads(ROW.rest)))
    assert len(altered) > 100
    assert [one for one in altered if not _is_as_good(one)] == []


@pytest.mark.parametrize(
    "digests", ['{"shop": 1}', "{}", '{"other": "a"}', '{"shop": "a", "other": "a"}', "[]", "", "{", '"\ud800"']
)
def test_a_row_with_other_digests_than_scripts_is_no_customer(digests: str) -> None:
    assert decoded(Row(ROW.path, digests, ROW.rest)) is None


def test_a_row_of_another_folder_is_no_customer() -> None:
    assert decoded(ROW._replace(path="customers/initech")) is None
