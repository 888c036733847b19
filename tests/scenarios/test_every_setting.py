"""One script with every setting that an upload takes: sent as it is written, read back, and at rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.load.settings import SETTINGS
from tests.scenarios.platform import Platform

LOGS = {"enabled": True, "invocation_logs": False, "head_sampling_rate": 0.1, "persist": True, "destinations": ["a"]}
TRACES = {"enabled": True, "head_sampling_rate": 0.2, "persist": False, "destinations": ["b"]}
SAID: dict[str, Any] = {
    "compatibility_date": "2026-09-01",
    "compatibility_flags": ["nodejs_compat", "global_fetch_strictly_public"],
    "limits": {"cpu_ms": 30, "subrequests": 7},
    "observability": {
        "enabled": True,
        "head_sampling_rate": 0.5,
        "logs": LOGS,
        "traces": {**TRACES, "propagation_policy": "accept"},
        "issues": {"enabled": True},
        "redact_query_string": True,
    },
    "logpush": True,
    "tail_consumers": [{"service": "acme-dispatcher"}],
    "placement": {"mode": "smart"},
    "cache_options": {"enabled": True, "cross_version_cache": True},
    "usage_model": "bundled",
}
UNSAID: dict[str, Any] = {
    "observability": {"enabled": False, "logs": {"enabled": False}, "traces": {"enabled": False}},
    "logpush": False,
    "cache_options": {"enabled": False, "cross_version_cache": False},
    "usage_model": "standard",
}


def test_the_sample_says_every_setting() -> None:
    assert SAID.keys() == set(SETTINGS)


@pytest.mark.parametrize("settings", [SAID, UNSAID, {}], ids=["on", "off", "none"])
def test_every_setting_is_sent_as_it_is_written_and_rests(platform: Platform, settings: dict[str, Any]) -> None:
    platform.apply()
    customer = {"tier": "advanced", "scripts": {"globex-shop": {"main": "shop.mjs", **settings}}}
    platform.write({"customers/globex/customer.yaml": json.dumps(customer)})  # JSON is YAML
    platform.apply()
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    assert {name: stored.metadata.get(name) for name in settings} == settings
    assert not platform.plan(verify=None)
    assert platform.drift(verify=None) == {}
