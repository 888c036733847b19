"""The repository on disk as a value: load it whole, with every problem at once, and read single Workers again.

platform.yaml first, then each customer's folder by itself, then what holds across customers. To add a check of one
file: settings.py or scripts.py; of several customers: _across here.
"""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler import bindings, routing
from reconciler.errors import ConfigError, Problem, Severity, Where
from reconciler.load import compiling, customer_file, egress, excerpts, files, platform_file, settings, static_files
from reconciler.load.compiled import Customers, Row, decoded, facts_of
from reconciler.load.compiled_cache import Cache, CustomersMemo
from reconciler.load.repository import (
    Approval,
    Customer,
    Dispatcher,
    ExpectedDrift,
    Memo,
    NoMemo,
    Ordinary,
    OutboundWorker,
    Platform,
    Repository,
    Route,
    Safety,
    Script,
)
from reconciler.model import PROTECT_TAG, Assets, Worker

__all__ = [
    "Approval",
    "Customer",
    "Dispatcher",
    "ExpectedDrift",
    "Ordinary",
    "OutboundWorker",
    "Platform",
    "Repository",
    "Route",
    "Safety",
    "Script",
    "dispatcher_settings",
    "load",
    "read_asset",
    "read_ordinary",
    "read_outbound",
    "read_trial",
    "read_worker",
    "routed_scripts",
    "with_stand_in_warnings",
]

CUSTOMERS = "customers"


def load(
    root: Path,
    environment: str = "",
    *,
    variables: Mapping[str, str],
    today: datetime.date | None = None,
    kept: Path | None = None,
    begun: Callable[[Platform], None] | None = None,
) -> Repository:
    """Everything below `root`. Raises ConfigError with every problem, warnings included, when one is an error.

    `kept` is the file that compiled customers are kept in between runs; without one every file is read. `begun` is
    told of the platform as soon as it is known, for what need not wait for the customers.
    """
    day = today or datetime.datetime.now(datetime.UTC).date()
    loaded = platform_file.load(root, environment, variables, day)
    problems = list(loaded.problems)
    if loaded.terms is None:
        walked = files.customers(root, CUSTOMERS)
        sources = [customer_file.source_problems(each) for each in walked.customers]
        raise ConfigError(excerpts.with_lines(root, [*problems, *walked.problems, *itertools.chain(*sources)]))
    wrong = any(one.severity is Severity.ERROR for one in problems)
    if begun is not None and loaded.platform is not None and not wrong:
        begun(loaded.platform)
    cache = Cache(kept) if kept is not None else None
    found = compiling.compile_all(root, CUSTOMERS, loaded.terms, cache)
    problems += found.problems
    customers = Customers(found.rows, functools.partial(compiling.compile_one, root, terms=loaded.terms))
    memo: Memo = CustomersMemo(cache, customers, compiling.code()) if cache is not None else NoMemo()
    if loaded.platform is not None:
        problems += _across(loaded.platform, customers, found.rows, memo)
    if loaded.platform is not None and loaded.egress is not None:
        known = customers.keys() | _folders_of(found.problems) if found.problems else customers.keys()
        problems += egress.check(loaded.egress, tiers=loaded.platform.tiers, customers=known)
    told = excerpts.with_lines(root, problems)
    if loaded.platform is None or any(one.severity is Severity.ERROR for one in told):
        raise ConfigError(told)
    return Repository(
        root, loaded.platform, customers, told, terms=loaded.terms, known=facts_of(customers, memo), memo=memo
    )


def _folders_of(problems: Iterable[Problem]) -> set[str]:
    """A customer whose file is wrong came to nothing, and is there all the same."""
    return {name for one in problems if one.where is not None for name in one.where.file.split("/")}


def read_worker(repository: Repository, script_name: str) -> Worker:
    """The whole Worker of a script, from the files as they are now. Raises ConfigError when they have become wrong."""
    customer = repository.customers[repository.script(script_name).customer]
    assert repository.terms is not None
    with files.customer(repository.root, customer.folder) as folder:
        return customer_file.read_worker(folder, repository.terms, script_name)


