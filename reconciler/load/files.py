"""Files of the repository: which there are, and their bytes, without ever leaving the folder they belong to.

Law: no symlink is followed, no device or pipe is opened, and no path leads out (tests/unit/test_scripts.py), also
while someone exchanges what stands there (tests/unit/test_changing_files.py): each folder on the way is opened from the
one above it, and what was opened is what is read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeVar

from reconciler.errors import Problem, Severity, Where

PLATFORM_FILE, CUSTOMER_FILE = "platform.yaml", "customer.yaml"
MAX_FILE_BYTES = 64 * 1024 * 1024  # what Cloudflare takes for a whole script, uncompressed
MAX_DEPTH = 32

P = TypeVar("P")  # what a pattern is made of

_ALIKE = frozenset({"customer.yaml", "customer.yml", "customers.yaml", "customers.yml", "customer.json"})
_SKIPPED = frozenset({".git", "node_modules", ".wrangler", ".reconciler", ".DS_Store"})
_NOFOLLOW = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the repository with the files below it that are its own."""

    root: Path
    path: str  # relative to the repository, with "/"; "" for the repository itself
    files: tuple[str, ...]  # relative to the folder, sorted
    refused: tuple[str, ...] = ()  # links and the like, which have their problem already
    held_at: int = field(default=-1, repr=False, compare=False)  # its descriptor, inside of `held`

    @contextmanager
    def held(self) -> Iterator[Folder]:
        """The same folder kept open: each read of it then opens one file, and not also the folders above. What cannot
        be opened is read as before, and each read says why not."""
        if self.held_at >= 0:
            yield self
            return
        try:
            number = _opened(self.root, self.path.split("/") if self.path else ())
        except OSError:
            yield self
            return
        try:
            yield replace(self, held_at=number)
        finally:
            os.close(number)

    def is_refused(self, name: str) -> bool:
        return any(name == one or name.startswith(f"{one}/") for one in self.refused)

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError or ValueError, whose text says why not, for what cannot be read."""
        if self.held_at >= 0:
            return _read_from(self.held_at, name)
        return read_below(self.root, f"{self.path}/{name}" if self.path else name)

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
    tree = _Customers(root)
    tree.start(top, None)
    found = [owner.folder(root) for _, owner in sorted(tree.found.items())]
    return Found(tuple(found), tuple(tree.problems))


@contextmanager
def customer(root: Path, path: str) -> Iterator[Folder]:
    """A customer's own files, as the walk over all finds them, and kept open. Most have files and nothing else, which
    one look at their folder tells."""
    try:
        number = _opened(root, path.split("/"))
    except OSError:
        yield Folder(root, path, ())
        return
    try:
        names = _only_files(number)
        if CUSTOMER_FILE in names and _SKIPPED.isdisjoint(names):
            yield Folder(root, path, names, held_at=number)
            return
    finally:
        os.close(number)
    found = [one for one in customers(root, path).customers if one.path == path]
    yield found[0] if found else Folder(root, path, ())


def _only_files(number: int) -> tuple[str, ...]:
    """The names in an open folder, sorted; none where there is anything but files, or where it cannot be read."""
    try:
        with os.scandir(number) as entries:
            names = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError:
        return ()
    return tuple(sorted(names)) if all(names.values()) else ()


def below(root: Path, top: str) -> tuple[Folder, tuple[Problem, ...]]:
    """The files below one folder of the repository, named from the repository."""
    tree, owner = _Tree(root), _Owner("")
    tree.start(top, owner)
    return owner.folder(root), tuple(tree.problems)


def read(path: Path) -> bytes:
    """A regular file's bytes. Raises OSError or ValueError, whose text says why not."""
    return read_below(path.parent, path.name)


def read_below(root: Path, path: str) -> bytes:
    """A regular file's bytes by its path from the repository, through folders that are no links.

    Raises OSError or ValueError, whose text says why not.
    """
    try:
        number = _opened(root, ())
    except OSError as error:
        raise OSError(error.strerror or "it cannot be opened") from None
    try:
        return _read_from(number, path)
    finally:
        os.close(number)


