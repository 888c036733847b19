"""`reconciler doctor`: is everything there that a run depends on?"""

from __future__ import annotations

import datetime

import click

from reconciler.cli.options import Options, common

_MARKS = {"well": ("good", "✓"), "note": ("warning", "!"), "ill": ("error", "✗")}


@click.command()
@common
def doctor(options: Options) -> int:
    """Check this machine, the repository, the token, the account and the namespace; say what to do."""
    from reconciler import doctor as looks
    from reconciler.cli import connecting
    from reconciler.errors import ReconcilerError
    from reconciler.local.runtime_binary import find_workerd

    terminal = options.terminal

    def told(check: looks.Check) -> bool:
        role, mark = _MARKS[check.health]
        terminal.data(f"{terminal.style.paint(role, mark)} {check.name:<11}{terminal.printable(check.told)}")
        if check.fix:
            terminal.data(f"  {'':<11}fix: {terminal.printable(check.fix)}")
        return check.health is not looks.Health.ILL

    states = [told(check) for check in looks.machine()]  # a list: each is told, whatever the others are
    try:
        workerd = find_workerd(connecting.repository_root(options.folder))
        told(looks.Check("workerd", looks.Health.WELL, str(workerd)))
    except ReconcilerError as error:
        problem = error.problems[0]
        told(looks.Check("workerd", looks.Health.NOTE, f"{problem.what}: `dev` needs it", problem.fix))
    try:
        repository = connecting.load(options)
        told(looks.Check("repository", looks.Health.WELL, f"{len(repository.customers):,} customers, valid"))
        with connecting.looking(options, repository, waiting=terminal.waiting) as connection:
            now = datetime.datetime.now(datetime.UTC)
            states += [told(check) for check in looks.account(connection, now)]
            return 0 if all(states) else 1
    except ReconcilerError as error:
        for problem in error.problems[:5]:
            told(looks.Check("repository", looks.Health.ILL, problem.what, problem.fix))
        return error.exit_code
