"""A script's static files from disk: which are served, their salted hashes, and the rules that go beside them.

All below the directory is served but for what .assetsignore names, in the syntax of .gitignore, and for that file and
_headers and _redirects themselves, which Cloudflare reads and never serves.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.errors import Problem, Where
from reconciler.load import ignore, scripts
from reconciler.load.files import Folder, path_problem
from reconciler.load.ignore import Ignored
from reconciler.model import Assets

MAX_BYTES = 25 * 1024 * 1024  # of one file
MAX_FILES = 100_000  # of one script, on a paid account

IGNORE_FILE = ".assetsignore"
RULE_FILES = ("_headers", "_redirects")
_CONFIG = ("html_handling", "not_found_handling", "run_worker_first")


def read(
    config: Mapping[str, Any], folder: Folder, customer: str, at: Callable[..., Where], problems: list[Problem]
) -> Assets | None:
    """The files that `assets:` of a script of this customer names; None where it names no folder of files."""
    directory, where = config["directory"].rstrip("/"), at("assets", "directory")
    wrong = path_problem(directory, where, f"the folder of customer {customer}")
    if wrong:
        problems.append(wrong)
        return None
    prefix = f"{directory}/"
    names = [name for name in folder.files if name.startswith(prefix)]
    if not names:
        folders = {posixpath.dirname(name).split("/")[0] for name in folder.files} - {""}
        problems.append(scripts.missing("assets directory", directory, where, folders, f"customer {customer}"))
        return None
    ignored = _ignored(f"{prefix}{IGNORE_FILE}", folder, problems)
    files: dict[str, tuple[str, int]] = {}
    rules: dict[str, str] = {}
    for name in names:
        path = name.removeprefix(prefix)
        if path == IGNORE_FILE or (path not in RULE_FILES and path in ignored):
            continue
        try:
            content = folder.read(name)
        except (OSError, ValueError) as error:
            problems.append(Problem(f'the asset "{name}" cannot be read', where, str(error), code="unreadable"))
            continue
        if path in RULE_FILES:
            rules[path] = content.decode("utf-8", "replace")
            continue
        problems += _problems(name, content, where)
        files[f"/{path}"] = (salted_hash(customer, path, content), len(content))
    if len(files) > MAX_FILES:
        why, fix = f"Cloudflare takes {MAX_FILES:,}", f"name a smaller folder, or leave some out in {IGNORE_FILE}"
        problems.append(Problem(f"there are {len(files):,} assets", where, why, fix, "asset-count"))
    served = {key: config[key] for key in _CONFIG if key in config}
    return Assets(files, f"{folder.path}/{directory}", {**served, **rules}, customer)


def salted_hash(customer: str, path: str, content: bytes) -> str:
    """Cloudflare shares assets by their hash over the whole namespace; the salt keeps customers apart."""
    suffix = posixpath.splitext(path)[1]
    return hashlib.sha256(f"{customer}\0{suffix}\0".encode() + content).hexdigest()[:32]


def _ignored(name: str, folder: Folder, problems: list[Problem]) -> Ignored:
    """What the ignore file leaves out. Every line that is no pattern is a problem."""
    if name not in folder.files:
        return Ignored(())
    try:
        lines = folder.read(name).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError) as error:
        problems.append(Problem("the file cannot be read", folder.place(name), str(error), code="unreadable"))
        return Ignored(())
    good: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            ignore.pattern(line)
        except ignore.NoPattern as error:
            where = folder.place(name, number, 1, len(line))
            fix = "write it as in .gitignore"
            problems.append(Problem(f'"{line}" is no pattern', where, str(error), fix, "asset-ignore"))
        else:
            good.append(line)
    return ignore.ignored(good)


def _problems(name: str, content: bytes, where: Where) -> Iterator[Problem]:
    if not name.isprintable():
        why = "it holds characters that cannot be seen, or is not UTF-8"
        yield Problem(f'the asset "{name}" cannot be used', where, why, "rename the file", "path")
    if len(content) > MAX_BYTES:
        why = f"Cloudflare takes {MAX_BYTES:,} bytes each"
        what = f'the asset "{name}" has {len(content):,} bytes'
        yield Problem(what, where, why, f"serve it from R2, or leave it out in {IGNORE_FILE}", "asset-size")
