"""One folder for each behaviour: `repo/` goes in, `command` says what is run in it, `expected.txt` comes out.

`plan` shows what `repo/` changes of `before/`.

`exit` holds the exit code, 0 when it is missing. To make what is expected anew: `WRITE_CASES=1 pytest tests/cases`,
then read the difference.
"""

from __future__ import annotations

import datetime
import os
import random
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciler import preflight
from reconciler.errors import ConfigError, ReconcilerError
from reconciler.load import config, resolution
from reconciler.run import Wishes
from reconciler.run import between as run_between
from reconciler.show import FORMATS
from reconciler.show import problems as render_problems
from reconciler.show import resolution as render_resolution
from reconciler.show.style import PLAIN

HERE = Path(__file__).parent
CASES = sorted(folder.parent for folder in HERE.glob("*/command"))
TODAY = datetime.date(2026, 11, 24)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    shutil.copytree(case / "repo", repository, symlinks=True)
    if (case / "before").exists():
        shutil.copytree(case / "before", tmp_path / "before")
    if (case / "make").exists():
        make((case / "make").read_text(encoding="utf-8"), repository)
    code, text = run(shlex.split((case / "command").read_text(encoding="utf-8")), repository)
    expected, exit_code = case / "expected.txt", case / "exit"
    if os.environ.get("WRITE_CASES"):
        expected.write_text(text, encoding="utf-8")
        exit_code.unlink(missing_ok=True)
        if code:
            exit_code.write_text(f"{code}\n", encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    assert code == (int(exit_code.read_text(encoding="utf-8")) if exit_code.exists() else 0)


def make(text: str, root: Path) -> None:
    """What is too large for git, or what git cannot keep, one a line: what, how much of it, where."""
    for line in text.splitlines():
        kind, *counted, name = shlex.split(line)
        path = root / name.encode().decode("unicode_escape")
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind, *counted:
            case "bytes", count:  # a sparse file: it takes no room on the disk
                with path.open("wb") as file:
                    file.truncate(int(count))
            case "random", count:  # nothing compresses it
                path.write_bytes(random.Random(0).randbytes(int(count)))
            case "lines", count, added:
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{added}\n" * int(count))
            case ("pipe",):
                os.mkfifo(path)


def run(command: list[str], root: Path) -> tuple[int, str]:
    """What a command answers: its exit code and its output."""
    words = [word for word in command if not word.startswith("--")]
    options = dict(word.removeprefix("--").partition("=")[::2] for word in command if word.startswith("--"))
    try:
        return _COMMANDS[words[0]](root, words[1:], options)
    except ReconcilerError as error:
        return error.exit_code, render_problems.text(error.problems)


def _validate(root: Path, words: list[str], options: Mapping[str, str]) -> tuple[int, str]:
    show = render_problems.FORMATS[options.get("format", "text")]
    try:
        repository = config.load(root, options.get("env", ""), variables={}, today=TODAY)
        repository = config.with_stand_in_warnings(repository) if "local" in options else repository
    except ConfigError as error:
        return error.exit_code, show(error.problems, PLAIN)
    return 0, show(repository.warnings, PLAIN) or "valid\n"


def _explain(root: Path, words: list[str], options: Mapping[str, str]) -> tuple[int, str]:
    values = resolution.explain(root, words[0], options.get("env", ""))
    if options.get("format") == "json":
        return 0, render_resolution.as_json(values)
    return 0, render_resolution.text(values)


def _preflight(root: Path, words: list[str], options: Mapping[str, str]) -> tuple[int, str]:
    repository = config.load(root, variables={}, today=TODAY)
    seen = dict(preflight.check(repository, [one.name for one in repository.scripts()]))
    problems = preflight.problems(seen.values())
    return 1 if problems else 0, render_problems.text(problems, PLAIN) or "all start and answer\n"


def _plan(root: Path, words: list[str], options: Mapping[str, str]) -> tuple[int, str]:
    """What the repository changes of what it was in `before/`."""
    before, after = (config.load(one, variables={}, today=TODAY) for one in (root.parent / "before", root))
    return 0, FORMATS[options.get("format", "text")](run_between(before, after, Wishes(TODAY)), PLAIN)


_COMMANDS: Mapping[str, Callable[[Path, list[str], Mapping[str, str]], tuple[int, str]]] = {
    "validate": _validate,
    "explain": _explain,
    "preflight": _preflight,
    "plan": _plan,
}
