"""Several applies that share the customers between them, and one that finishes what needs the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan.sharding import Shard
from tests.scenarios.platform import MODULE, Platform

SHARES = 3


@given(st.text(max_size=48), st.integers(1, 64))
def test_a_customer_is_in_exactly_one_shard(customer: str, of: int) -> None:
    assert [Shard(number, of).holds(customer) for number in range(1, of + 1)].count(True) == 1


def test_a_customer_stays_in_its_shard_from_one_version_of_ours_to_the_next() -> None:
    names = [f"c{number:06}" for number in range(8)]
    assert [next(n for n in range(1, 4) if Shard(n, 3).holds(name)) for name in names] == [1, 1, 2, 3, 3, 1, 3, 3]


def test_shards_are_of_about_the_same_size() -> None:
    sizes = [sum(Shard(number, 8).holds(f"c{one:06}") for one in range(8_000)) for number in range(1, 9)]
    assert min(sizes) > 900 and max(sizes) < 1_100


def many(platform: Platform) -> Platform:
    for number in range(12):
        folder = f"customers/c{number:02}"
        text = f"tier: basic\nscripts:\n  c{number:02}-shop: {{main: shop.mjs}}\n"
        platform.write({f"{folder}/customer.yaml": text, f"{folder}/shop.mjs": MODULE})
    return platform


def test_shards_upload_every_script_once_and_route_none_of_them(platform: Platform) -> None:
    many(platform)
    uploaded: list[str] = []
    for number in range(1, SHARES + 1):
        results = platform.apply(shard=Shard(number, SHARES))
        uploaded += [one.key.name for one in results if one.key.kind == "user_worker"]
        assert platform.workers == []
    assert sorted(uploaded) == platform.scripts
    assert len(uploaded) == 16
    left = {one.key.kind for one in platform.apply()}
    assert "user_worker" not in left and "dispatcher" in left


def test_a_shard_deletes_nothing_and_says_what_it_leaves(platform: Platform) -> None:
    many(platform).apply()
    platform.remove("customers/c03")
    platform.edit("customers/globex/shop.mjs", "hello", "hello again")
    plans = [platform.plan(shard=Shard(number, SHARES)) for number in range(1, SHARES + 1)]
    assert [change.key.name for plan in plans for change in plan.changes] == ["globex-shop"]
    assert all(one.code == "shard" for plan in plans for one in plan.warnings)
    assert sum(len(plan.warnings) for plan in plans) == SHARES
    assert not any(plan.withheld or plan.refusals for plan in plans)
    assert "c03-shop" in platform.scripts
    platform.apply()
    assert "c03-shop" not in platform.scripts
