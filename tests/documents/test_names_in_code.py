"""What a docstring or a comment points to exists: a reader who follows it finds something."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.documents.picture import ROOT

PACKAGE = ROOT / "reconciler"

# Python files, and what lies in our own folders. Files of users (customers/, platform.yaml) are examples, not places.
_PLACE = re.compile(r"(?<![\w/.{}*-])((?:[\w.-]+/)*\w+\.py|(?:tests|docs|benchmarks|reconciler|schemas)/[\w/.-]*\w)")
_LISTED = re.compile(r"^(\w+(?:, \w+)*) {2,}\w", re.MULTILINE)
_THEIRS = frozenset({"conftest.py"})  # of the team whose tests use our fixtures


def test_files_that_code_points_to_exist() -> None:
    tops = [ROOT / name for name in ("reconciler", "tests", "benchmarks")]
    paths = sorted(path for top in tops for path in top.rglob("*.py") if "node_modules" not in path.parts)
    assert [one for path in paths for one in _missing(path)] == []


def test_missing_files_are_found(tmp_path: Path) -> None:
    """This test is one that can fail."""
    path = tmp_path / "here.py"
    path.write_text('"""As here.py has it (tests/unit/test_gone.py)."""\n\nx = "gone.py"  # see gone.py and docs/\n')
    assert list(_missing(path)) == [
        "here.py:1 names tests/unit/test_gone.py, which is nowhere",
        "here.py:3 names gone.py, which is nowhere",
    ]


def test_modules_that_folders_list_exist() -> None:
    gone = [
        f"{path.parent.name}: {name}"
        for path in [PACKAGE / "__init__.py", *sorted(PACKAGE.glob("*/__init__.py"))]
        for names in _LISTED.findall(_list(path))
        for name in names.split(", ")
        if not (path.parent / f"{name}.py").is_file() and not (path.parent / name).is_dir()
    ]
    assert gone == []


def _list(path: Path) -> str:
    """What a folder says of its modules: a name, or several, and what they are for. No ruled table is one."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return "" if "----" in told else told


def _missing(path: Path) -> Iterator[str]:
    """A place is meant from the repository, from the package, or from the folder of the file that names it."""
    source = path.read_text(encoding="utf-8")
    if not _PLACE.search(source):
        return
    for line, text in _notes(source):
        for place in _PLACE.findall(text):
            if place not in _THEIRS and not any((top / place).exists() for top in (ROOT, PACKAGE, path.parent)):
                yield f"{path.name}:{line} names {place}, which is nowhere"


def _notes(source: str) -> Iterator[tuple[int, str]]:
    """Every docstring and comment, with its first line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            told = ast.get_docstring(node, clean=False)
            if told:
                yield node.body[0].lineno, told
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
