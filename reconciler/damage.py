"""Whether a SQLite file is damaged, and is made anew, or something around it keeps it from being used."""

from __future__ import annotations

import sqlite3

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
BESIDE = ("-wal", "-shm", "-journal")  # files that SQLite keeps beside one; left alone, they are taken for another's


def is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, sqlite3.Error) and code & 0xFF not in _AROUND_IT
