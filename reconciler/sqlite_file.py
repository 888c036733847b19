"""What holds for every SQLite file of ours: its damage, the files beside it, its log, and the text that it takes."""

from __future__ import annotations

import sqlite3
import time

BESIDE = ("-wal", "-shm", "-journal")  # files that SQLite keeps beside one; left alone, they are taken for another's
# Locked, no permission, no memory or room, a disk that fails: the low byte of the code.
_AROUND_IT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, and not what is around it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, sqlite3.Error) and code & 0xFF not in _AROUND_IT


def is_unicode(text: str) -> bool:
    """A file's name may be any bytes, and then stands as surrogates, which no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def wait_for_no_disk(database: sqlite3.Connection) -> None:
    """For a connection that writes: after a kill everything is there, and the last writes may go with the power, never
    the file. Its log goes into the file at 40 MB, not at SQLite's 4: each time waits for the disk, which was a fifth of
    an apply of a thousand scripts. Raises sqlite3.DatabaseError for a file that is no database."""
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 10000")  # pages of 4 KB


def keep_a_log(database: sqlite3.Connection, patience: float) -> None:
    """Readers and a writer side by side. SQLite itself does not wait where several processes ask for this at once."""
    until = time.monotonic() + patience
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)