def read_trial(repository: Repository, script_name: str) -> customer_file.Trial:
    """A script with what is needed to try it. Raises ConfigError when the files have become wrong."""
    customer = repository.customers[repository.script(script_name).customer]
    assert repository.terms is not None
    with files.customer(repository.root, customer.folder) as folder:
        return customer_file.read_trial(folder, repository.terms, script_name)


def with_stand_in_warnings(repository: Repository) -> Repository:
    """The repository as the embedded platform will run it: with a warning for each binding that it has nothing for.

    Only the files of scripts with such a binding are read again.
    """
    platform = repository.platform
    ordinary = [*platform.outbound_workers.values(), *platform.tail_workers.values()]
    ordinary += [platform.dispatcher] if platform.dispatcher is not None else []
    found = [
        settings.stand_in_problem(str(binding["name"]), one.where)
        for one in ordinary
        for binding in one.bindings
        if not bindings.KINDS[binding["type"]].local
    ]
    assert repository.terms is not None
    for script in repository.scripts():
        if script.without_stand_in:
            with files.customer(repository.root, repository.customers[script.customer].folder) as folder:
                found += customer_file.stand_in_problems(folder, repository.terms, script)
    told = excerpts.with_lines(repository.root, [*repository.warnings, *found])
    return replace(repository, warnings=tuple(told))


def read_outbound(repository: Repository, name: str) -> Worker:
    """The whole Worker of an outbound Worker. Raises ConfigError when its files have become wrong."""
    return read_ordinary(repository, repository.platform.outbound_workers[name])


def read_ordinary(repository: Repository, one: Ordinary) -> Worker:
    """The whole Worker of a platform's own, without what the reconciler adds to it. Raises ConfigError."""
    return platform_file.read_ordinary(repository.root, one)


def read_asset(repository: Repository, assets: Assets, path: str) -> bytes:
    """The bytes of a static file, by its path in the manifest. Raises ConfigError when it cannot be read any more, or
    is another one: under the hash of the one before, it would be served to whoever asks for that."""
    file = f"{assets.folder}{path}"
    try:
        content = files.read_below(repository.root, file)
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("the file cannot be read", Where(file), str(error), code="unreadable")]) from None
    if static_files.salted_hash(assets.customer, path, content) != assets.files[path][0]:
        raise ConfigError([changed_meanwhile("the file", Where(file))])
    return content


def changed_meanwhile(what: str, where: Where | None) -> Problem:
    """Of files that are not what a plan was made of any more."""
    return Problem(
        f"{what} has changed since the plan was made",
        where,
        why="what would be sent now is not what the plan shows",
        fix="run again: the next plan shows it as it is",
        code="changed-meanwhile",
    )


def dispatcher_settings(platform: Platform) -> routing.DispatcherSettings:
    """The dispatcher as the routing table needs to know it."""
    own = platform.dispatcher
    if own is None:
        return routing.DispatcherSettings(platform.name)
    return routing.DispatcherSettings(
        platform.name, own.hostname, own.path, own.table, own.pages, own.hostname_where, own.path_where
    )


def routed_scripts(customers: Iterable[Customer]) -> Iterator[routing.RoutedScript]:
    """Every script as the routing table needs to know it."""
    for customer in customers:
        for one in customer.scripts:
            yield routing.RoutedScript(
                one.name,
                one.customer,
                one.tier,
                suspended=customer.suspended,
                cpu_ms=one.cpu_ms,
                subrequests=one.subrequests,
                outbound=one.outbound_worker,
                hostnames=one.hostnames,
                where=one.where,
            )


def _across(platform: Platform, customers: Customers, rows: Collection[Row], memo: Memo) -> list[Problem]:
    """What no folder can know by itself. What was found clean before is clean while nothing but digests differs."""
    outbounds = platform.outbound_workers
    bindings = [
        replace(one, where=outbounds[one.name].where)
        for one in routing.outbound_bindings({name: one.parameters for name, one in outbounds.items()})
    ]
    places = list(_places_of(platform))
    name = f"clean {dispatcher_settings(platform)} {bindings} {sorted(platform.tiers)}"
    twice = len(rows) > len(customers)
    if not twice and memo.get(name) is not None:
        return places
    each = list(filter(None, map(decoded, rows))) if twice else list(customers.values())
    problems = list(_problems_across(platform, each, bindings))
    if not problems:
        memo.put(name, "")
    return [*problems, *places]


