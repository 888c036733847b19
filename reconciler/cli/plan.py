"""`reconciler plan`: what apply would change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.choices import Choice, scoped
from reconciler.cli.options import Options, common, diff_limit_option, format_option
from reconciler.show import FORMATS

if TYPE_CHECKING:
    from reconciler.load.repository import Repository
    from reconciler.plan import Plan


@click.command()
@format_option(FORMATS)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the plan as JSON to a file.")
@click.option("--exit-code", is_flag=True, help="Exit 3 when changes are pending, 5 when deletes are refused.")
@diff_limit_option
@click.option("--base", metavar="REF", default="", help="Compare with a commit instead of what is live; offline.")
@click.option("--preflight", is_flag=True, help="Start each changed script in workerd, and make its `tests`.")
@scoped
@common
def plan(
    options: Options,
    form: str,
    out: Path | None,
    exit_code: bool,
    diff_limit: int,
    base: str,
    preflight: bool,
    choice: Choice,
) -> int:
    """Show what apply would change. Writes nothing."""
    from reconciler import show
    from reconciler.cli import files, wishes

    terminal = options.terminal
    with _compared(options, base, choice, diff_limit) as (shown, repository):
        if preflight:
            shown = _tried(shown, repository)
    terminal.finish()
    terminal.data(show.FORMATS[form](shown, terminal.style))
    if out is not None:
        files.write(out, show.FORMATS["json"](shown, terminal.style))
    return wishes.exit_code_of_plan(shown, asked_for=exit_code)


@contextmanager
def _compared(options: Options, base: str, choice: Choice, diff_limit: int) -> Iterator[tuple[Plan, Repository]]:
    """The plan and the repository that wants it: held against a commit, or against what is live."""
    from reconciler import run
    from reconciler.cli import connecting, loading, wishes

    if base:
        with loading.loaded(options, choice.at) as repository, loading.loaded(options, base) as before:
            yield run.between(before, repository, wishes.of(options, repository, choice)), repository
        return
    terminal = options.terminal
    with connecting.reached(options, choice.at) as connection:
        asked = wishes.of(options, connection.repository, choice)
        outlook = run.look_and_plan(
            connection, asked, progress=connecting.progress(terminal), verifying=wishes.verifying(terminal)
        )
        yield run.explained(outlook, diff_limit), connection.repository


def _tried(plan: Plan, repository: Repository) -> Plan:
    """The plan with what came of starting its scripts."""
    from reconciler.cli import connecting

    connecting.check_extra()
    from reconciler import preflight  # the embedded platform, of the extra `local`

    return preflight.of_plan(plan, repository)