def _read_from(start: int, path: str) -> bytes:
    """The same from a folder that is open, and stays so."""
    *folders, name = path.split("/")
    if ".." in folders or "" in folders or name in ("", ".", ".."):
        raise ValueError("its path leads out of the repository")
    try:
        folder = _entered(start, folders) if folders else start
        try:
            number = os.open(name, os.O_RDONLY | _NOFOLLOW, dir_fd=folder)
        finally:
            if folder != start:
                os.close(folder)
    except OSError as error:
        raise OSError(error.strerror or "it cannot be opened") from None
    try:
        return _content(number)
    finally:
        os.close(number)


def _opened(root: Path, folders: Sequence[str]) -> int:
    """A folder below `root`, through folders that are none of them a link. `root` itself may stand behind one."""
    number = os.open(root, os.O_RDONLY | _FOLDER)
    if not folders:
        return number
    try:
        return _entered(number, folders)
    finally:
        os.close(number)


def _entered(start: int, folders: Sequence[str]) -> int:
    """A folder below one that is open, through one after the other."""
    number = start
    for name in folders:
        above = number
        try:
            number = os.open(name, os.O_RDONLY | _FOLDER | _NOFOLLOW, dir_fd=above)
        finally:
            if above != start:
                os.close(above)
    return number


def _content(number: int) -> bytes:
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"it has {status.st_size:,} bytes, and at most {MAX_FILE_BYTES:,} are read")
    content = os.read(number, status.st_size + 1)
    while len(content) != status.st_size:  # it grows or shrinks while it is read
        more = os.read(number, 1 << 20)
        content += more
        if not more:
            break
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
    return content


def is_misnamed(name: str) -> bool:
    """A name that was meant to be customer.yaml, or is it where no customer can be."""
    return name.lower() in _ALIKE


def is_skipped(name: str) -> bool:
    """A file or folder that no walk looks at."""
    return name in _SKIPPED


def is_below_skipped(path: str) -> bool:
    return not _SKIPPED.isdisjoint(path.split("/"))


def is_pattern(path: str) -> bool:
    return "*" in path or "?" in path


def path_problem(path: str, where: Where | None, within: str) -> Problem | None:
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


@dataclass(frozen=True, slots=True)
class _Owner:
    """A folder while its files are gathered."""

    path: str
    files: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def folder(self, root: Path) -> Folder:
        return Folder(root, self.path, tuple(sorted(self.files)), tuple(self.refused))

    def name(self, path: str) -> str:
        return path[len(self.path) + 1 :] if self.path else path