def _places_of(platform: Platform) -> Iterator[Problem]:
    if platform.dispatcher is not None:
        routes = [(one.pattern, one.where) for one in platform.dispatcher.routes]
        yield from routing.check_places(routes, platform.dispatcher.custom_domains)


def _problems_across(
    platform: Platform, customers: list[Customer], bindings: Sequence[routing.OutboundBinding]
) -> Iterator[Problem]:
    """Names that are taken twice, and routes."""
    yield from _customers_twice(customers)
    names: dict[str, Script] = {}
    for script in sorted((one for each in customers for one in each.scripts), key=lambda one: _place(one)):
        first = names.setdefault(script.name, script)
        if first is not script:
            why = f"the namespace has one script of a name; customer {first.customer} has it at {first.where}"
            what = f"script {script.name} is declared twice"
            yield Problem(what, script.where, why, "rename one of the two", "script-twice")
    yield from _previous(names)
    yield from _tags(names, {one.id for one in customers}, set(platform.tiers))
    unique = list(names.values())
    kept = [one for one in routed_scripts(customers) if names[one.name].where == one.where] if unique else []
    problems = routing.check(dispatcher_settings(platform), kept, bindings)
    yield from problems
    if platform.dispatcher is not None and not problems:
        yield from _size(platform, platform.dispatcher, kept, bindings)


def _size(
    platform: Platform,
    dispatcher: Dispatcher,
    scripts: list[routing.RoutedScript],
    bindings: Iterable[routing.OutboundBinding],
) -> Iterator[Problem]:
    """A table that is too large to go with the dispatcher. It is compiled only where its names come near the limit."""
    most = sum(map(len, dispatcher.pages.values()))
    for one in scripts if dispatcher.table == "bundle" else ():
        most += len(one.name) + 2 * len(one.customer) + 40
        most += sum(len(hostname.name) + len(one.name) + 8 for hostname in one.hostnames)
    if most > routing.BUNDLE_LIMIT * 3 // 4:
        table = routing.compile_table(dispatcher_settings(platform), scripts, bindings)
        problem = routing.size_problem(table, dispatcher.where)
        if problem is not None:
            yield problem


def _place(script: Script) -> tuple[str, int, int]:
    return (script.where.file, script.where.line, script.where.column)


def _customers_twice(customers: list[Customer]) -> Iterator[Problem]:
    seen: dict[str, Customer] = {}
    for one in sorted(customers, key=lambda one: one.folder):
        first = seen.setdefault(one.id, one)
        if first is not one:
            why = f"the id is the name of the folder, and {first.folder} has it already"
            what = f"customer {one.id} stands in the tree twice"
            yield Problem(what, one.where, why, "rename one of the folders", "customer-twice")


def _previous(names: Mapping[str, Script]) -> Iterator[Problem]:
    claimed: dict[str, Script] = {}
    for script in names.values():
        for old in script.previously:
            if old in names:
                why = f"it is declared at {names[old].where}, so it is no former name"
                what = f"script {script.name} cannot have been {old}"
                yield Problem(what, script.where, why, "remove it from `previously`", "previously")
            first = claimed.setdefault(old, script)
            if first is not script:
                why = f"script {first.name} says the same at {first.where}"
                what = f"script {script.name} cannot have been {old}"
                yield Problem(what, script.where, why, "name it once", "previously")


def _tags(names: Mapping[str, Script], customers: set[str], tiers: set[str]) -> Iterator[Problem]:
    """Tags tell customers and tiers apart; a user's own must not look like another's."""
    for script in names.values():
        for tag in script.tags:
            if tag in (script.customer, script.tier, PROTECT_TAG):
                continue
            if tag in customers or tag in tiers:
                noun = "customer" if tag in customers else "tier"
                why = f"its scripts are found by that tag, so script {script.name} would count as one of them"
                what = f'the tag "{tag}" is the name of another {noun}'
                yield Problem(what, script.where, why, "use another tag", "tag-taken")
