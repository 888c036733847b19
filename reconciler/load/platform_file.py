"""platform.yaml as a value: the chosen environment laid over it, checked, typed, and what customers depend on of it."""

from __future__ import annotations

import datetime
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler import routing
from reconciler.errors import ConfigError, Problem, Severity, Where
from reconciler.load import egress, files, layers, schema, scripts, settings, validation
from reconciler.load.egress import Egress
from reconciler.load.files import PLATFORM_FILE
from reconciler.load.repository import (
    DEFAULT_OUTBOUND,
    Approval,
    Dispatcher,
    ExpectedDrift,
    Layer,
    Ordinary,
    OutboundWorker,
    Platform,
    Route,
    Safety,
    Terms,
)
from reconciler.load.source import Source, parse
from reconciler.model import Module, Worker
from reconciler.names import did_you_mean, listed

# What a script's checks take from a layer below it, and what a Worker's code comes from.
_OF_A_LAYER = frozenset({"compatibility_flags", "outbound_worker", "vars", "secrets", "bindings"})
_OF_THE_CODE = frozenset({"main", "modules", "compatibility_flags"})
# What is named or taken over when a whole part of it is gone: an entry, a section, or (the empty path) the environment.
_SHARED = frozenset(
    {(), *((name,) for name in ("defaults", "tiers", "outbound_workers", "egress", "tail_workers", "platform_modules"))}
)
# For what is missing, while all else is looked at: no Worker's name begins with "-", so that --egress is nobody's.
_UNTIL_IT_IS_THERE = {"platform": "-", "namespace": "x", "prune": False}

# What the platform's own Workers take over from `defaults`. Those that ship here run on the date they are tested with.
_OBSERVED = ("observability", "logpush")
_INHERITED = ("compatibility_date", "compatibility_flags", *_OBSERVED)


@dataclass
class Overlaid(Source):
    """platform.yaml with an environment over it: a value stands where the environment sets it."""

    environment: str = ""
    base: Source | None = field(default=None, repr=False)

    def where(self, path: tuple[str | int, ...] = ()) -> Where:  # type: ignore[override]  # paths here are tuples
        return super().where(self._actual(path))

    def where_key(self, path: tuple[str | int, ...]) -> Where:  # type: ignore[override]  # paths here are tuples
        return super().where_key(self._actual(path))

    def scalar(self, path: tuple[str | int, ...]) -> str | None:  # type: ignore[override]  # paths here are tuples
        return super().scalar(self._actual(path))

    def _actual(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        over = ("environments", self.environment, *path)
        return over if path and self.has(over) else path


@dataclass(frozen=True)
class Loaded:
    """What platform.yaml came to. With an error among the problems, `platform` and `terms` may be missing."""

    platform: Platform | None
    terms: Terms | None
    problems: tuple[Problem, ...]
    egress: Egress | None = None  # the section as values, to be checked when the customers are known


def load(root: Path, environment: str, variables: Mapping[str, str], today: datetime.date) -> Loaded:
    """Read and check platform.yaml and the files that it names."""
    try:
        return _loaded(root, read_source(root, environment), variables, today)
    except validation.NotValid as error:
        beside = _beside(error, environment, root, variables, today)
        return Loaded(None, beside.terms, (*error.problems, *beside.problems))
    except ConfigError as error:
        return Loaded(None, None, error.problems)


def _beside(
    error: validation.NotValid, environment: str, root: Path, variables: Mapping[str, str], today: datetime.date
) -> Loaded:
    """What the schema leaves of platform.yaml. Nothing is said of what hangs on a part that it refuses."""
    left, gone = error.left, set(_in(environment, error.gone))
    if left is None or any(map(_others_hang_on, gone)):
        return Loaded(None, None, ())
    stands_in = {name: one for name, one in _UNTIL_IT_IS_THERE.items() if name not in left.data}
    try:
        whole = replace(left, data={**left.data, **stands_in})
        source = whole if isinstance(whole, Overlaid) else _overlaid(whole, environment)
    except validation.NotValid:  # what the environment adds to is gone
        return Loaded(None, None, ())
    except ConfigError as further:
        return Loaded(None, None, further.problems)
    if any(path[:1] == ("dispatcher",) and path[1:2] and path[1] in _OF_THE_CODE for path in gone):
        source = replace(source, data={name: one for name, one in source.data.items() if name != "dispatcher"})
    return _loaded(root, source, variables, today)


def _in(environment: str, paths: Iterable[validation.Path]) -> Iterator[validation.Path]:
    """Paths as they stand once the environment is laid over; what other environments hold plays no part."""
    for path in paths:
        if path[0] != "environments":
            yield path
        elif environment and path[1:2] in ((), (environment,)):
            yield path[2:]


def _others_hang_on(path: validation.Path) -> bool:
    """Whether customers' scripts or the platform's own Workers name or take over what stood there."""
    match path:
        case ("defaults", key, *_) | ("tiers", _, key, *_):
            return key in _OF_A_LAYER
        case ("outbound_workers" | "tail_workers", _, key, *_):
            return key in _OF_THE_CODE
        case ("egress", _, *_):
            return False
    return path[:1] in _SHARED


def _loaded(root: Path, source: Overlaid, variables: Mapping[str, str], today: datetime.date) -> Loaded:
    problems: list[Problem] = []
    tree = _Tree(root)
    terms = terms_of(source, today, _platform_modules(source, tree, problems))
    for layer in (*terms.defaults, *(one for tier in terms.tiers.values() for one in tier)):
        problems += settings.layer_problems(layer, terms.outbound_workers, today)
    platform = _Reader(source, source.environment, today, tree, problems).platform(variables)
    section = source.data.get("egress")
    rules = egress.read(section, lambda *keys: source.where(("egress", *keys))) if section is not None else None
    return Loaded(platform, terms, tuple(problems), rules)


def read_source(root: Path, environment: str) -> Overlaid:
    """platform.yaml with the environment over it, checked against the schema. Raises ConfigError."""
    where = Where(PLATFORM_FILE, width=0)
    try:
        base = parse(PLATFORM_FILE, files.read(root / PLATFORM_FILE))
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("platform.yaml cannot be read", where, str(error), code="unreadable")]) from None
    validation.refuse_bad(schema.platform, base)
    return _overlaid(base, environment)


