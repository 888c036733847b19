"""A module imports only from floors below its own: the table of docs/architecture.md, held against the syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"
FLOORS = {
    name: int(floor)
    for floor, names in re.findall(
        r"^\| (\d+) \| ((?:`\w+` ?)+)\|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for name in re.findall(r"`(\w+)`", names)
}
FILES = sorted(PACKAGE.rglob("*.py"))


def block(file: Path) -> str:
    """The module, or the folder, that a file counts as; "" for the package itself."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py").replace("__init__", "")


BLOCKS = sorted({block(file) for file in FILES} - {""})


def imports(file: Path) -> Iterator[str]:
    """Whole names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def ours(file: Path) -> set[str]:
    found = {name.split(".")[1] for name in imports(file) if name.startswith("reconciler.")}
    return {name for name in found if name in BLOCKS and name != block(file)}


def test_every_module_has_its_floor_and_none_is_made_up() -> None:
    """A new module: put it one floor above the highest that it imports, in the table of docs/architecture.md."""
    assert sorted(FLOORS) == BLOCKS


@pytest.mark.parametrize("name", BLOCKS)
def test_imports_lead_down(name: str) -> None:
    used = {one for file in FILES if block(file) == name for one in ours(file)}
    assert {one: FLOORS[one] for one in used if FLOORS[one] >= FLOORS[name]} == {}, f"{name} is on {FLOORS[name]}"


def test_the_emulator_shares_nothing_with_the_planner() -> None:
    shared = {name for file in FILES if block(file) == "local" for name in ours(file)}
    assert shared <= {"errors"}


def test_only_few_modules_know_the_http_library() -> None:
    knowing = {file for file in FILES if any(name.split(".")[0] == "httpx" for name in imports(file))}
    look = PACKAGE / "look"
    assert {file for file in knowing if block(file) != "github"} <= {
        look / "cloudflare.py", look / "exchange.py", look / "transport.py",
    }  # fmt: skip


def test_nobody_keeps_modules_for_anything() -> None:
    assert not {"utils", "util", "helpers", "common", "base", "misc"} & {file.stem for file in FILES}
