"""Whatever goes wrong at whichever call: nothing foreign is touched, no route ever leads to nothing, and the next run
makes up for it.

The campaign is every call of three plans times every fault; run it with `pytest -m deep tests/scenarios`. A sample of
it goes with the normal tests.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from reconciler.errors import ReconcilerError
from reconciler.plan.results import Outcome
from tests.scenarios.platform import MODULE, Killed, Platform, Strike

Answer = Callable[[], httpx.Response]
BLOCK = 300  # seconds: what Cloudflare asks of who went past the limit
FROM_HERE_ON = 10**6


def rate_limited(answer: Answer) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": str(BLOCK)}, json={"success": False, "errors": [{"code": 971}]})


def server_error(answer: Answer) -> httpx.Response:
    return httpx.Response(500, json={"success": False, "errors": [{"code": 10002, "message": "internal"}]})


def dropped_before(answer: Answer) -> httpx.Response:
    raise httpx.ReadError("the connection was dropped before the call was processed")


def dropped_after(answer: Answer) -> httpx.Response:
    answer()
    raise httpx.ReadError("the connection was dropped when the call was processed")


def killed_before(answer: Answer) -> httpx.Response:
    raise Killed


def killed_after(answer: Answer) -> httpx.Response:
    answer()
    raise Killed


@dataclass(frozen=True)
class Fault:
    how: Callable[[Answer], httpx.Response]
    times: int = 1


FAULTS: Mapping[str, Fault] = {
    "429": Fault(rate_limited),
    "500": Fault(server_error),
    "500 from here on": Fault(server_error, FROM_HERE_ON),
    "dropped before": Fault(dropped_before),
    "dropped after": Fault(dropped_after),
    "dropped before, from here on": Fault(dropped_before, FROM_HERE_ON),
    "dropped after, from here on": Fault(dropped_after, FROM_HERE_ON),
    "killed before": Fault(killed_before),
    "killed after": Fault(killed_after),
}
RIDDEN_OUT = ("429",)  # always; a 500 and a dropped connection are, where the call may be repeated


# The plans: what is live first, and what then changes.


def first_apply(platform: Platform) -> None:
    """Everything is new, the namespace too."""
    platform.edit("platform.yaml", "prune:", "trusted: true\nprune:")


def everything_at_once(platform: Platform) -> None:
    """An edit, a rename, a script less, a hostname that moves, an outbound Worker exchanged, the dispatcher renamed,
    a route more, a domain less, secrets and static files."""
    platform.apply()
    platform.variables = {"KEY": "value"}
    platform.write({"platform/second.mjs": MODULE, "customers/globex/public/index.html": "<h1>Shop</h1>"})
    platform.edit(
        "platform.yaml", "  egress-guard: {main: platform/egress-guard.mjs", "  second: {main: platform/second.mjs"
    )
    platform.edit("platform.yaml", "outbound_worker: egress-guard", "outbound_worker: second")
    platform.edit("platform.yaml", "name: acme-dispatcher", "name: acme-front")
    platform.edit("platform.yaml", "zone: acme.app}", "zone: acme.app}, {pattern: globex.com/*, zone: globex.com}")
    platform.edit("platform.yaml", "[acme.app]", "[]")
    platform.write(
        {
            "customers/globex/customer.yaml": """\
tier: advanced
scripts:
  globex-store: {main: shop.mjs, previously: [globex-shop], secrets: {KEY: {env: KEY}}, assets: {directory: public}}
  globex-reports: {main: reports.mjs, limits: {cpu_ms: 90}}
""",
            "customers/initech/customer.yaml": """\
tier: basic
scripts:
  initech-status: {main: status.mjs, hostnames: [shop.globex.com], secrets: {KEY: {env: KEY}}}
