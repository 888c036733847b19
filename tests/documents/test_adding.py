"""docs/adding.md, followed: each diff goes into a copy of the repository, and the tests that it brings pass there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.documents.picture import ROOT
from tests.documents.session import blocks

DIFFS = blocks(ROOT / "docs/adding.md", "diff")
COPIED = ("reconciler", "tests/unit", "tests/scenarios", "schemas")


def test_a_binding_kind_a_format_and_a_resource_kind_are_added_from_the_page_alone(tmp_path: Path) -> None:
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "pyproject.toml", *sorted((ROOT / "tests").glob("*.py"))):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    assert len(DIFFS) == 3
    for diff in DIFFS:
        done = subprocess.run(
            ["git", "apply", "-C1", "-"], cwd=tmp_path, input=diff, capture_output=True, text=True, env=_no_git()
        )
        assert done.returncode == 0, f"make the diff in docs/adding.md anew: {done.stderr}"
    tests = re.findall(r"^\+\+\+ b/(tests/\S+\.py)$", "".join(DIFFS), re.MULTILINE)
    assert len(tests) == len(set(tests)) == 4
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert (tmp_path / "reconciler/kinds/schedules.py").is_file()


def _no_git() -> dict[str, str]:
    """git applies to the folder that it stands in, whatever repository is around it."""
    return {**os.environ, "GIT_CEILING_DIRECTORIES": "/", "GIT_DIR": "/nonexistent"}
