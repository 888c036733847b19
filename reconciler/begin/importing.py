"""An import as it runs: read every script once, try what is written on a staging ground, prove it, put it in place.

What was read is spooled below .reconciler/import/, so that an import of thousands of scripts that is interrupted goes
on where it was; a script that changed meanwhile is read again. Law: nothing is written outside the repository's
folder and nothing that is there is changed; a customer's folder appears whole or not at all.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.begin import importer
from reconciler.begin.importer import Around, Found, Rule, Written
from reconciler.errors import ConfigError, LocalError, Problem, Severity, UsageProblem
from reconciler.kinds.connection import Connection
from reconciler.load import customer_file, files, layers, platform_file, source
from reconciler.load.repository import Repository, Terms
from reconciler.look import wire
from reconciler.look.replies import Namespace, Row
from reconciler.model import Module, owner_in

SPOOL = Path(".reconciler/import")
READERS = 8

# Other names of one type: the runtime takes them for the same.
_ALIASES = {"text/javascript+module": "application/javascript+module", "text/javascript": "application/javascript"}


@dataclass(frozen=True)
class Staged:
    """What was written beside the repository and found good."""

    written: Written
    differing: Mapping[str, tuple[str, ...]]  # what an apply would change of a script, beside our marks


def namespace(connection: Connection) -> Namespace:
    """The live namespace. Raises UsageProblem when there is none of that name."""
    found = connection.api.namespace(connection.namespace)
    if found is None:
        what = f"there is no namespace {connection.namespace} in this account"
        fix = "name another with --namespace; `reconciler doctor` shows the first of them"
        raise UsageProblem([Problem(what, fix=fix, code="unknown-namespace")])
    return found


def read(connection: Connection, root: Path, rule: Rule, *, progress: Callable[[int, int], None]) -> list[Found]:
    """Every live script that the repository does not declare: two calls each, less those that were read before."""
    _refuse_links(root, [str(SPOOL)])
    declared = {script.name for script in connection.repository.scripts()}
    listing = connection.api.scripts(connection.namespace)
    if listing.incomplete_because:
        why = listing.incomplete_because
        raise LocalError([Problem("the listing is not proven to be whole", why=why, code="listing-incomplete")])
    rows = [row for row in listing.rows if row.name not in declared]
    spool = root / SPOOL
    spool.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    known: dict[bytes, bytes] = {}  # one copy of what many scripts carry
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="import") as pool:
        for done, (row, raw) in enumerate(
            zip(rows, pool.map(lambda row: _raw(connection, spool, row), rows), strict=True), start=1
        ):
            progress(done, len(rows))
            if raw is not None:
                found.append(_found(row, raw, rule, known))
    return found


def around(
    repository: Repository,
    *,
    new: bool,
    account_id: str = "",
    trusted: bool = False,
    injected: frozenset[str] = frozenset(),
) -> Around:
    """What there is to write into."""
    platform, terms = repository.platform, repository.terms
    if new or terms is None:
        return Around(platform.name, platform.namespace, account_id, trusted, injected)
    return Around(
        platform.name,
        platform.namespace,
        injected=injected,
        new=False,
        modules={one.name: one.content for one in terms.modules},
        tiers=_resolved(terms),
        customers=frozenset(repository.customers),
    )


def stage(root: Path, found: Sequence[Found], around: Around, repository: Repository) -> Staged:
    """Write the files beside the repository, load them, and leave out every script that cannot be declared so."""
    refused: dict[str, tuple[str, ...]] = {}
    staging = root / SPOOL / "tree"
    while True:
        written = importer.write(found, around, refused)
        shutil.rmtree(staging, ignore_errors=True)
        _put(staging, written.files)
        problems, differing = _tried(staging, written, found, repository.terms if not around.new else None)
        if not problems:
            return Staged(written, differing)
        refused |= problems


def place(root: Path, written: Written) -> None:
    """Move what was staged to where it belongs: customers one by one and whole, platform.yaml last.

    Raises UsageProblem before the first one when something else stands there.
    """
    staging = root / SPOOL / "tree"
    _refuse_links(root, ["customers", "platform", "schemas"])
    single = [path for path in written.files if not path.startswith("customers/") and not _kept(root, path)]
    there = [folder for folder in written.folders if (root / folder).exists()]
    other = [folder for folder in there if not _alike(root / folder, staging / folder)]
    other += [path for path in single if (root / path).exists() and not _alike(root / path, staging / path)]
    if other:
        raise UsageProblem([_exists(sorted(other)[0])])
    first = [*sorted(folder for folder in written.folders if folder not in there), *sorted(single)]
    for path in sorted(first, key=lambda path: path == "platform.yaml"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (staging / path).replace(root / path)


def forget(root: Path) -> None:
    """The import is whole: what was spooled has served."""
    shutil.rmtree(root / SPOOL, ignore_errors=True)


def _put(staging: Path, contents: Mapping[str, bytes]) -> None:
    for path, content in sorted(contents.items()):
        wrong = files.path_problem(path, None, "the repository")
        assert wrong is None, path  # importer.py has refused such names
        target = staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _tried(
    staging: Path, written: Written, found: Sequence[Found], terms: Terms | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Scripts that do not load from the staged files, and what differs of those that do."""
    if terms is None:
        loaded = platform_file.load(staging, "", {}, datetime.datetime.now(datetime.UTC).date())
        errors = [one for one in loaded.problems if one.severity is Severity.ERROR]
        if errors or loaded.terms is None:
            raise ConfigError(errors)
        terms = loaded.terms
    tree = files.customers(staging)
    by_name = {one.script: one for one in found}
    refused: dict[str, list[str]] = defaultdict(list)
    differing: dict[str, tuple[str, ...]] = {}
    problems = [one for one in tree.problems if one.severity is Severity.ERROR]
    for folder in tree.customers:
        here = customer_file.compile_folder(folder, terms).problems
        problems += [one for one in here if one.severity is Severity.ERROR]
    for problem in problems:
        for script in _meant(problem, staging, written):
            refused[script].append(f"{problem.what}: {problem.why}" if problem.why else problem.what)
    if refused:
        return {name: tuple(dict.fromkeys(why)) for name, why in refused.items()}, {}
    for folder in tree.customers:
        for name in written.folders[folder.path]:
            changed = importer.differences(by_name[name], customer_file.read_worker(folder, terms, name))
            if changed:
                differing[name] = changed
    return {}, dict(sorted(differing.items()))