def _overlaid(base: Source, environment: str) -> Overlaid:
    known = base.data.get("environments", {})
    if environment and environment not in known:
        nearest = did_you_mean(environment, known)
        why = f"platform.yaml has {listed(known)}" if known else "platform.yaml has no environments"
        what = f'there is no environment "{environment}"'
        fix = f"use --env {nearest}" if nearest else "declare it under `environments`"
        raise ConfigError([Problem(what, base.where(("environments",)), why, fix, "unknown-environment")])
    data = layers.overlay(base.data, known.get(environment, {})) if environment else base.data
    source = Overlaid(base.file, base.text, data, base.root, environment=environment, base=base)
    validation.refuse_bad(schema.platform, source)
    return source


def layers_at(source: Overlaid, label: str, *path: str) -> tuple[Layer, ...]:
    """A layer of the platform, and the environment's part of it."""
    assert source.base is not None
    over = ("environments", source.environment, *path)
    found = [Layer(label, _at(source.base.data, path), source.base, path)]
    if source.environment and _at(source.base.data, over):
        found.append(
            Layer(f"{label} in environment {source.environment}", _at(source.base.data, over), source.base, over)
        )
    return tuple(found)


def read_ordinary(root: Path, one: Ordinary) -> Worker:
    """The whole Worker of a platform's own, read again. Raises ConfigError."""
    problems: list[Problem] = []
    found = _code(one, _Tree(root), lambda *_: one.where, problems)
    wrong = [*problems, *found.problems]
    if any(problem.severity is Severity.ERROR for problem in wrong):
        raise ConfigError(wrong)
    modules = tuple(module for module in found.modules if not module.injected)
    return Worker(found.main, modules, one.settings, one.bindings, (), one.secrets)


def _at(data: Any, path: Iterable[str]) -> Mapping[str, Any]:
    for part in path:
        data = (data or {}).get(part)
    return data or {}


def terms_of(source: Overlaid, today: datetime.date, modules: tuple[Module, ...] = ()) -> Terms:
    """What the customers' scripts depend on."""
    known = set(source.data.get("outbound_workers", {}))
    known |= {DEFAULT_OUTBOUND} if "egress" in source.data else set()
    defaults = layers_at(source, "defaults", "defaults")
    tiers = {name: layers_at(source, f"tier {name}", "tiers", name) for name in source.data.get("tiers", {})}
    return Terms(defaults, tiers, modules, frozenset(known), today)


def _platform_modules(source: Overlaid, tree: _Tree, problems: list[Problem]) -> tuple[Module, ...]:
    """What is wrong with one is told here, and not once more by every script that imports it: its name stands."""
    found: list[tuple[Module, Where]] = []
    for name, path in source.data.get("platform_modules", {}).items():
        where = source.where(("platform_modules", name))
        wrong = files.path_problem(name, source.where_key(("platform_modules", name)), "the script")
        kind = scripts.MODULE_TYPES.get(posixpath.splitext(name)[1].lower())
        if kind is None and not wrong:
            why = f"types are known by their endings: {', '.join(scripts.MODULE_TYPES)}"
            wrong = Problem(f'the platform module "{name}" has no known type', where, why, "rename it", "module-type")
        content = tree.read("platform module", path, where, problems)
        problems += [wrong] if wrong else []
        found.append((Module(name, kind or scripts.ESM, (not wrong and content) or b"", injected=True), Where(path)))
    names = frozenset(module.name for module, _ in found)
    flags = layers.resolve(one.data for one in layers_at(source, "defaults", "defaults")).get("compatibility_flags", ())
    for module, where in found:
        problems += scripts.import_problems(module, names, flags, where)
    return tuple(module for module, _ in found)


