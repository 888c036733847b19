"""`reconciler validate`: every problem of the repository, offline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, format_option, without_account

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.load.repository import Repository
    from reconciler.plan import Preflight

FORMATS = ("text", "json", "github", "sarif")


@click.command()
@format_option(FORMATS)
@click.option("--preflight", is_flag=True, help="Start each script in workerd, and make the requests of its `tests`.")
@click.option("--changed-since", metavar="REF", default="", help="Preflight customers that differ from a commit.")
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Preflight these customers only.")
@click.option("--local", is_flag=True, help="Also warn of bindings that the embedded platform has no stand-in for.")
@without_account
def validate(options: Options, form: str, preflight: bool, changed_since: str, customers: tuple[str, ...]) -> int:
    """Check the repository; tell every problem with its file, line and column. Needs no account."""
    from reconciler.cli import loading
    from reconciler.errors import ConfigError
    from reconciler.show import problems as render_problems
    from reconciler.show import words

    if (changed_since or customers) and not preflight:
        raise click.UsageError("--changed-since and --customer say which scripts --preflight starts")
    terminal = options.terminal
    try:
        repository = loading.load(options)
        problems, code = repository.warnings, 0
        if preflight:
            found = _preflight(options, repository, customers, changed_since)
            problems, code = tuple(sorted((*problems, *found), key=lambda one: one.order)), 1 if found else 0
    except ConfigError as error:
        problems, code = error.problems, 1
    if problems or form != "text":
        terminal.data(render_problems.FORMATS[form](problems, terminal.style))
    if problems and form == "github":
        from reconciler.github import summaries  # annotations are few; the page of the run holds all

        summaries.add_problems(os.environ, problems)
    if code == 0:
        count = len(repository.facts.digests)
        owners = words.many(len(repository.customers), "customer", "customers")
        terminal.say(f"valid: {owners}, {words.many(count, 'script', 'scripts')}")
    return code


def _preflight(
    options: Options, repository: Repository, customers: tuple[str, ...], changed_since: str
) -> tuple[Problem, ...]:
    from reconciler.cli import connecting, wishes
    from reconciler.show import words

    connecting.check_extra()
    from reconciler import preflight  # the embedded platform, of the extra `local`

    terminal = options.terminal
    scope = wishes.scope(repository, customers, changed_since, "", terminal)
    wishes.refuse_unknown(customers, repository)
    names = [one.name for one in repository.scripts() if not scope or one.customer in scope]
    seen: list[Preflight] = []
    for count, (name, one) in enumerate(preflight.check(repository, names), start=1):
        terminal.progress(f"preflight: {count:,} of {words.many(len(names), 'script', 'scripts')}, last {name}")
        seen.append(one)
    terminal.finish()
    problems = preflight.problems(seen)
    if not problems:
        tests = sum(one.tests for one in seen)
        started = words.many(len(names), "script starts", "scripts start")
        terminal.say(f"preflight: {started}, {words.many(tests, 'test passes', 'tests pass')}")
    return problems
