"""Runs that look at some customers: nothing of the others is changed, deleted, or routed otherwise."""

from __future__ import annotations

import pytest

from reconciler import run
from reconciler.errors import ReconcilerError
from reconciler.plan import Plan
from tests.scenarios.platform import MODULE, TODAY, Platform

AGAIN = MODULE.replace("hello", "hello again")


@pytest.fixture(params=["bundle", "kv"])
def pending(request: pytest.FixtureRequest, platform: Platform) -> Platform:
    """Both customers have changes that are not applied yet: code, hostnames, scripts that come and go."""
    platform.edit("platform.yaml", "  path:", f"  table: {request.param}\n  path:")
    platform.apply()
    platform.edit("customers/globex/shop.mjs", MODULE, AGAIN)
    platform.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    platform.edit("customers/initech/status.mjs", MODULE, AGAIN)
    platform.edit("customers/initech/customer.yaml", "tier: basic", "tier: advanced\nsuspended: true")
    platform.edit("customers/initech/customer.yaml", "  initech-old: {", "  initech-new: {hostnames: [initech.com], ")
    return platform


def changed(plan: Plan) -> list[str]:
    return [str(change.key) for change in plan.changes]


def finish(platform: Platform) -> None:
    """What was out of scope comes with the next whole run."""
    platform.apply()


def test_one_customer_is_applied_and_the_other_stays_as_it_is(pending: Platform) -> None:
    before = [pending.store.script("acme-production", name) for name in ("initech-old", "initech-status")]
    assert changed(pending.plan(scope=["globex"])) == ["dispatcher/acme-dispatcher", "user_worker/globex-shop"]
    pending.apply(scope=["globex"])
    assert [pending.store.script("acme-production", name) for name in ("initech-old", "initech-status")] == before
    assert pending.led_to("store.globex.com") == "globex-shop"
    assert pending.led_to("initech-old.acme.app") == "initech-old"
    assert pending.led_to("initech.com") == ""
    assert not pending.plan(scope=["globex"])
    finish(pending)
    assert pending.led_to("initech.com") == "initech-new"


def test_deletes_stay_within_the_scope(pending: Platform) -> None:
    pending.apply(scope=["initech"])
    assert "initech-old" not in pending.scripts
    assert pending.led_to("shop.globex.com") == "globex-shop"
    assert pending.led_to("store.globex.com") == ""
    finish(pending)


def test_the_runs_of_each_customer_together_are_the_whole_run(pending: Platform) -> None:
    pending.apply(scope=["globex"])
    pending.apply(scope=["initech"])
    assert not pending.plan()


def test_a_customer_that_left_can_be_looked_at_by_itself(pending: Platform) -> None:
    pending.remove("customers/initech")
    pending.apply(scope=["initech"])
    assert pending.scripts == ["globex-reports", "globex-shop"]
    assert pending.led_to("shop.globex.com") == "globex-shop"
    finish(pending)


def test_a_scope_without_customers_changes_nothing_of_any(pending: Platform) -> None:
    assert changed(pending.plan(scope=[run.NOBODY])) == []
    finish(pending)


