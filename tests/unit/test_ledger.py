"""The ledger may be lost, damaged, locked or lied in; none of it stops a run."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.look.ledger import Entry, Ledger

ENTRY = Entry("d" * 32, "etag", "2026-11-24T00:00:00Z", "", "API_KEY=2", "globex", '["eu", "globex"]')
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".reconciler" / "ledger.sqlite3"


def test_what_is_remembered_is_there_in_the_next_run(path: Path) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    assert Ledger(path, "a").entries("user_worker") == {"shop": ENTRY}
    assert Ledger(path, "a").entries("dispatcher") == {}
    assert Ledger(path, "other").entries("user_worker") == {}


def test_what_is_forgotten_is_gone(path: Path) -> None:
    ledger = Ledger(path, "a")
    ledger.remember("user_worker", {"shop": ENTRY, "api": ENTRY})
    ledger.forget("user_worker", ["shop", "never-there"])
    assert ledger.entries("user_worker") == {"api": ENTRY} and not ledger.lost


def test_many_writes_share_one_log_and_the_last_to_let_go_writes_it_into_the_file(path: Path) -> None:
    ledger, log = Ledger(path, "a"), Path(f"{path}-wal")
    for number in range(3):
        ledger.remember("user_worker", {f"shop-{number}": ENTRY})
        assert log.stat().st_size > 0  # written into the file after each, it would take longer than an upload
    ledger.close()
    assert not log.exists()
    ledger.remember("user_worker", {"later": ENTRY})
    assert len(ledger.entries("user_worker")) == 4 and not ledger.lost


@pytest.mark.parametrize("another", [True, False])
def test_a_file_that_others_made_anew_is_the_one_that_is_written_to(path: Path, another: bool) -> None:
    ledger = Ledger(path, "a")
    ledger.remember("user_worker", {"shop": ENTRY})
    for file in path.parent.iterdir():
        file.unlink()
    if another:
        Ledger(path, "a").remember("user_worker", {"others": ENTRY})
    ledger.remember("user_worker", {"api": ENTRY})
    assert Ledger(path, "a").entries("user_worker").keys() == ({"others", "api"} if another else {"api"})
    assert not ledger.lost


def test_answers_are_kept_by_question(path: Path) -> None:
    Ledger(path, "a").learn({"tags": "no"})
    Ledger(path, "a").learn({"tags": "yes", "etag": "yes"})
    assert Ledger(path, "a").answers() == {"tags": "yes", "etag": "yes"}


def sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(statement)

    return damage


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("not a database, and long enough to be read as one" * 9),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(9_000)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5_000]),
    "noise inside": lambda path: path.write_bytes(path.read_bytes()[:4_096] + random.Random(2).randbytes(12_288)),
    "another version": sql("PRAGMA user_version = 2"),
    "a later version": sql("PRAGMA user_version = 99"),
    "no tables": sql("DROP TABLE entry; DROP TABLE answer"),
    "other columns": sql("DROP TABLE entry; CREATE TABLE entry (name TEXT); DROP TABLE answer"),
    "a view": sql("DROP TABLE entry; CREATE VIEW entry AS SELECT 1 AS name; DROP TABLE answer"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_damaged_ledger_starts_anew_and_says_so(path: Path, damage: Callable[[Path], object], first: str) -> None:
    Ledger(path, "a").remember("user_worker", {f"s{number}": ENTRY for number in range(200)})
    damage(path)
    ledger = Ledger(path, "a")
    if first == "read":
        assert ledger.entries("user_worker") == {}
    ledger.remember("user_worker", {"shop": ENTRY})
    assert ledger.lost.startswith("ledger.sqlite3: ")
    again = Ledger(path, "a")
    assert again.entries("user_worker") == {"shop": ENTRY} and not again.lost


def test_an_empty_file_is_a_new_ledger(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    ledger = Ledger(path, "a")
    ledger.remember("user_worker", {"shop": ENTRY})
    assert ledger.entries("user_worker") == {"shop": ENTRY} and not ledger.lost


def test_no_place_for_a_ledger_is_told_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "ledger", tmp_path / "folder"):
        ledger = Ledger(place, "a")
        ledger.remember("user_worker", {"shop": ENTRY})
        assert ledger.entries("user_worker") == {} and ledger.answers() == {}
        assert ledger.lost
    assert (tmp_path / "folder").is_dir()


def test_a_locked_ledger_is_let_be(path: Path) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    ledger = Ledger(path, "a", patience=0.05)
    with closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN IMMEDIATE")
        ledger.remember("user_worker", {"api": ENTRY})
        assert "locked" in ledger.lost
        database.rollback()
    assert Ledger(path, "a").entries("user_worker") == {"shop": ENTRY}


def test_a_ledger_that_may_not_be_written_is_let_be(path: Path) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with SPAWN.Pool(1) as pool:
        lost = pool.apply(_write_as_nobody, (path,))
    path.parent.chmod(0o755)
    assert lost and Ledger(path, "a").entries("user_worker") == {"shop": ENTRY}


def _write_as_nobody(path: Path) -> str:
    if os.geteuid() == 0:
        os.setuid(65_534)  # root may write everywhere
    ledger = Ledger(path, "a")
    ledger.entries("user_worker")
    ledger.remember("user_worker", {"api": ENTRY})
    return ledger.lost


def test_a_full_disk_loses_the_memory_of_this_run_and_nothing_else(path: Path) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    with SPAWN.Pool(1) as pool:
        lost = pool.apply(_write_on_a_full_disk, (path,))
    assert lost
    assert Ledger(path, "a").entries("user_worker").get("shop") == ENTRY


def _write_on_a_full_disk(path: Path) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    ledger = Ledger(path, "a")
    ledger.remember("user_worker", {f"script-{number}": ENTRY for number in range(2_000)})
    return ledger.lost


def test_several_processes_write_at_once_from_the_first_moment_on(path: Path) -> None:
    with SPAWN.Pool(4) as pool:
        lost = pool.starmap(_write_many, [(path, number) for number in range(4)])
    assert lost == [""] * 4
    assert len(Ledger(path, "a").entries("user_worker")) == 4 * 25


def _write_many(path: Path, process: int) -> str:
    ledger = Ledger(path, "a")
    for number in range(25):
        ledger.remember("user_worker", {f"s{process}-{number}": ENTRY})
    return ledger.lost


def test_a_process_that_is_killed_in_mid_write_leaves_a_whole_ledger(path: Path) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    for chance in range(4):
        writer = SPAWN.Process(target=_write_for_ever, args=(path, chance))
        writer.start()
        deadline = time.monotonic() + 20
        while f"s{chance}-0" not in Ledger(path, "a").entries("user_worker") and time.monotonic() < deadline:
            time.sleep(0.005)
        assert writer.pid is not None
        time.sleep(0.003 * chance)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        writer.close()
        ledger = Ledger(path, "a")
        entries = ledger.entries("user_worker")
        assert entries["shop"] == ENTRY and set(entries.values()) == {ENTRY} and not ledger.lost
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _write_for_ever(path: Path, process: int) -> None:
    ledger = Ledger(path, "a")
    for number in range(10**6):
        ledger.remember("user_worker", {f"s{process}-{number + more}": ENTRY for more in range(50)})


poison = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=9) | st.text(max_size=9)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(poison, min_size=8, max_size=8), max_size=4))
def test_poisoned_entries_are_left_out_or_are_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[object]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    Ledger(path, "a").remember("user_worker", {"shop": ENTRY})
    with closing(sqlite3.connect(path)) as database, database:
        for row in rows:
            values = ["user_worker", *row]
            database.execute(
                "INSERT OR IGNORE INTO entry VALUES (CAST(x'61' AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )
    ledger = Ledger(path, "a")
    for name, entry in ledger.entries("user_worker").items():
        assert all(isinstance(one, str) for one in (name, entry.digest, entry.etag, entry.secrets, entry.tags))
    assert ledger.entries("user_worker")["shop"] == ENTRY


@pytest.mark.parametrize("tags", ["{", "null", "{}", "[1]", '"eu"', "[" * 100_000, '["eu"', "NaN"])
def test_tags_that_are_no_list_are_not_known(path: Path, tags: str) -> None:
    Ledger(path, "a").remember("user_worker", {"shop": Entry("d", "e", "m", tags=tags)})
    assert Ledger(path, "a").entries("user_worker")["shop"].tags == ""


def test_text_that_is_no_utf_8_neither_stops_reading_nor_writing(path: Path) -> None:
    ledger = Ledger(path, "a")
    ledger.remember("user_worker", {"shop": ENTRY})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entry SET etag = CAST(x'ff00fe' AS TEXT)")
    assert ledger.entries("user_worker")["shop"].digest == ENTRY.digest
    ledger.remember("user_worker", {"other": Entry("\udc80", "e", "m")})
    assert "surrogates" in ledger.lost and "shop" in ledger.entries("user_worker")
