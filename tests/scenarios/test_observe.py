"""Foreign scripts that are watched with `drift --observe`: what changed of them is told, and nothing is written."""

from __future__ import annotations

import json

import pytest

from reconciler.local.faults import Fault, Kind
from reconciler.observe import observe
from tests.scenarios.platform import MODULE, Platform

BY_HAND = MODULE.replace("hello", "by hand")
SCRIPTS = ("globex-reports", "globex-shop", "initech-old", "initech-status")


@pytest.fixture
def foreign(platform: Platform) -> Platform:
    """Scripts that the repository declares as they are, and that nobody has taken over: as after an import."""
    platform.apply()
    for row in platform.store.rows("acme-production"):
        tags = [tag for tag in row.tags or () if not tag.startswith("rcn-")]
        platform.elsewhere("PUT", platform.script(row.name) + "/tags", json=tags[:1])  # nor has each its tier
    platform.forget()
    return platform


def settings(platform: Platform, name: str, **changed: object) -> None:
    files = {"settings": ("settings", json.dumps(changed), "application/json")}
    platform.elsewhere("PATCH", platform.script(name) + "/settings", files=files)


def reads(platform: Platform) -> list[str]:
    return [call for call in platform.calls if call.endswith(("/settings", "/content"))]


def test_what_is_declared_and_as_it_should_be_is_nothing_to_tell_and_is_read_once(foreign: Platform) -> None:
    assert foreign.drift() == {f"user_worker/{name}": "unmanaged" for name in SCRIPTS}
    assert foreign.drift(observe=["*"]) == {}
    assert len(reads(foreign)) == 2 * len(SCRIPTS)
    assert foreign.drift(observe=["*"]) == {}
    assert reads(foreign) == []


def test_what_is_not_what_the_repository_says_is_told_until_it_is(foreign: Platform) -> None:
    assert foreign.drift(observe=["*"]) == {}
    settings(foreign, "globex-reports", limits={"cpu_ms": 1000})
    foreign.upload_elsewhere("globex-shop", BY_HAND)
    for _ in range(2):
        found = {one.key.name: one for one in foreign.findings(observe=["*"])}
        assert {name: one.kind for name, one in found.items()} == {
            "globex-reports": "observed",
            "globex-shop": "observed",
        }
    assert found["globex-reports"].explanation == "limits.cpu_ms 1000 → 80, limits.subrequests none → 50"
    assert (found["globex-shop"].customer, found["globex-shop"].who) == ("globex", "api")
    assert len(reads(foreign)) == 4
    foreign.edit("customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 1000, subrequests: null")
    assert foreign.drift(observe=["*"]) == {
        "user_worker/globex-shop": "observed",
        "dispatcher/acme-dispatcher": "pending",  # which routes with those limits
    }


def test_a_change_of_the_repository_is_one_too(foreign: Platform) -> None:
    assert foreign.drift(observe=["*"]) == {}
    foreign.edit("customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 70")
    assert foreign.drift(observe=["*"])["user_worker/globex-reports"] == "observed"


def test_what_nobody_declares_is_held_against_the_run_before(foreign: Platform) -> None:
    foreign.upload_elsewhere("stranger")
    foreign.upload_elsewhere("another")
    untouched = {"user_worker/another": "unmanaged", "user_worker/stranger": "unmanaged"}
    assert foreign.drift(observe=["*"]) == untouched
    assert foreign.drift(observe=["*"]) == untouched
    foreign.upload_elsewhere("stranger", BY_HAND)
    foreign.elsewhere("DELETE", foreign.script("another"))
    assert set(foreign.drift()) == {f"user_worker/{name}" for name in (*SCRIPTS, "stranger")}  # and forgets nothing
    found = {one.key.name: (one.kind, one.explanation) for one in foreign.findings(observe=["*"])}
    assert found == {
        "another": ("observed", "gone since the last look"),
        "stranger": ("observed", "written again since the last look"),
    }
    assert foreign.drift(observe=["*"]) == {"user_worker/stranger": "unmanaged"}


def test_with_a_scope_only_what_its_customers_declare_is_watched(foreign: Platform) -> None:
    foreign.upload_elsewhere("stranger")
    foreign.upload_elsewhere("globex-shop", BY_HAND)
    foreign.upload_elsewhere("initech-old", BY_HAND)
    outlook = foreign.look()
    found = observe(outlook.connection, outlook.desired, outlook.live, frozenset("*"), scope=frozenset(["globex"]))
    assert {key.name for key in found} == {"globex-reports", "globex-shop"}


def test_one_name_is_watched_alone_and_another_platforms_by_name_only(foreign: Platform) -> None:
    foreign.elsewhere("PUT", foreign.script("globex-shop") + "/tags", json=["rcn-other", "globex"])
    found = foreign.drift(observe=["initech-*"])
    assert set(found) == {"user_worker/globex-reports", "user_worker/globex-shop"}
    assert foreign.drift(observe=["globex-*"])["user_worker/globex-shop"] == "unmanaged"
    assert "user_worker/globex-shop" not in foreign.drift(observe=["globex-shop"])


def test_a_declared_script_that_is_gone_is_told_instead_of_pending(foreign: Platform) -> None:
    foreign.drift(observe=["*"])
    foreign.elsewhere("DELETE", foreign.script("initech-old"))
    assert foreign.drift(observe=["*"]) == {"user_worker/initech-old": "observed"}
    foreign.dangling.clear()
    foreign.apply(adopt=["*"])
    foreign.dangling.clear()
    assert foreign.drift(observe=["*"]) == {}


def test_what_cannot_be_read_is_no_drift_and_is_read_again(foreign: Platform) -> None:
    foreign.faults.add(Fault(Kind.UNSUCCESSFUL, "GET", "*/globex-shop/settings"))
    (found,) = foreign.findings(observe=["*"])
    assert (found.key.name, found.kind) == ("globex-shop", "unmanaged")
    assert found.explanation.startswith("not read back: ")
    foreign.faults.clear()
    assert foreign.drift(observe=["*"]) == {}
    assert len(reads(foreign)) == 2


def test_expected_drift_mutes_what_is_observed(foreign: Platform) -> None:
    expected = "expected_drift: [{names: [globex-shop], reason: an experiment, expires: 2026-12-01}]\n"
    text = (foreign.root / "platform.yaml").read_text(encoding="utf-8")
    foreign.write({"platform.yaml": text + expected})
    foreign.upload_elsewhere("globex-shop", BY_HAND)
    assert foreign.drift(observe=["*"]) == {"user_worker/globex-shop": "expected"}
