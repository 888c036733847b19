"""docs/adding.md, followed: each diff goes into a copy of the repository, and the tests that it brings pass there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.picture import ROOT
from tests.documents.session import blocks

DIFFS = blocks(ROOT / "docs/adding.md", "diff")
COPIED = ("reconciler", "tests/unit", "tests/scenarios", "schemas")


TESTS = re.findall(r"^\+\+\+ b/(tests/\S+\.py)$", "".join(DIFFS), re.MULTILINE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's code and the tests beside it, with the diffs of the page applied."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "pyproject.toml", *sorted((ROOT / "tests").glob("*.py"))):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    # git applies to the folder that it stands in, whatever repository is around it.
    alone = {**os.environ, "GIT_CEILING_DIRECTORIES": "/", "GIT_DIR": "/nonexistent"}
    for diff in DIFFS:
        words = ("git", "apply", "-C1", "-")
        done = subprocess.run(words, cwd=tmp_path, input=diff, capture_output=True, text=True, env=alone)
        assert done.returncode == 0, f"make the diff in docs/adding.md anew: {done.stderr}"
    return tmp_path


def test_the_diffs_of_the_page_fit(copy: Path) -> None:
    assert len(DIFFS) == 3
    assert len(TESTS) == len(set(TESTS)) == 4
    assert (copy / "reconciler/kinds/schedules.py").is_file()


@pytest.mark.deep
def test_a_binding_kind_a_format_and_a_resource_kind_are_added_from_the_page_alone(copy: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *TESTS,
            "tests/scenarios/test_every_binding.py",
        ],
        cwd=copy,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
