"""docs/THREATS.md: every threat is answered by a test, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/THREATS.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_CASE = re.compile(r"`tests/cases/test_cases\.py::test_case` \(`([\w-]+)`\)")
NO_ACTOR = "What is left"


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{file}::{name}" for file, name in _NAMED.findall(PAGE) if name not in _tests(file)]
    assert missing == []
    assert all((ROOT / "tests/cases" / case).is_dir() for case in _CASE.findall(PAGE))


def test_every_row_of_every_actor_names_a_test() -> None:
    actors = [part.partition("\n") for part in PAGE.split("\n## ")[1:]]
    assert len(actors) >= 9
    for actor, _, text in actors:
        rows = [line for line in text.split("\n") if line.startswith("| ") and not line.startswith("| could gain")]
        assert rows or actor == NO_ACTOR, f'"{actor}" names no threat'
        for row in rows:
            assert _NAMED.search(row), f'"{actor}": no test in {row}'


@cache
def _tests(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))
