"""A limit or a binding that Cloudflare takes and does not keep: the change fails, and the next run repeats it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.kinds import dispatcher
from reconciler.plan.results import Outcome
from tests.scenarios.platform import MODULE, Platform, Strike

REPORTS = "scripts/globex-reports"


def dropping(platform: Platform, name: str, namespace: str = "acme-production", **left: Any) -> Strike:
    """The upload of a Worker, with settings that are not what was sent by the time the reply is there."""
    part = {"settings": ("settings", json.dumps(left), "application/json")}

    def how(answer: Callable[[], httpx.Response]) -> httpx.Response:
        reply = answer()
        if json.loads(reply.content)["result"].get("startup_time_ms") is not None:
            platform.elsewhere("PATCH", platform.script(name, namespace=namespace) + "/settings", files=part)
        return reply

    return Strike(f"scripts/{name}", how)


def failed(platform: Platform, strike: Strike) -> dict[str, str]:
    platform.striking = strike
    results = platform.attempt(workers=1)
    platform.striking = None
    return {one.key.name: one.problem.what for one in results if one.outcome is Outcome.FAILED and one.problem}


def test_a_limit(platform: Platform) -> None:
    told = failed(platform, dropping(platform, "globex-reports", limits=None))
    assert told == {
        "globex-reports": "script globex-reports was uploaded, and Cloudflare dropped limit cpu_ms, limit subrequests"
    }
    platform.apply()


def test_a_binding(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "{cpu_ms: 80}}", "{cpu_ms: 80}, vars: {A: text}}")
    told = failed(platform, dropping(platform, "globex-reports", bindings=[]))
    assert told["globex-reports"].endswith("dropped binding A")
    platform.apply()


def test_an_outbound_worker_of_the_dispatcher(platform: Platform) -> None:
    """Without it, all that customers fetch would go past the guard."""
    repository = platform.load()
    worker = dispatcher.wanted(repository, next(dispatcher.desired(repository)))
    assert worker is not None
    open_to_all = [{key: value for key, value in one.items() if key != "outbound"} for one in worker.bindings]
    told = failed(platform, dropping(platform, "acme-dispatcher", "", bindings=open_to_all))
    assert "and Cloudflare dropped binding " in told["acme-dispatcher"]
    platform.apply()


@pytest.mark.parametrize("secret", ["lost", "kept"])
def test_a_secret(platform: Platform, secret: str) -> None:
    platform.variables = {"KEY": "value"}
    platform.edit("customers/globex/customer.yaml", "{cpu_ms: 80}}", "{cpu_ms: 80}, secrets: {KEY: {env: KEY}}}")

    def how(answer: Callable[[], httpx.Response]) -> httpx.Response:
        reply = answer()
        if secret == "lost":
            platform.elsewhere("DELETE", platform.script("globex-reports") + "/secrets/KEY")
        return reply

    told = failed(platform, Strike("globex-reports/secrets-bulk", how))
    assert list(told) == (["globex-reports"] if secret == "lost" else [])
    platform.apply()
    assert not platform.plan(verify=None)


def test_it_is_asked_once_for_each_kind_and_remembered(platform: Platform) -> None:
    def read_back() -> list[str]:
        return [call for call in platform.calls if call.endswith("/settings")]

    planned = platform.plan().cost.requests
    looked = len(platform.calls)
    platform.apply(workers=1)  # in the order of names, so that no Worker answers for two kinds at once
    assert len(read_back()) == 3  # limits of a user Worker, a variable of another, the bindings of the dispatcher
    assert len(platform.calls) == looked + planned + 1  # the variable, which no plan knows of
    platform.edit("customers/globex/shop.mjs", MODULE, MODULE.replace("hello", "hi"))
    platform.edit("customers/initech/customer.yaml", "hello", "hi")
    platform.apply()
    assert read_back() == []
    platform.edit("customers/globex/customer.yaml", "{cpu_ms: 80}}", "{cpu_ms: 80}, vars: {A: {b: 1}}}")
    platform.apply()
    assert len(read_back()) == 1
