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
from tests.scenarios.faults import PLANS
from tests.scenarios.platform import Killed, Platform, Strike

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
