"""Whatever goes wrong at whichever call, the next run makes up for it. The whole of it: `make faults`."""

from __future__ import annotations

import pytest

from tests.campaign.campaign import Task, campaign, figures, processes, tasks, told
from tests.campaign.faults import FAULTS

SAMPLE = 23  # every so-manieth call, another one for each fault


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_some_calls_is_made_up_for(fault: str) -> None:
    found = figures(Task("everything at once", fault, workers=4, step=SAMPLE))
    assert found.broken == []
    assert found.positions == found.converged >= 1


@pytest.mark.deep
def test_every_fault_at_every_call_is_made_up_for() -> None:
    found = list(campaign(tasks(), processes()))
    print(told(found))
    assert [broken for one in found for broken in one.broken] == []
    positions = sum(one.positions for one in found)
    assert positions == sum(one.converged for one in found) >= 2_000
    assert max(one.worst for one in found) <= 1
