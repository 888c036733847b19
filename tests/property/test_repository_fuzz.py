"""No input file makes a traceback, a crash, a load over two seconds or memory over 300 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "repository_fuzz.py"


def campaign(seed: int, count: int) -> None:
    done = subprocess.run(
        [sys.executable, str(FUZZ), str(seed), str(count)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr}"
    result = json.loads(done.stdout)
    assert not result["failure"], result["failure"]
    assert result["bad"] > count // 4, "mutations that break nothing test nothing"
    assert result["slowest"] < 2
    assert result["memory"] < 300


def test_mutated_repositories_are_loaded_or_told() -> None:
    campaign(seed=0, count=40)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_mutated_repositories_are_loaded_or_told(seed: int) -> None:
    campaign(seed, count=1_500)
