"""Files of the repository: which there are, and their bytes, without ever leaving the folder they belong to.

Law: no symlink is followed, no device or pipe is opened, and no path leads out (tests/unit/test_files.py).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Problem, Where

CUSTOMER_FILE = "customer.yaml"
MAX_FILE_BYTES = 64 * 1024 * 1024  # what Cloudflare takes for a whole script, uncompressed
MAX_DEPTH = 32

_SKIPPED = frozenset({".git", "node_modules", ".wrangler", ".reconciler", ".DS_Store"})
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the repository with the files below it that are its own."""

    root: Path
    path: str  # relative to the repository, with "/"; "" for the repository itself
    files: tuple[str, ...]  # relative to the folder, sorted

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError or ValueError, whose text says why not, for what cannot be read."""
        return read(self.root / self.path / name)

    def place(self, name: str, line: int = 1, column: int = 1, width: int = 1) -> Where:
        return Where(f"{self.path}/{name}" if self.path else name, line, column, width)

    def matching(self, pattern: str) -> list[str]:
        """The files that a path or a pattern names. `*` stays within a name and `**/` crosses folders."""
        if not is_pattern(pattern):
            return [pattern] if pattern in set(self.files) else []
        return [name for name in self.files if _matches(pattern, name)]


@dataclass(frozen=True, slots=True)
class Found:
    """What stands below a folder: the folders of customers, and what is wrong with the tree."""

    customers: tuple[Folder, ...]  # by path
    problems: tuple[Problem, ...]


def customers(root: Path, top: str = "customers") -> Found:
    """Every folder below `top` that holds a customer.yaml, at any depth, with its files.

    A customer's files are those below its folder, less those of customers further below.
    """
    tree = _Tree(root)
    if (root / top).is_symlink():
        tree.problems.append(_linked(Where(top)))
    elif (root / top).is_dir():
        tree.walk(top, None, 0)
    found = [Folder(root, path, tuple(sorted(files))) for path, files in sorted(tree.customers.items())]
    return Found(tuple(found), tuple(tree.problems))


def below(root: Path, top: str) -> tuple[Folder, tuple[Problem, ...]]:
    """The files below one folder of the repository, named from the repository."""
    tree = _Tree(root)
    files: list[str] = []
    if (root / top).is_symlink():
        tree.problems.append(_linked(Where(top)))
    elif (root / top).is_dir():
        tree.walk(top, (top, files), 0)
    return Folder(root, "", tuple(sorted(f"{top}/{name}" for name in files))), tuple(tree.problems)


def read(path: Path) -> bytes:
    """A regular file's bytes. Raises OSError or ValueError, whose text says why not."""
    try:
        number = os.open(path, os.O_RDONLY | _NOFOLLOW)
    except OSError as error:
        raise OSError(error.strerror or "it cannot be opened") from None
    with open(number, "rb") as file:  # noqa: PTH123 - from a descriptor, which pathlib cannot
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(f"it has {status.st_size:,} bytes, and at most {MAX_FILE_BYTES:,} are read")
        return file.read(MAX_FILE_BYTES + 1)


def read_below(root: Path, path: str) -> bytes:
    """A regular file's bytes by its path from the repository, through folders that are no links."""
    parts = path.split("/")
    if ".." in parts or "" in parts:
        raise ValueError("its path leads out of the repository")
    for count in range(1, len(parts)):
        if root.joinpath(*parts[:count]).is_symlink():
            raise ValueError(f"{'/'.join(parts[:count])} is a symbolic link")
    return read(root / path)


def is_pattern(path: str) -> bool:
    return "*" in path or "?" in path


