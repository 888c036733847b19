"""The cache of compiled customers, held by someone who means harm: it may spoil what is shown, never what is sent."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.cli.loading import COMPILED, LOCAL_FOLDER
from reconciler.load import config
from reconciler.load.compiled_cache import sum_of
from reconciler.local.store import ORDINARY, Store
from tests.cli.terminal import edit, repository, run

SHOP = "customers/globex/shop.mjs"


def _rows(database: sqlite3.Connection, change: Callable[[str, list[object]], object]) -> None:
    """Each customer's row, said otherwise."""
    for path, rest in database.execute("SELECT path, rest FROM compiled").fetchall():
        row = json.loads(rest)
        change(path, row)
        database.execute("UPDATE compiled SET rest = ? WHERE path = ?", (json.dumps(row), path))
    database.execute("DELETE FROM memo")


def hostname_of_another(database: sqlite3.Connection) -> None:
    def change(path: str, row: list[object]) -> None:
        if path.endswith("initech"):
            row[5][0][7] = [["shop.globex.com", [1, 1, 1]]]  # type: ignore[index]  # a row is lists within lists

    _rows(database, change)


def no_customers(database: sqlite3.Connection) -> None:
    def change(path: str, row: list[object]) -> None:
        row[5] = []

    database.execute("UPDATE compiled SET digests = '{}'")
    _rows(database, change)


def other_limits(database: sqlite3.Connection) -> None:
    def change(path: str, row: list[object]) -> None:
        row[5][0][4:7] = [30_000, 10_000, ""]  # type: ignore[index]  # a row is lists within lists

    _rows(database, change)


def everything_is_clean_and_led_elsewhere(database: sqlite3.Connection) -> None:
    database.execute("UPDATE memo SET value = 'export default {\"format\": 1}'")


def as_it_is_live(database: sqlite3.Connection) -> None:
    """The most that a cache can hide: what was edited looks as it was before."""


LIES = (hostname_of_another, no_customers, other_limits, everything_is_clean_and_led_elsewhere, as_it_is_live)


def with_right_sums(database: sqlite3.Connection) -> None:
    """As one who means harm would leave it; tests/cli/test_damage.py has the disks that err."""
    database.text_factory = lambda content: content.decode("utf-8", "replace")
    every = database.execute("SELECT path, state, digests, rest FROM compiled").fetchall()
    for path, *texts in (row for row in every if {*map(type, row)} == {str}):
        database.execute("UPDATE compiled SET sum = ? WHERE path = ?", (sum_of((path, *texts)), path))
    for key, value in database.execute("SELECT key, value FROM memo").fetchall():
        database.execute("UPDATE memo SET sum = ? WHERE key = ?", (sum_of((key, value)), key))


def account(folder: Path) -> dict[str, object]:
    """All that was uploaded."""
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        found = [store.script(space, row.name) for space in (ORDINARY, "acme-production") for row in store.rows(space)]
    return {one.name: (one.modules, one.metadata, one.tags) for one in found if one is not None}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_uploaded_is_what_the_files_say_whatever_the_cache_says(
    tmp_path: Path, lie: Callable[[sqlite3.Connection], None]
) -> None:
    honest, deceived = repository(tmp_path / "honest"), repository(tmp_path / "deceived")
    for folder in (honest, deceived):
        assert run(folder, "apply", "--local", "--yes").code == 0
        assert run(folder, "plan", "--local").code == 0
        edit(folder, SHOP, "hello", "edited")
    with closing(sqlite3.connect(deceived / COMPILED)) as database, database:
        assert database.execute("SELECT count(*) FROM compiled").fetchone()[0] == 2
        lie(database)
        _let_it_stand(database, deceived)
        with_right_sums(database)
    assert run(deceived, "apply", "--local", "--yes").code == run(honest, "apply", "--local", "--yes").code == 0
    assert account(deceived) == account(honest)
    assert len(account(honest)) == 6


def test_a_lie_of_the_cache_is_shown_and_gone_with_its_file(tmp_path: Path) -> None:
    """What it costs: a plan that says something else. Nobody is hurt, and removing the file is all there is to do."""
    folder = repository(tmp_path / "repository")
    assert run(folder, "apply", "--local", "--yes").code == 0
    assert "nothing to do" in run(folder, "plan", "--local").out
    with closing(sqlite3.connect(folder / COMPILED)) as database, database:
        no_customers(database)
        with_right_sums(database)
    assert "nothing to do" not in run(folder, "plan", "--local").out
    assert "nothing to do" in run(folder, "apply", "--local", "--yes").out
    (folder / COMPILED).unlink()
    assert "nothing to do" in run(folder, "plan", "--local").out


def _let_it_stand(database: sqlite3.Connection, folder: Path) -> None:
    """Say that the rows are of the folders as they are now: a cache that does not know them is not asked."""
    from reconciler.load.compiling import _walked  # the only way to the states that a liar would write

    for path, state in _walked(folder, config.CUSTOMERS, with_stat=True).states.items():
        database.execute("UPDATE compiled SET state = ? WHERE path = ?", (state, path))
