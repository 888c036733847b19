"""A customer's folder compiled: customer.yaml and its files become rows, whole Workers, or problems.

Pure but for reading the folder: the same folder on the same terms gives the same result, so that it may be cached
under the folder's git tree and the digest of the terms. Nothing here knows of other customers.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import bindings
from reconciler.errors import ConfigError, Problem, Severity, Where
from reconciler.load import layers, schema, scripts, settings, static_files, validation
from reconciler.load.files import CUSTOMER_FILE, Folder
from reconciler.load.repository import Customer, Layer, Script, Terms
from reconciler.load.source import Source, parse
from reconciler.model import SecretReference, Worker
from reconciler.names import did_you_mean, listed
from reconciler.routing import Hostname

# What a script's code, its tier's defaults and what its bindings go around come from: without them, what is right would
# look wrong.
_OTHERS_HANG_ON = frozenset({"tier", "compatibility_flags", "main", "modules", "assets", "outbound_worker"})

CUSTOMER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a folder came to. With an error among the problems the rows are incomplete."""

    customer: Customer | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """One script: its row, and the whole Worker."""

    script: Script
    worker: Worker


@dataclass(frozen=True, slots=True)
class Trial:
    """One script to be tried: the whole Worker, the file of each module that is its own, and its tests."""

    script: Script
    worker: Worker
    files: Mapping[str, str]  # a module's name -> its path in the repository
    tests: tuple[tuple[Mapping[str, Any], Where], ...]


def compile_folder(folder: Folder, terms: Terms) -> Compiled:
    """The rows of a customer, with every problem of its folder."""
    with folder.held() as held:
        return _compiled(held, terms)


def read_worker(folder: Folder, terms: Terms, name: str) -> Worker:
    """The whole Worker of a script, read again. Raises ConfigError when the files have become wrong meanwhile."""
    return _read_built(folder, terms, name)[0].worker


def read_trial(folder: Folder, terms: Terms, name: str) -> Trial:
    """A script with what is needed to try it. Raises ConfigError when the files have become wrong meanwhile."""
    built, source = _read_built(folder, terms, name)
    own: Mapping[str, Any] = source.data["scripts"][name]
    within = posixpath.join(folder.path, posixpath.dirname(own.get("main", "")))
    return Trial(
        built.script,
        built.worker,
        {one.name: posixpath.join(within, one.name) for one in built.worker.modules if not one.injected},
        tuple((test, source.where(("scripts", name, "tests", n))) for n, test in enumerate(own.get("tests", ()))),
    )


def _compiled(folder: Folder, terms: Terms) -> Compiled:
    try:
        source = read_source(folder)
    except validation.NotValid as error:
        return Compiled(None, (*error.problems, *_problems_beside(error, folder, terms)))
    except ConfigError as error:
        return Compiled(None, error.problems)
    problems: list[Problem] = []
    data: Mapping[str, Any] = source.data
    rows = [built.script for built in _build(source, folder, terms, problems)]
    identity = posixpath.basename(folder.path)
    return Compiled(
        Customer(
            id=identity,
            name=data.get("name", identity),
            tier=data.get("tier", ""),
            suspended=data.get("suspended", False),
            folder=folder.path,
            where=source.where(),
            scripts=tuple(sorted(rows, key=lambda row: row.name)),
        ),
        tuple(problems),
    )


def _problems_beside(error: validation.NotValid, folder: Folder, terms: Terms) -> list[Problem]:
    """What is wrong in what the schema leaves. Nothing is said of what hangs on a part that it refuses."""
    if error.left is None or any(path[0] in _OTHERS_HANG_ON for path in error.gone):
        return []
    unsure = {path[1] for path in error.gone if path[0] == "scripts" and path[2:3] and path[2] in _OTHERS_HANG_ON}
    own = {name: one for name, one in error.left.data.get("scripts", {}).items() if name not in unsure}
    problems: list[Problem] = []
    for _ in _build(replace(error.left, data={**error.left.data, "scripts": own}), folder, terms, problems):
        continue
    return problems


