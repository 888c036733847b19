"""Every customer compiled, and only those whose folder has changed since they were compiled before.

A customer's folder is a git tree, and the tree's id is a hash of all in it. Trees are unfolded from the top: one that
is known under its id needs no further look, so that what is read of git is the list of the customers and the folders
that changed. `git status` names the folders that differ from their trees, and runs beside everything else. Compiled
rows are kept under (path, tree id, terms, this code), on a laptop and in a fresh checkout alike. Outside git, the stat
of every file takes the tree's place.

Law: what comes out is what compiling every folder gives (tests/property/test_compiling.py). The cache holds clean
customers only, since problems may depend on the day. What it says may be a lie: it is asked for what is shown, never
for what is written (cli/apply.py loads without it).
"""

from __future__ import annotations

import hashlib
import os
import pickle
import posixpath
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import ConfigError, Problem, Where
from reconciler.load import compiled, customer_file, files, git
from reconciler.load.compiled import Row
from reconciler.load.compiled_cache import Cache, Known
from reconciler.load.files import CUSTOMER_FILE, Folder
from reconciler.load.repository import Customer, Terms
from reconciler.model import canonical
from reconciler.sqlite_file import is_unicode

# The folders whose code a compiled row depends on, beside the modules of the top level.
COMPILED_BY = ("load", "routing")
SPREAD_FROM = 1_000  # folders: about a second of work; a process takes a third of one to start
MOST_PROCESSES = 8
_ITS_FILE = f"/{CUSTOMER_FILE}"
UNFOLDED_AT_ONCE = 5_000  # trees: one program of git, and 5 MB
_KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "VIRTUAL_ENV",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """The folders of customers, with what names the state of each; "" for one that has to be compiled."""

    states: Mapping[str, str]
    folders: Mapping[str, Folder]  # those that were walked; the others are walked when they are needed
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The customers that came to a row, by path, and the problems of all folders and of the tree itself."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


def compile_all(root: Path, top: str, terms: Terms, kept: Cache | None) -> Found:
    """Every customer below `top`. Without a cache every folder is compiled."""
    if kept is None:
        tree = _walked(root, top, with_stat=False)
        return _found(_fresh(root, tree.states, tree, terms), {}, tree)
    on = terms_digest(terms)
    if git.is_installed():
        with git.status(root, top) as status:
            known = kept.known(on)
            tree = _git_tree(root, top, status, known.states) or _walked(root, top, with_stat=True)
    else:
        known, tree = kept.known(on), _walked(root, top, with_stat=True)
    good = {path: known.rows[path] for path, state in tree.states.items() if state and known.states.get(path) == state}
    fresh = _fresh(root, tree.states.keys() - good.keys(), tree, terms)
    kept.keep(on, _to_keep(fresh, tree), known.rows.keys() - tree.states.keys())
    return _found(fresh, good, tree)


def compile_one(root: Path, path: str, terms: Terms) -> Customer:
    """A customer from its folder as it is now. Raises ConfigError when that has become wrong."""
    with files.customer(root, path) as folder:
        one = customer_file.compile_folder(folder, terms)
    if one.customer is None:
        raise ConfigError(one.problems)
    return one.customer


class Came(NamedTuple):
    """What a folder came to."""

    row: Row | None
    problems: tuple[Problem, ...]


def came(root: Path, path: str, walked: Folder | None, terms: Terms) -> Came:
    """`walked` is the folder where it was looked through already."""
    if walked is not None:
        return _came(walked, terms)
    with files.customer(root, path) as folder:
        return _came(folder, terms)


def _came(folder: Folder, terms: Terms) -> Came:
    one = customer_file.compile_folder(folder, terms)
    return Came(compiled.encoded(one.customer) if one.customer is not None else None, one.problems)


def _found(fresh: Mapping[str, Came], good: Mapping[str, Row], tree: Tree) -> Found:
    rows = {**good, **{path: one.row for path, one in fresh.items() if one.row is not None}}
    problems = (*tree.problems, *(problem for one in fresh.values() for problem in one.problems))
    return Found(tuple(rows[path] for path in sorted(rows)), problems)


def _to_keep(fresh: Mapping[str, Came], tree: Tree) -> Known:
    """Clean ones. A tree is unfolded no further where it is known, so that one with customers below is not kept."""
    clean = {
        path: one.row
        for path, one in fresh.items()
        if one.row is not None and not one.problems and tree.states[path] and all(map(is_unicode, one.row))
    }
    around = {above for path in tree.states for above in _above(posixpath.dirname(path))} if clean else set()
    return Known(tree.states, {path: row for path, row in clean.items() if path not in around})


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


def _git_tree(root: Path, top: str, status: git.Status, known: Mapping[str, str]) -> Tree | None:
    """The tree as git knows it; None where it has to be walked: outside git, or with a file that is no customer's.

    A folder that holds a change, an untracked or an ignored file, a link or a submodule is walked and compiled.
    """
    identity = git.tree(root, top)
    unfolded = _unfolded(root, top, identity, known) if identity else None
    differing = status.differing()
    if unfolded is None or differing is None or not (root / top).is_dir() or (root / top).is_symlink():
        return None
    trees, others, odd = unfolded
    # Three files a customer, a hundred thousand customers: a path is taken apart by what takes the least time.
    seen = [path for path in (*others, *differing) if not files.is_below_skipped(path)]
    owners = {path[: -len(_ITS_FILE)] for path in seen if path.endswith(_ITS_FILE)}
    owners |= {path for path, state in trees.items() if known.get(path) == state}
    if _has_nobodys(seen, owners, top):
        return None
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


