"""No input makes a traceback, a hang, an escape, or shows a secret: `python -m tests.hostile.inputs 1 200` for more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.hostile.inputs import KINDS, attempt, prepared

A_FEW = 4
MANY = 120


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    prepared(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_inputs_of_each_kind(sample: Path, kind: str) -> None:
    _try(sample, kind, range(A_FEW))


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_many_inputs_of_each_kind(sample: Path, kind: str) -> None:
    _try(sample, kind, range(A_FEW, MANY))


def _try(sample: Path, kind: str, numbers: range) -> None:
    for number in numbers:
        tried = attempt(sample, KINDS[kind], random.Random(f"0 {kind} {number}"))
        assert not tried.failure, f"{kind}, number {number}: {tried.failure}"
