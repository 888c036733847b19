from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.github.api import GitHub
from tests.github.expressions import Expressions
from tests.github.hub import Hub, connected
from tests.github.world import Applied, World, first_apply, world


@pytest.fixture(scope="session")
def expressions() -> Iterator[Expressions]:
    process = Expressions()
    yield process
    process.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        yield one


@pytest.fixture
def github(hub: Hub) -> Iterator[GitHub]:
    one = connected(hub)
    yield one
    one.close()


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Applied:
    return first_apply(tmp_path_factory.mktemp("applied"))


@pytest.fixture
def acme(tmp_path: Path, expressions: Expressions, applied: Applied) -> Iterator[World]:
    """A platform that is live as its repository says."""
    with world(tmp_path, expressions, applied) as one:
        yield one
