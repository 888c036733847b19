"""What plan and apply share: options into wishes, a plan into an exit code, a listing into a progress line."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.cli import connecting
from reconciler.cli.options import Options
from reconciler.cli.terminal import Terminal
from reconciler.config import Repository
from reconciler.errors import Problem, UsageProblem
from reconciler.plan import Plan
from reconciler.run import Wishes


def of(
    options: Options, repository: Repository, *, customers: Iterable[str], adopt: Iterable[str], allow_deletes: int
) -> Wishes:
    scope = frozenset(customers)
    unknown = sorted(scope - repository.customers.keys())
    if unknown:
        raise UsageProblem([_unknown(name, repository) for name in unknown])
    return Wishes(
        today=datetime.datetime.now(datetime.UTC).date(),
        scope=scope,
        adopt=frozenset(adopt),
        allow_deletes=allow_deletes,
        requests_per_window=connecting.requests_per_window(options),
    )


def exit_code_of_plan(plan: Plan, *, asked_for: bool) -> int:
    """1 when a foreign name blocks; with --exit-code 5 for refused deletes and 3 for pending changes."""
    if plan.problems:
        return 1
    if asked_for and plan.refusals:
        return 5
    return 3 if asked_for and plan else 0


def listing(terminal: Terminal) -> Callable[[int], None]:
    """A progress line for a long listing."""
    return lambda rows: terminal.progress(f"reading the namespace: {rows:,} scripts")


def write(path: Path, text: str) -> None:
    """Write a file that a user named; what stood there before is replaced whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageProblem(
            [Problem(f"{path} cannot be written", why=str(error.strerror or error), code="output")]
        ) from None


def _unknown(name: str, repository: Repository) -> Problem:
    near = difflib.get_close_matches(name, repository.customers, 1)
    return Problem(
        f'there is no customer "{name}" in the repository',
        why="--customer takes the names of folders that hold a customer.yaml",
        fix=f'did you mean "{near[0]}"?' if near else "",
        code="unknown-customer",
    )
