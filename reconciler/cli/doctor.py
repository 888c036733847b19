"""`reconciler doctor`: is everything there that a run depends on?"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.doctor import Check
    from reconciler.load.repository import Repository

_MARKS = {"well": ("good", "✓"), "note": ("warning", "!"), "ill": ("error", "✗")}
_PROBLEMS_SHOWN = 5


@click.command()
@click.option("--probe", is_flag=True, help="Write and remove one scratch script, to learn what no document says.")
@common
def doctor(options: Options, probe: bool) -> int:
    """Check this machine, the repository, the token, the account and the namespace; say what to do.

    Reads only, but with --probe: that writes one scratch script into the namespace and removes it again, to learn what
    this account's listing shows of changes by hand. Plans and drift runs go by what it learnt.
    """
    from reconciler import doctor as looks

    ill = False
    for check in _checks(options, probe=probe):
        _tell(options.terminal, check)
        ill = ill or check.health is looks.Health.ILL
    return 1 if ill else 0


def _checks(options: Options, *, probe: bool) -> Iterator[Check]:
    """Each as soon as it is done. What rests on something that is ill is not looked at."""
    from reconciler import doctor as looks
    from reconciler.cli import loading
    from reconciler.doctor import Check, Health
    from reconciler.errors import ReconcilerError

    yield from looks.machine()
    yield _workerd(options)
    try:
        if loading.is_repository(options.folder):
            repository = loading.load(options)
            count = len(repository.customers)
            told = f"{count:,} customer{'' if count == 1 else 's'}, valid"
            yield Check("repository", Health.WELL, told)
            yield from _of_platform(options, repository, probe=probe)
            return
        fix = "begin with `reconciler init`, or with `reconciler import` where a namespace is filled already"
        yield Check("repository", Health.NOTE, "there is no platform.yaml here or above", fix)
        if not options.local:
            yield from _of_account(options)
    except ReconcilerError as error:
        for problem in error.problems[:_PROBLEMS_SHOWN]:
            told = f"{problem.where}: {problem.what}" if problem.where else problem.what
            yield Check("repository" if problem.where else "account", Health.ILL, told, problem.fix)
        left = len(error.problems) - _PROBLEMS_SHOWN
        if left > 0:
            yield Check("repository", Health.ILL, f"… and {left:,} more", "`reconciler validate` tells them all")


def _of_platform(options: Options, repository: Repository, *, probe: bool) -> Iterator[Check]:
    """The account, and what of it the repository is about."""
    from reconciler import doctor as looks
    from reconciler import probing
    from reconciler.cli import connecting

    now = datetime.datetime.now(datetime.UTC)
    with connecting.looking(options, repository, waiting=options.terminal.waiting) as connection:
        well = True
        for check in looks.account(connection, now):
            well = well and check.health is not looks.Health.ILL
            yield check
        if not well:
            return
        yield from looks.platform(connection, now)
        known = connection.answers
    if probe:
        with connecting.connected(options, repository, waiting=options.terminal.waiting) as connection:
            known = probing.probe(connection, now)
    yield from looks.probed(known)


def _of_account(options: Options) -> Iterator[Check]:
    from reconciler import doctor as looks
    from reconciler.cli import connecting
    from reconciler.errors import Where
    from reconciler.load.repository import Platform, Repository

    nothing = Repository(options.folder.resolve(), Platform("", "", Where("platform.yaml")), {})
    with connecting.looking(options, nothing, waiting=options.terminal.waiting) as connection:
        yield from looks.account(connection, datetime.datetime.now(datetime.UTC))


def _workerd(options: Options) -> Check:
    from reconciler.doctor import Check, Health
    from reconciler.errors import ReconcilerError
    from reconciler.local.runtime_binary import find_workerd

    try:
        return Check("workerd", Health.WELL, str(find_workerd(options.folder.resolve())))
    except ReconcilerError as error:
        problem = error.problems[0]
        return Check("workerd", Health.NOTE, f"{problem.what}: `dev` needs it", problem.fix)


def _tell(terminal: Terminal, check: Check) -> None:
    role, mark = _MARKS[check.health]
    terminal.data(f"{terminal.style.paint(role, mark)} {check.name:<13}{terminal.printable(check.told)}")
    if check.fix:
        terminal.data(f"  {'':<13}fix: {terminal.printable(check.fix)}")
