"""A mistake that the schema finds hides nothing and invents nothing: what else is wrong is told beside it, and what is
right is not."""

from __future__ import annotations

import copy
import datetime
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ConfigError, Problem, Severity
from reconciler.load import config, customer_file, files, platform_file, source
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


# Whose names are the user's own: another name is another thing, which what refers to it then misses.
NAMES = {
    "scripts", "tiers", "bindings", "vars", "secrets", "outbound_workers", "tail_workers", "platform_modules",
    "environments", "customers",
}  # fmt: skip


@pytest.mark.parametrize("environment", ["", pytest.param("staging", marks=pytest.mark.deep)])
def test_one_mistake_is_one_problem_wherever_it_stands(environment: str, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    shutil.copytree(CASES[0].parent / "every-section" / "repo", root)
    tried = 0
    for path in (root / PLATFORM_FILE, *sorted(root.glob(f"customers/**/{CUSTOMER_FILE}"))):
        text = path.read_text(encoding="utf-8")
        for what, wrong in _with_one_mistake(source.parse(path.name, text.encode()).data):
            path.write_text(json.dumps(wrong), encoding="utf-8")  # which is YAML
            problems = _all(root, environment)
            assert len(problems) <= 1, (path.relative_to(root), what, [one.what for one in problems])
            tried += bool(problems)
        path.write_text(text, encoding="utf-8")
    assert tried > 250
    assert not _all(root, environment)


def _with_one_mistake(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """With each value in turn of a wrong type, and with each field's name in turn mistyped."""
    for *above, name in _paths(data):
        changed = copy.deepcopy(data)
        around = _at(changed, above)
        around[name] = "text" if type(around[name]) in (int, float) else 5
        yield f"{[*above, name]} is of a wrong type", changed
        if isinstance(name, str) and not (above and above[-1] in NAMES):
            changed = copy.deepcopy(data)
            around = _at(changed, above)
            around[f"{name[:-1]}{name[-2:]}"] = around.pop(name)
            yield f"{[*above, name]} is mistyped", changed


def _paths(value: Any, *above: str | int) -> Iterator[tuple[str | int, ...]]:
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in within:
        yield (*above, name)
        yield from _paths(one, *above, name)


def _at(value: Any, path: list[str | int]) -> Any:
    for one in path:
        value = value[one]
    return value


def _all(root: Path, environment: str) -> tuple[Problem, ...]:
    try:
        return config.load(root, environment, variables={}, today=TODAY).warnings
    except ConfigError as error:
        return error.problems


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