def _read_built(folder: Folder, terms: Terms, name: str) -> tuple[Built, Source]:
    gone = Problem(f"script {name} is not there any more", folder.place(CUSTOMER_FILE), code="changed-meanwhile")
    problems: list[Problem] = []
    with folder.held() as held:
        try:
            source = read_source(held)
        except ConfigError as error:
            raise ConfigError(error.problems or [gone]) from None
        built = list(_build(source, held, terms, problems, name))
    errors = [one for one in problems if one.severity is Severity.ERROR]
    if errors or not built:
        raise ConfigError(errors or [gone])
    return built[0], source


def layers_of(source: Source, folder: Folder, terms: Terms, script: str = "") -> list[Layer]:
    """The layers of a customer, or of one of its scripts, lowest first."""
    tier = source.data.get("tier", "")
    found = [*terms.defaults, *terms.tiers.get(tier, ())]
    own = {key: one for key, one in source.data.items() if key not in ("scripts", "$schema") and key[:2] != "x-"}
    found.append(Layer(f"customer {posixpath.basename(folder.path)}", own, source, ()))
    if script:
        found.append(Layer(f"script {script}", source.data["scripts"][script], source, ("scripts", script)))
    return found


def stand_in_problems(folder: Folder, terms: Terms, script: Script) -> Iterator[Problem]:
    """A warning for each binding of a script that the embedded platform has nothing for. Raises ConfigError."""
    at = _Places(layers_of(read_source(folder), folder, terms, script.name))
    for name in script.without_stand_in:
        yield settings.stand_in_problem(name, at("bindings", name))


def source_problems(folder: Folder) -> tuple[Problem, ...]:
    """What is wrong with the customer's file alone, for when there are no terms to compile it on."""
    try:
        read_source(folder)
    except ConfigError as error:
        return error.problems
    return ()


def read_source(folder: Folder) -> Source:
    """The customer's file, checked against its schema. Raises ConfigError, without a problem where it has been told."""
    file = f"{folder.path}/{CUSTOMER_FILE}"
    if folder.is_refused(CUSTOMER_FILE):
        raise ConfigError([])
    try:
        return _checked(file, folder.read(CUSTOMER_FILE))
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("the file cannot be read", Where(file), str(error), code="unreadable")]) from None


@functools.lru_cache(maxsize=8)  # an apply reads a customer anew for each of its scripts, which follow one another
def _checked(file: str, content: bytes) -> Source:
    source = parse(file, content)
    validation.refuse_bad(schema.customer, source)
    return source


def _build(source: Source, folder: Folder, terms: Terms, problems: list[Problem], only: str = "") -> Iterator[Built]:
    """Each script of the customer, or only one, adding to `problems` what is wrong."""
    identity, data = posixpath.basename(folder.path), source.data
    tier = data.get("tier", "")
    problems += _customer_problems(identity, tier, source, terms)
    shared = layers_of(source, folder, terms)
    problems += settings.layer_problems(shared[-1], terms.outbound_workers, terms.today)
    base = layers.resolve(layer.data for layer in shared)
    for name, own in data["scripts"].items():
        if only and name != only:
            continue
        placed = [*shared, Layer(f"script {name}", own, source, ("scripts", name))]
        problems += settings.layer_problems(placed[-1], terms.outbound_workers, terms.today)
        yield _script(name, identity, tier, layers.merge(base, own), _Places(placed), folder, terms, problems)


