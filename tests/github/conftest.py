from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.github.expressions import Expressions
from tests.github.world import World, world


@pytest.fixture(scope="session")
def expressions() -> Iterator[Expressions]:
    process = Expressions()
    yield process
    process.close()


@pytest.fixture
def acme(tmp_path: Path, expressions: Expressions) -> Iterator[World]:
    with world(tmp_path, expressions) as one:
        yield one
