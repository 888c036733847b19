"""An import as it runs: read every script once, keep what was read until all is written, prove the result.

What was read is spooled below .reconciler/import/, so that an import of thousands of scripts that is interrupted goes
on where it was; a script that changed meanwhile is read again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reconciler import config, importer, wire
from reconciler.errors import Problem, UsageProblem
from reconciler.importer import Found, Written
from reconciler.kinds.connection import Connection
from reconciler.model import Module
from reconciler.replies import Row
from reconciler.repository import Repository

SPOOL = Path(".reconciler/import")
READERS = 8

Rule = Callable[[str, Sequence[str]], str]


def read(connection: Connection, root: Path, rule: Rule, *, progress: Callable[[int, int], None]) -> list[Found]:
    """Every live script that the repository does not declare: two calls each, less those that were read before."""
    declared = {script.name for script in connection.repository.scripts()}
    rows = [row for row in connection.api.scripts(connection.namespace).rows if row.name not in declared]
    spool = root / SPOOL
    spool.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="import") as pool:
        for row, raw in zip(rows, pool.map(lambda row: _raw(connection, spool, row), rows), strict=True):
            progress(len(found) + 1, len(rows))
            if raw is not None:
                found.append(_found(row, raw, rule))
    return found


def write(root: Path, written: Written) -> None:
    """Write the files. Raises UsageProblem before the first one when one of them exists already."""
    there = sorted(path for path in written.files if (root / path).exists())
    if there:
        raise UsageProblem(
            [
                Problem(
                    f"{there[0]} exists already: nothing was written",
                    why="an import adds customers and never changes a file that is there",
                    fix="choose another rule for customers, or move the file away",
                    code="import-exists",
                )
            ]
        )
    for path, content in sorted(written.files.items()):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def prove(repository: Repository, found: Sequence[Found]) -> Mapping[str, tuple[str, ...]]:
    """What an apply of the repository would change of each script beside our marks; empty is the proof."""
    differing = {}
    for one in found:
        changed = importer.differences(one.worker, config.read_worker(repository, one.script))
        if changed:
            differing[one.script] = changed
    return differing


def forget(root: Path) -> None:
    """The import is whole: what was spooled has served."""
    spool = root / SPOOL
    for file in spool.glob("*.json"):
        file.unlink()
    spool.rmdir()


def _raw(connection: Connection, spool: Path, row: Row) -> Mapping[str, Any] | None:
    """Settings and content of a script, from the spool where it has not changed since; None when it is gone."""
    file = spool / f"{hashlib.sha256(row.name.encode()).hexdigest()[:32]}.json"
    mark = [row.name, row.etag, row.modified_on]
    kept = _spooled(file)
    if kept is not None and kept.get("mark") == mark:
        return kept
    settings = connection.api.settings(connection.namespace, row.name)
    modules = connection.api.content(connection.namespace, row.name)
    if settings is None or modules is None:
        return None
    raw = {
        "mark": mark,
        "settings": settings,
        "modules": [[one.name, one.type, base64.b64encode(one.content).decode()] for one in modules],
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(raw), encoding="utf-8")
    partial.replace(file)
    return raw


def _spooled(file: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def _found(row: Row, raw: Mapping[str, Any], rule: Rule) -> Found:
    settings = raw["settings"]
    modules = tuple(Module(name, kind, base64.b64decode(content)) for name, kind, content in raw["modules"])
    worker = wire.worker_of(settings, modules)
    secrets = [one["name"] for one in settings.get("bindings") or () if one.get("type") in wire.SECRET_KINDS]
    assets = any(one.get("type") == "assets" for one in settings.get("bindings") or ())
    return Found(row.name, rule(row.name, worker.tags), worker, assets, tuple(sorted(secrets)))


def unsaid_lines(written: Written) -> Iterator[str]:
    for script, reasons in written.unsaid.items():
        for reason in reasons:
            yield f"{script}: {reason}"
