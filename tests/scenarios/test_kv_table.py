"""A routing table in Workers KV: parts first, one upload to switch, and a change of one address writes one part."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from reconciler import routing, run
from reconciler.kinds import dispatcher, routing_kv
from reconciler.kinds.switching import PARTS_READ
from reconciler.model import Module, Worker
from tests.scenarios.platform import ACCOUNT, MODULE, Platform, Strike

HOSTNAMES = 1000  # enough for four parts


@pytest.fixture
def kv(platform: Platform) -> Platform:
    """A platform at rest whose table has several parts."""
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    names = "".join(f"    - host-{number:04}.example.com\n" for number in range(HOSTNAMES))
    customer = f"tier: basic\nscripts:\n  big:\n   main: big.mjs\n   hostnames:\n{names}"
    platform.write({"customers/big/customer.yaml": customer, "customers/big/big.mjs": MODULE})
    platform.apply()
    return platform


def told(platform: Platform) -> list[str]:
    """What the plan says of the addresses, and nothing is written for it."""
    plan = run.explained(platform.look())
    assert [call for call in platform.calls if not call.startswith("GET ")] == []
    (switch,) = (one for one in plan.changes if one.key.kind == "dispatcher")
    assert switch.explanation is not None
    shown = [(one.path[1:], one.before, one.after) for one in switch.explanation.fields if one.path[0] == "routes"]
    return [f"{' '.join(path)}: {before} -> {after}" for path, before, after in shown if path != ("parts",)]


def keys(platform: Platform) -> set[str]:
    namespace = platform.store.kv.namespaces()[0]
    return {one.name for one in platform.store.kv.keys(namespace.id)}


def test_a_change_of_one_hostname_writes_one_part_and_switches_once(kv: Platform) -> None:
    before = keys(kv)
    assert len(before) >= 4
    kv.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    kv.apply()
    assert kv.led_to("store.globex.com") == "globex-shop"
    assert kv.led_to("shop.globex.com") == ""
    bulk = [call for call in kv.calls if call.endswith("/bulk")]
    assert len(bulk) == 1
    added = keys(kv) - before
    assert 1 <= len(added) <= 2  # the part that loses the address, and the one that gets it
    assert len(kv.calls) < 20


def test_what_a_switch_says_it_costs_is_what_it_takes(kv: Platform) -> None:
    for before, after in [("shop", "store"), ("store", "third")]:
        kv.edit("customers/globex/customer.yaml", f"{before}.globex.com", f"{after}.globex.com")
        cost = kv.plan().cost.requests
        looked = len(kv.calls)
        kv.apply()
        assert looked + cost - 1 <= len(kv.calls) <= looked + cost  # the first time there is nothing to remove


def test_parts_that_did_not_take_are_sent_again(kv: Platform) -> None:
    """A good reply may name keys that were not written."""
    lost: list[str] = []

    def partly(answer: Callable[[], httpx.Response]) -> httpx.Response:
        response, call = answer(), kv.line.calls[-1]
        if not call.endswith("/bulk") or lost:
            return response
        namespace = kv.store.kv.namespaces()[0].id
        lost.extend(sorted(keys(kv) - before)[:1])
        kv.store.kv.delete(namespace, lost)
        reply = {"successful_key_count": 1, "unsuccessful_keys": lost}
        return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": reply})

    before = keys(kv)
    kv.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    kv.striking = Strike(1, partly, times=1_000)
    kv.apply()
    assert lost
    assert set(lost) <= keys(kv)
    assert len([call for call in kv.calls if call.endswith("/bulk")]) == 2


def test_parts_that_never_take_leave_the_live_table_as_it_is(kv: Platform) -> None:
    def never(answer: Callable[[], httpx.Response]) -> httpx.Response:
        if not kv.line.calls[-1].endswith("/bulk"):
            return answer()
        reply = {"successful_key_count": 0, "unsuccessful_keys": sorted(routing.part_key(one) for one in digests)}
        return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": reply})

    kv.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    digests = dispatcher.table_of(kv.load()).part_digests
    kv.striking = Strike(1, never, times=1_000)
    (switch,) = kv.attempt()
    assert switch.problem is not None
    assert switch.problem.code == "kv-write-failed"
    assert kv.led_to("shop.globex.com") == "globex-shop"
    kv.striking = None
    kv.apply()
    assert kv.led_to("store.globex.com") == "globex-shop"


def test_parts_go_ten_thousand_at_a_time(platform: Platform) -> None:
    digests = tuple(f"{number:032x}" for number in range(20_001))
    routing_kv.write_parts(platform.connection(), routing.Table({}, [b"{}"] * len(digests), digests), None)
    assert len([call for call in platform.calls if call.endswith("/bulk")]) == 3
    assert len(keys(platform)) == 1_000  # of a page; the emulated account refuses more than 10,000 in a call


def test_parts_that_the_former_table_read_stay_until_the_next_switch(kv: Platform) -> None:
    before = keys(kv)
    kv.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    kv.apply()
    assert before < keys(kv)  # some isolates still read the former table
    kv.edit("customers/globex/customer.yaml", "store.globex.com", "third.globex.com")
    kv.apply()
    assert not before < keys(kv)


def test_the_plan_tells_each_address_that_changes(kv: Platform) -> None:
    kv.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    kv.edit("customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 90")
    kv.edit("customers/big/customer.yaml", "    - host-0007.example.com\n", "")
    kv.edit("customers/globex/customer.yaml", "[store.globex.com]", "[store.globex.com, host-0007.example.com]")
    assert told(kv) == [
        "/dispatch/globex-reports cpu_ms: 80 -> 90",
        "globex-reports.acme.app cpu_ms: 80 -> 90",
        "host-0007.example.com: big -> globex-shop",
        "shop.globex.com: globex-shop -> ABSENT",
        "store.globex.com: ABSENT -> globex-shop",
    ]
    read = [call for call in kv.calls if "/values/" in call]
    assert 1 <= len(read) <= 5  # the parts that differ, and no others
    kv.apply()


def test_a_move_to_kv_changes_no_address(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    assert told(platform) == []
    platform.apply()


def test_past_a_bound_the_plan_says_how_much_differs_and_reads_nothing(kv: Platform) -> None:
    names = "".join(f"    - more-{number:05}.example.com\n" for number in range(160 * PARTS_READ))
    kv.edit("customers/big/customer.yaml", "   hostnames:\n", f"   hostnames:\n{names}")
    kv.edit("customers/big/customer.yaml", "tier: basic", "tier: advanced")
    kv.apply()
    kv.edit("customers/big/customer.yaml", "tier: advanced", "tier: basic")
    plan = run.explained(kv.look())
    (switch,) = (one for one in plan.changes if one.key.kind == "dispatcher")
    assert switch.explanation is not None
    assert "parts of the routing table differ" in switch.explanation.unread
    assert [call for call in kv.calls if "/values/" in call] == []
    kv.apply()


def test_scripts_come_and_go_without_an_instant_of_nothing(kv: Platform) -> None:
    kv.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-store: {previously: [globex-shop], ")
    kv.apply()
    assert kv.led_to("shop.globex.com") == "globex-store"
    assert "globex-shop" not in kv.scripts


def test_a_table_moves_from_the_bundle_to_kv_and_back(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    platform.apply()
    assert platform.table().in_kv
    platform.edit("platform.yaml", "  table: kv\n", "")
    platform.apply()
    assert not platform.table().in_kv


@pytest.mark.parametrize("harm", ["changed", "deleted"])
def test_a_part_of_the_table_that_someone_changed_or_deleted_is_found_by_reading_back(
    platform: Platform, harm: str
) -> None:
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    platform.apply()
    assert platform.drift(verify=1) == {}
    namespace, key = platform.store.kv.namespaces()[0].id, min(keys(platform))
    path = f"accounts/{ACCOUNT}/storage/kv/namespaces/{namespace}/values/{key.replace('/', '%2F')}"
    if harm == "changed":
        platform.elsewhere("PUT", path, content=b"{}")
    else:
        platform.elsewhere("DELETE", path)
    found = platform.findings(verify=1)
    assert [(str(one.key), one.kind) for one in found] == [("dispatcher/acme-dispatcher", "drifted")]
    assert found[0].explanation == f"bindings.ROUTES.damaged [{key}] → none"
    platform.dangling.clear()
    platform.apply()
    platform.dangling.clear()
    assert platform.drift(verify=1) == {}
    assert platform.led_to("shop.globex.com") == "globex-shop"


def test_of_a_large_table_missing_parts_are_found_by_listing_and_a_bounded_number_is_read(platform: Platform) -> None:
    digests = tuple(f"{number:032x}" for number in range(1_500))
    table = routing.Table({"format": 1}, [b"{}"] * len(digests), digests)
    connection = platform.connection()
    namespace, _ = routing_kv.write_parts(connection, table, None)
    platform.store.kv.delete(namespace, [routing.part_key(digests[7])])
    module = Module(routing.MODULE_NAME, "application/javascript+module", table.module())
    dispatcher = Worker("", (module,), bindings=(routing_kv.binding(connection.repository.platform),))
    connection = platform.connection()
    (binding,) = routing_kv.with_parts(connection, dispatcher, namespace).bindings
    read = [call for call in platform.calls if "/values/" in call]
    assert len(read) == routing_kv.PARTS_READ_BACK
    assert len(platform.calls) == len(read) + 2  # two pages of keys
    assert routing.part_key(digests[7]) in binding["damaged"]


def test_a_table_in_kv_that_someone_replaced_is_drift(platform: Platform) -> None:
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    platform.apply()
    platform.upload_elsewhere("acme-dispatcher", MODULE, namespace="")
    assert platform.drift() == {"dispatcher/acme-dispatcher": "drifted"}
    platform.apply()
    assert platform.led_to("shop.globex.com") == "globex-shop"
