"""`reconciler drift`: what someone changed by hand. There is no path from here to a write."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import click

from reconciler.cli.choices import Amount, Choice
from reconciler.cli.options import Options, common, diff_limit_option, format_option

FORMATS = ("text", "json", "markdown")


@click.command()
@format_option(FORMATS)
@diff_limit_option
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Look at these customers only.")
@click.option("--verify", type=Amount(), default=0, metavar="N|all", help="Read back N, the least recently read first.")
@click.option(
    "--observe", multiple=True, metavar="NAME", help="Watch a foreign script as well; '*' for all that nobody owns."
)
@common
def drift(
    options: Options,
    form: str,
    diff_limit: int,
    customers: tuple[str, ...],
    verify: int | None,
    observe: tuple[str, ...],
) -> int:
    """Report what someone changed by hand. Exits 4 when there is any.

    Tells apart what drifted, what is missing, what is not managed, and what is only pending because the repository
    is ahead. Foreign scripts that are watched with --observe are held against the repository where it declares them,
    and else against the run before. Every call it makes is a GET.
    """
    from reconciler import drift as drifting
    from reconciler import observe as observing
    from reconciler import run
    from reconciler.cli import connecting, wishes
    from reconciler.show import findings as render_findings

    terminal = options.terminal
    with connecting.reached(options) as connection:
        repository = connection.repository
        asked = wishes.of(options, repository, Choice(customers=customers, verify=verify))
        outlook = run.look_and_plan(
            connection, asked, progress=connecting.progress(terminal), verifying=wishes.verifying(terminal)
        )
        plan = run.explained(outlook, diff_limit)
        watched = observing.observe(
            connection,
            outlook.desired,
            outlook.live,
            frozenset(observe),
            scope=asked.scope,
            progress=wishes.verifying(terminal),
        )
    terminal.finish()
    for name in sorted(_of_nothing(observe, {key.name for key in (*outlook.live.resources, *watched)})):
        terminal.warn(terminal.printable(f"--observe {name}: nothing of that name is live"))
    blind = [one for one in plan.warnings if one.code == "blind-spot"]
    if blind:
        terminal.problems(blind)
    found = drifting.findings(plan, repository.platform.expected_drift, asked.today, watched)
    terminal.data(render_findings.FORMATS[form](found, terminal.style, plan.coverage))
    return 4 if any(one.kind in render_findings.ALARMS for one in found) else 0


def _of_nothing(observe: Collection[str], there: Collection[str]) -> Iterator[str]:
    """Names, and no patterns, that may be mistyped."""
    return (name for name in observe if name not in there and "*" not in name)
