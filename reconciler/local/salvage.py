"""A damaged account is made anew from what can be read of it, and the damaged file is kept beside it.

Law: nothing is thrown away, and nothing that came over in half looks like what was uploaded. A script whose code or
files are not all there is left out, one that may have lost a secret counts as changed: the next plan shows both, and
apply restores them from the repository.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.errors import LocalError, Problem, Severity
from reconciler.local.database import DOUBT, FILE_NAME, MIGRATIONS, Damaged, Database, unusable
from reconciler.local.records import new_uuid, timestamp
from reconciler.sqlite_file import BESIDE, is_damage, is_unicode, keep_a_log

PATIENCE = 0.8  # seconds to wait for others to let go of a damaged account; `dev` does not before it ends
IsWhole = Callable[[sqlite3.Connection, str, str], bool]  # whether this script of this namespace can be what was sent
_TYPES: Mapping[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int), "BLOB": (bytes,)}
_PAGE = 4096  # bytes: SQLite's default, which every account has
_PAGE_COUNT = slice(28, 32)  # where the first page tells it
# Columns that hold JSON: a page that was overwritten may still be read as a row.
_JSON = frozenset({"tags", "metadata", "binding", "files", "manifest", "details"})
_JSON_CONTENT = frozenset({"versions", "deployments"})  # whose `content` is JSON as well
# A row without the one that it belongs to means nothing.
_BELONG = (
    ("routes", "zone_id", "zones", "id"),
    ("domains", "zone_id", "zones", "id"),
    ("custom_hostnames", "zone_id", "zones", "id"),
    ("kv_pairs", "namespace_id", "kv_namespaces", "id"),
    ("r2_objects", "bucket", "r2_buckets", "name"),
    ("r2_uploads", "bucket", "r2_buckets", "name"),
    ("r2_parts", "upload", "r2_uploads", "id"),
    ("asset_scopes", "hash", "assets", "hash"),
)
_SCRIPTS = "SELECT namespace, name FROM scripts"
_OF_A_SCRIPT = ("modules", "secrets", "manifests")


class Lock:
    """Who uses an account holds its folder together with others; who makes it anew holds it alone."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # secrets are in it
            self._held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            self.close = weakref.finalize(self, os.close, self._held)
            fcntl.flock(self._held, fcntl.LOCK_SH)
        except OSError as error:
            raise unusable(self._file, error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises LocalError when others do not let go of it."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise LocalError([_in_use(self._file)]) from None
                time.sleep(0.02)
        try:
            yield
        finally:
            fcntl.flock(self._held, fcntl.LOCK_SH)


def opened(folder: Path, lock: Lock, is_whole: IsWhole) -> tuple[Database, Problem | None]:
    """The account in a folder; with a warning when it was damaged and is another one now. Raises LocalError."""
    file, doubt = folder / FILE_NAME, folder / DOUBT
    with suppress(Damaged):
        database = Database(folder)
        if not doubt.exists():
            return database, None
        database.close()
    with lock.alone():
        try:
            wrong = _wrong(folder, is_whole)
            told = _made_anew(file, wrong, is_whole) if wrong else None
            doubt.unlink(missing_ok=True)
        except (OSError, sqlite3.DatabaseError) as error:
            raise unusable(file, error) from error
    return Database(folder), told


class _Hole(NamedTuple):
    """Where reading a table broke off, from its front and from its back. () where not even one row was read."""

    before: tuple[Any, ...]
    after: tuple[Any, ...]


def _wrong(folder: Path, is_whole: IsWhole) -> str:
    """What is wrong with the account when all of it is looked at; "" when nothing is."""
    try:
        Database(folder).close()
        with closing(sqlite3.connect(folder / FILE_NAME)) as there, closing(_empty(":memory:")) as like:
            found = [str(row[0]) for row in there.execute("PRAGMA integrity_check(1)")]
            if found != ["ok"]:
                return found[0]
            for table in _tables(like):
                for row in _rows(there, table, "ASC"):
                    if not table.takes(row):
                        return f"a row of {table.name} is not what it holds"
            named = there.execute(_SCRIPTS).fetchall()
            broken = [name for namespace, name in named if not is_whole(there, namespace, name)]
            return f"the script {broken[0]} is not what was uploaded" if broken else ""
    except Damaged as error:
        return error.problems[0].why
    except (sqlite3.DatabaseError, UnicodeError) as error:
        if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
            raise
        return str(error)


def _made_anew(file: Path, wrong: str, is_whole: IsWhole) -> Problem:
    fresh = file.with_suffix(".new")
    for path in (fresh, *(Path(f"{fresh}{one}") for one in BESIDE)):
        path.unlink(missing_ok=True)
    with closing(_empty(fresh)) as into, into:
        kept, seen = _taken_over(file, into, is_whole)
    with closing(sqlite3.connect(fresh)) as made:
        keep_a_log(made, PATIENCE)
    aside = _aside(file)
    with suppress(OSError):  # a filesystem without links
        os.link(file, aside)
    if not aside.exists():
        shutil.copy(file, aside)
    for one in BESIDE:  # left beside the new file, they would be taken for its own
        with suppress(FileNotFoundError):
            Path(f"{file}{one}").replace(f"{aside}{one}")
    fresh.replace(file)
    came = f"{kept} of {seen} scripts came over whole" if seen else "no script could be read"
    return Problem(
        f'the local account "{file}" was damaged, and is made anew from what could be read',
        why=f"{wrong.strip()}; {came}, and what is missing shows in the plan",
        fix=f"run `reconciler apply --local`: it restores what the repository says. The damaged file is {aside.name}",
        code="local-store",
        severity=Severity.WARNING,
    )


def _aside(file: Path) -> Path:
    """A name that is free."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"{file.stem}.damaged-{stamp}{more or ''}{file.suffix}" for more in count(0, -1))
    return next(path for name in names if not (path := file.with_name(name)).exists())


def _empty(path: Path | str) -> sqlite3.Connection:
    """A new account's file."""
    database = sqlite3.connect(path)
    for script in MIGRATIONS:
        database.executescript(script)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    database.execute("DELETE FROM counters")
    database.commit()
    return database


class _Table(NamedTuple):
    name: str
    columns: tuple[tuple[str, str, bool], ...]  # name, type, whether it may be NULL
    key: tuple[str, ...]  # what its rows lie in the order of

    def takes(self, row: Sequence[Any]) -> bool:
        """Whether a row can be one of this table."""
        return all(self._fits(*column, value) for column, value in zip(self.columns, row, strict=True))

    def _fits(self, name: str, kind: str, optional: bool, value: Any) -> bool:
        if value is None:
            return optional
        if not isinstance(value, _TYPES[kind]):
            return False
        if isinstance(value, str) and (name in _JSON or (name == "content" and self.name in _JSON_CONTENT)):
            return _is_json(value)
        return not isinstance(value, str) or is_unicode(value)


def _tables(database: sqlite3.Connection) -> list[_Table]:
    names = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    found = []
    for name, sql in names:
        about = database.execute(f"PRAGMA table_info({name})").fetchall()
        columns = tuple((one[1], one[2], not (one[3] or one[5])) for one in about)
        key = tuple(one[1] for one in sorted(about, key=lambda one: one[5]) if one[5])
        found.append(_Table(name, columns, key if "WITHOUT ROWID" in sql else ("rowid",)))
    return found


def _rows(database: sqlite3.Connection, table: _Table, order: str) -> Iterator[tuple[Any, ...]]:
    names = ", ".join(name for name, _, _ in table.columns)
    by = ", ".join(f"{one} {order}" for one in table.key)
    yield from database.execute(f"SELECT {names} FROM {table.name} ORDER BY {by}")  # noqa: S608 - our own names


def _taken_over(file: Path, into: sqlite3.Connection, is_whole: IsWhole) -> tuple[int, int]:
    """Every row that can be read and can be one. Gives the scripts that came over whole, and those that were seen."""
    holes: dict[str, _Hole] = {}
    with _source(file) as source:
        for table in _tables(into):
            if hole := _copied(source, table, into):
                holes[table.name] = hole
    for table_name, column, owner, key in _BELONG:
        alone = f"DELETE FROM {table_name} WHERE {column} NOT IN (SELECT {key} FROM {owner})"  # noqa: S608 - our own
        into.execute(alone)
    seen = into.execute(_SCRIPTS).fetchall()
    for one in seen:
        if not is_whole(into, *one):
            _leave_out(into, *one)
    # What no etag tells of, a time of change does: whoever remembers another one looks at the script again.
    changed = [(timestamp(time.time()), *one) for one in _within(holes.get("secrets"), seen)]
    into.executemany("UPDATE scripts SET modified_on = ? WHERE namespace = ? AND name = ?", changed)
    for part in _OF_A_SCRIPT:
        alone = f"DELETE FROM {part} WHERE (namespace, script) NOT IN ({_SCRIPTS})"  # noqa: S608 - our own
        into.execute(alone)
    _number(into)
    return into.execute("SELECT count(*) FROM scripts").fetchone()[0], len(seen)


def _copied(source: sqlite3.Connection, table: _Table, into: sqlite3.Connection) -> _Hole | None:
    """Copy a table from both of its ends; where both break off, the hole between."""
    put = f"INSERT OR IGNORE INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608 - our own
    ends: list[tuple[Any, ...]] = []
    for order in ("ASC", "DESC"):
        reading = _Reading(_rows(source, table, order))
        last: tuple[Any, ...] = ()
        for row in reading:
            if table.takes(row):
                into.execute(put, row)
                last = row
        if reading.ended and order == "ASC":
            return None
        ends.append(last)
    return _Hole(*ends)


@contextmanager
def _source(file: Path) -> Iterator[sqlite3.Connection]:
    """What is read: the file itself, or where the pages that tell of its tables are the damaged ones, a copy of it with
    those of a new account. Each account is made by the same steps, so that the tables begin on the same pages; what is
    read of one where they do not is no row of its table."""
    copy = file.with_suffix(".part")
    with closing(sqlite3.connect(file)) as source:
        try:
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError:
            _with_the_head_of_another(file, copy)
            with closing(sqlite3.connect(copy)) as source:
                yield _lenient(source)
            copy.unlink()
            return
        yield _lenient(source)


def _lenient(source: sqlite3.Connection) -> sqlite3.Connection:
    source.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return source


def _with_the_head_of_another(file: Path, copy: Path) -> None:
    empty = file.with_suffix(".empty")
    empty.unlink(missing_ok=True)
    _empty(empty).close()
    head, content = empty.read_bytes(), bytearray(file.read_bytes())
    empty.unlink()
    for start in range(0, len(head), _PAGE):
        page = head[start : start + _PAGE]
        if start == 0 or b"CREATE " in page:
            content[start : start + _PAGE] = page
    content[_PAGE_COUNT] = (len(content) // _PAGE).to_bytes(4, "big")
    copy.write_bytes(content)


class _Reading:
    """Rows for as long as they can be read."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows, self.ended = rows, False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        with suppress(sqlite3.DatabaseError):
            yield from self._rows
            self.ended = True


def _within(hole: _Hole | None, scripts: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The scripts that may have lost a row in a hole; the rows begin with (namespace, script)."""
    if hole is None:
        return frozenset()
    low, high = hole.before[:2], hole.after[:2]
    return frozenset(one for one in scripts if (not low or one >= low) and (not high or one <= high))


def _leave_out(into: sqlite3.Connection, namespace: str, name: str) -> None:
    into.execute("DELETE FROM scripts WHERE namespace = ? AND name = ?", (namespace, name))
    if not namespace:  # an ordinary Worker, with all that leads to it
        for table, column in (("versions", "script"), ("deployments", "script"), ("routes", "script")):
            into.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608 - our own names
        into.execute("DELETE FROM domains WHERE service = ?", (name,))


def _number(into: sqlite3.Connection) -> None:
    """The counter goes on from the highest number that was read, and a namespace that lost its row gets another."""
    highest = (("value", "counters"), ("revision", "scripts"), ("serial", "deployments"))
    queries = [f"SELECT coalesce(max({column}), 0) FROM {table}" for column, table in highest]  # noqa: S608 - our own
    serial = 1 + max(into.execute(one).fetchone()[0] for one in queries)
    into.execute("INSERT OR REPLACE INTO counters VALUES ('serial', ?)", (serial,))
    named = "SELECT namespace, min(created_on), max(modified_on) FROM scripts WHERE namespace <> '' GROUP BY namespace"
    rows = [(name, new_uuid(f"namespace {name}", serial), 0, *times) for name, *times in into.execute(named)]
    into.executemany("INSERT OR IGNORE INTO namespaces VALUES (?, ?, ?, ?, ?)", rows)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _in_use(file: Path) -> Problem:
    return Problem(
        f'the local account "{file}" is damaged, and another process uses it',
        why="it is made anew from what can be read, which nobody may write to meanwhile",
        fix="end `reconciler dev` and what else uses it, then run again",
        code="local-store",
    )
