"""A full disk, wherever a run writes: it is told, nothing is half done that the next run would not finish."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import edit, repository, run

FULL = Path("/dev/full")  # every write to it fails with "no space left"

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository")


def printed_into_nothing(folder: Path, *words: str, stderr: Path | None = None) -> tuple[int, str]:
    with FULL.open("wb") as full, (stderr or folder.with_name("stderr")).open("wb") as talk:
        environment = {"PATH": os.environ["PATH"]}
        line = [sys.executable, "-m", "reconciler", *words, "--local", "-C", str(folder)]
        code = subprocess.run(line, stdout=full, stderr=talk, env=environment, check=False).returncode
    return code, "" if stderr else folder.with_name("stderr").read_text(encoding="utf-8")


def test_a_plan_that_cannot_be_printed_has_failed(folder: Path) -> None:
    for words in (("plan",), ("plan", "--exit-code"), ("plan", "--format", "json")):
        code, err = printed_into_nothing(folder, *words)
        assert code == 1
        assert err == "what is printed is lost: stdout cannot be written (No space left on device)\n"
    assert printed_into_nothing(folder, "plan", stderr=FULL)[0] == 1


def test_an_apply_that_cannot_be_printed_is_carried_out_and_says_so(folder: Path) -> None:
    code, err = printed_into_nothing(folder, "apply", "--yes")
    assert code == 1
    assert err.count("stdout cannot be written") == 1
    assert run(folder, "plan", "--local", "--exit-code").code == 0


def test_what_cannot_be_recorded_is_not_begun(folder: Path) -> None:
    ran = run(folder, "apply", "--local", "--yes", "--audit", str(FULL))
    assert ran.code == 7
    assert "--audit /dev/full cannot be written: nothing more was begun" in ran.err
    assert "not started" in ran.out
    assert run(folder, "apply", "--local", "--yes").code == 0


def test_a_record_that_loses_its_last_line_is_no_success(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    edit(folder, "customers/globex/shop.mjs", "hello", "hi")
    ran = run(folder, "apply", "--local", "--yes", "--audit", str(FULL))
    assert (ran.code, "Applied 1 of 1" in ran.out) == (1, True)


def test_a_record_goes_on_after_half_a_line(folder: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    audit.write_text('{"half', encoding="utf-8")
    assert run(folder, "apply", "--local", "--yes", "--audit", str(audit)).code == 0
    first, *lines = audit.read_text(encoding="utf-8").splitlines()
    assert first == '{"half'
    records = [json.loads(line) for line in lines]
    assert len(records) == 9
    assert all(one["ray"] for one in records)
    assert len({one["ray"] for one in records}) == 9


@pytest.mark.parametrize("words", [("plan", "--out"), ("apply", "--yes", "--audit")])
def test_a_file_that_cannot_be_made_is_told_before_anything_is_done(folder: Path, words: tuple[str, ...]) -> None:
    ran = run(folder, words[0], "--local", *words[1:], str(folder / "platform.yaml" / "file"))
    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_a_ledger_that_is_of_no_use_is_told_and_no_more(folder: Path) -> None:
    ledger = folder / ".reconciler" / "ledger.sqlite3"
    ledger.mkdir(parents=True)
    ran = run(folder, "apply", "--local", "--yes")
    assert ran.code == 0
    assert "the ledger was of no use (ledger.sqlite3: unable to open database file)" in ran.err
    assert run(folder, "plan", "--local", "--exit-code").code == 0
