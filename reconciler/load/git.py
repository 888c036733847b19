"""What git knows: commits, the files of a commit, and what changed since one. Reads objects, never the work tree.

Git runs without a shell, with the ref after --end-of-options, with an environment that holds no token, and with
nothing of the repository's own configuration that could run a program: no monitor, hook, filter or signature check, and
no fetching of objects that are missing (tests/unit/test_git.py). A folder that came with a .git of its own is a
stranger's. Files come from objects byte for byte: neither filters nor .gitattributes have a say.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from reconciler.errors import Problem, UsageProblem

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "GIT_CEILING_DIRECTORIES")
_SAFE = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
    "-c", "log.showSignature=false",
)  # fmt: skip
# A submodule has a configuration of its own, and what it is at is told without looking into it.
_NOT_INSIDE = "--ignore-submodules=dirty"
_FILTER = re.compile(r"filter\.(.+)\.(clean|smudge|process|required)", re.IGNORECASE | re.DOTALL)
_NO_PROTOCOL = "none"  # that git may speak: a partial clone would fetch by a program of the repository's choice
_FILE, _EXECUTABLE, _TREE = "100644", "100755", "40000"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, named by its whole id."""

    id: str
    subject: str


def is_installed() -> bool:
    return shutil.which("git") is not None


def commit(root: Path, ref: str) -> Commit:
    """The commit that a ref names. Raises UsageProblem when it names none, or there is no git."""
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode != 0:
        raise UsageProblem(
            [
                Problem(
                    f'git knows no commit "{ref}" here',
                    why=_said(found) or "the ref does not exist in this clone, or the folder is no git repository",
                    fix="fetch it (in GitHub Actions: fetch-depth: 0), or name another",
                    code="unknown-ref",
                )
            ]
        )
    identity = found.stdout.decode("ascii", "replace").strip()
    subject = _git(root, "log", "-1", "--format=%s", identity).stdout.decode("utf-8", "replace").strip()
    return Commit(identity, subject)


def head(root: Path) -> str:
    """The id of the commit that is checked out; "" outside git or before the first commit."""
    found = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return found.stdout.decode("ascii", "replace").strip() if found.returncode == 0 else ""


def remote(root: Path) -> str:
    """Where a clone came from, by its remote "origin"; "" where it has none, or the folder is not a clone's own."""
    if not (root / ".git").exists():
        return ""
    return _git(root, "remote", "get-url", "origin").stdout.decode("utf-8", "replace").strip()


def undone_by(root: Path, target: Commit, paths: Sequence[str] = (".",)) -> tuple[Commit, ...]:
    """The commits between a target and what is checked out that touched these paths, newest first: what going back to
    it undoes."""
    found = _git(root, "log", "--format=%H %s", f"{target.id}..HEAD", "--", *paths)
    lines = found.stdout.decode("utf-8", "replace").split("\n")  # a subject may hold what else ends a line
    return tuple(Commit(identity, subject) for identity, mark, subject in (one.partition(" ") for one in lines) if mark)


def changed_files(root: Path, since: Commit) -> tuple[str, ...]:
    """Files that differ from a commit, in the work tree or not yet known to git; relative to `root`, with "/"."""
    tracked = _lines(
        _git(
            root,
            *_unfiltered(root),
            "diff",
            _NOT_INSIDE,
            "--name-only",
            "--no-renames",
            "--relative",
            "-z",
            since.id,
            "--",
            ".",
        )
    )
    untracked = _lines(_git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "."))
    return tuple(sorted({*tracked, *untracked}))


class Entry(NamedTuple):
    """One entry of a tree."""

    mode: str
    name: str
    id: str

    @property
    def is_tree(self) -> bool:
        return self.mode == _TREE

    @property
    def is_odd(self) -> bool:
        """A symbolic link or a submodule."""
        return self.mode not in (_FILE, _EXECUTABLE, _TREE)


def tree(root: Path, top: str) -> str:
    """The id of the tree of a folder as HEAD has it; "" outside git, before the first commit, or where it has none."""
    found = _git(root, "rev-parse", "--verify", "--quiet", f"HEAD:./{top}")
    return found.stdout.decode("ascii", "replace").strip() if found.returncode == 0 else ""


