"""The file that an emulated account lives in: SQLite in WAL mode, shared by threads and processes.

Law: a write is one transaction, so that a process killed at any moment leaves either all of it or nothing
(tests/unit/test_local_store.py). To change the tables: append one script to `MIGRATIONS`; it runs once on each file.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import LocalError, Problem
from reconciler.sqlite_file import is_damage, keep_a_log, wait_for_no_disk

FILE_NAME = "account.sqlite3"
DOUBT = "account.doubted"  # a file that says: look at all of the account when it is opened next
BUSY_SECONDS = 20  # how long one process waits for another one's write
IDLE_CONNECTIONS = 16

MIGRATIONS = (
    """
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('serial', 0);
    CREATE TABLE values_by_name (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tokens (sha256 TEXT PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE watchers (url TEXT PRIMARY KEY, token TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE namespaces (
        name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, trusted INTEGER NOT NULL,
        created_on TEXT NOT NULL, modified_on TEXT NOT NULL
    ) WITHOUT ROWID;

    -- Ordinary Workers have the namespace ''. Modules, secrets and assets stand apart, so that a listing reads little.
    CREATE TABLE scripts (
        namespace TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, etag TEXT NOT NULL, revision INTEGER NOT NULL,
        created_on TEXT NOT NULL, modified_on TEXT NOT NULL, main TEXT NOT NULL, syntax TEXT NOT NULL,
        version_id TEXT NOT NULL, deployed_from TEXT NOT NULL, handlers TEXT NOT NULL, has_assets INTEGER NOT NULL,
        tags TEXT, metadata TEXT NOT NULL, subdomain INTEGER NOT NULL, previews INTEGER NOT NULL,
        PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE modules (
        namespace TEXT NOT NULL, script TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
        type TEXT NOT NULL, content BLOB NOT NULL
    );
    CREATE INDEX modules_of_a_script ON modules (namespace, script, position);
    CREATE TABLE secrets (
        namespace TEXT NOT NULL, script TEXT NOT NULL, name TEXT NOT NULL, binding TEXT NOT NULL,
        PRIMARY KEY (namespace, script, name)
    ) WITHOUT ROWID;
    CREATE TABLE manifests (
        namespace TEXT NOT NULL, script TEXT NOT NULL, files TEXT NOT NULL, PRIMARY KEY (namespace, script)
    );

    CREATE TABLE assets (hash TEXT PRIMARY KEY, type TEXT NOT NULL, content BLOB NOT NULL);
    CREATE TABLE asset_scopes (
        namespace TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (namespace, hash)
    ) WITHOUT ROWID;
    CREATE TABLE asset_sessions (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, script TEXT NOT NULL, manifest TEXT NOT NULL,
        expires REAL NOT NULL
    );

    CREATE TABLE versions (
        id TEXT PRIMARY KEY, script TEXT NOT NULL, number INTEGER NOT NULL, created_on TEXT NOT NULL,
        content TEXT NOT NULL, UNIQUE (script, number)
    );
    CREATE TABLE deployments (
        id TEXT PRIMARY KEY, script TEXT NOT NULL, serial INTEGER NOT NULL, created_on TEXT NOT NULL,
        content TEXT NOT NULL
    );
    CREATE INDEX deployments_of_a_script ON deployments (script, serial);

    CREATE TABLE zones (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_on TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE routes (
        id TEXT PRIMARY KEY, zone_id TEXT NOT NULL, pattern TEXT NOT NULL, script TEXT, UNIQUE (zone_id, pattern)
    ) WITHOUT ROWID;
    CREATE TABLE domains (
        id TEXT PRIMARY KEY, hostname TEXT NOT NULL UNIQUE, service TEXT NOT NULL, environment TEXT NOT NULL,
        zone_id TEXT NOT NULL, cert_id TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE kv_namespaces (id TEXT PRIMARY KEY, title TEXT NOT NULL UNIQUE) WITHOUT ROWID;
    CREATE TABLE kv_pairs (
        namespace_id TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, metadata TEXT, expires INTEGER,
        PRIMARY KEY (namespace_id, key)
    );
    CREATE TABLE d1_databases (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_on TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE r2_buckets (name TEXT PRIMARY KEY, created_on TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE r2_objects (
        bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        md5 TEXT NOT NULL, uploaded REAL NOT NULL, metadata TEXT NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (bucket, key)
    );
    CREATE TABLE r2_uploads (id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, metadata TEXT NOT NULL);
    CREATE TABLE r2_parts (
        upload TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (upload, number)
    );
    """,
    """
    CREATE TABLE custom_hostnames (
        id TEXT PRIMARY KEY, zone_id TEXT NOT NULL, hostname TEXT NOT NULL UNIQUE, created_on TEXT NOT NULL,
        details TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)


# What decoding a row raises when someone else wrote it: no JSON, another type, nothing where something has to be.
BAD_ROW = (ValueError, TypeError, AttributeError)


class Damaged(LocalError):
    """The file itself is at fault, and not what is around it. What can be read of it is salvaged (salvage.py)."""


class Database:
    """Connections to one account's file: each is used by one thread at a time, writes one after another.

    Raises Damaged, or LocalError for what is not the file's own fault.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        weakref.finalize(self, _close, self._idle)
        # Threads wait here for their turn to write, in order; SQLite's own waiting between processes polls.
        self._writing = threading.Lock()
        try:
            self._migrate()
        except (OSError, sqlite3.DatabaseError, UnicodeError) as error:
            self.close()
            raise unusable(self.file, error) from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: every statement inside sees the same moment."""
        with self._sound(BAD_ROW), self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed at the end, and undone when an exception leaves it."""
        with self._sound(), self._connection() as connection, self._writing:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close every idle connection; one that is in use is closed when it comes back."""
        self._closed = True
        _close(self._idle)

    @contextmanager
    def _sound(self, row: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """A file that is damaged, and in a read a row that is not what its table holds, are told as such, and looked
        at when the account is opened next. Raises LocalError."""
        wrong: tuple[type[Exception], ...] = (sqlite3.DatabaseError, *row)
        try:
            yield
        except wrong as error:
            told = unusable(self.file, error)
            if isinstance(told, Damaged):
                with suppress(OSError):
                    self.file.with_name(DOUBT).touch()
            raise told from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if self._closed or len(self._idle) >= IDLE_CONNECTIONS:
                connection.close()
            else:
                self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            wait_for_no_disk(connection)
        except sqlite3.DatabaseError:  # the file is no database
            connection.close()
            raise
        return connection

    def _migrate(self) -> None:
        with self._connection() as connection:
            if _version(connection) == len(MIGRATIONS):
                return
            keep_a_log(connection, BUSY_SECONDS)
            connection.execute("BEGIN IMMEDIATE")
            found = _version(connection)  # again: another process may have been faster
            if found > len(MIGRATIONS):
                connection.execute("ROLLBACK")
                raise LocalError([_too_new(self.file)])
            for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
                for statement in script.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")


def next_serial(connection: sqlite3.Connection) -> int:
    """A number that no other write of this account has had; it orders the account's writes."""
    query = "UPDATE counters SET value = value + 1 WHERE name = 'serial' RETURNING value"
    serial: int = connection.execute(query).fetchall()[0][0]
    return serial


def _close(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def unusable(file: Path, error: Exception) -> LocalError:
    """Damaged, or whatever else keeps the account from being used."""
    what, why = f'the local account "{file}" cannot be used', str(error)
    if is_damage(error) or isinstance(error, BAD_ROW):
        fix = "run again: what can be read of it is taken over into a new one, and the damaged file is kept"
        return Damaged([Problem(what, why=why, fix=fix, code="local-store")])
    fix = "see to what stands in the way and run again: what was written before is kept"
    return LocalError([Problem(what, why=why, fix=fix, code="local-store")])


def _too_new(file: Path) -> Problem:
    return Problem(
        f'the local account "{file}" was written by a newer version',
        fix="delete its folder to begin with an empty account, or use the newer version",
        code="local-store",
    )
