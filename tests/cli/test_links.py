"""Links that came with a commit, in places where the command line writes by itself: they lead nowhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.terminal import repository, run


def _as_it_was(tmp_path: Path) -> Path:
    """A database of someone's, outside of the repository."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with closing(sqlite3.connect(outside / "theirs")) as database, database:
        database.execute("CREATE TABLE memo (all_that_they_have TEXT)")
    return outside


@pytest.mark.parametrize(
    "link",
    [
        ".reconciler",
        ".reconciler/compiled.sqlite3",
        ".reconciler/ledger.sqlite3",
        ".reconciler/ledger.sqlite3-wal",
        ".reconciler/local",
        ".reconciler/local/account.sqlite3",
        ".reconciler/local/account.sqlite3-wal",
    ],
)
def test_nothing_is_kept_where_a_link_leads(tmp_path: Path, link: str) -> None:
    folder, outside = repository(tmp_path / "repository"), _as_it_was(tmp_path)
    before = {one.name: one.read_bytes() for one in outside.iterdir()}
    (folder / link).parent.mkdir(parents=True, exist_ok=True)
    (folder / link).symlink_to(outside if link in (".reconciler", ".reconciler/local") else outside / "theirs")
    for words in (("plan", "--local"), ("validate",), ("apply", "--local", "--yes")):
        ran = run(folder, *words)
        assert ran.code == 2 and f"{link} is a symbolic link" in ran.err, (words, ran.err)
    assert {one.name: one.read_bytes() for one in outside.iterdir()} == before


def test_a_file_that_is_asked_for_is_not_written_through_a_link(tmp_path: Path) -> None:
    folder, theirs = repository(tmp_path / "repository"), tmp_path / "theirs"
    theirs.write_text("theirs")
    (folder / ".plan.json.partial").symlink_to(theirs)
    (folder / "plan.json").symlink_to(theirs)
    assert run(folder, "plan", "--local", "--out", str(folder / "plan.json")).code == 0
    assert theirs.read_text() == "theirs"
    assert (folder / "plan.json").read_text().startswith("{")