def children(root: Path, trees: Iterable[str]) -> dict[str, list[Entry]] | None:
    """What is directly in each of some trees, by their ids; None when git lacks one of them."""
    wanted = sorted(set(trees))
    batch = _git(root, "cat-file", "--batch", given="".join(f"{one}\n" for one in wanted).encode()).stdout
    found: dict[str, list[Entry]] = {}
    offset = 0
    for one in wanted:
        end = batch.find(b"\n", offset)
        header = batch[offset:end].split()
        if end < 0 or len(header) != 3 or header[1] != b"tree":
            return None
        content = batch[end + 1 : end + 1 + int(header[2])]
        offset = end + 2 + len(content)
        found[one] = _entries_of(content, len(one) // 2)
    return found


def _entries_of(content: bytes, id_length: int) -> list[Entry]:
    """A tree object: mode, space, name, NUL and the raw id, again and again."""
    pattern = re.compile(rb"(\d+) ([^\0]+)\0(.{%d})" % id_length, re.DOTALL)
    return [
        Entry(mode.decode(), name.decode("utf-8", "surrogateescape"), identity.hex())
        for mode, name, identity in pattern.findall(content)
    ]


class Status:
    """What of a folder is not as HEAD has it, told by a git that runs meanwhile."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self._root, self._process = root, process

    def differing(self) -> tuple[str, ...] | None:
        """Changed, staged, untracked or ignored; relative to the root. None where git cannot tell."""
        content = self._process.communicate()[0]
        if self._process.returncode != 0:
            return None
        prefix = _prefix(self._root)
        lines = content.decode("utf-8", "surrogateescape").split("\0")
        return tuple(line[3:].removeprefix(prefix) for line in lines if line)


@contextmanager
def status(root: Path, top: str) -> Iterator[Status]:
    """Begin to look for what below `top` differs."""
    how = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=traditional")
    process = subprocess.Popen(
        _command(root, *_unfiltered(root), "status", _NOT_INSIDE, *how, "--", top),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    with process:
        try:
            yield Status(root, process)
        finally:
            process.kill()


def write_tree(root: Path, at: Commit, into: Path, only: Sequence[str] = ()) -> None:
    """Write the files of a commit below `root` into an empty folder. Symlinks and submodules are left out: a
    repository of ours refuses them anyway, and says so when it is loaded from a work tree."""
    prefix = _prefix(root)
    entries = list(_entries(root, at, only))
    request = b"".join(entry[1].encode("ascii") + b"\n" for entry in entries)
    batch = _git(root, "cat-file", "--batch", given=request).stdout
    offset = 0
    for path, _ in entries:
        end_of_header = batch.find(b"\n", offset)
        header = batch[offset:end_of_header].split()
        if end_of_header < 0 or len(header) != 3:
            raise UsageProblem([_lacking(at, path)])
        size = int(header[2])
        content = batch[end_of_header + 1 : end_of_header + 1 + size]
        offset = end_of_header + size + 2
        target = into / _inside(path.removeprefix(prefix))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:
            raise UsageProblem([_unwritable(path, error)]) from None


def _entries(root: Path, at: Commit, only: Sequence[str]) -> Iterator[tuple[str, str]]:
    listed = _git(root, "ls-tree", "-r", "-z", "--full-name", at.id, "--", *(only or (".",)))
    for line in listed.stdout.split(b"\0"):
        about, _, path = line.partition(b"\t")
        if about[:6].decode("ascii", "replace") in (_FILE, _EXECUTABLE):
            yield path.decode("utf-8", "surrogateescape"), about.split()[2].decode("ascii")


def _prefix(root: Path) -> str:
    """The folder from the top of the clone, with "/" at its end; "" for the top."""
    return _git(root, "rev-parse", "--show-prefix").stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


def _unfiltered(root: Path) -> list[str]:
    """Options that take the programs from the filters of the repository's configuration. Those of the user's own, such
    as Git LFS sets up, stay."""
    asked = ("--local", "--includes", "--null", "--name-only", "--get-regexp", r"^filter\.")
    drivers = {found[1] for one in _lines(_git(root, "config", *asked)) if (found := _FILTER.fullmatch(one))}
    without = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    return [word for one in sorted(drivers) for key, to in without for word in ("-c", f"filter.{one}.{key}={to}")]


def _lacking(at: Commit, path: str) -> Problem:
    return Problem(
        f"git lacks {path} of commit {at.id[:12]}",
        why="the clone is a partial one, or damaged; nothing is fetched on the way, by whatever the clone names for it",
        fix="clone it whole (without --filter)",
        code="lacking-object",
    )


def _inside(path: str) -> PurePosixPath:
    """Git itself refuses such names in a tree; one that got in by other means goes nowhere."""
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts:
        raise UsageProblem([Problem(f'the commit holds a file named "{path}"', code="unsafe-path")])
    return found


def _unwritable(path: str, error: OSError) -> Problem:
    what = f'a file of the commit, "{path[:80]}", cannot be written to a temporary folder'
    fix = "free some room there" if error.errno == errno.ENOSPC else "take a commit in which no such file is"
    return Problem(what, why=error.strerror or str(error), fix=fix, code="unwritable-file")


def _lines(found: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [one.decode("utf-8", "surrogateescape") for one in found.stdout.split(b"\0") if one]


def _said(found: subprocess.CompletedProcess[bytes]) -> str:
    return found.stderr.decode("utf-8", "replace").strip().splitlines()[0] if found.stderr.strip() else ""


def _git(root: Path, *words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(_command(root, *words), input=given, capture_output=True, check=False, env=_environment())


def _command(root: Path, *words: str) -> list[str]:
    found = shutil.which("git")
    if found is None:
        raise UsageProblem([Problem("git is not installed", fix="install git", code="no-git")])
    return [found, "-C", str(root), *_SAFE, *words]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **kept,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _NO_PROTOCOL,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",  # a folder's name is no pattern
    }
