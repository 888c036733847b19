"""Every refusal as a user reads it: one session a file in guards/, with what was typed and what came back.

Lines that begin with `$` are done, all others are what is expected. `$ reconciler …` runs a command (`> hidden` keeps
its output out), and a few verbs change the files or the account. To make what is expected anew:
`WRITE_CASES=1 pytest tests/cli`, then read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cases.messages import PACKAGE, messages
from tests.cli.terminal import delete, edit, repository, run, upload

SESSIONS = sorted((Path(__file__).parent / "guards").glob("*.txt"))
HIDDEN = " > hidden"


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.stem)
def test_session(session: Path, tmp_path: Path) -> None:
    expected = session.read_text(encoding="utf-8")
    typed = [line for line in expected.splitlines() if line.startswith("$ ")]
    folder = repository(tmp_path / "repository")
    found = "\n".join("\n".join([line, *_answer(folder, line.removeprefix("$ "))]) for line in typed) + "\n"
    if os.environ.get("WRITE_CASES"):
        session.write_text(found, encoding="utf-8")
        return
    assert "Traceback" not in found
    assert found == expected


# What plans, reviews and switches of the table say, and what a run refuses before it begins.
GUARDS = ("plan/__init__.py", "plan/guards.py", "plan/review.py", "kinds/switching.py", "routing/scope.py", "run.py")
NOT_OF_A_SESSION = {
    "run again; if it stays, `reconciler doctor` shows what the listing looks like": "the embedded platform's listing "
    "is whole, but for tests/scenarios/test_changes.py",
}


def test_every_message_of_a_guard_stands_in_a_session() -> None:
    told = "\n".join(file.read_text(encoding="utf-8") for file in SESSIONS)
    told = re.sub(r"\n {7}(?=\S)", " ", told)  # as it was before it was wrapped
    found = list(messages(PACKAGE / name for name in GUARDS))
    assert len(found) > 50  # the syntax is still read
    missing = [one for one in found if not one.line.search(told)]
    assert [f"{one.part}: {one.text}" for one in missing if one.text not in NOT_OF_A_SESSION] == []
    assert {one.text for one in missing} == NOT_OF_A_SESSION.keys()


def _answer(folder: Path, line: str) -> list[str]:
    verb, _, rest = line.partition(" ")
    if verb == "reconciler":
        words = shlex.split(rest.removesuffix(HIDDEN).replace("FOLDER", str(folder)))
        done = run(folder, *words)
        return [] if rest.endswith(HIDDEN) else _told(folder, done.out + done.err, done.code)
    if verb == "edit":
        file, _, change = rest.partition(": ")
        before, _, after = change.partition(" => ")
        edit(folder, file, before, after)
    elif verb == "remove":
        path = folder / rest
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif verb == "upload":
        upload(folder, rest)
    elif verb == "delete":
        delete(folder, rest)
    else:
        raise AssertionError(f"no such verb: {verb}")
    return []


def _told(folder: Path, text: str, code: int) -> list[str]:
    """Without what differs from run to run: times, and which of the changes that wait for the same ended first."""
    text = re.sub(r"\b\d+\.\d s\b", "0.0 s", text).replace(str(folder), "FOLDER")
    text = re.sub(r"\b2\d{3}-\d\d-\d\dT[\d:.]+Z", "NOW", text)
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    start = next((n for n, line in enumerate(lines) if line.startswith("✓")), len(lines))
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("✓")), len(lines))
    return [*lines[:start], *sorted(lines[start:end]), *lines[end:], f"[exit {code}]"]
