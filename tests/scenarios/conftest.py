"""The fixture that every scenario is told with, and the laws that hold at the end of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.local.switches import Switches
from tests.scenarios.platform import Platform


@pytest.fixture
def platform(make_platform: Callable[[], Platform]) -> Platform:
    """A repository with two customers and four scripts, and an account that holds nothing yet."""
    return make_platform()


@pytest.fixture
def make_platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Platforms by the form that their account's replies take. At the end of the scenario the next plan of each is
    empty, and no route ever led to nothing."""
    made: list[Platform] = []

    def make(switches: Switches | None = None) -> Platform:
        made.append(Platform(tmp_path / str(len(made)), switches))
        return made[-1]

    yield make
    for one in made:
        try:
            _at_rest(one)
        finally:
            one.store.close()


def _at_rest(platform: Platform) -> None:
    assert platform.dangling == []
    if not platform.written:
        return
    plan = platform.plan()
    assert [str(change.key) for change in plan.changes] == [], "the next plan is not empty"
    assert platform.dangling == []
