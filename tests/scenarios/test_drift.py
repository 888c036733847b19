"""What others do to the account, found and named rightly whatever form the account's listing takes, and mended."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from itertools import product
from typing import Literal

import pytest

from reconciler.local.faults import Fault, Kind
from reconciler.local.switches import Switches
from reconciler.model import digest_tag
from reconciler.show import words
from tests.scenarios.platform import ACCOUNT, MODULE, Platform

BY_HAND = MODULE.replace("hello", "by hand")

ROWS: tuple[Literal["flat", "nested"], ...] = ("flat", "nested")
FORMS = {
    f"{rows}, {'tags' if tags else 'no tags'}, {'etag' if etag else 'no etag'}, {paging}": Switches(
        rows=rows,
        tags_in_rows=tags,
        etag_in_rows=etag,
        page_size=2,
        honours_limit=paging != "limit ignored",
        pages=paging != "one page",
    )
    for rows, tags, etag, paging in product(ROWS, (True, False), (True, False), ("paged", "limit ignored", "one page"))
}


@pytest.fixture(params=list(FORMS.values()), ids=list(FORMS))
def live(request: pytest.FixtureRequest, make_platform: Callable[[Switches], Platform]) -> Platform:
    """A platform at rest, in an account with each form of listing."""
    platform = make_platform(request.param)
    platform.apply()
    return platform


def test_in_every_form_of_listing_what_others_do_is_found_and_mended(live: Platform) -> None:
    """One walk through all of it: a form is one fixture, and making one is what takes the time."""
    assert live.drift() == {}

    live.upload_elsewhere("globex-shop", BY_HAND)
    assert live.drift() == {"user_worker/globex-shop": "drifted"}
    live.apply()

    live.upload_elsewhere("globex-shop", MODULE)  # the code as we have it, without our marks and settings
    assert live.drift() == {"user_worker/globex-shop": "drifted"}
    live.apply()

    settings = {"settings": ("settings", json.dumps({"limits": {"cpu_ms": 1000}}), "application/json")}
    live.elsewhere("PATCH", live.script("globex-reports") + "/settings", files=settings)
    assert live.drift() == {"user_worker/globex-reports": "drifted"}
    live.apply()

    tags = (live.store.row("acme-production", "initech-old") or pytest.fail("it is gone")).tags or ()
    live.elsewhere("PUT", live.script("initech-old") + "/tags", json=[*tags, "mine"])
    assert live.drift() == {"user_worker/initech-old": "drifted"}
    live.apply()

    live.elsewhere("PUT", live.script("initech-old") + "/tags", json=[])
    assert live.drift() == {"user_worker/initech-old": "drifted"}
    live.apply()

    live.elsewhere("DELETE", live.script("initech-status"))
    assert live.drift() == {"user_worker/initech-status": "missing"}
    live.dangling.clear()  # it was someone else who let a route lead to nothing
    live.apply()
    live.dangling.clear()

    live.upload_elsewhere("stranger")
    live.upload_elsewhere("acme-dispatcher", BY_HAND, namespace="")
    live.dangling.clear()
    assert live.drift() == {"dispatcher/acme-dispatcher": "drifted", "user_worker/stranger": "unmanaged"}
    live.apply()
    assert live.drift() == {"user_worker/stranger": "unmanaged"}


def test_in_every_form_of_listing_changes_of_our_own_are_pending(live: Platform) -> None:
    live.edit("customers/globex/shop.mjs", "hello", "hello again")
    live.remove("customers/initech")
    assert live.drift() == {
        "dispatcher/acme-dispatcher": "pending",
        "user_worker/globex-shop": "pending",
        "user_worker/initech-old": "pending",
        "user_worker/initech-status": "pending",
    }
    live.apply()
    assert live.scripts == ["globex-reports", "globex-shop"]


def test_in_every_form_of_listing_a_lost_ledger_changes_nothing(live: Platform) -> None:
    live.forget()
    plan = live.plan()
    assert not plan
    assert plan.unverified == 6
    live.remove("customers/initech")
    live.apply()
    assert live.scripts == ["globex-reports", "globex-shop"]


@pytest.mark.parametrize("moved_by", [(), ("tags",), ("secrets", "settings")])
@pytest.mark.parametrize("tags", [True, False], ids=["tags", "no tags"])
def test_settings_that_move_nothing_are_found_by_reading_back(
    make_platform: Callable[[Switches], Platform], moved_by: tuple[str, ...], tags: bool
) -> None:
    live = make_platform(
        Switches(modified_on_moved_by=frozenset(moved_by), tags_in_rows=tags)  # type: ignore[arg-type]  # its literals
    )
    live.apply()
    settings = {"settings": ("settings", json.dumps({"limits": {"cpu_ms": 1000}}), "application/json")}
    live.elsewhere("PATCH", live.script("globex-reports") + "/settings", files=settings)
    assert live.drift(verify=None) == {"user_worker/globex-reports": "drifted"}
    live.apply(verify=None)
    assert live.drift(verify=None) == {}


def test_drift_of_an_unchanged_namespace_costs_what_a_plan_costs(platform: Platform) -> None:
    platform.apply()
    assert not platform.plan()
    calls = list(platform.calls)
    assert platform.drift() == {}
    assert platform.calls == calls
    assert len(calls) <= 7


def test_a_mark_that_someone_else_set_is_trusted_until_it_is_read_back(live_without_ledger: Platform) -> None:
    """A forged digest passes for ours when no ledger knows better; --verify reads what is behind it."""
    live = live_without_ledger
    tags = (live.store.row("acme-production", "globex-shop") or pytest.fail("it is gone")).tags or ()
    live.upload_elsewhere("globex-shop", BY_HAND)
    live.elsewhere("PUT", live.script("globex-shop") + "/tags", json=list(tags))
    assert live.drift() == {}
    assert live.drift(verify=None) == {"user_worker/globex-shop": "drifted"}
    live.apply(verify=None)


@pytest.fixture
def live_without_ledger(platform: Platform) -> Platform:
    platform.apply()
    platform.forget()
    return platform


def test_verification_takes_the_least_recently_verified_first_and_tells_its_coverage(platform: Platform) -> None:
    platform.apply()
    first = platform.plan(verify=2).coverage
    assert first is not None
    assert (first.checked, first.total, first.oldest, first.unseen) == (4, 6, "", 2)  # dispatcher and outbound Worker
    assert words.coverage(first) == "read back 4 of 6 · 2 not seen yet"
    last = platform.plan(verify=2).coverage
    assert last is not None
    assert last.oldest != ""
    assert words.coverage(last) == "read back 4 of 6 · all content seen within a day"


def test_what_only_reading_back_could_see_is_remembered_until_it_is_mended(
    make_platform: Callable[[Switches], Platform],
) -> None:
    live = make_platform(Switches(modified_on_moved_by=frozenset()))
    live.apply()
    settings = {"settings": ("settings", json.dumps({"limits": {"cpu_ms": 1000}}), "application/json")}
    live.elsewhere("PATCH", live.script("globex-reports") + "/settings", files=settings)
    assert live.drift() == {}
    assert live.drift(verify=None) == {"user_worker/globex-reports": "drifted"}
    assert live.drift() == {"user_worker/globex-reports": "drifted"}
    live.apply()
    assert live.drift(verify=None) == {}


@pytest.mark.parametrize("stamp", ["2999-01-01T00:00:00+00:00", "yesterday", "2026-11-24"])
def test_a_time_that_cannot_be_counts_as_never(platform: Platform, stamp: str) -> None:
    """A clock that was wrong, or a ledger that someone wrote into, keeps no script from being read back."""
    platform.apply()
    platform.plan(verify=None)
    with contextlib.closing(sqlite3.connect(platform.ledger)) as database, database:
        database.execute("UPDATE entry SET verified_at = ? WHERE name = 'globex-shop'", [stamp])
    platform.plan(verify=1)
    assert [call for call in platform.calls if call.endswith("globex-shop/settings")] != []


def test_what_cannot_be_read_back_is_told_and_comes_first_again(platform: Platform) -> None:
    platform.apply()
    platform.faults.add(Fault(Kind.UNSUCCESSFUL, "GET", "*/globex-shop/settings"))
    found = platform.plan(verify=None).coverage
    assert found is not None
    assert words.coverage(found) == "read back 6 of 6 · 1 could not be read · 1 not seen yet"
    platform.faults.clear()
    platform.plan(verify=1)
    assert [call for call in platform.calls if call.endswith("globex-shop/settings")] != []


def test_of_the_edge_each_kind_of_change_has_its_name(platform: Platform) -> None:
    platform.edit("platform.yaml", "  path:", "  workers_dev: true\n  path:")
    platform.edit("platform.yaml", "prune:", "trusted: true\nprune:")
    platform.apply()
    edge = platform.store.edge
    zone = edge.routes()[0].zone_id
    platform.upload_elsewhere("another", namespace="")

    platform.elsewhere("DELETE", f"zones/{zone}/workers/routes/{edge.routes()[0].id}")
    platform.elsewhere("DELETE", f"accounts/{ACCOUNT}/workers/domains/{edge.domains()[0].id}")
    platform.elsewhere("POST", platform.script("acme-dispatcher", namespace="") + "/subdomain", json={"enabled": False})
    namespace = f"accounts/{ACCOUNT}/workers/dispatch/namespaces/acme-production"
    platform.elsewhere("PATCH", namespace, json={"trusted_workers": False})
    assert platform.drift() == {
        "custom_domain/acme.app": "missing",
        "namespace/acme-production": "drifted",
        "route/*.acme.app/*": "missing",
        "workers_dev/acme-dispatcher": "missing",
    }
    platform.apply()

    route = {"pattern": "*.acme.app/*", "script": "another"}
    platform.elsewhere("PUT", f"zones/{zone}/workers/routes/{edge.routes()[0].id}", json=route)
    domain = {"hostname": "acme.app", "service": "another", "zone_id": zone, "environment": "production"}
    platform.elsewhere("PUT", f"accounts/{ACCOUNT}/workers/domains", json=domain)
    assert platform.drift() == {"custom_domain/acme.app": "drifted", "route/*.acme.app/*": "drifted"}
    assert {one.explanation for one in platform.findings()} == {"points at another"}
    platform.apply()
    assert {route.script for route in edge.routes()} == {"acme-dispatcher"}


def test_an_outbound_worker_written_or_deleted_by_hand_is_drift(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere("egress-guard", BY_HAND, namespace="")
    assert platform.drift() == {"outbound_worker/egress-guard": "drifted"}
    (found,) = platform.findings()
    assert (found.who, found.at[:10]) == ("api", "2026-11-24")
    platform.apply()
    platform.elsewhere("DELETE", platform.script("egress-guard", namespace="") + "?force=true")
    assert platform.drift() == {"outbound_worker/egress-guard": "missing"}
    platform.dangling.clear()
    platform.apply()
    platform.dangling.clear()


def test_a_namespace_deleted_by_hand_is_made_again_with_all_that_was_in_it(platform: Platform) -> None:
    platform.apply()
    platform.elsewhere("DELETE", f"accounts/{ACCOUNT}/workers/dispatch/namespaces/acme-production")
    assert set(platform.drift().values()) == {"missing"}
    assert len(platform.drift()) == 5
    platform.dangling.clear()
    platform.apply()
    platform.dangling.clear()


def test_edited_and_drifted_at_once_says_both(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere("globex-shop", BY_HAND)
    tags = ["rcn-acme", digest_tag("0" * 32), "globex"]
    platform.elsewhere("PUT", platform.script("globex-shop") + "/tags", json=tags)
    assert [change.cause.value for change in platform.plan().changes] == ["edited and drifted"]
    platform.apply()


def test_expected_drift_is_muted_in_drift_and_mended_by_apply(platform: Platform) -> None:
    expected = "expected_drift: [{names: [globex-shop], reason: an experiment, expires: 2026-12-01}]\n"
    text = (platform.root / "platform.yaml").read_text(encoding="utf-8")
    platform.write({"platform.yaml": text + expected})
    platform.apply()
    platform.upload_elsewhere("globex-shop", BY_HAND)
    assert platform.drift() == {"user_worker/globex-shop": "expected"}
    platform.apply()
    assert platform.drift() == {}
