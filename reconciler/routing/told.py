"""A compiled routing table as people read it: each script with its own terms, which the table holds by number."""

from __future__ import annotations

from typing import Any, NoReturn

from reconciler.routing.table import Table, parse_module, read_part


def told(content: bytes) -> dict[str, Any]:
    """The routes of a module. Those in Workers KV are not read; they are told by one digest.

    Raises ValueError for a module that was not compiled here.
    """
    table = parse_module(content, _unread)
    head = {name: value for name, value in table.head.items() if name != "format"}
    return {**head, **({"parts": _parts(table)} if table.in_kv else _routes(table))}


def _routes(table: Table) -> dict[str, Any]:
    part = read_part(table.parts[0])
    terms = part["terms"]
    scripts = {name: {"customer": customer, **terms[place]} for name, (customer, place) in part["scripts"].items()}
    return {"customers": part["customers"], "hosts": part["hosts"], "scripts": scripts}


def _parts(table: Table) -> str:
    return f"{len(table.part_digests):,} in Workers KV, {table.digest[:8]}"


def _unread(key: str) -> NoReturn:
    raise ValueError(f"{key} is in Workers KV, which is not read here")