def path_problem(path: str, where: Where, within: str) -> Problem | None:
    """What is wrong with a path by its text alone. `within` names the folder that it has to stay in."""
    parts = path.split("/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        why, fix = f"paths are relative to {within}", "write it from there"
    elif ".." in parts:
        why, fix = f"a path stays inside {within}", "move or copy the file there"
    elif "\\" in path:
        why, fix = "folders are parted by / on every system", f'write "{path.replace(chr(92), "/")}"'
    elif "" in parts or "." in parts:
        clean = "/".join(part for part in parts if part not in ("", "."))
        why, fix = "a path is written in one way only", f'write "{clean}"' if clean else ""
    elif not path.isprintable():
        why, fix = "it holds characters that cannot be seen", "rename the file"
    else:
        return None
    return Problem(f'the path "{path}" cannot be used', where, why, fix, "path")


class _Tree:
    def __init__(self, root: Path) -> None:
        self.customers: dict[str, list[str]] = {}
        self.problems: list[Problem] = []
        self._root = root

    def walk(self, path: str, owner: tuple[str, list[str]] | None, depth: int) -> None:
        """Sort the files below a folder to the nearest customer above them."""
        if depth > MAX_DEPTH:
            why = f"nothing is read below {MAX_DEPTH} folders"
            self.problems.append(Problem("the folder is too deep", Where(path), why, code="path"))
            return
        entries = self._entries(path)
        names = {entry.name for entry in entries}
        if owner is None or owner[0].startswith("customers"):
            owner = self._owner(path, names, owner)
        for entry in entries:
            inner = f"{path}/{entry.name}"
            if entry.name in _SKIPPED:
                continue
            if entry.is_symlink():
                self.problems.append(_linked(Where(inner)))
            elif entry.is_dir(follow_symlinks=False):
                self.walk(inner, owner, depth + 1)
            elif not entry.is_file(follow_symlinks=False):
                why = "devices, pipes and sockets are not read"
                self.problems.append(Problem("this is not a file", Where(inner), why, "remove it", "path"))
            elif owner is not None:
                owner[1].append(inner[len(owner[0]) + 1 :])

    def _entries(self, path: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._root / path) as found:
                return sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            why = error.strerror or "the system refuses it"
            self.problems.append(Problem("the folder cannot be read", Where(path), why, code="unreadable"))
            return []

    def _owner(self, path: str, names: set[str], owner: tuple[str, list[str]] | None) -> tuple[str, list[str]] | None:
        if CUSTOMER_FILE in names:
            self.customers[path] = []
            return path, self.customers[path]
        for name in sorted(names):
            if name.lower() in ("customer.yml", "customer.yaml", "customers.yaml", "customers.yml", "customer.json"):
                where = Where(f"{path}/{name}")
                why = f"a customer's file is called {CUSTOMER_FILE}, and without it its scripts would be deleted"
                fix = f"rename it to {CUSTOMER_FILE}"
                self.problems.append(Problem("this file is not read", where, why, fix, "customer-file"))
        return owner


def _linked(where: Where) -> Problem:
    why = "a link could lead to another customer's files, or out of the repository"
    return Problem("this is a symbolic link", where, why, "put the file itself there", "symlink")


def _matches(pattern: str, name: str) -> bool:
    """Names and folders that begin with a dot are matched only by a pattern that has the dot."""
    return _wild(pattern.split("/"), name.split("/"), "**", _segment_matches, _is_shown)


def _segment_matches(pattern: str, name: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _wild(pattern, name, "*", lambda one, character: one in ("?", character), lambda _: True)


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def _wild(
    pattern: Sequence[str], text: Sequence[str], star: str, same: Callable[[str, str], bool], may: Callable[[str], bool]
) -> bool:
    """Whether a sequence matches one in which `star` stands for any run of what it may stand for.

    Each star takes as little as it can and is extended from the last one only, so that the time is at most the
    product of both lengths, whatever the pattern.
    """
    at = position = 0
    last_star = taken = -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == star:
            last_star, taken = at, position
            at += 1
        elif at < len(pattern) and same(pattern[at], text[position]):
            at, position = at + 1, position + 1
        elif last_star >= 0 and may(text[taken]):
            taken += 1
            at, position = last_star + 1, taken
        else:
            return False
    return all(one == star for one in pattern[at:])