def _unfolded(
    root: Path, top: str, identity: str, known: Mapping[str, str]
) -> tuple[dict[str, str], list[str], list[str]] | None:
    """Folders by path with their trees, everything else in those that are not known, and what of it is odd; None when
    git lacks one, or where it goes deeper than is read."""
    trees, others, odd = {top: identity}, list[str](), list[str]()
    level, depth = [(top, identity)], 0
    while level:
        deeper = list[tuple[str, str]]()
        for start in range(0, len(level), UNFOLDED_AT_ONCE):
            some = level[start : start + UNFOLDED_AT_ONCE]
            found = git.children(root, [one for _, one in some])
            if depth > files.MAX_DEPTH or found is None:
                return None
            for inner, entry in [(f"{path}/{entry.name}", entry) for path, one in some for entry in found[one]]:
                if not entry.is_tree:
                    others.append(inner)
                    odd += [inner] if entry.is_odd else []
                    continue
                trees[inner] = entry.id
                if known.get(inner) != entry.id and not files.is_skipped(entry.name):
                    deeper.append((inner, entry.id))
        level, depth = deeper, depth + 1
    return trees, others, odd


def _has_nobodys(paths: Sequence[str], owners: Collection[str], top: str) -> bool:
    """Whether there is a file that the walk has something to say about: one that was meant to be a customer's, or one
    in a folder with no customer above or below it."""
    outside = [path for path in paths if path.rpartition("/")[0] not in owners]  # nearly none
    if any(files.is_misnamed(posixpath.basename(path)) for path in outside):
        return True
    nobodys = [path for path in outside if not any(above in owners for above in _above(path))]
    around = {top, *(above for path in owners for above in _above(path))} if nobodys else set()
    return any(path.endswith("/") or posixpath.dirname(path) not in around for path in nobodys)


def _above(path: str) -> list[str]:
    """The folders above a path, the nearest first."""
    parts = path.rstrip("/").split("/")
    return ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


# Compiling what is not known


def _fresh(root: Path, paths: Collection[str], tree: Tree, terms: Terms) -> dict[str, Came]:
    folders = [(path, tree.folders.get(path)) for path in sorted(paths)]
    if len(folders) < SPREAD_FROM:
        return {path: came(root, path, walked, terms) for path, walked in folders}
    shares = min(MOST_PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    working = [_Share(root, folders[number::shares], terms) for number in range(shares)]
    with ExitStack() as read, ThreadPoolExecutor(shares, thread_name_prefix="share") as reading:
        for one in working:
            read.callback(one.close)
        try:
            return {path: one for found in reading.map(_Share.done, working) for path, one in found.items()}
        finally:
            for one in working:
                one.stop()


class _Share:
    """A part of the folders, compiled by a process of its own: it gets no token, and imports nothing from the folder
    that it is started in. A terminal's Ctrl-C reaches this process alone, which then ends its shares."""

    def __init__(self, root: Path, folders: Sequence[tuple[str, Folder | None]], terms: Terms) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reconciler.load.compiling_share"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as told:
            pickle.dump((root, folders, terms), told)

    def done(self) -> dict[str, Came]:
        """What they came to. A process that dies has met a bug, and its traceback has been shown."""
        assert self._process.stdout is not None
        found: dict[str, Came] = {}
        is_whole = False
        with self._process.stdout as came_back, suppress(EOFError, pickle.UnpicklingError):  # it breaks off then
            while (some := pickle.load(came_back)) is not None:  # noqa: S301 - from our own process
                found |= some
            is_whole = True
        if self._process.wait() != 0 or not is_whole:
            raise ChildProcessError(f"compiling customers ended with {self._process.returncode}")
        return found

    def stop(self) -> None:
        """Whoever waits for it waits no more."""
        self._process.kill()

    def close(self) -> None:
        """Once nobody reads of it, or ever will: one that failed keeps the others from being read."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()


# The terms


def terms_digest(terms: Terms) -> str:
    """All that a compiled row depends on beside the customer's folder, and the code that compiles it."""
    value = {
        "defaults": [layer.data for layer in terms.defaults],
        "tiers": {name: [layer.data for layer in layers] for name, layers in terms.tiers.items()},
        "modules": [[one.name, one.type, one.sha256] for one in terms.modules],
        "outbound": sorted(terms.outbound_workers),
    }
    return hashlib.sha256(f"{code()}{canonical(value)}".encode()).hexdigest()


@cache
def code() -> str:
    """The code that is running: another version compiles to other rows."""
    seen = hashlib.sha256()
    package = resources.files("reconciler")
    for folder in (package, *(package.joinpath(name) for name in COMPILED_BY)):
        for one in sorted(folder.iterdir(), key=lambda one: one.name):
            if one.name.endswith(".py"):
                seen.update(one.read_bytes())
    return seen.hexdigest()
