"""D1: databases, and queries on them. The SQL runs in SQLite itself."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local import runtime_d1
from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import paged, refuse, success
from reconciler.local.records import D1Database

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def list_databases(call: Call) -> Response:
    name = call.request.args.get("name", "")
    page = call.number("page", 1, least=1, most=100_000)
    size = call.number("per_page", 1000, least=10, most=10_000)
    return paged([_row(one) for one in call.store.d1.databases() if name in ("", one.name)], page, size)


def create_database(call: Call) -> Response:
    name = call.object().get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse(7400, why="name must be 1 to 64 letters, digits, _ and -")
    made = call.store.d1.create_database(name)
    if made is None:
        raise refuse(7502)
    return success(_database(call, made))


def get_database(call: Call, database: str) -> Response:
    return success(_database(call, _found(call, database)))


def delete_database(call: Call, database: str) -> Response:
    _found(call, database)
    call.store.d1.delete_database(database)
    return success(None)


def query(call: Call, database: str) -> Response:
    """Rows as objects, one result for each statement."""
    results = _results(call, database)
    shown = [
        {
            "results": [dict(zip(one["columns"], row, strict=True)) for row in one["rows"]],
            "success": True,
            "meta": one["meta"],
        }
        for one in results
    ]
    return success(shown)


def raw(call: Call, database: str) -> Response:
    """Rows as lists, beside the names of the columns."""
    results = _results(call, database)
    shown = [
        {"results": {"columns": one["columns"], "rows": one["rows"]}, "success": True, "meta": one["meta"]}
        for one in results
    ]
    return success(shown)


def _results(call: Call, database: str) -> list[Mapping[str, Any]]:
    found = _found(call, database)
    asked = call.object()
    batch = asked["batch"] if isinstance(asked.get("batch"), list) else [asked]
    queries = [one for query in batch for one in _statements(query)]
    answer = runtime_d1.run(call.store.d1.file(found.id), queries)
    if "error" in answer:
        raise refuse(7500, why=answer["error"])
    results: list[Mapping[str, Any]] = answer["results"]
    return results


def _statements(asked: Any) -> list[dict[str, Any]]:
    """The statements of one text; parameters go with a single one only."""
    sql = asked.get("sql") if isinstance(asked, dict) else None
    if not isinstance(sql, str) or not sql.strip():
        raise refuse(7400, why="sql must be a string that is not empty")
    params = asked.get("params") or []
    if not isinstance(params, list) or any(isinstance(one, dict | list) for one in params):
        raise refuse(7400, why="params must be a list of strings, numbers, booleans and nulls")
    statements = _split(sql)
    if params and len(statements) > 1:
        raise refuse(7400, why="params cannot be used with several statements")
    return [{"sql": one, "params": params} for one in statements]


def _split(sql: str) -> list[str]:
    statements, begun = [], ""
    for piece in re.split(r"(;)", sql):
        begun += piece
        if piece == ";" and sqlite3.complete_statement(begun):
            statements.append(begun.strip())
            begun = ""
    return [one for one in (*statements, begun.strip()) if one.strip("; \n\t")]


def _found(call: Call, identity: str) -> D1Database:
    database = call.store.d1.database(identity)
    if database is None:
        raise refuse(7404, name=identity)
    return database


def _row(one: D1Database) -> dict[str, Any]:
    return {"uuid": one.id, "name": one.name, "version": "production", "created_at": one.created_on}


def _database(call: Call, one: D1Database) -> dict[str, Any]:
    file = call.store.d1.file(one.id)
    size = file.stat().st_size if file.exists() else 0
    return {**_row(one), "file_size": size, "num_tables": None, "read_replication": {"mode": "disabled"}}


_DATABASES = "/accounts/<account>/d1/database"
ENDPOINTS = (
    Endpoint("GET", _DATABASES, list_databases, rate_limit_headers=False),
    Endpoint("POST", _DATABASES, create_database, rate_limit_headers=False),
    Endpoint("GET", f"{_DATABASES}/<database>", get_database, rate_limit_headers=False),
    Endpoint("DELETE", f"{_DATABASES}/<database>", delete_database, rate_limit_headers=False),
    Endpoint("POST", f"{_DATABASES}/<database>/query", query, rate_limit_headers=False),
    Endpoint("POST", f"{_DATABASES}/<database>/raw", raw, rate_limit_headers=False),
)
