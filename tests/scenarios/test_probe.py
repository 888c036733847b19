"""`doctor --probe`: one scratch script tells what no document says, and plans and drift runs go by it."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import pytest

from reconciler import probing
from reconciler.errors import LocalError
from reconciler.local.faults import Fault, Kind
from reconciler.local.switches import Switches
from reconciler.look.replies import ApiError
from tests.scenarios.platform import Platform

NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
LIKELY = {
    "missing_script": "10092",
    "same_upload_moves": "modified_on",
    "settings_write_moves": "modified_on",
    "tags_write_moves": "modified_on",
    "secret_write_moves": "modified_on",
    "limits_read_back": "yes",
    "omitted_secrets": "dropped",
    "omitted_tags": "cleared",
    "ninth_tag": "refused (10021)",
    "page_size": "at least 5",
    "probed_on": "2026-11-26",
}
STILL: dict[str, Any] = {"modified_on_moved_by": frozenset()}
BLIND = {f"{write}_write_moves": "nothing" for write in ("settings", "tags", "secret")}
SECRET = "scripts:\n  globex-shop: {main: shop.mjs, secrets: {API_KEY: {env: KEY}}}\n"
ALL_MOVE = {"settings_write_moves": "etag, modified_on", "tags_write_moves": "etag, modified_on"}

MakePlatform = Callable[[Switches], Platform]


def probe(platform: Platform) -> Mapping[str, str]:
    return probing.probe(platform.connection(), NOW, sleep=platform.clock.sleep)


@pytest.mark.parametrize(
    ("switches", "differing"),
    [
        (Switches(), {}),
        (Switches(rows="nested", tags_in_rows=False, etag_in_rows=False), {}),
        (Switches(**STILL), BLIND),
        (Switches(etag_moved_by=frozenset(("metadata", "tags"))), ALL_MOVE),
        (Switches(etag_moved_by=frozenset(("secrets",)), **STILL), {**BLIND, "secret_write_moves": "etag"}),
        (Switches(missing_script="null"), {"missing_script": "null"}),
        (Switches(omitted_tags="kept"), {"omitted_tags": "kept"}),
        (Switches(secrets_without_keep="kept"), {"omitted_secrets": "kept"}),
        (Switches(page_size=3), {"page_size": "3"}),
    ],
)
def test_each_answer_is_what_the_account_does(
    make_platform: MakePlatform, switches: Switches, differing: Mapping[str, str]
) -> None:
    platform = make_platform(switches)
    platform.apply()
    before = platform.scripts
    assert probe(platform) == {**LIKELY, **differing}
    assert platform.scripts == before
    assert len(platform.calls) < 45
    assert platform.connection().answers == {**LIKELY, **differing}


def test_a_probe_that_breaks_off_removes_its_script(platform: Platform) -> None:
    platform.apply()
    platform.faults.add(Fault(Kind.UNSUCCESSFUL, "PATCH", f"*/{probing.SCRIPT}/settings"))
    with pytest.raises(ApiError):
        probe(platform)
    assert probing.SCRIPT not in platform.scripts
    assert platform.connection().answers == {}


def test_a_token_that_may_not_write_is_told_by_the_write(platform: Platform) -> None:
    platform.apply()
    for method in ("PUT", "DELETE"):
        platform.faults.add(Fault(Kind.UNSUCCESSFUL, method, f"*/{probing.SCRIPT}"))
    with pytest.raises(ApiError, match="PUT"):
        probe(platform)


def test_what_a_killed_probe_left_is_the_next_ones_to_remove_and_nobody_elses_script_is(platform: Platform) -> None:
    platform.apply()
    platform.upload_elsewhere(probing.SCRIPT)
    with pytest.raises(LocalError, match="is not ours"):
        probe(platform)
    assert probing.SCRIPT in platform.scripts
    platform.elsewhere("PUT", platform.script(probing.SCRIPT) + "/tags", json=[probing.TAG])
    probe(platform)
    assert probing.SCRIPT not in platform.scripts


def test_without_a_namespace_nothing_is_probed(platform: Platform) -> None:
    with pytest.raises(LocalError, match="there is no namespace acme-production"):
        probe(platform)
    assert [call for call in platform.calls if not call.startswith("GET")] == []


def test_a_plan_warns_of_what_this_accounts_listing_does_not_show(make_platform: MakePlatform) -> None:
    platform = make_platform(Switches(**STILL))
    platform.apply()
    assert platform.plan().warnings == ()
    probe(platform)
    (warning,) = platform.plan().warnings
    assert warning.what.startswith(
        "changes by hand of settings (limits, bindings, observability) and of secrets do not"
    )
    assert platform.plan(verify=1).warnings == ()


@pytest.mark.parametrize(("still", "saved"), [(True, 1), (False, 0)])
def test_where_writes_of_tags_and_secrets_move_nothing_no_row_is_read_again(
    make_platform: MakePlatform, still: bool, saved: int
) -> None:
    platform = make_platform(Switches(**STILL) if still else Switches())
    platform.variables["KEY"] = "value"
    platform.apply()
    probe(platform)
    platform.write({"customers/globex/customer.yaml": f"tier: advanced\n{SECRET}"})
    platform.remove("customers/globex/reports.mjs")
    plan = platform.plan()
    platform.apply()
    calls = [call for call in platform.calls if "/globex-shop" in call]
    assert len(calls) == 7 - 2 * saved
    assert [change.key.name for change in plan.changes if change.key.name == "globex-shop"] != []
    platform.edit("customers/globex/customer.yaml", "env: KEY", "env: KEY, version: 2")
    assert platform.plan().cost.requests == 7 - 2 * saved
    platform.apply()


def test_false_answers_in_a_ledger_cost_an_upload_and_nothing_else(platform: Platform) -> None:
    platform.variables["KEY"] = "value"
    platform.apply()
    with closing(sqlite3.connect(platform.ledger)) as ledger, ledger:
        scope = ledger.execute("SELECT scope FROM entry").fetchone()[0]
        rows = [(scope, question, answer) for question, answer in BLIND.items()]
        ledger.executemany("INSERT INTO answer VALUES (?, ?, ?)", rows)
    platform.write({"customers/globex/customer.yaml": f"tier: advanced\n{SECRET}"})
    platform.remove("customers/globex/reports.mjs")
    platform.apply()
    assert platform.drift() == {"user_worker/globex-shop": "drifted"}
    probe(platform)
    platform.apply()
