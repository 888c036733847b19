"""What our own uploads got: a cache, kept between runs, that may be lost or damaged at any time.

Law: it can make a script be looked at again or uploaded again, and never makes one be deleted. It holds digests,
etags and times, no content and no secret. Every fact in it is checked against the live listing before it counts.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from reconciler.sqlite_file import BESIDE, is_damage, keep_a_log, wait_for_no_disk

_SCHEMA = 5
_PLAIN_TAGS = re.compile(r'\["[^"\\\x00-\x1f]*"(, "[^"\\\x00-\x1f]*")*\]')
_T = TypeVar("_T")

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


_COLUMNS = ("name", "digest", "etag", "modified_on", "verified_at", "secrets", "customer", "tags")
_ENTRIES = f"SELECT {', '.join(_COLUMNS)} FROM entry WHERE scope = ? AND kind = ?"  # noqa: S608 - our own


class Entry(NamedTuple):
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

    def __init__(self, path: Path, scope: str, *, patience: float = 10.0) -> None:
        self._path, self._scope = path, scope
        self._patience = patience  # seconds to wait for another process that writes
        self._lock = threading.Lock()
        # The connection that writes, kept: whenever the last one of a file is closed, SQLite writes its log into the
        # file and waits for the disk, which takes longer than the upload that is to be remembered.
        self._writer: list[sqlite3.Connection] = []
        self._written: tuple[int, int] | None = None  # the file that it writes to
        self._finish = weakref.finalize(self, _close, self._writer)
        self.lost = ""  # why it had to start anew; "" when it did not

    def close(self) -> None:
        """Let go of the file; what is asked or told after that opens it again."""
        with self._lock:
            _close(self._writer)

    def entries(self, kind: str) -> dict[str, Entry]:
        return self.entries_but(kind, _nothing)

    def entries_but(self, kind: str, left_out: Callable[[str, Entry], bool]) -> dict[str, Entry]:
        """The entries of a kind, less those that are left out: they are not held at once. A file may hold anything by
        now: what is asked about may have tags that are any text, and fields that are none; the latter are passed over.
        """

        def step(database: sqlite3.Connection) -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            for row in _rows(database, _ENTRIES, (self._scope, kind)):
                name, entry = row[0], Entry._make(row[1:])
                if not left_out(name, entry) and {*map(type, row)} == {str}:
                    found[name] = entry._replace(tags=_tags(entry.tags))
            return found

        return self._on_database(step, {})

    def remember(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.remember_all({kind: entries})

    def remember_all(self, entries: Mapping[str, Mapping[str, Entry]]) -> None:
        """Entries by kind and name, all of them or none."""
        self._write(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(self._scope, kind, name, *one) for kind, some in entries.items() for name, one in some.items()],
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
        return self._on_database(lambda database: list(_rows(database, statement, values)), [])

    def _write(self, statement: str, rows: list[tuple[str, ...]]) -> None:
        """A ledger that cannot be written costs the next run time and nothing else, so that is told and no more."""
        with self._lock:
            if rows:
                self._tried(lambda: self._write_all(statement, rows))

    def _write_all(self, statement: str, rows: list[tuple[str, ...]]) -> None:
        if self._written != _identity(self._path):  # another process has made it anew
            _close(self._writer)
        if not self._writer:
            self._writer.append(self._open())
            self._written = _identity(self._path)
        try:
            with self._writer[0] as database:
                database.executemany(statement, rows)
        except BaseException:
            _close(self._writer)
            raise

    def _on_database(self, step: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        def on_its_own() -> tuple[_T]:
            with closing(self._open()) as database:
                return (step(database),)

        found = self._tried(on_its_own)
        return found[0] if found else nothing

    def _tried(self, step: Callable[[], _T]) -> _T | None:
        """A damaged file is made anew and tried once more; one that is locked, read-only or full is let be."""
        for _ in range(2):
            try:
                return step()
            except (sqlite3.Error, OSError, UnicodeError) as error:
                self.lost = f"{self._path.name}: {error}"
                if not is_damage(error):
                    break
                self._remove()
        return None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=self._patience, check_same_thread=False)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA):
                raise sqlite3.DatabaseError(f"it was written by another version ({version})")
            if version == 0:
                keep_a_log(database, self._patience)
                database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_SCHEMA}; COMMIT;")
            wait_for_no_disk(database)
        except BaseException:
            database.close()
            raise
        return database

    def _remove(self) -> None:
        for suffix in ("", *BESIDE):
            with suppress(OSError):  # it will be met again, and told, when it is opened
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def _nothing(name: str, entry: Entry) -> bool:
    del name, entry
    return False


def _rows(database: sqlite3.Connection, statement: str, values: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Text that is no UTF-8 is read as far as it goes, by a function that takes twenty times as long."""
    try:
        yield from database.execute(statement, values)
        return
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    database.text_factory = lambda content: content.decode("utf-8", "replace")
    yield from database.execute(statement, values)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _tags(text: str) -> str:
    """The list as it was written, or "" when it is none: a ledger may hold anything by now."""
    if _PLAIN_TAGS.fullmatch(text):
        return text
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return text if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else ""
