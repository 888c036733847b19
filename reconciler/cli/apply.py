"""`reconciler apply`: plan, ask, carry out, summarise."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from reconciler.cli.choices import Choice, scoped
from reconciler.cli.options import Options, common

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.kinds.connection import Connection
    from reconciler.plan import Change, Plan
    from reconciler.plan.results import Result
    from reconciler.run import Outlook, Wishes


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--expect", metavar="DIGEST", help="Refuse unless the fresh plan has this digest (12 hex or more).")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Apply only what this saved plan holds.",
)
@click.option("--time-limit", metavar="TIME", help="Stop cleanly after so long: 90s, 45m, 5h30m.")
@click.option("--audit", type=click.Path(path_type=Path, dir_okay=False), help="Append one JSON line per change.")
@scoped
@common
def apply(
    options: Options,
    yes: bool,
    expect: str | None,
    plan_file: Path | None,
    time_limit: str | None,
    audit: Path | None,
    choice: Choice,
) -> int:
    """Make the platform what the repository says.

    Shows the plan, asks, carries out the changes in a safe order, and prints each result as it ends. Ctrl-C once
    stops cleanly: running calls end, the rest is left for the next run. Twice stops now.
    """
    from reconciler.cli import connecting, record, wishes

    started, terminal = time.monotonic(), options.terminal
    until = started + record.seconds(time_limit) if time_limit else None
    with connecting.reached_to_write(options, choice.at) as connection:
        asked = wishes.of(options, connection.repository, choice)
        orders = Orders(yes, expect, plan_file, audit, record.commit(options.folder, choice.at), until)
        return applied(connection, asked, orders, terminal)


@dataclass(frozen=True, slots=True)
class Orders:
    """How a plan is carried out."""

    yes: bool = False  # do not ask
    expect: str | None = None  # the digest of the plan that was reviewed
    plan_file: Path | None = None  # or the plan itself
    audit: Path | None = None
    commit: str = ""  # whose files are applied, for the record
    until: float | None = None  # when nothing more is begun, by the monotonic clock
    workers: int | None = None  # changes at a time; None for the usual number


def applied(connection: Connection, asked: Wishes, orders: Orders, terminal: Terminal) -> int:
    """Plan, ask, carry out and tell; returns the exit code."""
    from reconciler import run
    from reconciler.cli import connecting, wishes

    run.check_secrets(connection, asked)
    outlook = run.look_and_plan(
        connection, asked, progress=connecting.progress(terminal), verifying=wishes.verifying(terminal)
    )
    terminal.finish()
    changes, left_out = _reviewed(outlook, orders, terminal)
    refused = _ask(outlook, changes, terminal, yes=orders.yes)
    if refused is not None:
        return refused
    if left_out and not changes:
        terminal.warn("nothing was changed: nothing that was reviewed is still to be done as it was")
    return _exit_code(outlook.plan, _carry_out(outlook, changes, terminal, orders), left_out)


def _reviewed(outlook: Outlook, orders: Orders, terminal: Terminal) -> tuple[tuple[Change, ...], int]:
    """The changes that this run may carry out, and how many it leaves out because they were not reviewed."""
    from reconciler.cli import files
    from reconciler.plan import review
    from reconciler.show import plan_json

    if orders.expect is not None:
        review.expected(outlook.plan, orders.expect)
    if orders.plan_file is None:
        return outlook.plan.changes, 0
    saved = plan_json.read(files.read(orders.plan_file), str(orders.plan_file))
    reviewed = review.reviewed_only(outlook.plan, saved)
    for key, reason in reviewed.left_out:
        terminal.warn(terminal.printable(f"left out: {key.told}: {reason}"))
    return reviewed.changes, len(reviewed.left_out)


def _ask(outlook: Outlook, changes: Sequence[Change], terminal: Terminal, *, yes: bool) -> int | None:
    """Show the plan, and ask where there is someone to answer. An exit code when nothing is to be done."""
    from reconciler import run, show

    asking = not yes and bool(changes) and sys.stdin.isatty() and sys.stderr.isatty()
    shown = run.explained(outlook) if asking else outlook.plan  # reading back for diffs is for someone who reads them
    terminal.data(show.FORMATS["text"](shown, terminal.style))
    if not changes or yes:
        return None
    if not asking:
        terminal.warn("nothing was changed: there is no terminal to ask on; add --yes")
        return 2
    if _confirmed():
        return None
    terminal.warn("nothing was changed")
    return 1


def _confirmed() -> bool:
    try:
        return click.confirm("\nApply this plan?", default=False, err=True)
    except click.Abort:
        click.echo(err=True)  # the question's line has not ended
        raise


def _carry_out(outlook: Outlook, changes: Sequence[Change], terminal: Terminal, orders: Orders) -> list[Result]:
    """Each result is printed and recorded the moment it ends."""
    from reconciler import run
    from reconciler.cli import record
    from reconciler.show import results_text

    if not changes:
        return []
    results, style = [], terminal.style
    with (
        record.audit_log(orders.audit, orders.commit) as audited,
        _interruptible(terminal, orders.until) as stopped,
    ):
        ended = run.carry_out(outlook, changes, stopped=lambda: stopped() or bool(audited.lost), workers=orders.workers)
        for result in ended:
            results.append(result)
            audited.write(result)
            terminal.finish()
            terminal.data(results_text.result_line(result, style))
            terminal.progress(f"{len(results):,} of {len(changes):,} · {outlook.connection.api.requests:,} requests")
    terminal.finish()
    if audited.lost:
        terminal.lost = True
        terminal.problems([record.unwritable(orders.audit, audited.lost)])
    terminal.data(results_text.results_summary(results, outlook.plan, style))
    return results


def _exit_code(plan: Plan, results: list[Result], left_out: int) -> int:
    """7 when something did not take, 6 when something was not the reviewed one, 5 when a guard held something back."""
    from reconciler.plan.results import Outcome

    if plan.problems or any(one.outcome is not Outcome.APPLIED for one in results):
        return 7
    if left_out:
        return 6
    return 5 if plan.refusals else 0


@contextmanager
def _interruptible(terminal: Terminal, until: float | None) -> Iterator[Callable[[], bool]]:
    """Ctrl-C once, or the time limit, stops handing out changes; Ctrl-C twice stops at once."""
    asked: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        if asked:  # now: what is running would otherwise be waited for, and it may wait for minutes itself
            # Past Python's streams: this may have come in the middle of writing to one, which may not be entered twice.
            os.write(2, b"stopped: what was running may have been done; the next plan tells\n")
            with suppress(RuntimeError):
                sys.stdout.flush()
            os._exit(7)
        asked.append(number)
        terminal.warn("stopping: running calls end, the rest is left for the next run; Ctrl-C again stops now")

    before = signal.signal(signal.SIGINT, interrupt)
    terminating = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: bool(asked) or (until is not None and time.monotonic() >= until)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminating)
