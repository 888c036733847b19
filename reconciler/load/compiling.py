"""Every customer compiled, and only those whose folder has changed since they were compiled before.

A customer's folder is a git tree, and the tree's id is a hash of all in it: one `git ls-tree` names the state of every
folder and one `git status` the folders that differ from it, on a laptop and in a fresh checkout alike. Compiled rows
are kept in SQLite under (tree id, terms, this code). Outside git, the stat of every file takes the tree's place.

Law: what comes out is what compiling every folder gives (tests/property/test_compiling.py). The cache holds clean
customers only, since problems may depend on the day; a row that cannot be read counts as none. A hostile row can make
a run look at the wrong thing: uploads are always made from the files, and a run that would delete is loaded without
the cache first (run.py).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import posixpath
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from reconciler.errors import Problem, Where
from reconciler.load import customer_file, files, git
from reconciler.load.customer_file import Compiled
from reconciler.load.files import CUSTOMER_FILE, Folder
from reconciler.load.repository import Customer, Script, Terms
from reconciler.model import SecretReference, canonical
from reconciler.routing import Hostname

SPREAD_FROM = 400  # folders; below that a second process costs more than it saves
PROCESSES = 2
CHUNK = 100
ROWS_PER_READ = 2_000
# The folders whose code a compiled row depends on, beside the modules of the top level.
COMPILED_BY = ("load", "routing")

_SCHEMA = 1
_TABLE = "CREATE TABLE IF NOT EXISTS compiled (key BLOB PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Tree:
    """The folders of customers, with what names the state of each; "" for one that has to be compiled."""

    states: Mapping[str, str]
    folders: Mapping[str, Folder]  # those that were walked; the others are walked when they are needed
    problems: tuple[Problem, ...]


def compile_all(root: Path, top: str, terms: Terms, kept: Path | None) -> tuple[list[Compiled], tuple[Problem, ...]]:
    """Every customer below `top`, by path, and the problems of the tree itself. `kept` is the cache's file."""
    tree = (_git_tree(root, top) if kept is not None else None) or _walked(root, top, with_stat=kept is not None)
    paths = sorted(tree.states)
    on = terms_digest(terms) if kept is not None else ""
    keys = {path: _key(path, tree.states[path], on) for path in paths if tree.states[path]}
    known = _read(kept, keys) if kept is not None else {}
    fresh = _fresh(root, [path for path in paths if path not in known], tree, terms)
    if kept is not None:
        clean = {keys[path]: one.customer for path, one in fresh.items() if path in keys and _is_clean(one)}
        _write(kept, clean, len(paths))
    compiled = [fresh[path] if path in fresh else Compiled(known[path], ()) for path in paths]
    return compiled, tree.problems


def _is_clean(one: Compiled) -> bool:
    return one.customer is not None and not one.problems


# The state of every folder


def _walked(root: Path, top: str, *, with_stat: bool) -> Tree:
    found = files.customers(root, top)
    states = {one.path: _stat_state(one) if with_stat else "" for one in found.customers}
    return Tree(states, {one.path: one for one in found.customers}, found.problems)


def _stat_state(folder: Folder) -> str:
    """Size, inode and times of every file: no program writes a file and leaves all of them as they were."""
    if folder.refused:
        return ""
    seen = hashlib.sha256()
    for name in folder.files:
        try:
            found = (folder.root / folder.path / name).lstat()
        except OSError:
            return ""
        seen.update(f"{name}\0{found.st_size}\0{found.st_ino}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\0".encode())
    return f"stat {seen.hexdigest()}"


def _git_tree(root: Path, top: str) -> Tree | None:
    """The tree as git knows it; None where it has to be walked: outside git, or with a file that is no customer's.

    A folder that holds a change, an untracked or an ignored file, a link or a submodule is walked and compiled.
    """
    entries = git.tree(root, top)
    if entries is None or not (root / top).is_dir() or (root / top).is_symlink():
        return None
    differing = git.dirty(root, top)
    trees = {entry.path: entry.id for entry in entries if entry.is_tree}
    committed = [entry.path for entry in entries if not entry.is_tree]
    owners = {posixpath.dirname(path) for path in (*committed, *differing) if posixpath.basename(path) == CUSTOMER_FILE}
    if any(_is_nobodys(path, owners, top) for path in (*committed, *differing)):
        return None
    odd = [entry.path for entry in entries if entry.is_odd]
    touched = {above for path in (*differing, *odd) for above in (path.rstrip("/"), *_above(path))}
    clean = {path: trees[path] for path in owners if path not in touched and path in trees}
    walked, problems = dict[str, Folder](), dict[tuple[Where | None, str], Problem]()
    for path in sorted(owners - clean.keys()):
        if (root / path).exists() and not (root / path / CUSTOMER_FILE).exists():
            return None
        found = files.customers(root, path)
        walked |= {one.path: one for one in found.customers if one.path not in clean}
        problems |= {(one.where, one.what): one for one in found.problems}
    return Tree(clean | dict.fromkeys(walked, ""), walked, tuple(problems.values()))


def _is_nobodys(path: str, owners: set[str], top: str) -> bool:
    """A file that no customer owns, where the walk has something to say about it."""
    if any(above in owners for above in _above(path)):
        return False
    return (
        posixpath.dirname(path.rstrip("/")) != top or path.endswith("/") or files.is_misnamed(posixpath.basename(path))
    )


def _above(path: str) -> list[str]:
    """The folders above a path, the nearest first."""
    parts = path.rstrip("/").split("/")
    return ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


# Compiling what is not known


