"""Where workerd is on this machine, and how new it is."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import LocalError, Problem

VARIABLE = "RECONCILER_WORKERD"
VERSION = "1.20261023.1"  # that of package.json, which the tests run
_PACKAGES = {
    ("linux", "x86_64"): "workerd-linux-64",
    ("linux", "aarch64"): "workerd-linux-arm64",
    ("darwin", "x86_64"): "workerd-darwin-64",
    ("darwin", "arm64"): "workerd-darwin-arm64",
}


def find_workerd(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The binary: $RECONCILER_WORKERD, else from node_modules at or above `root` or here, else from the cache."""
    if given := environment.get(VARIABLE):
        return _named(Path(given))
    for candidate in _candidates(root, environment):
        if candidate.is_file():
            return candidate
    raise LocalError([_missing("it is looked for in node_modules and in the cache folder")])


def compatibility_date(binary: Path) -> str:
    """The newest compatibility date that this workerd knows."""
    try:
        printed = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=30, check=True, env={"PATH": os.defpath}
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalError([_broken(binary, str(error))]) from error
    found = re.search(r"\d{4}-\d{2}-\d{2}", printed)
    if found is None:
        raise LocalError([_broken(binary, f'its version is "{printed.strip()}"')])
    return found[0]


def _named(given: Path) -> Path:
    """What $RECONCILER_WORKERD names; for npm's script (node_modules/.bin/workerd) the binary that it starts."""
    if not given.is_file():
        raise LocalError([_missing(f"{VARIABLE} names {given}, which is no file")])
    with given.open("rb") as file:
        began = file.readline(200)
    if not (began.startswith(b"#!") and b"node" in began):
        return given
    for candidate in _packaged(given.resolve().parent):
        if candidate.is_file():
            return candidate
    why = f"{VARIABLE} names {given}, a script of npm's, and no node_modules above it has the binary for this machine"
    raise LocalError([_missing(why)])


def _candidates(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    package = _PACKAGES.get((sys.platform, platform.machine()))
    if package is None:
        return
    for start in dict.fromkeys((root.resolve(), Path.cwd())):
        yield from _packaged(start)
    yield _cache_folder(environment) / "reconciler" / package / "workerd"


def _packaged(start: Path) -> Iterator[Path]:
    """Where npm puts the binary for this machine, at `start` and above."""
    if package := _PACKAGES.get((sys.platform, platform.machine())):
        for folder in (start, *start.parents):
            yield folder / "node_modules" / "@cloudflare" / package / "bin" / "workerd"


def _cache_folder(environment: Mapping[str, str]) -> Path:
    if given := environment.get("XDG_CACHE_HOME"):
        return Path(given)
    with suppress(RuntimeError):  # the machine has no entry for this user
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path("/.cache")


def _missing(why: str) -> Problem:
    return Problem(
        "workerd, the runtime of the embedded platform, was not found",
        why=why,
        fix=f"run `npm install --no-save workerd@{VERSION}` in the repository, or set {VARIABLE} to the binary",
        code="local-workerd",
    )


def _broken(binary: Path, why: str) -> Problem:
    return Problem(
        f"{binary} does not run as workerd",
        why=why,
        fix=f"install it anew with `npm install --no-save workerd@{VERSION}`",
        code="local-workerd",
    )
