"""What is wrong with the routes of a repository, before anything is compiled from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from reconciler.errors import Problem, Where
from reconciler.routing.patterns import (
    filled,
    host_expression,
    host_pattern_problems,
    path_pattern_problems,
    uses,
)
from reconciler.routing.routes import (
    PAGES,
    PARAMETERS,
    DispatcherSettings,
    Hostname,
    OutboundBinding,
    RoutedScript,
    customer_scripts,
    normal_hostname,
)

_LABEL = re.compile(r"(?!xn--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABELS = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_HOST_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_LABELS = re.compile(rf"{_HOST_LABEL}(\.{_HOST_LABEL})+")
_ROUTE = re.compile(r"(https?://)?(\*|\*?[A-Za-z0-9._-]+)(/[^*?#\s]*\*?)?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")  # a last label like this makes the host an IPv4 address


def check(
    settings: DispatcherSettings, scripts: Collection[RoutedScript], outbounds: Iterable[OutboundBinding] = ()
) -> list[Problem]:
    """Every problem of the routes; none, and `compile_table` gives a table in which each route is answered as meant."""
    problems: list[Problem] = []
    if settings.hostname:
        problems += host_pattern_problems(settings.hostname, settings.hostname_where)
    if settings.path:
        problems += path_pattern_problems(settings.path, settings.path_where)
    sound = not problems  # only sound patterns are held against the scripts
    problems += _hostname_problems(scripts)
    problems += _outbound_problems(outbounds)
    problems += _page_problems(settings)
    if sound:
        problems += _label_problems(settings, scripts)
        problems += _hijack_problems(settings, scripts)
        problems += _customer_problems(settings, scripts)
    return sorted(problems, key=lambda problem: problem.order)


def check_places(routes: Sequence[tuple[str, Where | None]], domains: Sequence[Hostname]) -> list[Problem]:
    """What is wrong with the places where the dispatcher answers: routes of zones by their patterns, custom domains.

    A pattern may lie outside its zone: hostnames of others lead there too (Cloudflare for SaaS).
    """
    problems = [
        Problem(
            f'"{pattern}" is not the pattern of a route',
            where,
            why="it has a hostname and a path, without ? and #, and * only where the one begins or the other ends",
            fix='write it as in "*.example.com/*"',
            code="route-place",
        )
        for pattern, where in routes
        if not _ROUTE.fullmatch(pattern)
    ]
    problems += [_not_a_hostname(one) for one in domains if not _is_hostname(normal_hostname(one.name))]
    for kind, places in (("route", routes), ("custom domain", [(one.name, one.where) for one in domains])):
        first: dict[str, Where | None] = {}
        for name, where in places:
            if name in first:
                why = f"the other stands at {first[name]}"
                problems.append(
                    Problem(f"the {kind} {name} is declared twice", where, why, "remove one", "route-twice")
                )
            first.setdefault(name, where)
    return problems


def _hostname_problems(scripts: Collection[RoutedScript]) -> Iterator[Problem]:
    """Hostnames that are none, and those that are declared twice; the first in the order of the files has it."""
    declared = [(hostname, script) for script in scripts for hostname in script.hostnames]
    seen: dict[str, tuple[Hostname, RoutedScript]] = {}
    for hostname, script in sorted(declared, key=lambda one: (_place(one[0].where), one[1].name)):
        name = normal_hostname(hostname.name)
        if not _is_hostname(name):
            yield _not_a_hostname(hostname)
            continue
        first, owner = seen.setdefault(name, (hostname, script))
        if first is hostname:
            continue
        place = f"{first.where}" if first.where else "another place"
        yield Problem(
            f'hostname "{hostname.name}" is declared twice',
            hostname.where,
            why=f"it belongs to script {owner.name} of customer {owner.customer}, declared at {place}",
            fix="take it out of one of the two places",
            code="hostname-twice",
        )


def _not_a_hostname(hostname: Hostname) -> Problem:
    why = "a hostname has labels of letters, digits and hyphens between dots; no port, scheme, path or wildcard"
    fix = 'write it as in "shop.example.com"'
    if not hostname.name.isascii():
        why = "browsers send hostnames in their ASCII form"
        try:
            fix = f'write it as "{hostname.name.encode("idna").decode()}"'
        except UnicodeError:
            fix = 'write it in its ASCII form, "xn--…"'
    if "*" in hostname.name:
        fix = "declare each hostname; one pattern for all scripts stands at dispatcher.hostname in platform.yaml"
    return Problem(f'"{hostname.name}" is not a hostname', hostname.where, why=why, fix=fix, code="hostname-syntax")


def _is_hostname(name: str) -> bool:
    if len(name) > 253 or not _HOST_LABELS.fullmatch(name):
        return False
    return not _NUMBER.fullmatch(name.rpartition(".")[2])


def _label_problems(settings: DispatcherSettings, scripts: Collection[RoutedScript]) -> Iterator[Problem]:
    """Names that fill a hostname pattern have to make a hostname."""
    if not settings.hostname:
        return
    for script in scripts:
        host = filled(settings.hostname, script=script.name, customer=script.customer)
        if len(host) <= 253 and _LABELS.fullmatch(host):
            continue
        what = f"script {script.name}" if uses(settings.hostname, "script") else f"customer {script.customer}"
        yield Problem(
            f'{what} cannot be reached as "{host}"',
            script.where,
            why=f'the hostname pattern "{settings.hostname}" makes it a label of a hostname: at most 63 small letters, '
            "digits and hyphens, with neither end a hyphen",
            fix=f'rename it, as in "{script.name.replace("_", "-").strip("-")[:40]}"',
            code="route-label",
        )


def _hijack_problems(settings: DispatcherSettings, scripts: Collection[RoutedScript]) -> Iterator[Problem]:
    """An exact hostname goes before the pattern, so it must not be the address of someone else's script."""
    if not settings.hostname:
        return
    customers = {script.name: script.customer for script in scripts}
    standing_for = customer_scripts(scripts)
    expression = host_expression(settings.hostname)
    for script in scripts:
        for hostname in script.hostnames:
            match = expression.match(normal_hostname(hostname.name))
            if match is None:
                continue
            names = match.groupdict()
            other = names["script"] if "script" in names else standing_for.get(names["customer"])
            if other not in customers or other == script.name:
                continue
            if names.get("customer") not in (None, customers[other]):
                continue
            yield Problem(
                f'hostname "{hostname.name}" is the address of script {other}',
                hostname.where,
                why=f'the hostname pattern "{settings.hostname}" leads to {other} of customer {customers[other]}, and '
                f"a declared hostname goes before it: {script.name} would answer instead",
                fix="declare another hostname",
                code="hostname-taken",
            )


