"""R2 of the emulated account: buckets, objects whole in the account's file, and uploads in parts."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.local.database import Database, next_serial
from reconciler.local.records import R2Bucket, R2Object, new_id, timestamp

_OBJECT = "key, version, size, etag, md5, uploaded, metadata"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the object that is there; times are seconds from 1970."""

    etag_matches: str | None = None
    etag_does_not_match: str | None = None
    uploaded_before: float | None = None
    uploaded_after: float | None = None

    def holds(self, found: R2Object | None) -> bool:
        """Without an object only the absence of a match can hold."""
        if found is None:
            return self.etag_matches is None and self.uploaded_after is None
        return (
            self.etag_matches in (None, found.etag, "*")
            and (self.etag_does_not_match is None or self.etag_does_not_match not in (found.etag, "*"))
            and (self.uploaded_before is None or found.uploaded < self.uploaded_before)
            and (self.uploaded_after is None or found.uploaded > self.uploaded_after)
        )


ALWAYS = Condition()


class R2Store:
    """Buckets by name, objects by key. A write is seen by every reader at once, as R2 promises."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def buckets(self) -> list[R2Bucket]:
        with self._database.read() as db:
            return [R2Bucket(*row) for row in db.execute("SELECT name, created_on FROM r2_buckets ORDER BY name")]

    def bucket(self, name: str) -> R2Bucket | None:
        with self._database.read() as db:
            row = db.execute("SELECT name, created_on FROM r2_buckets WHERE name = ?", (name,)).fetchone()
        return R2Bucket(*row) if row else None

    def create_bucket(self, name: str) -> R2Bucket | None:
        """None when the name is taken."""
        row = (name, timestamp(self._clock()))
        with self._database.write() as db:
            if db.execute("INSERT OR IGNORE INTO r2_buckets VALUES (?, ?)", row).rowcount == 0:
                return None
        return R2Bucket(*row)

    def delete_bucket(self, name: str) -> bool:
        """False when it holds objects."""
        with self._database.write() as db:
            if db.execute("SELECT 1 FROM r2_objects WHERE bucket = ?", (name,)).fetchone():
                return False
            db.execute("DELETE FROM r2_buckets WHERE name = ?", (name,))
            db.execute("DELETE FROM r2_parts WHERE upload IN (SELECT id FROM r2_uploads WHERE bucket = ?)", (name,))
            db.execute("DELETE FROM r2_uploads WHERE bucket = ?", (name,))
        return True

    def head(self, bucket: str, key: str) -> R2Object | None:
        with self._database.read() as db:
            return _find(db, bucket, key)

    def get(self, bucket: str, key: str) -> tuple[R2Object, bytes] | None:
        """An object with its bytes, of the same moment."""
        query = f"SELECT {_OBJECT}, content FROM r2_objects WHERE bucket = ? AND key = ?"  # noqa: S608  # a constant
        with self._database.read() as db:
            row = db.execute(query, (bucket, key)).fetchone()
        return (_object(row[:-1]), row[-1]) if row else None

    def put(
        self, bucket: str, key: str, content: bytes, metadata: Mapping[str, Any], only: Condition = ALWAYS
    ) -> R2Object | None:
        """Write an object whole; None when the condition does not hold."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        with self._database.write() as db:
            if not only.holds(_find(db, bucket, key)):
                return None
            return self._write(db, bucket, key, content, metadata, etag=md5, md5=md5)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Keys that are not there are no mistake."""
        with self._database.write() as db:
            db.executemany("DELETE FROM r2_objects WHERE bucket = ? AND key = ?", [(bucket, key) for key in keys])

    def objects(self, bucket: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[R2Object]:
        """By the bytes of their keys, beginning after the key `after`."""
        query = (
            f"SELECT {_OBJECT} FROM r2_objects WHERE bucket = ? AND key > ? AND substr(key, 1, ?) = ?"  # noqa: S608  # a constant
            " ORDER BY key LIMIT ?"
        )
        with self._database.read() as db:
            rows = db.execute(query, (bucket, after, len(prefix), prefix, limit)).fetchall()
        return [_object(row) for row in rows]

    # Uploads in parts

    def start_upload(self, bucket: str, key: str, metadata: Mapping[str, Any]) -> str:
        with self._database.write() as db:
            identity = new_id("r2-upload", next_serial(db))
            db.execute("INSERT INTO r2_uploads VALUES (?, ?, ?, ?)", (identity, bucket, key, json.dumps(metadata)))
        return identity

    def put_part(self, bucket: str, key: str, upload: str, number: int, content: bytes) -> str | None:
        """The part's etag; None for an upload that is not under way."""
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        with self._database.write() as db:
            if _upload(db, bucket, key, upload) is None:
                return None
            db.execute("INSERT OR REPLACE INTO r2_parts VALUES (?, ?, ?, ?)", (upload, number, etag, content))
        return etag

    def complete_upload(self, bucket: str, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> R2Object | None:
        """Join the parts; None for an upload that is not under way, or parts that are not its own."""
        with self._database.write() as db:
            metadata = _upload(db, bucket, key, upload)
            rows = db.execute("SELECT number, etag, content FROM r2_parts WHERE upload = ?", (upload,))
            held = {(number, etag): content for number, etag, content in rows.fetchall()}
            if metadata is None or not parts or any(part not in held for part in parts):
                return None
            content = b"".join(held[part] for part in sorted(parts))
            joined = b"".join(bytes.fromhex(etag) for _, etag in sorted(parts))
            etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
            made = self._write(db, bucket, key, content, metadata, etag=etag, md5="")
            _forget(db, upload)
        return made

    def abort_upload(self, upload: str) -> None:
        with self._database.write() as db:
            _forget(db, upload)

    def _write(
        self,
        db: sqlite3.Connection,
        bucket: str,
        key: str,
        content: bytes,
        metadata: Mapping[str, Any],
        *,
        etag: str,
        md5: str,
    ) -> R2Object:
        version = new_id("r2-version", next_serial(db))
        made = R2Object(key, version, len(content), etag, md5, round(self._clock(), 3), metadata)
        told = json.dumps(metadata)
        row = (bucket, key, version, made.size, etag, md5, made.uploaded, told, content)
        db.execute("INSERT OR REPLACE INTO r2_objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return made


def _find(db: sqlite3.Connection, bucket: str, key: str) -> R2Object | None:
    query = f"SELECT {_OBJECT} FROM r2_objects WHERE bucket = ? AND key = ?"  # noqa: S608  # a constant
    row = db.execute(query, (bucket, key)).fetchone()
    return _object(row) if row else None


def _object(row: Sequence[Any]) -> R2Object:
    key, version, size, etag, md5, uploaded, metadata = row
    return R2Object(key, version, size, etag, md5, uploaded, json.loads(metadata))


def _upload(db: sqlite3.Connection, bucket: str, key: str, upload: str) -> Mapping[str, Any] | None:
    query = "SELECT metadata FROM r2_uploads WHERE id = ? AND bucket = ? AND key = ?"
    row = db.execute(query, (upload, bucket, key)).fetchone()
    return json.loads(row[0]) if row else None


def _forget(db: sqlite3.Connection, upload: str) -> None:
    db.execute("DELETE FROM r2_parts WHERE upload = ?", (upload,))
    db.execute("DELETE FROM r2_uploads WHERE id = ?", (upload,))
