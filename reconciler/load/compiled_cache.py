"""Compiled customers and what followed from them, kept between runs: a cache that may be lost, damaged or hostile.

A row is kept under its folder's path with the state of that folder, apart for each set of terms (compiling.py). A
memo is kept under a digest of all that it follows from. Each has a sum of its texts: a disk that gives back something
else is found out, which SQLite does not see to. Who means harm can make a sum as well.

Law: whatever stands in the file, reading it raises nothing, and what cannot be read is not known. What may be done on
the word of what is read is the business of those who ask: nothing that writes to Cloudflare asks (cli/apply.py).
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from reconciler.load.compiled import Customers, Row
from reconciler.sqlite_file import BESIDE, is_damage

KEPT_TERMS = 4  # environments and branches that take turns; those that were used longest ago go
KEPT_MEMOS = 8

_SCHEMA = 4
_TABLES = """
DROP TABLE IF EXISTS compiled;
DROP TABLE IF EXISTS terms;
DROP TABLE IF EXISTS memo;
CREATE TABLE compiled (
    terms TEXT NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL, digests TEXT NOT NULL, rest TEXT NOT NULL,
    sum TEXT NOT NULL,
    PRIMARY KEY (terms, path)
) WITHOUT ROWID;
CREATE TABLE terms (terms TEXT PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE memo (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """Rows, and the states of the folders that they were compiled from, each by path."""

    states: Mapping[str, str]
    rows: Mapping[str, Row]


class Cache:
    """One file. `path` None: nothing is known and nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def known(self, terms: str) -> Known:
        """Everything on these terms."""
        found = self._read("SELECT path, state, digests, rest, sum FROM compiled WHERE terms = ? ORDER BY path", terms)
        return Known(
            {path: state for path, state, _, _ in found},
            {path: Row(path, digests, rest) for path, _, digests, rest in found},
        )

    def keep(self, terms: str, fresh: Known, gone: Collection[str]) -> None:
        """Keep rows, and forget the paths that are gone. It may fail: then the next run is slower."""
        texts = ((path, fresh.states[path], row.digests, row.rest) for path, row in fresh.rows.items())
        rows = [(terms, *one, sum_of(one)) for one in texts]
        if not rows and not gone:
            return

        def write(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM compiled WHERE terms = ? AND path = ?", [(terms, one) for one in gone])
            database.executemany("INSERT OR REPLACE INTO compiled VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO terms SELECT ?, coalesce(max(used), 0) + 1 FROM terms", (terms,))
            old = "SELECT terms FROM terms ORDER BY used DESC LIMIT -1 OFFSET ?"
            database.execute(f"DELETE FROM compiled WHERE terms IN ({old})", (KEPT_TERMS,))  # noqa: S608 - our own text
            database.execute(f"DELETE FROM terms WHERE terms IN ({old})", (KEPT_TERMS,))  # noqa: S608 - our own text

        self._write(write)

    def memo(self, key: str) -> str | None:
        found = self._read("SELECT key, value, sum FROM memo WHERE key = ?", key)
        return found[0][1] if found else None

    def keep_memo(self, key: str, value: str) -> None:
        def write(database: sqlite3.Connection) -> None:
            query = "INSERT OR REPLACE INTO memo SELECT ?, ?, ?, coalesce(max(used), 0) + 1 FROM memo"
            database.execute(query, (key, value, sum_of((key, value))))
            old = "SELECT key FROM memo ORDER BY used DESC LIMIT -1 OFFSET ?"
            database.execute(f"DELETE FROM memo WHERE key IN ({old})", (KEPT_MEMOS,))  # noqa: S608 - our own text

        self._write(write)

    def _read(self, query: str, value: str) -> list[tuple[str, ...]]:
        """Rows of text with the right sum at their end, less that. Whatever is wrong with the file, there are none."""
        if self._path is None or not self._path.is_file():
            return []
        try:
            with closing(_opened(self._path)) as database:
                found = database.execute(query, (value,)).fetchall()
        except (sqlite3.Error, OSError, MemoryError):
            return []
        # A file may hold anything by now.
        return [texts for row in found if {*map(type, row)} == {str} and row[-1] == sum_of(texts := row[:-1])]

    def _write(self, write: Callable[[sqlite3.Connection], None]) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(_opened(self._path)) as database, database:
                write(database)
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                self._remove(self._path)

    @staticmethod
    def _remove(path: Path) -> None:
        for suffix in ("", *BESIDE):
            with suppress(OSError):  # then it stays of no use
                Path(f"{path}{suffix}").unlink(missing_ok=True)


class CustomersMemo:
    """What followed from these customers and this code before."""

    def __init__(self, cache: Cache, customers: Customers, code: str) -> None:
        self._cache, self._customers, self._code = cache, customers, code

    def get(self, name: str) -> str | None:
        return self._cache.memo(self._key(name))

    def put(self, name: str, value: str) -> None:
        self._cache.keep_memo(self._key(name), value)

    def _key(self, name: str) -> str:
        return hashlib.sha256(f"{self._code}\0{self._customers.fingerprint}\0{name}".encode()).hexdigest()


def sum_of(texts: Iterable[str]) -> str:
    return str(zlib.crc32("\0".join(texts).encode("utf-8", "replace")))


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_SCHEMA}; COMMIT;")
    except BaseException:
        database.close()
        raise
    return database
