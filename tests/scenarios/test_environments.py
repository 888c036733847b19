"""Several platforms, and several environments of one, in one account: each sees and changes its own."""

from __future__ import annotations

import pytest

from tests.scenarios.platform import MODULE, Platform

STAGING = """\
environments:
  staging:
    namespace: acme-staging
    dispatcher:
      name: acme-dispatcher-staging
      hostname: "{script}.staging.acme.app"
      routes: [{pattern: "*.staging.acme.app/*", zone: acme.app}]
      custom_domains: [staging.acme.app]
"""


def with_staging(platform: Platform) -> Platform:
    text = (platform.root / "platform.yaml").read_text(encoding="utf-8")
    platform.write({"platform.yaml": text + STAGING})
    platform.apply()
    with platform.in_environment("staging"):
        platform.apply()
    return platform


def everything(platform: Platform) -> list[str]:
    edge = platform.store.edge
    return [
        *platform.workers,
        *(f"{one.pattern} {one.script}" for one in edge.routes()),
        *(f"{one.hostname} {one.service}" for one in edge.domains()),
    ]


def test_environments_of_one_account_leave_each_other_alone(platform: Platform) -> None:
    with_staging(platform)
    assert not platform.plan()
    with platform.in_environment("staging"):
        assert not platform.plan()
        assert platform.drift() == {}
    assert platform.drift() == {}
    assert everything(platform) == [
        "acme-dispatcher", "acme-dispatcher-staging", "egress-guard",
        "*.acme.app/* acme-dispatcher", "*.staging.acme.app/* acme-dispatcher-staging",
        "acme.app acme-dispatcher", "staging.acme.app acme-dispatcher-staging",
    ]  # fmt: skip


def test_without_a_ledger_environments_leave_each_other_alone_too(platform: Platform) -> None:
    with_staging(platform)
    platform.forget()
    assert not platform.plan()
    with platform.in_environment("staging"):
        assert not platform.plan()


def test_an_outbound_worker_stays_as_long_as_another_environment_sends_through_it(platform: Platform) -> None:
    with_staging(platform)
    platform.edit("platform.yaml", ", outbound_worker: egress-guard", "")
    platform.edit(
        "platform.yaml",
        "outbound_workers:\n  egress-guard: {main: platform/egress-guard.mjs, parameters: [customer, tier]}\n",
        "",
    )
    platform.apply()
    assert "egress-guard" in platform.workers
    with platform.in_environment("staging"):
        platform.apply()
    assert "egress-guard" not in platform.workers


def test_the_tables_of_two_environments_stand_apart_in_kv(platform: Platform) -> None:
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    with_staging(platform)
    assert [one.title for one in platform.store.kv.namespaces()] == ["rcn-acme-routes", "rcn-acme-routes.staging"]
    platform.edit("customers/globex/customer.yaml", "shop.globex.com", "store.globex.com")
    platform.apply()
    assert platform.led_to("shop.globex.com", dispatcher="acme-dispatcher-staging") == "globex-shop"
    with platform.in_environment("staging"):
        platform.apply()


@pytest.mark.parametrize("shared", [True, False], ids=["in one namespace", "in two"])
def test_two_platforms_leave_each_other_alone(platform: Platform, shared: bool) -> None:
    platform.apply()
    text = (platform.root / "platform.yaml").read_text(encoding="utf-8")
    other = text.replace("platform: acme\n", "platform: acme-2\n").replace("acme.app", "globex.com")
    other = other.replace("egress-guard", "other-guard").replace("acme-dispatcher", "other-dispatcher")
    other = other if shared else other.replace("acme-production", "other-production")
    platform.write(
        {
            "platform.yaml": other.replace("platform/other-guard", "platform/egress-guard"),
            "customers/globex/customer.yaml": "tier: basic\nscripts: {other-script: {main: shop.mjs}}\n",
        }
    )
    platform.remove("customers/initech")
    plan = platform.plan()
    assert {change.action.value for change in plan.changes} <= {"create"}
    assert len(plan.unmanaged) == (4 if shared else 0)
    platform.apply()
    assert len(platform.workers) == 4
    platform.remove("customers/globex")
    assert [problem.code for problem in platform.plan().refusals] == ["tree-empty", "table-cuts-off"]
    platform.apply()
    assert "other-script" in platform.scripts_of("acme-production" if shared else "other-production")


def test_a_name_that_the_other_platform_has_is_not_taken(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "platform: acme\n", "platform: acme-2\n")
    plan = platform.plan()
    assert [str(change.key) for change in plan.changes] == []
    assert "it is marked as the platform acme's" in plan.problems[0].why
    platform.apply()
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    assert stored.modules[0].content == MODULE.encode()
