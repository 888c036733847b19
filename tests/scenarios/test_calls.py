"""What runs cost in calls: a plan the pages of the listing and six at most, an apply one more for each change."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from reconciler.local.switches import Switches
from tests.scenarios.platform import MODULE, Platform

CONSTANT = 6


def with_scripts(platform: Platform, count: int) -> Platform:
    scripts = "".join(f"  big-{number:04}: {{main: big.mjs}}\n" for number in range(count))
    platform.write(
        {"customers/big/customer.yaml": f"tier: basic\nscripts:\n{scripts}", "customers/big/big.mjs": MODULE}
    )
    return platform


def test_a_plan_of_nothing_to_do_costs_the_listing_and_a_constant(platform: Platform) -> None:
    platform.apply()
    assert not platform.plan()
    assert len(platform.calls) == 1 + CONSTANT
    assert platform.drift() == {}
    assert len(platform.calls) == 1 + CONSTANT


@pytest.mark.parametrize("page", [5, 10, 100])
def test_each_page_costs_one_call_whatever_its_size(make_platform: Callable[..., Platform], page: int) -> None:
    platform = with_scripts(make_platform(Switches(page_size=page, honours_limit=False)), 20)
    platform.apply()
    assert not platform.plan()
    pages = math.ceil(24 / page)
    assert len(platform.calls) == pages + CONSTANT


def test_an_apply_costs_one_more_for_each_changed_script_and_one_for_the_dispatcher(platform: Platform) -> None:
    with_scripts(platform, 20).apply()
    platform.edit("customers/globex/shop.mjs", MODULE, MODULE.replace("hello", "hello again"))
    platform.apply()
    assert len(platform.calls) == 1 + CONSTANT + 1
    platform.edit("customers/big/customer.yaml", "tier: basic", "tier: advanced")
    platform.apply()
    assert len(platform.calls) == 1 + CONSTANT + 20 + 1


def test_what_a_plan_says_it_costs_is_what_its_apply_takes(platform: Platform) -> None:
    with_scripts(platform, 20).apply()
    platform.edit("customers/big/customer.yaml", "tier: basic", "tier: advanced")
    before = platform.plan().cost.requests
    looked = len(platform.calls)
    platform.apply()
    assert len(platform.calls) == looked + before


@pytest.mark.parametrize("known", [True, False], ids=["with the ledger", "without"])
def test_rows_without_tags_cost_two_more_listings_and_each_script_once(
    make_platform: Callable[..., Platform], known: bool
) -> None:
    platform = with_scripts(make_platform(Switches(tags_in_rows=False)), 20)
    platform.apply()
    platform.upload_elsewhere("stranger")
    if not known:
        platform.forget()
    assert not platform.plan()
    assert len(platform.calls) == 3 + CONSTANT + (0 if known else 24)
    assert not platform.plan()
    assert len(platform.calls) == 3 + CONSTANT


def test_a_script_that_someone_else_wrote_costs_one_more_where_rows_have_no_tags(
    make_platform: Callable[..., Platform],
) -> None:
    platform = with_scripts(make_platform(Switches(tags_in_rows=False)), 20)
    platform.apply()
    platform.elsewhere("PUT", platform.script("big-0001") + "/tags", json=["rcn-acme", "big"])
    platform.plan()
    assert len(platform.calls) == 3 + CONSTANT + 1
    platform.apply()


def test_other_environments_cost_nothing_where_no_worker_is_left_over(platform: Platform) -> None:
    platform.apply()
    text = (platform.root / "platform.yaml").read_text(encoding="utf-8")
    staging = "environments: {staging: {namespace: acme-staging, dispatcher: {name: acme-staging, routes: []}}}\n"
    platform.write({"platform.yaml": text + staging.replace("routes: []", "routes: [], custom_domains: []")})
    with platform.in_environment("staging"):
        platform.apply()
    assert not platform.plan()
    assert len(platform.calls) == 1 + CONSTANT
