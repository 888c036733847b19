"""Workers KV and D1 of the emulated account."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.local.database import Database, next_serial
from reconciler.local.records import D1Database, KvKey, KvNamespace, KvPair, new_id, new_uuid, timestamp

_LIVE = "(expires IS NULL OR expires > ?)"


class KvStore:
    """KV namespaces and their pairs. A pair that has expired is gone for every reader."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def namespaces(self) -> list[KvNamespace]:
        with self._database.read() as db:
            return [KvNamespace(*row) for row in db.execute("SELECT id, title FROM kv_namespaces ORDER BY title")]

    def namespace(self, identity: str) -> KvNamespace | None:
        with self._database.read() as db:
            row = db.execute("SELECT id, title FROM kv_namespaces WHERE id = ?", (identity,)).fetchone()
        return KvNamespace(*row) if row else None

    def create_namespace(self, title: str) -> KvNamespace | None:
        """None when the title is taken."""
        with self._database.write() as db:
            row = (new_id("kv", next_serial(db)), title)
            if db.execute("INSERT OR IGNORE INTO kv_namespaces VALUES (?, ?)", row).rowcount == 0:
                return None
        return KvNamespace(*row)

    def ensure_namespace(self, identity: str, title: str) -> None:
        """Make a namespace with a given id, as a platform declares it; nothing happens when the id is there."""
        if self.namespace(identity) is not None:  # as for each script but the first: a read waits for no other write
            return
        with self._database.write() as db:
            db.execute("INSERT OR IGNORE INTO kv_namespaces VALUES (?, ?)", (identity, title))

    def rename_namespace(self, identity: str, title: str) -> bool:
        """False when the title is taken."""
        with self._database.write() as db:
            changed = db.execute("UPDATE OR IGNORE kv_namespaces SET title = ? WHERE id = ?", (title, identity))
            return changed.rowcount > 0

    def delete_namespace(self, identity: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM kv_namespaces WHERE id = ?", (identity,))
            db.execute("DELETE FROM kv_pairs WHERE namespace_id = ?", (identity,))

    def get(self, namespace_id: str, key: str) -> KvPair | None:
        query = f"SELECT value, metadata, expires FROM kv_pairs WHERE namespace_id = ? AND key = ? AND {_LIVE}"  # noqa: S608  # every value is a parameter
        with self._database.read() as db:
            row = db.execute(query, (namespace_id, key, self._clock())).fetchone()
        return KvPair(key, row[0], json.loads(row[1]) if row[1] else None, row[2]) if row else None

    def put(self, namespace_id: str, pairs: Iterable[KvPair]) -> None:
        """Write pairs in one transaction; a later pair with the same key goes before an earlier one."""
        rows = [
            (namespace_id, one.key, one.value, None if one.metadata is None else json.dumps(one.metadata), one.expires)
            for one in pairs
        ]
        with self._database.write() as db:
            db.executemany("INSERT OR REPLACE INTO kv_pairs VALUES (?, ?, ?, ?, ?)", rows)

    def delete(self, namespace_id: str, keys: Iterable[str]) -> None:
        """Keys that are not there are no mistake."""
        with self._database.write() as db:
            db.executemany(
                "DELETE FROM kv_pairs WHERE namespace_id = ? AND key = ?", [(namespace_id, key) for key in keys]
            )

    def keys(self, namespace_id: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[KvKey]:
        """Keys by their UTF-8 bytes, beginning after the key `after`."""
        query = (
            "SELECT key, metadata, expires FROM kv_pairs WHERE namespace_id = ? AND key > ? AND key >= ?"  # noqa: S608  # every value is a parameter
            f" AND substr(key, 1, ?) = ? AND {_LIVE} ORDER BY key LIMIT ?"
        )
        values = (namespace_id, after, prefix, len(prefix), prefix, self._clock(), limit)
        with self._database.read() as db:
            rows = db.execute(query, values).fetchall()
        return [KvKey(key, json.loads(metadata) if metadata else None, expires) for key, metadata, expires in rows]


class D1Store:
    """D1 databases: a row each, and the SQLite file that holds their tables."""

    def __init__(self, database: Database, clock: Callable[[], float], folder: Path) -> None:
        self._database = database
        self._clock = clock
        self._folder = folder

    def databases(self) -> list[D1Database]:
        with self._database.read() as db:
            return [
                D1Database(*row) for row in db.execute("SELECT id, name, created_on FROM d1_databases ORDER BY name")
            ]

    def database(self, identity: str) -> D1Database | None:
        with self._database.read() as db:
            row = db.execute("SELECT id, name, created_on FROM d1_databases WHERE id = ?", (identity,)).fetchone()
        return D1Database(*row) if row else None

    def create_database(self, name: str) -> D1Database | None:
        """None when the name is taken."""
        with self._database.write() as db:
            row = (new_uuid("d1", next_serial(db)), name, timestamp(self._clock()))
            if db.execute("INSERT OR IGNORE INTO d1_databases VALUES (?, ?, ?)", row).rowcount == 0:
                return None
        return D1Database(*row)

    def ensure_database(self, identity: str, name: str) -> None:
        """Make a database with a given id, as a platform declares it; nothing happens when the id is there."""
        if self.database(identity) is not None:
            return
        with self._database.write() as db:
            row = (identity, name, timestamp(self._clock()))
            db.execute("INSERT OR IGNORE INTO d1_databases VALUES (?, ?, ?)", row)

    def delete_database(self, identity: str) -> bool:
        with self._database.write() as db:
            deleted = db.execute("DELETE FROM d1_databases WHERE id = ?", (identity,)).rowcount > 0
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.file(identity)}{suffix}").unlink(missing_ok=True)
        return deleted

    def file(self, identity: str) -> Path:
        """The SQLite file that holds the tables of a database; made when it is first used."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{identity}.sqlite3"
