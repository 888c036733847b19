"""Logs, traces and tail Workers of dispatcher and scripts, set in one place."""

from __future__ import annotations

from typing import Any

from reconciler.local.store import ORDINARY
from tests.scenarios.platform import Platform

TAIL = "export default { tail(events) { console.log(events.length); } };\n"


def settings(platform: Platform, name: str, namespace: str = ORDINARY) -> dict[str, Any]:
    stored = platform.store.script(namespace, name)
    assert stored is not None
    observed = ("logpush", "observability", "tail_consumers")
    return {key: stored.metadata[key] for key in observed if key in stored.metadata}


def test_what_defaults_say_holds_for_scripts_and_for_the_platforms_own_workers(platform: Platform) -> None:
    platform.edit(
        "platform.yaml",
        "defaults: {",
        "egress: {allow: [api.example.com]}\ndefaults: {observability: {enabled: true}, logpush: true, ",
    )
    platform.apply()
    observed = {"observability": {"enabled": True}, "logpush": True}
    for worker in ("acme-dispatcher", "egress-guard", "acme-egress"):
        assert settings(platform, worker) == observed
    assert settings(platform, "globex-shop", "acme-production") == observed
    assert platform.drift(verify=None) == {}


def test_the_dispatcher_names_each_tail_worker_and_lets_go_of_it_before_it_is_deleted(platform: Platform) -> None:
    platform.edit("platform.yaml", "tiers:", "tail_workers: {acme-tail: {}, own: {main: platform/tail.mjs}}\ntiers:")
    platform.write({"platform/tail.mjs": TAIL})
    platform.apply()
    assert settings(platform, "acme-dispatcher") == {"tail_consumers": [{"service": "acme-tail"}, {"service": "own"}]}
    uploads = [call for call in platform.calls if call.startswith("PUT scripts/")]
    assert uploads.index("PUT scripts/acme-dispatcher") > max(
        map(uploads.index, ("PUT scripts/acme-tail", "PUT scripts/own"))
    )
    assert platform.drift(verify=None) == {}

    platform.edit("platform.yaml", "tail_workers: {acme-tail: {}, own: {main: platform/tail.mjs}}\n", "")
    platform.apply(allow_deletes=2)
    assert settings(platform, "acme-dispatcher") == {}
    assert platform.workers == ["acme-dispatcher", "egress-guard"]
    ended = [call for call in platform.calls if call.startswith(("PUT scripts/", "DELETE scripts/"))]
    assert ended[0] == "PUT scripts/acme-dispatcher"


def test_a_dispatcher_may_say_itself_who_gets_its_events(platform: Platform) -> None:
    platform.edit("platform.yaml", "tiers:", "tail_workers: {acme-tail: {}}\ntiers:")
    platform.edit("platform.yaml", "  name: acme-dispatcher\n", "  name: acme-dispatcher\n  tail_consumers: []\n")
    platform.edit("customers/globex/customer.yaml", "tier:", "tail_consumers: [{service: acme-tail}]\ntier:")
    platform.apply()
    assert settings(platform, "acme-dispatcher") == {}
    for name, told in (("globex-shop", {"tail_consumers": [{"service": "acme-tail"}]}), ("initech-old", {})):
        assert settings(platform, name, "acme-production") == told