def _customer_problems(settings: DispatcherSettings, scripts: Collection[RoutedScript]) -> Iterator[Problem]:
    """A pattern with {customer} alone needs one script that stands for the customer."""
    if not settings.by_customer:
        return
    ambiguous = {customer for customer, script in customer_scripts(scripts).items() if script is None}
    for script in sorted(scripts, key=lambda one: one.name):
        if script.customer in ambiguous:
            ambiguous.remove(script.customer)
            yield Problem(
                f"customer {script.customer} has several scripts, and a route that names only the customer",
                script.where,
                why="a pattern with {customer} and without {script} leads to the customer's only script, or to the one "
                "that is named like the customer",
                fix=f'name one of them "{script.customer}", or put {{script}} into the pattern',
                code="route-customer",
            )


def _outbound_problems(outbounds: Iterable[OutboundBinding]) -> Iterator[Problem]:
    bound: dict[str, str] = {}
    for outbound in outbounds:
        first = bound.setdefault(outbound.binding, outbound.name)
        if first != outbound.name:
            yield Problem(
                f"outbound Workers {first} and {outbound.name} have the same binding {outbound.binding}",
                outbound.where,
                why="the dispatcher tells them apart by their binding, which is the name in capitals with _ for -",
                fix="rename one of them",
                code="outbound-binding",
            )
        for parameter in outbound.parameters:
            if parameter not in PARAMETERS:
                yield Problem(
                    f'outbound Worker {outbound.name} has an unknown parameter "{parameter}"',
                    outbound.where,
                    why=f"the dispatcher can tell: {', '.join(PARAMETERS)}",
                    fix="name one of these",
                    code="outbound-parameter",
                )


def _page_problems(settings: DispatcherSettings) -> Iterator[Problem]:
    for page in settings.pages:
        if page not in PAGES:
            yield Problem(
                f'the dispatcher has no page "{page}"',
                why=f"the pages are: {', '.join(PAGES)}",
                fix="name one of these",
                code="dispatcher-page",
            )


def _place(where: Where | None) -> tuple[str, int, int]:
    return (where.file, where.line, where.column) if where else ("\uffff", 0, 0)
