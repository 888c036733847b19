"""`reconciler plan`: what apply would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.options import Options, common, diff_limit_option, format_option
from reconciler.show import FORMATS

if TYPE_CHECKING:
    from reconciler.plan.sharding import Shard


class Amount(click.ParamType[int | None]):
    """A number, or `all` (which is None)."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "all":
            return None
        if not str(value).isdigit():
            self.fail(f'"{value}" is neither a number nor "all"', param, ctx)
        return int(value)


class ShardType(click.ParamType["Shard"]):
    """The I-th of N shares, as in 3/8."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        from reconciler.plan.sharding import Shard

        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            self.fail(f'"{value}" is no share such as 3/8', param, ctx)
        return Shard(int(number), int(of))


def scoped(command: Any) -> Any:
    """The options that say what a run looks at and what it may do."""
    for option in (
        click.option(
            "--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let this run delete up to N."
        ),
        click.option(
            "--verify", type=Amount(), default=0, metavar="N|all", help="Read back N, the least recently read first."
        ),
        click.option(
            "--adopt", multiple=True, metavar="NAME", help="Take over a foreign script; '*' for all that nobody owns."
        ),
        click.option(
            "--at", metavar="REF", default="", help="Use the files of a commit, without touching the work tree."
        ),
        click.option("--changed-since", metavar="REF", default="", help="Look at customers that differ from a commit."),
        click.option("--customer", "customers", multiple=True, metavar="ID", help="Look at these customers only."),
        click.option("--shard", type=ShardType(), metavar="I/N", help="Write one of N shares of the scripts."),
    ):
        command = option(command)
    return command


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
    customers: tuple[str, ...],
    shard: Shard | None,
    changed_since: str,
    at: str,
    verify: int | None,
    adopt: tuple[str, ...],
    allow_deletes: int,
) -> int:
    """Show what apply would change. Writes nothing."""
    from reconciler import run, show
    from reconciler.cli import connecting, files, wishes

    terminal = options.terminal
    with connecting.loaded(options, at) as repository:
        scope = wishes.scope(repository, customers, changed_since, at, terminal)
        undoes = wishes.undone(options, repository, at, scope)
        asked = wishes.of(
            options,
            scope=scope,
            adopt=adopt,
            allow_deletes=allow_deletes,
            verify=verify,
            undoes=undoes,
            shard=shard,
        )
        if base:
            with connecting.loaded(options, base) as before:
                shown = run.between(before, repository, asked)
        else:
            with connecting.looking(options, repository, waiting=terminal.waiting) as connection:
                outlook = run.look_and_plan(
                    connection, asked, progress=wishes.listing(terminal), verifying=wishes.verifying(terminal)
                )
                shown = run.explained(outlook, diff_limit)
        if preflight:
            connecting.check_extra()
            from reconciler import preflight as trial  # the embedded platform, of the extra `local`

            shown = trial.of_plan(shown, repository)
    terminal.finish()
    terminal.data(show.FORMATS[form](shown, terminal.style))
    if out is not None:
        files.write(out, show.FORMATS["json"](shown, terminal.style))
    return wishes.exit_code_of_plan(shown, asked_for=exit_code)