def _meant(problem: Problem, staging: Path, written: Written) -> Sequence[str]:
    """The scripts that a problem is about: of a module, of a line of customer.yaml, or else all of the customer."""
    where = problem.where
    if where is None:
        raise ConfigError([problem])
    if where.file in written.scripts:
        return [written.scripts[where.file]]
    folder = next((one for one in written.folders if where.file == one or where.file.startswith(f"{one}/")), None)
    if folder is None:
        raise ConfigError([problem])
    names = written.folders[folder]
    if not where.file.endswith(f"/{files.CUSTOMER_FILE}"):
        return names
    parsed = source.parse(where.file, (staging / where.file).read_bytes())
    begin = {name: parsed.where_key(("scripts", name)).line for name in names}
    above = [name for name in names if begin[name] <= where.line]
    return [max(above, key=lambda name: begin[name])] if above else names


def _kept(root: Path, path: str) -> bool:
    """Files that are no part of the platform: whoever has some keeps them."""
    return (path == ".gitignore" or path.startswith("schemas/")) and (root / path).exists()


def _alike(one: Path, other: Path) -> bool:
    """Whether a file or a folder holds the same as another."""
    if one.is_symlink() or one.is_dir() != other.is_dir():
        return False
    if not one.is_dir():
        return one.read_bytes() == other.read_bytes()
    names = [sorted(inner.name for inner in each.iterdir()) for each in (one, other)]
    return names[0] == names[1] and all(_alike(one / name, other / name) for name in names[0])


def _refuse_links(root: Path, paths: Sequence[str]) -> None:
    """A link on the way would lead what is written out of the repository."""
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            one = "/".join(parts[:count])
            if (root / one).is_symlink():
                fix = "put a folder in its place"
                raise UsageProblem([Problem(f"{one} is a symbolic link: nothing is written", fix=fix, code="symlink")])


def _exists(path: str) -> Problem:
    return Problem(
        f"{path} exists already: nothing was written",
        why="an import adds customers and never changes a file that is there",
        fix="choose another rule for customers, or move it away",
        code="import-exists",
    )


def _resolved(terms: Terms) -> dict[str, Mapping[str, Any]]:
    """What holds below a customer, by tier; under "" where there are no tiers."""
    found = {"": list(terms.defaults)} if not terms.tiers else {}
    found |= {name: [*terms.defaults, *tier] for name, tier in terms.tiers.items()}
    return {name: layers.resolve(layer.data for layer in several) for name, several in found.items()}


def _raw(connection: Connection, spool: Path, row: Row) -> Mapping[str, Any] | None:
    """Settings and content of a script, from the spool where it has not changed since; None when it is gone."""
    file = spool / f"{hashlib.sha256(row.name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"
    mark = [row.name, row.etag, row.modified_on]
    kept = _spooled(file)
    if kept is not None and kept.get("mark") == mark:
        return kept
    settings = connection.api.settings(connection.namespace, row.name)
    modules = connection.api.content(connection.namespace, row.name)
    if settings is None or modules is None:
        return None
    raw = {
        "mark": mark,
        "settings": settings,
        "modules": [[one.name, one.type, base64.b64encode(one.content).decode()] for one in modules],
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(raw), encoding="utf-8")
    partial.replace(file)
    return raw


def _spooled(file: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and {"settings", "modules"} <= kept.keys() else None


def _found(row: Row, raw: Mapping[str, Any], rule: Rule, known: dict[bytes, bytes]) -> Found:
    settings = raw["settings"]
    contents = [(name, kind, base64.b64decode(text)) for name, kind, text in raw["modules"]]
    modules = tuple(
        Module(name, _ALIASES.get(kind, kind), known.setdefault(content, content)) for name, kind, content in contents
    )
    worker = wire.worker_of(settings, modules)
    worker = replace(worker, bindings=tuple(_with_values(one, settings) for one in worker.bindings))
    bindings = [one for one in settings.get("bindings") or () if isinstance(one, Mapping)]
    secrets = [str(one["name"]) for one in bindings if one.get("type") in wire.SECRET_KINDS]
    assets = any(one.get("type") == "assets" for one in bindings) or raw["modules"] == []
    told, told_by = rule(row.name, worker.tags)
    return Found(
        row.name,
        told,
        worker,
        told_by,
        owner_in(settings.get("tags") or ()),
        assets,
        tuple(sorted(secrets)),
        settings,
    )


def _with_values(binding: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """A variable that is empty, false or null is still the customer's word; look/wire.py takes such for a default."""
    live = next(one for one in settings["bindings"] if one.get("name") == binding["name"])
    return {**binding, **{name: live[name] for name in ("text", "json") if name in live}}
