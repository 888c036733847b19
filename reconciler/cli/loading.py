"""From the options of a command to a loaded repository, as it is or as it was at a commit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reconciler.cli import files
from reconciler.cli.options import Options
from reconciler.errors import Problem, UsageProblem
from reconciler.load import config, git
from reconciler.load.repository import Platform, Repository

OWN = Path(".reconciler")  # what is kept beside the repository
LOCAL_FOLDER = OWN / "local"
COMPILED = OWN / "compiled.sqlite3"
LEDGER = OWN / "ledger.sqlite3"

Begun = Callable[[Platform], None]  # what is told of the platform before its customers are read


def load(options: Options, begun: Begun | None = None) -> Repository:
    """Find and load the repository; its warnings are shown with the plan."""
    root, known = repository_root(options.folder), variables(options)
    repository = config.load(root, options.environment, variables=known, kept=kept(root, COMPILED), begun=begun)
    return config.with_stand_in_warnings(repository) if options.local else repository


@contextmanager
def loaded(options: Options, at: str = "", begun: Begun | None = None) -> Iterator[Repository]:
    """The repository as it is, or as it was at a commit: then from git's objects, beside the work tree."""
    if at:
        with _at_commit(options, at, begun) as repository:
            yield repository
    else:
        yield load(options, begun)


@contextmanager
def loaded_to_write(options: Options, at: str = "", begun: Begun | None = None) -> Iterator[Repository]:
    """The same, with every file read: nothing is written on the word of a cache, which may be anyone's."""
    if at:
        with _at_commit(options, at, begun) as repository:
            yield repository
    else:
        root = repository_root(options.folder)
        yield config.load(root, options.environment, variables=variables(options), begun=begun)


@contextmanager
def _at_commit(options: Options, at: str, begun: Begun | None) -> Iterator[Repository]:
    root = repository_root(options.folder)
    commit = git.commit(root, at)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        git.write_tree(root, commit, Path(folder))
        if not (Path(folder) / "platform.yaml").is_file():
            raise UsageProblem([Problem(f"commit {commit.id[:12]} holds no platform.yaml", code="no-repository")])
        yield config.load(Path(folder), options.environment, variables=variables(options), begun=begun)


def is_repository(folder: Path) -> bool:
    """Whether there is a platform.yaml here or above."""
    start = folder.resolve()
    return any((one / "platform.yaml").is_file() for one in (start, *start.parents))


def repository_root(folder: Path) -> Path:
    """The nearest folder upwards that holds platform.yaml."""
    start = folder.resolve()
    for one in (start, *start.parents):
        if (one / "platform.yaml").is_file():
            return one
    where = f"{folder} or above it" if start.is_dir() else f"or above {folder}, which is no folder itself"
    raise UsageProblem(
        [
            Problem(
                f"there is no platform.yaml in {where}",
                why="a platform's repository is known by that file",
                fix="change to the repository, name it with -C DIR, or make one with `reconciler init`",
                code="no-repository",
            )
        ]
    )


def variables(options: Options) -> Mapping[str, str]:
    """The environment, over what --env-file sets."""
    found = dict(_env_file(options.env_file)) if options.env_file is not None else {}
    return {**found, **os.environ}


def kept(root: Path, path: Path) -> Path:
    """A place below .reconciler/. Raises UsageProblem where a link stands there: it came with a commit, and a database
    would be written to wherever it leads."""
    for folder in (OWN, LOCAL_FOLDER):
        links = [root / folder, *((root / folder).iterdir() if (root / folder).is_dir() else ())]
        for link in links:
            if link.is_symlink():
                what = f"{link.relative_to(root)} is a symbolic link: nothing is kept there"
                why = "databases are written in that folder, and a link would lead them elsewhere"
                raise UsageProblem(
                    [Problem(what, why=why, fix="remove it, and keep .reconciler out of git", code="symlink")]
                )
    return root / path


def _env_file(path: Path) -> Iterator[tuple[str, str]]:
    """NAME=value lines; quotes around a value are taken off, # begins a comment line, `export ` is let be."""
    for line in files.read(path, named="--env-file", encoding="utf-8-sig").splitlines():
        name, mark, value = line.strip().removeprefix("export ").partition("=")
        if not mark or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        yield name.strip(), value
