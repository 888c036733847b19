"""What a team changes in its repository, told as scenarios. Each ends on an empty plan, with no route that ever led
to nothing (conftest.py)."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from reconciler import run
from reconciler.plan import Action, Cause
from reconciler.show import words
from tests.scenarios.platform import MODULE, TODAY, Platform, Strike

HELLO_AGAIN = MODULE.replace("hello", "hello again")


def changes(platform: Platform, **wishes: object) -> dict[str, str]:
    """What the next plan would do."""
    return {str(change.key): change.action.value for change in platform.plan(**wishes).changes}


def test_the_first_apply_makes_the_whole_platform(platform: Platform) -> None:
    results = platform.apply()
    assert platform.scripts == ["globex-reports", "globex-shop", "initech-old", "initech-status"]
    assert platform.workers == ["acme-dispatcher", "egress-guard"]
    assert platform.led_to("shop.globex.com") == "globex-shop"
    assert platform.led_to("initech-status.acme.app") == "initech-status"
    kinds = [one.key.kind for one in results]
    assert kinds.index("dispatcher") > max(place for place, kind in enumerate(kinds) if kind == "user_worker")


def test_an_edit_uploads_the_script_and_nothing_else(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/shop.mjs", MODULE, HELLO_AGAIN)
    assert changes(platform) == {"user_worker/globex-shop": "update"}
    platform.apply()
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    assert stored.modules[0].content == HELLO_AGAIN.encode()


def test_a_script_comes_and_goes(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  globex-new: {main: shop.mjs}\n")
    platform.apply()
    assert platform.led_to("globex-new.acme.app") == "globex-new"
    platform.edit("customers/globex/customer.yaml", "scripts:\n  globex-new: {main: shop.mjs}\n", "scripts:\n")
    platform.apply()
    assert "globex-new" not in platform.scripts
    assert platform.led_to("globex-new.acme.app") == ""


def test_a_customer_comes_and_goes(platform: Platform) -> None:
    platform.apply()
    platform.write(
        {
            "customers/hooli/customer.yaml": "tier: basic\nscripts: {hooli-primes: {main: primes.mjs}}\n",
            "customers/hooli/primes.mjs": MODULE,
        }
    )
    platform.apply()
    platform.remove("customers/hooli")
    platform.apply()
    assert "hooli-primes" not in platform.scripts


def test_a_change_of_tier_reaches_script_limits_and_table(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/initech/customer.yaml", "tier: basic", "tier: advanced")
    assert changes(platform) == {
        "dispatcher/acme-dispatcher": "update",
        "user_worker/initech-old": "update",
        "user_worker/initech-status": "update",
    }
    platform.apply()
    stored = platform.store.script("acme-production", "initech-status")
    assert stored is not None
    assert stored.metadata["limits"] == {"cpu_ms": 50, "subrequests": 50}
    assert "advanced" in (stored.tags or ())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tags: [eu]", "tags: [eu, premium]"),
        ("{cpu_ms: 80}", "{cpu_ms: 90}"),
        ("{cpu_ms: 80}}", "{cpu_ms: 80}, compatibility_flags: [nodejs_compat]}"),
        ("hostnames: [shop.globex.com]", "hostnames: []"),
        ("hostnames: [shop.globex.com]", "hostnames: [shop.globex.com, www.globex.com]"),
        ("hostnames: [shop.globex.com]", "hostnames: [shop.globex.com], protect: true"),
        ("tier: advanced\n", "tier: advanced\nsuspended: true\n"),
        ("tier: advanced\n", "tier: advanced\noutbound_worker: egress-guard\n"),
        ("tier: advanced\n", "tier: advanced\nvars: {A: text, B: 1, C: [1, 2], D: {e: null}}\n"),
    ],
)
def test_settings_of_a_customer_change(platform: Platform, before: str, after: str) -> None:
    platform.apply()
    platform.edit("customers/globex/customer.yaml", before, after)
    assert changes(platform) != {}
    platform.apply()
    assert changes(platform) == {}
    platform.edit("customers/globex/customer.yaml", after, before)
    platform.apply()


def test_a_change_of_the_platform_module_uploads_every_script(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform/platform_module.mjs", "acme", "acme 2")
    assert set(changes(platform)) == {f"user_worker/{name}" for name in platform.scripts}
    platform.apply()


def test_an_outbound_worker_comes_before_those_who_need_it_and_goes_after(platform: Platform) -> None:
    platform.apply()
    platform.write({"platform/second.mjs": MODULE})
    platform.edit("platform.yaml", "outbound_workers:\n", "outbound_workers:\n  second: {main: platform/second.mjs}\n")
    platform.edit("platform.yaml", "outbound_worker: egress-guard", "outbound_worker: second")
    platform.apply()
    assert platform.workers == ["acme-dispatcher", "egress-guard", "second"]
    platform.edit("platform.yaml", "  second: {main: platform/second.mjs}\n", "")
    platform.edit("platform.yaml", "outbound_worker: second", "outbound_worker: egress-guard")
    platform.apply()
    assert platform.workers == ["acme-dispatcher", "egress-guard"]


def test_a_dispatcher_is_renamed_without_an_instant_of_nothing(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "name: acme-dispatcher", "name: acme-front")
    platform.apply()
    assert platform.workers == ["acme-front", "egress-guard"]
    assert {route.script for route in platform.store.edge.routes()} == {"acme-front"}
    assert {domain.service for domain in platform.store.edge.domains()} == {"acme-front"}


def test_routes_and_domains_come_and_go(platform: Platform) -> None:
    platform.apply()
    pattern = '{pattern: "*.acme.app/*", zone: acme.app}'
    more = f'{pattern}, {{pattern: "shop.globex.com/*", zone: globex.com}}'
    platform.edit("platform.yaml", pattern, more)
    platform.edit("platform.yaml", "custom_domains: [acme.app]", "custom_domains: [acme.app, www.acme.app]")
    platform.edit("platform.yaml", "  path:", "  workers_dev: true\n  path:")
    platform.apply()
    assert [route.pattern for route in platform.store.edge.routes()] == ["*.acme.app/*", "shop.globex.com/*"]
    assert [domain.hostname for domain in platform.store.edge.domains()] == ["acme.app", "www.acme.app"]
    platform.edit("platform.yaml", more, pattern)
    platform.edit("platform.yaml", "custom_domains: [acme.app, www.acme.app]", "custom_domains: []")
    platform.edit("platform.yaml", "  workers_dev: true\n", "")
    platform.apply()
    assert [route.pattern for route in platform.store.edge.routes()] == ["*.acme.app/*"]
    assert platform.store.edge.domains() == []


def test_routes_leave_a_zone_that_the_repository_no_longer_names(platform: Platform) -> None:
    platform.edit("platform.yaml", "zone: acme.app}", "zone: acme.app}, {pattern: shop.globex.com/*, zone: globex.com}")
    platform.apply()
    platform.edit("platform.yaml", ", {pattern: shop.globex.com/*, zone: globex.com}", "")
    platform.apply()
    assert [route.pattern for route in platform.store.edge.routes()] == ["*.acme.app/*"]


def test_the_dispatcher_section_goes(platform: Platform) -> None:
    platform.apply()
    text = (platform.root / "platform.yaml").read_text(encoding="utf-8")
    start, end = text.index("dispatcher:"), text.index("prune:")
    platform.edit("platform.yaml", text[start:end], "")
    platform.apply()
    assert platform.workers == ["egress-guard"]


def test_a_hostname_moves_between_customers_in_one_upload(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/customer.yaml", "hostnames: [shop.globex.com]", "hostnames: []")
    platform.edit("customers/initech/customer.yaml", "initech-old: {", "initech-old: {hostnames: [shop.globex.com], ")
    assert changes(platform) == {"dispatcher/acme-dispatcher": "update"}
    platform.apply()
    assert [call for call in platform.calls if call.startswith("PUT")] == ["PUT scripts/acme-dispatcher"]
    assert platform.led_to("shop.globex.com") == "initech-old"


def test_a_rename_creates_switches_and_deletes(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-store: {previously: [globex-shop], ")
    platform.apply(workers=1)
    writes = [call for call in platform.calls if not call.startswith("GET")]
    assert writes == [
        "PUT dispatch/namespaces/acme-production/scripts/globex-store",
        "PUT scripts/acme-dispatcher",
        "DELETE dispatch/namespaces/acme-production/scripts/globex-shop",
    ]
    assert platform.led_to("shop.globex.com") == "globex-store"


def test_a_rename_counts_as_no_delete(platform: Platform) -> None:
    platform.edit("platform.yaml", "max_deletes: {count: 25, percent: 50}", "max_deletes: {count: 0, percent: 1}")
    platform.apply()
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-store: {previously: [globex-shop], ")
    plan = platform.plan()
    assert [one.cause for one in plan.changes if one.action is Action.DELETE] == [Cause.RENAMED]
    platform.apply()


def test_a_protected_script_outlives_its_file(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {protect: true, ")
    platform.apply()
    platform.remove("customers/globex")
    plan = platform.plan()
    assert [str(change.key) for change in plan.withheld] == ["user_worker/globex-shop"]
    platform.apply()
    assert "globex-shop" in platform.scripts
    assert "globex-reports" not in platform.scripts


def test_a_protected_old_name_holds_its_rename_back_and_nothing_is_deleted(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {protect: true, ")
    platform.apply()
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-store: {previously: [globex-shop], ")
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    plan = platform.plan()
    assert {str(change.key) for change in plan.blocked} == {
        "user_worker/globex-store", "dispatcher/acme-dispatcher"
    }  # fmt: skip
    platform.apply()
    assert "initech-old" in platform.scripts  # it is routed to as long as the table is not switched


def test_an_approval_lets_go_of_what_is_protected_until_it_expires(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {protect: true, ")
    platform.apply()
    platform.edit(
        "customers/globex/customer.yaml",
        "  globex-shop: {protect: true, main: shop.mjs, hostnames: [shop.globex.com]}\n",
        "",
    )
    caps = "max_deletes: {count: 25, percent: 50}"
    approval = "approvals: [{delete: [globex-shop], reason: left, expires: %s}]"
    platform.edit("platform.yaml", caps, f"{caps}, {approval % '2026-11-23'}")
    platform.apply()
    assert "globex-shop" in platform.scripts
    platform.edit("platform.yaml", "2026-11-23", TODAY.isoformat())
    platform.apply()
    assert "globex-shop" not in platform.scripts


def test_the_cap_withholds_deletes_until_they_are_allowed(platform: Platform) -> None:
    platform.apply()
    platform.edit("platform.yaml", "percent: 50", "percent: 25")
    platform.remove("customers/initech")
    assert [problem.code for problem in platform.plan().refusals] == ["too-many-deletes", "table-cuts-off"]
    platform.apply()
    assert "initech-old" in platform.scripts
    assert platform.led_to("initech-old.acme.app") == "initech-old"
    platform.apply(allow_deletes=2)
    assert platform.scripts == ["globex-reports", "globex-shop"]


def test_an_empty_tree_deletes_nothing(platform: Platform) -> None:
    platform.apply()
    platform.remove("customers")
    assert [problem.code for problem in platform.plan().refusals] == ["tree-empty", "table-cuts-off"]
    platform.apply()
    assert len(platform.scripts) == 4
    assert platform.led_to("initech-old.acme.app") == "initech-old"


def test_without_prune_orphans_are_reported_and_stay(platform: Platform) -> None:
    platform.edit("platform.yaml", "prune: true", "prune: false")
    platform.apply()
    platform.remove("customers/initech")
    plan = platform.plan()
    assert [key.name for key in plan.orphans] == ["initech-old", "initech-status"]
    platform.apply()
    assert "initech-old" in platform.scripts


def test_a_foreign_script_is_left_alone(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere("stranger")
    assert [key.name for key in platform.plan().unmanaged] == ["stranger"]
    platform.apply()
    assert "stranger" in platform.scripts


def test_a_foreign_name_blocks_what_needs_it_and_the_rest_goes_on(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere("globex-new", "export default {};\n")
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  globex-new: {main: shop.mjs}\n")
    platform.edit("customers/initech/status.mjs", MODULE, HELLO_AGAIN)
    plan = platform.plan()
    assert [problem.code for problem in plan.problems] == ["foreign-name"]
    platform.apply()
    stored = platform.store.script("acme-production", "globex-new")
    assert stored is not None
    assert stored.modules[0].content == b"export default {};\n"
    explained = run.explained(platform.look(adopt=["globex-new"])).changes
    adopted = next(one for one in explained if one.key.name == "globex-new")
    assert words.cause(adopted) == "taken over and replaced"
    assert {one.note for one in platform.apply(adopt=["globex-new"])} == {"what it was is replaced", ""}
    assert platform.led_to("globex-new.acme.app") == "globex-new"


def test_adoption_of_equal_code_sets_marks_only(platform: Platform) -> None:
    platform.apply()
    platform.elsewhere("PUT", platform.script("globex-shop") + "/tags", json=["advanced", "eu", "globex"])
    platform.forget()
    assert [problem.code for problem in platform.plan().problems] == ["foreign-name"]
    change = run.explained(platform.look(adopt=["globex-shop"])).changes[0]
    assert words.cause(change) == "taken over as it is"
    results = platform.apply(adopt=["globex-shop"])
    assert [one.note for one in results] == ["its code stays: only our tags were set"]
    assert [call for call in platform.calls if call.startswith("PUT")] == [
        "PUT dispatch/namespaces/acme-production/scripts/globex-shop/tags"
    ]


def test_the_namespace_becomes_trusted_and_untrusted(platform: Platform) -> None:
    platform.edit("platform.yaml", "prune:", "trusted: true\nprune:")
    platform.apply()
    assert (found := platform.store.namespace("acme-production")) is not None
    assert found.trusted
    platform.edit("platform.yaml", "trusted: true\n", "")
    platform.apply()
    assert (found := platform.store.namespace("acme-production")) is not None
    assert not found.trusted


def test_a_listing_that_lags_behind_deletes_nothing(platform: Platform) -> None:
    """Fewer rows than the namespace counts: the listing is not the whole of it."""
    platform.apply()
    platform.faults.lag = 3600
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  globex-new: {main: shop.mjs}\n")
    platform.apply()
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    plan = platform.plan()
    assert [problem.code for problem in plan.refusals] == ["listing-incomplete"]
    assert plan.refusals[0].why == "the listing shows 4 scripts and the namespace counts 5"
    assert plan.refusals[0].fix == "run again; if it stays, `reconciler doctor` shows what the listing looks like"
    platform.apply()
    assert "initech-old" in platform.scripts
    platform.faults.lag = 0
    platform.apply()
    assert "initech-old" not in platform.scripts


def while_it_is_applied(platform: Platform, call: int | str, file: str, text: str) -> list[tuple[str, str]]:
    """Change a file when this call comes; gives what is said of the changes that did not take, and where."""

    def save(answer: Callable[[], httpx.Response]) -> httpx.Response:
        platform.write({file: text})
        return answer()

    platform.striking = Strike(call, save)
    results = platform.attempt()
    platform.striking = None
    return [(one.problem.what, str(one.problem.where)) for one in results if one.problem]


def test_code_that_changes_in_mid_apply_is_not_sent_before_a_plan_shows_it(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/globex/shop.mjs", MODULE, HELLO_AGAIN)
    told = while_it_is_applied(platform, 1, "customers/globex/shop.mjs", "export default {};  // nobody saw this\n")
    what = "script globex-shop has changed since the plan was made"
    assert told == [(what, "customers/globex/customer.yaml:4:3")]
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    assert stored.modules[0].content == MODULE.encode()
    assert changes(platform) == {"user_worker/globex-shop": "update"}
    platform.apply()


def test_a_static_file_that_changes_in_mid_apply_is_not_sent_under_the_hash_of_another(platform: Platform) -> None:
    """The account would keep it under that hash, for whoever declares the file that it is of."""
    page = "customers/globex/public/index.html"
    platform.write({page: "<h1>Shop</h1>"})
    platform.edit("customers/globex/customer.yaml", "main: shop.mjs", "main: shop.mjs, assets: {directory: public}")
    told = while_it_is_applied(platform, "assets-upload-session", page, "<h1>Other</h1>")
    assert ("the file has changed since the plan was made", f"{page}:1:1") in told
    platform.apply()
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    asset = platform.store.asset(stored.assets["/index.html"].hash)
    assert asset is not None
    assert asset.content == b"<h1>Other</h1>"
