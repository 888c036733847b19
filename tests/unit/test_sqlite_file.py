"""What holds for every SQLite file of ours."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.sqlite_file import is_damage, keep_a_log


@contextmanager
def another(path: Path) -> Iterator[sqlite3.Connection]:
    """A process that is writing the first table of a new file."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("CREATE TABLE one (value)")
        yield database


def test_two_that_switch_a_new_file_to_a_log_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with another(path) as first, closing(sqlite3.connect(path, timeout=0)) as second:
        soon = threading.Timer(0.1, lambda: first.execute("COMMIT"))
        soon.start()
        keep_a_log(second, 10)
        soon.join()
        assert second.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_who_waits_too_long_is_told_and_nothing_is_taken_for_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with another(path), closing(sqlite3.connect(path, timeout=0)) as second:
        with pytest.raises(sqlite3.OperationalError, match="locked") as told:
            keep_a_log(second, 0.03)
        assert not is_damage(told.value)


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database, but long enough to be looked at" * 100)
    with closing(sqlite3.connect(tmp_path / "file")) as database:
        with pytest.raises(sqlite3.DatabaseError) as told:
            keep_a_log(database, 1)
        assert is_damage(told.value)
    assert not is_damage(OSError("no disk"))
