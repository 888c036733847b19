"""The outbound Worker that ships here: configured by `egress`, a part of the plan like any other."""

from __future__ import annotations

import pytest

from reconciler.errors import ReconcilerError
from reconciler.local.store import ORDINARY
from tests.scenarios.platform import Platform

EGRESS = """\
egress:
  allow: [api.example.com]
  headers: [{name: x-key, hosts: [api.example.com], secret: KEY}]
  secrets: {KEY: {env: PARTNER_KEY}}
"""


@pytest.fixture
def guarded(platform: Platform) -> Platform:
    """A platform at rest whose basic tier goes through the default outbound Worker."""
    platform.edit("platform.yaml", "tiers:", f"{EGRESS}tiers:")
    platform.edit("platform.yaml", "outbound_worker: egress-guard}", "outbound_worker: default}")
    platform.variables = {"PARTNER_KEY": "partner-key"}
    platform.apply()
    return platform


def rules(platform: Platform) -> str:
    stored = platform.store.script(ORDINARY, "acme-egress")
    assert stored is not None
    return next(one.content for one in stored.modules if one.name == "egress_rules.mjs").decode()


def changes(platform: Platform) -> list[str]:
    return [str(one.key) for one in platform.plan().changes]


def test_it_is_there_before_the_dispatcher_leads_through_it(guarded: Platform) -> None:
    stored = guarded.store.script(ORDINARY, "acme-egress")
    assert stored is not None
    assert stored.secrets["KEY"]["text"] == "partner-key"
    assert "partner-key" not in rules(guarded)
    assert guarded.drift(verify=None) == {}


def test_a_change_of_the_rules_uploads_it_alone(guarded: Platform) -> None:
    guarded.variables = {}  # its secret is live already
    guarded.edit(
        "platform.yaml", "allow: [api.example.com]", "allow: [api.example.com]\n  customers: {initech: {deny: [x.com]}}"
    )
    assert changes(guarded) == ["outbound_worker/acme-egress"]
    guarded.apply()
    assert '"x.com"' in rules(guarded)


def test_a_new_version_of_its_secret_needs_the_value(guarded: Platform) -> None:
    guarded.edit("platform.yaml", "{env: PARTNER_KEY}", "{env: PARTNER_KEY, version: 2}")
    guarded.variables = {}
    with pytest.raises(ReconcilerError):
        guarded.attempt()
    assert guarded.calls == []
    guarded.variables = {"PARTNER_KEY": "second-key"}
    guarded.apply()


def test_it_goes_when_the_dispatcher_has_let_go_of_it(guarded: Platform) -> None:
    guarded.edit("platform.yaml", EGRESS, "")
    guarded.edit("platform.yaml", "outbound_worker: default}", "outbound_worker: egress-guard}")
    guarded.apply()
    writes = [call for call in guarded.calls if not call.startswith("GET ")]
    assert writes[-1] == "DELETE scripts/acme-egress"
    assert guarded.workers == ["acme-dispatcher", "egress-guard"]