def _script(
    name: str,
    identity: str,
    tier: str,
    resolved: Mapping[str, Any],
    at: _Places,
    folder: Folder,
    terms: Terms,
    problems: list[Problem],
) -> Built:
    flags = resolved.get("compatibility_flags", ()) if _is_a_tier(tier, terms) else None
    within = f"the folder of customer {identity}"
    code = scripts.Code(resolved.get("main", ""), resolved.get("modules", ()), flags, within)
    if not code.main and "assets" not in resolved:
        why = "a script has code, static files, or both"
        problems.append(Problem(f"script {name} has no main", at(), why, "add `main: index.mjs`", "missing-field"))
    found = scripts.read(code, folder, terms.modules if code.main else (), at)
    tags = settings.tags_of(resolved, identity, tier)
    problems += (*found.problems, *settings.worker_problems(f"script {name}", resolved, at))
    problems += settings.tag_problems(name, tags, at)
    problems += settings.part_problems(resolved, {one.name for one in found.modules}, at)
    assets = static_files.read(resolved["assets"], folder, identity, at, problems) if "assets" in resolved else None
    worker = Worker(
        main=found.main if found.modules else "",
        modules=found.modules,
        settings=settings.settings_of(resolved),
        bindings=settings.bindings_of(resolved, resolved.get("assets", {}).get("binding", "")),
        tags=tags,
        secrets=settings.secrets_of(resolved),
        assets=assets,
    )
    limits = resolved.get("limits", {})
    row = Script(
        name=name,
        customer=identity,
        tier=tier,
        where=at(),
        digest=worker.digest,
        tags=tags,
        cpu_ms=_whole(limits.get("cpu_ms")),
        subrequests=_whole(limits.get("subrequests")),
        outbound_worker=resolved.get("outbound_worker", ""),
        hostnames=tuple(Hostname(one, at("hostnames", n)) for n, one in enumerate(resolved.get("hostnames", ()))),
        protect=resolved.get("protect", False),
        previously=tuple(resolved.get("previously", ())),
        secrets=_rows(worker.secrets),
        has_assets=assets is not None,
        without_stand_in=tuple(str(one["name"]) for one in worker.bindings if not bindings.KINDS[one["type"]].local),
    )
    return Built(row, worker)


@dataclass(frozen=True, slots=True)
class _Places:
    """The place of each resolved value: in the highest layer that sets it."""

    layers: list[Layer]

    def __call__(self, *path: str | int) -> Where:
        for layer in reversed(self.layers):
            if path and layers.holds(layer.data, path):
                return layer.source.where((*layer.path, *path))
        own = self.layers[-1]
        return own.source.where_key(own.path)


def _customer_problems(identity: str, tier: str, source: Source, terms: Terms) -> Iterator[Problem]:
    if not CUSTOMER_ID.fullmatch(identity) or settings.reserved(identity):
        why = (
            "the folder's name is the customer's id: 1 to 48 small letters, digits and -, the first no -, and not rcn-"
        )
        yield Problem(
            f'"{identity}" cannot be a customer\'s id', source.where(), why, "rename the folder", "customer-id"
        )
    if identity in terms.tiers:
        why = "the customer's id and its tier are both tags of its scripts"
        yield Problem(f"customer {identity} has the name of a tier", source.where(), why, "rename one", "customer-id")
    if _is_a_tier(tier, terms):
        return
    known = listed(terms.tiers)
    why = f"the tiers of platform.yaml are {known}" if known else "platform.yaml declares no tiers"
    if not tier:
        yield Problem(f"customer {identity} has no tier", source.where(), why, "add `tier:`", "missing-field")
        return
    nearest = did_you_mean(tier, terms.tiers)
    fix = f'write "{nearest}"' if nearest else "declare it under `tiers` in platform.yaml"
    yield Problem(f'there is no tier "{tier}"', source.where(("tier",)), why, fix, "unknown-tier")


def _is_a_tier(tier: str, terms: Terms) -> bool:
    """Or none, where there are none."""
    return tier in terms.tiers or (not tier and not terms.tiers)


def _whole(value: float | None) -> int | None:
    """YAML's 10.0 is the whole number 10."""
    return None if value is None else int(value)


def _rows(secrets: Mapping[str, SecretReference]) -> tuple[tuple[str, SecretReference], ...]:
    return tuple(sorted(secrets.items()))