def _fresh(root: Path, paths: Sequence[str], tree: Tree, terms: Terms) -> dict[str, Compiled]:
    folders = (tree.folders.get(path) or _folder(root, path) for path in paths)
    if len(paths) < SPREAD_FROM or threading.active_count() > 1 or not hasattr(multiprocessing, "get_context"):
        return {folder.path: customer_file.compile_folder(folder, terms) for folder in folders}
    # fork: the terms hold YAML nodes, which cannot be sent, and a process that has no threads can be forked.
    global _shared_terms
    _shared_terms = terms
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        return {one[0]: one[1] for one in pool.map(_compile, folders, chunksize=CHUNK)}


_shared_terms: Terms | None = None  # what the forked processes inherit


def _compile(folder: Folder) -> tuple[str, Compiled]:
    assert _shared_terms is not None
    return folder.path, customer_file.compile_folder(folder, _shared_terms)


def _folder(root: Path, path: str) -> Folder:
    """A customer's own files, less those of customers further below."""
    found = [one for one in files.customers(root, path).customers if one.path == path]
    return found[0] if found else Folder(root, path, ())


# The cache


def _key(path: str, state: str, terms: str) -> bytes:
    return hashlib.sha256(f"{path}\0{state}\0{terms}".encode()).digest()


def terms_digest(terms: Terms) -> str:
    """All that a compiled row depends on beside the customer's folder, and the code that compiles it."""
    value = {
        "defaults": [layer.data for layer in terms.defaults],
        "tiers": {name: [layer.data for layer in layers] for name, layers in terms.tiers.items()},
        "modules": [[one.name, one.type, one.sha256] for one in terms.modules],
        "outbound": sorted(terms.outbound_workers),
    }
    return hashlib.sha256(f"{_code()}{canonical(value)}".encode()).hexdigest()


@cache
def _code() -> str:
    """The code that is running: another version compiles to other rows."""
    seen = hashlib.sha256()
    package = resources.files("reconciler")
    for folder in (package, *(package.joinpath(name) for name in COMPILED_BY)):
        for one in sorted(folder.iterdir(), key=lambda one: one.name):
            if one.name.endswith(".py"):
                seen.update(one.read_bytes())
    return seen.hexdigest()


def _read(kept: Path, keys: Mapping[str, bytes]) -> dict[str, Customer]:
    """The customers that the cache knows. Whatever is wrong with it, it then knows none."""
    found: dict[str, Customer] = {}
    paths = {key: path for path, key in keys.items()}
    try:
        with closing(_open(kept)) as database:
            wanted = list(paths)
            for start in range(0, len(wanted), ROWS_PER_READ):
                some = wanted[start : start + ROWS_PER_READ]
                marks = ",".join("?" * len(some))
                for key, row in database.execute(f"SELECT key, row FROM compiled WHERE key IN ({marks})", some):  # noqa: S608 - only marks
                    customer = _decoded(row, paths[key])
                    if customer is not None:
                        found[paths[key]] = customer
    except (sqlite3.Error, OSError):
        return {}
    return found


def _write(kept: Path, customers: Mapping[bytes, Customer | None], living: int) -> None:
    """Keep rows; a cache that has grown to many times what lives is begun anew. It may fail: then it is slower."""
    if not customers:
        return
    rows = [(key, _encoded(one)) for key, one in customers.items() if one is not None]
    try:
        with closing(_open(kept)) as database, database:
            if database.execute("SELECT count(*) FROM compiled").fetchone()[0] > 4 * living + 10_000:
                database.execute("DELETE FROM compiled")
            database.executemany("INSERT OR REPLACE INTO compiled VALUES (?, ?)", rows)
    except (sqlite3.Error, OSError):
        kept.unlink(missing_ok=True)


def _open(kept: Path) -> sqlite3.Connection:
    kept.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(kept, timeout=10)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
            database.execute("DROP TABLE IF EXISTS compiled")
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {_SCHEMA}")
    except BaseException:
        database.close()
        raise
    return database


def _encoded(one: Customer) -> str:
    return json.dumps(
        [one.id, one.name, one.tier, one.suspended, _place(one.where), [_script_row(script) for script in one.scripts]],
        separators=(",", ":"),
        ensure_ascii=False,
    )


def _script_row(one: Script) -> list[Any]:
    return [
        one.name,
        one.tier,
        _place(one.where),
        one.digest,
        one.tags,
        one.cpu_ms,
        one.subrequests,
        one.outbound_worker,
        [[hostname.name, _place(hostname.where) if hostname.where else None] for hostname in one.hostnames],
        one.protect,
        one.previously,
        [[name, secret.variable, secret.version] for name, secret in one.secrets],
        one.has_assets,
        one.without_stand_in,
    ]


def _place(where: Where) -> list[Any]:
    return [where.line, where.column, where.width]


def _decoded(row: str, path: str) -> Customer | None:
    try:
        identity, name, tier, suspended, place, scripts = json.loads(row)
        file = f"{path}/{CUSTOMER_FILE}"
        if identity != posixpath.basename(path):
            return None
        rows = tuple(_script(one, identity, file) for one in scripts)
        return Customer(identity, name, tier, suspended, path, Where(file, *place), rows)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _script(row: Sequence[Any], customer: str, file: str) -> Script:
    (
        name, tier, place, digest, tags, cpu_ms, subrequests, outbound, hostnames, protect, previously, secrets, assets,
        without_stand_in,
    ) = row  # fmt: skip
    return Script(
        name,
        customer,
        tier,
        Where(file, *place),
        digest,
        tuple(tags),
        cpu_ms,
        subrequests,
        outbound,
        tuple(Hostname(host, Where(file, *at) if at else None) for host, at in hostnames),
        protect,
        tuple(previously),
        tuple((secret, SecretReference(variable, version)) for secret, variable, version in secrets),
        assets,
        tuple(without_stand_in),
    )
