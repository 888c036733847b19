"""Who may change what: owners by CODEOWNERS, and the keys that a customer's own people may set. Pure.

file of the pull request                              who may change it
---------------------------------------------------   -------------------------------------------
a file in a customer's folder                         that folder's owners: it has to have some
a key of customer.yaml that `self_service:` names     the same
any other key of customer.yaml, and the variable      an owner of the platform
that a secret is read from
a customer.yaml that is new or goes                   an owner of the platform
everything else                                       an owner of the platform

An owner of the platform is an owner of platform.yaml. The rules are those of the commit that the pull request goes
to, never its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from reconciler.errors import Problem, Where
from reconciler.load.files import CUSTOMER_FILE, PLATFORM_FILE
from reconciler.load.source import Source
from reconciler.model import canonical

CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")  # the first of them counts

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of CODEOWNERS. The last one that matches a file names its owners."""

    pattern: str
    owners: tuple[str, ...]  # "@login", "@org/team" or an address

    def matches(self, file: str) -> bool:
        return bool(_expression(self.pattern).match(file))


@dataclass(frozen=True)
class Files:
    """The YAML files of one commit that matter here."""

    platform: Source | None
    customers: Mapping[str, Source]  # folder to its customer.yaml, those that the pull request touches


@dataclass(frozen=True)
class Verdict:
    """What a pull request touches that is not its author's customer's business."""

    unowned: tuple[Problem, ...]  # customer folders without an owner
    beyond: tuple[Problem, ...]  # what needs an owner of the platform
    platform_owners: tuple[str, ...]


def rules(text: str) -> tuple[Rule, ...]:
    """CODEOWNERS as GitHub reads it; lines that it would ignore are left out."""
    found = []
    for line in text.splitlines():
        words = re.split(r"(?<!\\)\s+", line.partition("#")[0].strip() if not line.startswith("\\#") else line.strip())
        if words[0] and not words[0].startswith("!") and "[" not in words[0]:
            found.append(Rule(words[0].replace("\\ ", " ").replace("\\#", "#"), tuple(words[1:])))
    return tuple(found)


def owners_of(file: str, known: Sequence[Rule]) -> tuple[str, ...]:
    return next((rule.owners for rule in reversed(known) if rule.matches(file)), ())


def judge(changed: Iterable[str], before: Files, after: Files, known: Sequence[Rule]) -> Verdict:
    """Check the files of a pull request. `known` are the rules of the commit that it goes to."""
    allowed = _self_service(before.platform)
    folders = {*before.customers, *after.customers}
    unowned: dict[str, Problem] = {}
    beyond: list[Problem] = []
    for file in sorted(changed):
        folder = _folder_of(file, folders)
        if folder is None:
            beyond.append(_platform_file(file))
            continue
        if not owners_of(file, known):
            unowned.setdefault(folder, _unowned(folder))
        if file == f"{folder}/{CUSTOMER_FILE}":
            beyond += _keys_beyond(before.customers.get(folder), after.customers.get(folder), file, allowed)
    return Verdict(tuple(unowned.values()), tuple(beyond), owners_of(PLATFORM_FILE, known))


def customer_files(changed: Iterable[str]) -> tuple[str, ...]:
    """The customer.yaml files that may say whose the changed files are: those of every folder above them."""
    folders = {folder for file in changed for folder in _folders_above(file)}
    return tuple(sorted(f"{folder}/{CUSTOMER_FILE}" for folder in folders if folder.startswith("customers/")))


def _self_service(platform: Source | None) -> tuple[KeyPath, ...]:
    listed = platform.data.get("self_service") if platform is not None and isinstance(platform.data, dict) else None
    keys = listed if isinstance(listed, list) else []
    return tuple(tuple(one.split(".")) for one in keys if isinstance(one, str))


def _keys_beyond(
    before: Source | None, after: Source | None, file: str, allowed: Sequence[KeyPath]
) -> Iterator[Problem]:
    old, new = (dict(_leaves(one.data)) if one is not None else {} for one in (before, after))
    keys = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    beyond = [path for path in keys if _is_never_theirs(path) or not any(_covers(one, path) for one in allowed)]
    if not beyond and (before is None) != (after is None):
        beyond = [()]  # with every key allowed, a second customer.yaml would be free of the first one's tier and limits
    yield from (_key_beyond(path, after, file) for path in beyond)


def _is_never_theirs(path: KeyPath) -> bool:
    """The variable that a secret is read from: the run holds those of all customers."""
    return path[-1:] == ("env",) and "secrets" in path


def _leaves(data: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Each value of a file by its path; lists and empty maps are values."""
    if isinstance(data, dict) and data:
        for name, one in data.items():
            yield from _leaves(one, (*path, str(name)))
    else:
        yield path, canonical(data)


def _covers(pattern: KeyPath, path: KeyPath) -> bool:
    """`scripts.*.vars` covers scripts.shop.vars and all below it."""
    return len(pattern) <= len(path) and all(one in ("*", step) for one, step in zip(pattern, path, strict=False))


def _folder_of(file: str, folders: Iterable[str]) -> str | None:
    known = set(folders)
    return next((folder for folder in _folders_above(file) if folder in known), None)


def _folders_above(file: str) -> list[str]:
    """a/b/c.mjs: a/b, a (the nearest first)."""
    parts = file.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """As .gitignore has it, with GitHub's exception: `docs/*` is the files of docs and not those deeper.

    A pattern with a "/" other than at its end begins at the root. One that names a folder holds all in it.
    """
    body = pattern.strip("/")
    rooted = "/" in pattern.rstrip("/")
    parts = [_part(one) for one in re.split(r"(\*\*/|/\*\*$|\*|\?)", body)]
    start = "" if rooted else r"(?:.*/)?"
    end = "/.*" if pattern.endswith("/") else "$" if body.endswith("/*") else "(?:/.*)?$"
    return re.compile(f"{start}{''.join(parts)}{end}", re.DOTALL)


def _part(text: str) -> str:
    return {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}.get(text) or re.escape(text)


def _unowned(folder: str) -> Problem:
    return Problem(
        f"{folder}/ has no owner",
        Where(f"{folder}/{CUSTOMER_FILE}"),
        why="no line of CODEOWNERS matches it, so nobody in particular is asked to review it",
        fix=f"add a line: /{folder}/ @their-team",
        code="no-owner",
    )


def _platform_file(file: str) -> Problem:
    return Problem(
        "this file is the platform's",
        Where(file),
        why="it may touch every customer",
        fix="let an owner of the platform approve the pull request",
        code="platform-owner",
    )


def _key_beyond(path: KeyPath, after: Source | None, file: str) -> Problem:
    return Problem(
        f'the key "{".".join(path)}" is not for customers to set' if path else "the file as a whole is not theirs",
        after.where(path) if after is not None else Where(file),
        why="`self_service:` of platform.yaml does not name it",
        fix="let an owner of the platform approve the pull request, or add the key to `self_service:`",
        code="platform-owner",
    )
