"""The table in docs/architecture.md is the table that the code is held to."""

from __future__ import annotations

import re

from tests.documents.picture import ROOT
from tests.unit.test_floors import FLOORS

_ROW = re.compile(r"^\| (\d+) \| ((?:`\w+` ?)+)\|", re.MULTILINE)


def test_the_floors_are_those_of_the_test() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    told = {int(floor): tuple(re.findall(r"`(\w+)`", names)) for floor, names in _ROW.findall(text)}
    assert told == dict(enumerate(FLOORS))


def test_files_that_are_named_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:cli|load|look|plan|show|kinds|local|github)/\w+\.\w+)`", text)
    assert [name for name in named if not (ROOT / "reconciler" / name).is_file()] == []
    folders = re.findall(r"^\| `([\w/]+/)`", text, re.MULTILINE)
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
