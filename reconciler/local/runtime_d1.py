"""D1 queries against a SQLite file: all of a batch in one transaction, values as JSON."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

BUSY_SECONDS = 20


def run(file: Path, queries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One result per query; nothing is kept when one of them fails."""
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_one(connection, query["sql"], query["params"]) for query in queries]
            connection.execute("COMMIT")
        except (sqlite3.Error, sqlite3.Warning) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return {"error": f"{error}: {getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')}"}
    return {"results": results}


def _one(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> dict[str, Any]:
    began = time.perf_counter()
    before = connection.total_changes
    cursor = connection.execute(sql, [_from_wire(value) for value in values])
    rows = [[_to_wire(value) for value in row] for row in cursor.fetchall()]
    changes = connection.total_changes - before
    return {
        "columns": [column[0] for column in cursor.description or ()],
        "rows": rows,
        "meta": {
            "served_by": "local",
            "duration": round((time.perf_counter() - began) * 1000, 3),
            "changes": changes,
            "changed_db": changes > 0,
            "last_row_id": cursor.lastrowid or 0,
            "rows_read": len(rows),
            "rows_written": changes,
        },
    }


def _from_wire(value: Any) -> Any:
    return bytes(value["blob"]) if isinstance(value, dict) else value


def _to_wire(value: Any) -> Any:
    return {"blob": list(value)} if isinstance(value, bytes) else value