""",
        }
    )


def table_in_kv(platform: Platform) -> None:
    """A table in Workers KV loses some addresses and gets others, while scripts come and go."""
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    names = "".join(f"    - host-{number:03}.example.com\n" for number in range(400))
    customer = f"tier: basic\nscripts:\n  big:\n   main: big.mjs\n   hostnames:\n{names}"
    platform.write({"customers/big/customer.yaml": customer, "customers/big/big.mjs": MODULE})
    platform.apply()
    platform.edit("customers/big/customer.yaml", "  big:\n", "  bigger:\n   previously: [big]\n")
    platform.edit("customers/initech/customer.yaml", "initech-old", "initech-new")


PLANS = {"first apply": first_apply, "everything at once": everything_at_once, "table in KV": table_in_kv}
SAMPLE = 5  # calls of a plan that are struck in the normal run


@dataclass(frozen=True)
class Prepared:
    """A scenario up to the apply that goes wrong, in folders to copy."""

    folder: Path
    variables: Mapping[str, str]
    calls: int  # of an apply that nothing befalls

    def again(self, folder: Path) -> Platform:
        shutil.copytree(self.folder, folder)
        platform = Platform(folder, write=False)
        platform.variables = dict(self.variables)
        return platform


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Prepared]:
    known: dict[str, Prepared] = {}

    def prepare(name: str) -> Prepared:
        if name not in known:
            folder = tmp_path_factory.mktemp("prepared") / "platform"
            platform = Platform(folder)
            PLANS[name](platform)
            if platform.store.has_namespace("acme-production"):
                platform.upload_elsewhere("stranger", "export default {};\n")
            platform.upload_elsewhere("strange-worker", "export default {};\n", namespace="")
            platform.store.close()
            known[name] = Prepared(folder, platform.variables, 0)
            rehearsal = known[name].again(folder.with_name("rehearsal"))
            rehearsal.apply(workers=1)
            known[name] = Prepared(folder, platform.variables, len(rehearsal.calls))
            rehearsal.store.close()
        return known[name]

    return prepare


def strike(prepared: Prepared, folder: Path, fault: Fault, at: int, workers: int) -> str:
    """One run of the campaign; returns how the struck run ended."""
    platform = prepared.again(folder)
    foreign = strangers(platform)
    ended = attempt(platform, Strike(at, fault.how, fault.times), workers)
    assert platform.dangling == []
    assert strangers(platform) == foreign

    assert attempt(platform, None, workers) == "applied"
    assert not platform.plan(), "the run after did not converge"
    assert platform.dangling == []
    assert strangers(platform) == foreign
    assert platform.drift() == ({"user_worker/stranger": "unmanaged"} if foreign[0] is not None else {})
    platform.store.close()
    shutil.rmtree(folder)
    return ended


def attempt(platform: Platform, strike: Strike | None, workers: int) -> str:
    platform.striking = strike
    try:
        results = platform.attempt(workers=workers)
    except Killed:
        return "killed"
    except ReconcilerError as error:
        assert error.exit_code == 1
        return "refused"
    finally:
        platform.striking = None
    return "applied" if all(one.outcome is Outcome.APPLIED for one in results) else "in part"


def strangers(platform: Platform) -> list[object]:
    """What is someone else's, to the byte and to the time of its last change."""
    return [platform.store.script("acme-production", "stranger"), platform.store.script("", "strange-worker")]


def held_to(fault: str, ended: str) -> None:
    if fault.startswith("killed"):
        assert ended == "killed"
    elif fault in RIDDEN_OUT:
        assert ended == "applied"
    elif fault.endswith("from here on"):
        assert ended in ("refused", "in part")
    else:
        assert ended in ("applied", "in part")  # a POST that may have been processed is not sent twice


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_some_calls_is_made_up_for(fault: str, prepared: Callable[[str], Prepared], tmp_path: Path) -> None:
    plan = prepared("everything at once")
    step = max(1, plan.calls // SAMPLE)
    for at in range(1 + len(fault) % step, plan.calls + 1, step):
        held_to(fault, strike(plan, tmp_path / str(at), FAULTS[fault], at, workers=4))


@pytest.mark.deep
@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", PLANS)
def test_a_fault_at_any_call_is_made_up_for(
    name: str,
    fault: str,
    workers: int,
    prepared: Callable[[str], Prepared],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    plan = prepared(name)
    ends: Counter[str] = Counter()
    for at in range(1, plan.calls + 1):
        ended = strike(plan, tmp_path / str(at), FAULTS[fault], at, workers)
        held_to(fault, ended)
        ends[ended] += 1
    record_property("ends", dict(ends))
    print(f"{name}, {fault}, {workers} at a time: {plan.calls} calls struck, {dict(ends)}")
