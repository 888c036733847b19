"""`reconciler apply`: plan, ask, carry out, summarise."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common
from reconciler.cli.plan import scoped

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.plan import Plan
    from reconciler.results import Result
    from reconciler.run import Outlook


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--expect", metavar="DIGEST", help="Refuse unless the fresh plan has this digest (12 hex or more).")
@click.option("--time-limit", metavar="TIME", help="Stop cleanly after so long: 90s, 45m, 5h30m.")
@click.option("--audit", type=click.Path(path_type=Path, dir_okay=False), help="Append one JSON line per change.")
@scoped
@common
def apply(
    options: Options,
    yes: bool,
    expect: str | None,
    time_limit: str | None,
    audit: Path | None,
    customers: tuple[str, ...],
    adopt: tuple[str, ...],
    allow_deletes: int,
) -> int:
    """Make the platform what the repository says.

    Shows the plan, asks, carries out the changes in a safe order, and prints each result as it ends. Ctrl-C once
    stops cleanly: running calls end, the rest is left for the next run. Twice stops now.
    """
    from reconciler import render, review, run
    from reconciler.cli import connecting, record, wishes
    from reconciler.render.plan_text import summary_line

    terminal = options.terminal
    limit = record.seconds(time_limit) if time_limit else None
    repository = connecting.load(options)
    asked = wishes.of(options, repository, customers=customers, adopt=adopt, allow_deletes=allow_deletes)
    with connecting.connected(options, repository, waiting=terminal.waiting) as connection:
        outlook = run.look_and_plan(connection, asked, progress=wishes.listing(terminal))
        terminal.finish()
        if expect is not None:
            review.expected(outlook.plan, expect)
        asking = not yes and sys.stdin.isatty() and sys.stderr.isatty()
        shown = run.explained(outlook) if asking else run.explained(outlook, 0)
        terminal.data(render.FORMATS["text"](shown, terminal.style) if asking else summary_line(shown, terminal.style))
        if not outlook.plan.changes:
            return _exit_code(outlook.plan, [])
        if not yes and not (asking and _agreed(terminal)):
            terminal.warn(
                "nothing was changed" if asking else "nothing was changed: there is no terminal to ask on; add --yes"
            )
            return 1 if asking else 2
        with _interruptible(terminal, limit) as stopped:
            results = _carry_out(outlook, terminal, audit, stopped)
        terminal.data(render.results_summary(results, outlook.plan, terminal.style))
        return _exit_code(outlook.plan, results)


def _carry_out(outlook: Outlook, terminal: Terminal, audit: Path | None, stopped: Callable[[], bool]) -> list[Result]:
    """Each result is printed and recorded the moment it ends."""
    from reconciler import render, run
    from reconciler.cli import record

    results = []
    total = len(outlook.plan.changes)
    with record.audit_log(audit, outlook.connection.repository.root) as write:
        for result in run.carry_out(outlook, outlook.plan.changes, stopped=stopped):
            results.append(result)
            write(result)
            terminal.finish()
            terminal.data(render.result_line(result, terminal.style))
            terminal.progress(f"{len(results):,} of {total:,} · {outlook.connection.api.requests:,} requests")
    terminal.finish()
    return results


def _agreed(terminal: Terminal) -> bool:
    terminal.say("")
    return click.confirm("Apply this plan?", default=False, err=True)


def _exit_code(plan: Plan, results: list[Result]) -> int:
    """7 when something did not take, 5 when a guard withheld deletes, 0 when all is done."""
    from reconciler.results import Outcome

    if plan.blocked or plan.problems or any(one.outcome is not Outcome.APPLIED for one in results):
        return 7
    return 5 if plan.refusals else 0


@contextmanager
def _interruptible(terminal: Terminal, limit: float | None) -> Iterator[Callable[[], bool]]:
    """Ctrl-C once, or the time limit, stops handing out changes; Ctrl-C twice stops at once."""
    asked: list[int] = []
    started = time.monotonic()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)
        terminal.warn("stopping: running calls end, the rest is left for the next run; Ctrl-C again stops now")

    before = signal.signal(signal.SIGINT, interrupt)
    terminating = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: bool(asked) or (limit is not None and time.monotonic() - started >= limit)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminating)