class _Tree:
    """The files of the repository, read folder by folder as they are asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, files.Folder] = {}

    def folder(self, path: str, problems: list[Problem]) -> files.Folder:
        """The files below the first folder of a path, named from the repository."""
        top = path.split("/")[0]
        if top not in self._folders:
            self._folders[top], found = files.below(self._root, top)
            problems += found
        return self._folders[top]

    def read(self, what: str, path: str, where: Where, problems: list[Problem]) -> bytes | None:
        wrong = files.path_problem(path, where, "the repository")
        folder = self.folder(path, problems)
        if not wrong and path not in folder.files:
            wrong = scripts.missing(what, path, where, folder.files, "the repository")
        if wrong:
            problems += () if folder.is_refused(path) else (wrong,)
            return None
        try:
            return folder.read(path)
        except (OSError, ValueError) as error:
            problems.append(Problem(f'the {what} "{path}" cannot be read', where, str(error), code="unreadable"))
            return None


def _code(one: Ordinary, tree: _Tree, at: scripts.At, problems: list[Problem]) -> scripts.Modules:
    flags = one.settings.get("compatibility_flags", ())
    folder = tree.folder(one.main, problems)
    added = (Module(routing.MODULE_NAME, scripts.ESM, b"", injected=True),) if isinstance(one, Dispatcher) else ()
    return scripts.read(scripts.Code(one.main, one.modules, flags, "the repository"), folder, added, at)


@dataclass(frozen=True)
class _Reader:
    """From the checked data of platform.yaml to its typed form."""

    source: Overlaid
    environment: str
    today: datetime.date
    tree: _Tree
    problems: list[Problem]

    def platform(self, variables: Mapping[str, str]) -> Platform:
        data = self.source.data
        self._names()
        return Platform(
            name=data["platform"],
            namespace=data["namespace"],
            where=self.source.where(("namespace",)),
            account_id=data.get("account_id") or variables.get("CLOUDFLARE_ACCOUNT_ID", ""),
            trusted=data.get("trusted", False),
            environment=self.environment,
            prune=data["prune"],
            safety=self._safety(),
            dispatcher=self._dispatcher() if "dispatcher" in data else None,
            outbound_workers={name: self._outbound(name) for name in sorted(data.get("outbound_workers", {}))},
            tail_workers={
                name: Ordinary(name=name, **self._ordinary("tail Worker", "tail_workers", name))
                for name in sorted(data.get("tail_workers", {}))
            },
            egress=data.get("egress"),
            egress_settings=settings.settings_of(self._inherited(_OBSERVED)),
            egress_where=self.source.where(("egress",)) if "egress" in data else None,
            tiers=tuple(sorted(data.get("tiers", {}))),
            expected_drift=tuple(self._expected_drift(data.get("expected_drift", ()))),
            self_service=tuple(data.get("self_service", ())),
        )

    def _names(self) -> None:
        """No two Workers of the account have one name, and none takes that of the Worker that ships here."""
        seen: dict[str, Where] = {}
        if "egress" in self.source.data:
            seen[f"{self.source.data['platform']}-egress"] = self.source.where_key(("egress",))
        dispatcher = self.source.data.get("dispatcher", {}).get("name")
        places = [("dispatcher", "name")] if dispatcher else []
        places += [
            (key, name) for key in ("outbound_workers", "tail_workers") for name in self.source.data.get(key, {})
        ]
        for path in places:
            name = dispatcher if path[0] == "dispatcher" else path[1]
            where = self.source.where(path) if path[0] == "dispatcher" else self.source.where_key(path)
            if name in seen:
                why = f"both would be the same Worker of the account; the other stands at {seen[name]}"
                self.problems.append(
                    Problem(f'the Worker "{name}" is declared twice', where, why, "rename one", "twice")
                )
            elif path[0] == "outbound_workers" and name == DEFAULT_OUTBOUND:
                why = "`outbound_worker: default` means the one that ships with the reconciler"
                self.problems.append(Problem(f'the name "{name}" is taken', where, why, "rename it", "name-taken"))
            seen.setdefault(name, where)

    def _ordinary(self, what: str, *path: str) -> dict[str, Any]:
        """What the platform's own Workers share. Checks their code as well."""
        own: Mapping[str, Any] = _at(self.source.data, path)
        resolved = layers.merge(self._inherited(_INHERITED if own.get("main") else _OBSERVED), own)

        def at(*rest: str | int) -> Where:
            return self.source.where((*path, *rest)) if rest else self.source.where_key(path)

        name = f"{what} {path[-1]}" if len(path) > 1 else f"the {what}"
        layer = Layer(name, {key: one for key, one in own.items() if key != "tags"}, self.source, path)
        self.problems.extend(settings.layer_problems(layer, (), self.today))
        self.problems.extend(settings.worker_problems(name, resolved, at))
        shared = {
            "where": at(),
            "main": own.get("main", ""),
            "modules": tuple(own.get("modules", ())),
            "settings": settings.settings_of(resolved),
            "bindings": settings.bindings_of(resolved),
            "secrets": settings.secrets_of(resolved),
        }
        if shared["main"]:
            kind = Dispatcher if path == ("dispatcher",) else Ordinary
            found = _code(kind(name=path[-1], **shared), self.tree, at, self.problems)
            self.problems.extend(found.problems)
        return shared

    def _inherited(self, names: Iterable[str]) -> dict[str, Any]:
        defaults = layers.resolve(one.data for one in layers_at(self.source, "defaults", "defaults"))
        return {name: defaults[name] for name in names if name in defaults}

    def _outbound(self, name: str) -> OutboundWorker:
        shared = self._ordinary("outbound Worker", "outbound_workers", name)
        parameters = self.source.data["outbound_workers"][name].get("parameters", ())
        return OutboundWorker(name=name, parameters=tuple(parameters), **shared)

    def _dispatcher(self) -> Dispatcher:
        own, at = self.source.data["dispatcher"], self.source.where
        path = ("dispatcher",)
        shared = self._ordinary("dispatcher", "dispatcher")
        tails = [{"service": name} for name in sorted(self.source.data.get("tail_workers", {}))]
        if tails and "tail_consumers" not in own:
            shared["settings"]["tail_consumers"] = tails
        return Dispatcher(
            name=own["name"],
            **shared,
            hostname=own.get("hostname", ""),
            path=own.get("path", ""),
            routes=tuple(
                Route(one["pattern"], one["zone"], at((*path, "routes", number)))
                for number, one in enumerate(own.get("routes", ()))
            ),
            custom_domains=tuple(
                routing.Hostname(one, at((*path, "custom_domains", number)))
                for number, one in enumerate(own.get("custom_domains", ()))
            ),
            workers_dev=own.get("workers_dev", False),
            table=own.get("table", "bundle"),
            pages=dict(self._pages(own.get("pages", {}))),
            hostname_where=at((*path, "hostname")) if "hostname" in own else None,
            path_where=at((*path, "path")) if "path" in own else None,
        )

    def _pages(self, pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for name, file in pages.items():
            where = self.source.where(("dispatcher", "pages", name))
            content = self.tree.read("page", file, where, self.problems)
            if content is not None:
                yield name, content.decode("utf-8", "replace")

    def _safety(self) -> Safety:
        own = self.source.data.get("safety", {})
        most, customer = own.get("max_deletes", {}), own.get("max_deletes_per_customer", {})
        return Safety(
            max_deletes_count=int(_set(most.get("count"), 25)),
            max_deletes_percent=int(_set(most.get("percent"), 20)),
            max_deletes_per_customer_percent=int(_set(customer.get("percent"), 100)),
            approvals=tuple(self._approvals(own.get("approvals", ()))),
            where=self.source.where(("safety",)) if own else None,
        )

    def _approvals(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[Approval]:
        for number, one in enumerate(entries):
            path = ("safety", "approvals", number)
            day = self._day(one["expires"], path, f"the approval to delete {', '.join(one['delete'])}", "permission")
            if day is not None:
                yield Approval(tuple(one["delete"]), one["reason"], day, self.source.where(path))

    def _expected_drift(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[ExpectedDrift]:
        for number, one in enumerate(entries):
            path = ("expected_drift", number)
            day = self._day(one["expires"], path, f"the expected drift of {', '.join(one['names'])}", "excuse")
            if day is not None:
                yield ExpectedDrift(tuple(one["names"]), one["reason"], day, self.source.where(path))

    def _day(self, text: str, path: tuple[str | int, ...], what: str, gives: str) -> datetime.date | None:
        day, where = settings.real_date(text), self.source.where((*path, "expires"))
        if day is None:
            self.problems.append(settings.date_problem(text, where))
        elif day < self.today:
            why = f"past its day it gives no {gives} any more"
            fix = "remove it, or set a later day"
            self.problems.append(Problem(f"{what} expired on {text}", where, why, fix, "expired", Severity.WARNING))
        return day


def _set(value: Any, default: int) -> Any:
    return default if value is None else value
