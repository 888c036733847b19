"""A field that nobody knows hides nothing: what else is wrong in its file is told beside it."""

from __future__ import annotations

import datetime
import shutil
from collections import Counter
from pathlib import Path

import pytest

from reconciler.errors import ConfigError, Problem, Severity
from reconciler.load import customer_file, files, platform_file
from reconciler.load.files import CUSTOMER_FILE, PLATFORM_FILE
from tests.cases.test_cases import CASES, TODAY, make

UNKNOWN = "\nzzzzzzzz: 1\n"  # near to no field's name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_is_told_of_a_file_is_told_beside_an_unknown_field(case: Path, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    shutil.copytree(case / "repo", root, symlinks=True)
    if (case / "make").exists():
        make((case / "make").read_text(encoding="utf-8"), root)
    before, customers = _told(root, TODAY)
    files_of_it = [path for path in (root / PLATFORM_FILE, *customers) if _is_a_map(root, path)]
    for path in files_of_it:
        with path.open("a", encoding="utf-8") as file:
            file.write(UNKNOWN)
    after, _ = _told(root, TODAY)
    assert _codes(after - before) == Counter({"unknown-field": len(files_of_it)})
    assert not before - after


def _told(root: Path, today: datetime.date) -> tuple[Counter[Problem], list[Path]]:
    """What the files by themselves are told to have, and where the customers' are."""
    loaded = platform_file.load(root, "", {}, today)
    if loaded.terms is None:  # what customers depend on is not known: nothing is told of them but their own fields
        return Counter(loaded.problems), []
    customers = files.customers(root).customers
    problems = [one for folder in customers for one in customer_file.compile_folder(folder, loaded.terms).problems]
    return Counter([*loaded.problems, *problems]), [root / folder.path / CUSTOMER_FILE for folder in customers]


def _is_a_map(root: Path, path: Path) -> bool:
    """Whether a field can be added to it: it is read, and is valid already."""
    try:
        if path.name == PLATFORM_FILE:
            platform_file.read_source(root, "")
        else:
            with files.customer(root, path.parent.relative_to(root).as_posix()) as folder:
                customer_file.read_source(folder)
    except ConfigError:
        return False
    return path.read_text(encoding="utf-8").lstrip()[:1] not in ("{", "")


def _codes(problems: Counter[Problem]) -> Counter[str]:
    return Counter(one.code for one in problems.elements() if one.severity is Severity.ERROR)