class _What(Enum):
    """What stands under a name."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "device, pipe or socket"


class _Entry(NamedTuple):
    """One name in a folder. No two are alike, so that they are sorted by name."""

    name: str
    what: _What


def _what(entry: os.DirEntry[str]) -> _What:
    if entry.is_symlink():
        return _What.LINK
    if entry.is_dir(follow_symlinks=False):
        return _What.FOLDER
    return _What.FILE if entry.is_file(follow_symlinks=False) else _What.OTHER


class _Tree:
    """A walk over folders that follows nothing and opens nothing."""

    def __init__(self, root: Path) -> None:
        self.problems: list[Problem] = []
        self._root = root

    def start(self, top: str, owner: _Owner | None) -> None:
        try:
            mode = os.lstat(f"{self._root}/{top}").st_mode
        except OSError:
            return
        if stat.S_ISLNK(mode):
            self._refuse(_linked(Where(top)), top, owner)
        elif stat.S_ISDIR(mode):
            self._walk(top, owner, 0)

    def _walk(self, path: str, owner: _Owner | None, depth: int) -> None:
        if depth > MAX_DEPTH:
            why = f"nothing is read below {MAX_DEPTH} folders"
            self.problems.append(Problem("the folder is too deep", Where(path), why, code="path"))
            return
        entries = [entry for entry in self._entries(path) if entry.name not in _SKIPPED]
        owner = self._owner(path, entries, owner)
        for entry in entries:
            inner = f"{path}/{entry.name}"
            if entry.what is _What.LINK:
                self._refuse(_linked(Where(inner)), inner, owner)
            elif entry.what is _What.FOLDER:
                self._walk(inner, owner, depth + 1)
            elif entry.what is not _What.FILE:
                why = "devices, pipes and sockets are not read"
                self._refuse(Problem("this is not a file", Where(inner), why, "remove it", "path"), inner, owner)
            elif owner is not None:
                owner.files.append(owner.name(inner))
        self._leave(path, entries, owner, depth)

    def _refuse(self, problem: Problem, path: str, owner: _Owner | None) -> None:
        self.problems.append(problem)
        if owner is not None:
            owner.refused.append(owner.name(path))

    def _entries(self, path: str) -> list[_Entry]:
        try:
            number = _opened(self._root, path.split("/"))
            try:
                with os.scandir(number) as found:
                    return sorted(_Entry(entry.name, _what(entry)) for entry in found)
            finally:
                os.close(number)
        except OSError as error:
            why = error.strerror or "the system refuses it"
            self.problems.append(Problem("the folder cannot be read", Where(path), why, code="unreadable"))
            return []

    def _owner(self, path: str, entries: list[_Entry], owner: _Owner | None) -> _Owner | None:
        """Whose the files of a folder are."""
        del path, entries
        return owner

    def _leave(self, path: str, entries: list[_Entry], owner: _Owner | None, depth: int) -> None:
        """A folder was walked to its end."""


class _Customers(_Tree):
    """A walk that sorts files to the nearest customer above them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.found: dict[str, _Owner] = {}

    def _owner(self, path: str, entries: list[_Entry], owner: _Owner | None) -> _Owner | None:
        if not any(entry.name == CUSTOMER_FILE for entry in entries):
            return owner
        self.found[path] = _Owner(path)
        return self.found[path]

    def _leave(self, path: str, entries: list[_Entry], owner: _Owner | None, depth: int) -> None:
        """Files of nobody: what was meant to be a customer would be deleted without a word."""
        if path in self.found:
            return
        alike = [entry.name for entry in entries if is_misnamed(entry.name)]
        for name in alike:
            why = f"a customer's file is called {CUSTOMER_FILE}, and without it its scripts would be deleted"
            where = Where(f"{path}/{name}", width=0)
            self.problems.append(
                Problem("this file is not read", where, why, f"rename it to {CUSTOMER_FILE}", "customer-file")
            )
        holds = owner is None and depth > 0 and any(entry.what is _What.FILE for entry in entries)
        if holds and not alike and not any(found.startswith(f"{path}/") for found in self.found):
            why = f"there is no {CUSTOMER_FILE} in it, above it or below it"
            fix = f"add a {CUSTOMER_FILE}, or move the files out of customers/"
            where = Where(path, width=0)
            self.problems.append(
                Problem("this folder is no customer's", where, why, fix, "customer-file", Severity.WARNING)
            )


def _linked(where: Where) -> Problem:
    why = "a link could lead to another customer's files, or out of the repository"
    return Problem("this is a symbolic link", where, why, "put the file itself there", "symlink")


def _matches(pattern: str, name: str) -> bool:
    """Names and folders that begin with a dot are matched only by a pattern that has the dot."""
    return wild(pattern.split("/"), name.split("/"), "**", _segment_matches, _is_shown)


def _segment_matches(pattern: str, name: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return wild(pattern, name, "*", lambda one, character: one in ("?", character), lambda _: True)


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def wild(
    pattern: Sequence[P], text: Sequence[str], star: P, same: Callable[[P, str], bool], may: Callable[[str], bool]
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