def test_a_hostname_that_crosses_the_scope_is_a_problem_at_its_line(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/customer.yaml", ", hostnames: [shop.globex.com]", "")
    platform.edit("customers/initech/customer.yaml", "initech-old: {", "initech-old: {hostnames: [shop.globex.com], ")
    for scope in ("globex", "initech"):
        plan = platform.plan(scope=[scope])
        assert [problem.code for problem in plan.problems] == ["move-out-of-scope"]
        assert str(plan.problems[0].where) == "customers/initech/customer.yaml:4:29"
        assert changed(plan) == []
        platform.apply(scope=[scope])
        assert platform.led_to("shop.globex.com") == "globex-shop"
    platform.apply(scope=["globex", "initech"])
    assert platform.led_to("shop.globex.com") == "initech-old"


def test_a_script_that_crosses_the_scope_is_a_problem_and_stays_where_it_is(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  initech-old: {main: shop.mjs}\n")
    for scope in ("globex", "initech"):
        plan = platform.plan(scope=[scope])
        assert {problem.code for problem in plan.problems} == {"move-out-of-scope"}
        platform.apply(scope=[scope])
        assert platform.led_to("initech-old.acme.app") == "initech-old"
    platform.apply()
    assert platform.plan(scope=["globex"]).problems == ()


def test_an_outbound_worker_that_others_are_led_through_stays(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", ", outbound_worker: egress-guard", "")
    platform.edit(
        "platform.yaml",
        "outbound_workers:\n  egress-guard: {main: platform/egress-guard.mjs, parameters: [customer, tier]}\n",
        "",
    )
    plan = platform.plan(scope=["globex"])
    assert [problem.code for problem in plan.problems] == ["route-proof", "route-proof"]
    assert "lack a binding for outbound Worker egress-guard" in plan.problems[0].what
    assert [str(change.key) for change in plan.blocked] == ["dispatcher/acme-dispatcher"]
    platform.apply(scope=["globex"])
    assert "egress-guard" in platform.workers
    finish(platform)


def test_a_route_of_others_that_leads_to_nothing_already_is_told_and_left(platform: Platform) -> None:
    platform.apply()
    platform.elsewhere("DELETE", platform.script("initech-old"))
    platform.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    plan = platform.plan(scope=["globex"])
    assert [problem.code for problem in plan.warnings] == ["route-broken"]
    platform.apply(scope=["globex"])
    platform.apply()
    platform.dangling.clear()  # it was someone else who let a route lead to nothing


def test_a_table_that_cannot_be_read_stops_a_run_of_some_customers(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere("acme-dispatcher", namespace="")
    with pytest.raises(ReconcilerError, match="the routing table of acme-dispatcher cannot be read"):
        platform.plan(scope=["globex"])
    finish(platform)


def test_a_dispatcher_renamed_by_a_run_of_some_customers_keeps_the_others(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "name: acme-dispatcher", "name: acme-front")
    platform.apply(scope=["globex"])
    assert platform.led_to("initech-old.acme.app", dispatcher="acme-front") == "initech-old"
    finish(platform)
    assert platform.workers == ["acme-front", "egress-guard"]


def test_parts_of_a_table_in_kv_are_read_only_where_they_differ(platform: Platform) -> None:
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    names = "".join(f"    - host-{number:04}.example.com\n" for number in range(1000))
    customer = f"tier: basic\nscripts:\n  big:\n   main: big.mjs\n   hostnames:\n{names}"
    platform.write({"customers/big/customer.yaml": customer, "customers/big/big.mjs": MODULE})
    platform.apply()
    platform.plan(scope=["globex"])
    assert [call for call in platform.calls if "/values/" in call] == []
    platform.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    platform.plan(scope=["globex"])
    assert 1 <= len([call for call in platform.calls if "/values/" in call]) <= 2
    platform.apply(scope=["globex"])
    assert platform.led_to("host-0999.example.com") == "big"


def test_between_two_commits_a_scope_leaves_others_routed_as_they_were(pending: Platform) -> None:
    after = pending.load()
    pending.edit("customers/globex/shop.mjs", AGAIN, MODULE)
    pending.edit("customers/globex/customer.yaml", "store.globex.com", "shop.globex.com")
    before = pending.load()
    pending.edit("customers/globex/shop.mjs", MODULE, AGAIN)
    pending.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    wishes = run.Wishes(today=TODAY, scope=frozenset(["globex"]))
    assert changed(run.between(before, after, wishes)) == ["dispatcher/acme-dispatcher", "user_worker/globex-shop"]
    wishes = run.Wishes(today=TODAY, scope=frozenset(["initech"]))
    assert changed(run.between(before, after, wishes)) == []
    finish(pending)
