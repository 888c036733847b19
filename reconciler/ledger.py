"""What our own uploads got: a cache, kept between runs, that may be lost or damaged at any time.

Law: it can make a script be looked at again or uploaded again, and never makes one be deleted. It holds digests,
etags and times, no content and no secret. Every fact in it is checked against the live listing before it counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = 5
_TABLES = """
CREATE TABLE IF NOT EXISTS entry (
    scope TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    digest TEXT NOT NULL, etag TEXT NOT NULL, modified_on TEXT NOT NULL, verified_at TEXT NOT NULL,
    secrets TEXT NOT NULL, customer TEXT NOT NULL, tags TEXT NOT NULL,
    PRIMARY KEY (scope, kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
    scope TEXT NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (scope, question)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One upload of ours: the digest that this etag and time of change stand for."""

    digest: str
    etag: str
    modified_on: str
    verified_at: str = ""  # when its content was last read back and found right; ISO 8601 in UTC
    secrets: str = ""  # names and versions of the secrets that were sent, "API_KEY=2 TOKEN=1"; never a value
    customer: str = ""  # whose it was; tags tell too, but not always apart from a customer's own
    tags: str = ""  # all that it carried then, as a sorted JSON list; "" where that is not known


class Ledger:
    """The entries of one account, namespace and platform. Safe with several processes."""

    def __init__(self, path: Path, scope: str) -> None:
        self._path, self._scope = path, scope
        self.lost = ""  # why it had to start anew; "" when it did not

    def entries(self, kind: str) -> Mapping[str, Entry]:
        rows = self._read(
            "SELECT name, digest, etag, modified_on, verified_at, secrets, customer, tags FROM entry"
            " WHERE scope = ? AND kind = ?",
            (self._scope, kind),
        )
        return {name: Entry(*rest) for name, *rest in rows if all(isinstance(one, str) for one in (name, *rest))}

    def remember(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self._write(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._scope,
                    kind,
                    name,
                    one.digest,
                    one.etag,
                    one.modified_on,
                    one.verified_at,
                    one.secrets,
                    one.customer,
                    one.tags,
                )
                for name, one in entries.items()
            ],
        )

    def forget(self, kind: str, names: Iterable[str]) -> None:
        self._write(
            "DELETE FROM entry WHERE scope = ? AND kind = ? AND name = ?", [(self._scope, kind, one) for one in names]
        )

    def answers(self) -> Mapping[str, str]:
        """What `doctor --probe` learned of this account."""
        rows = self._read("SELECT question, answer FROM answer WHERE scope = ?", (self._scope,))
        return {str(question): str(answer) for question, answer in rows}

    def learn(self, answers: Mapping[str, str]) -> None:
        self._write("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", [(self._scope, *one) for one in answers.items()])

    def _read(self, statement: str, values: tuple[str, ...]) -> list[tuple[str, ...]]:
        try:
            with closing(self._open()) as database:
                return database.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._start_anew(error)
            return []

    def _write(self, statement: str, rows: list[tuple[str, ...]]) -> None:
        """A ledger that cannot be written costs the next run time and nothing else, so that is told and no more."""
        if not rows:
            return
        try:
            with closing(self._open()) as database, database:
                database.executemany(statement, rows)
        except (sqlite3.Error, OSError) as error:
            self._start_anew(error)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=10)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA):
                raise sqlite3.DatabaseError(f"it was written by another version ({version})")
            if version == 0:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_TABLES)
                database.execute(f"PRAGMA user_version = {_SCHEMA}")
        except BaseException:
            database.close()
            raise
        return database

    def _start_anew(self, error: Exception) -> None:
        self.lost = f"{self._path.name}: {error}"
        if isinstance(error, sqlite3.OperationalError | OSError):
            return  # locked, read-only or full: the file itself may be well
        for suffix in ("", "-wal", "-shm"):
            try:
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            except OSError:
                return
