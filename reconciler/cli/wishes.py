"""What plan and apply share: options into wishes, a plan into an exit code, a listing into a progress line."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable

from reconciler.cli import connecting, loading
from reconciler.cli.choices import Choice
from reconciler.cli.options import Options
from reconciler.cli.terminal import Terminal
from reconciler.errors import Problem, UsageProblem
from reconciler.load import git
from reconciler.load.repository import Repository
from reconciler.names import did_you_mean
from reconciler.plan import Plan
from reconciler.run import NOBODY, Wishes

_PLATFORM = ("platform.yaml", "platform")  # files that every customer stands on
OWN = ".reconciler/"  # what we keep beside the repository, ignored by git or not


def scope(repository: Repository, customers: Iterable[str], since: str, at: str, terminal: Terminal) -> frozenset[str]:
    """The customers that a run looks at; empty for all. A name that nobody has is told once what is live is known."""
    named = frozenset(customers)
    if not since:
        return named
    if at:
        raise UsageProblem(
            [
                Problem(
                    "--at and --changed-since do not go together",
                    why="--at takes the files of a commit, and --changed-since compares those of the work tree",
                    fix="name the customers with --customer",
                    code="at-and-since",
                )
            ]
        )
    changed = changed_since(repository, since)
    if changed is None:
        terminal.say(f"files of the platform differ from {since}: every customer is looked at")
        return named
    return (changed & named if named else changed) or frozenset({NOBODY})


def of(options: Options, repository: Repository, choice: Choice) -> Wishes:
    """What the command line asks for."""
    looked_at = scope(repository, choice.customers, choice.changed_since, choice.at, options.terminal)
    return Wishes(
        today=datetime.datetime.now(datetime.UTC).date(),
        scope=looked_at,
        adopt=frozenset(choice.adopt),
        allow_deletes=choice.allow_deletes,
        verify=choice.verify,
        undoes=undone(options, repository, choice.at, looked_at),
        shard=choice.shard,
        requests_per_window=connecting.requests_per_window(options),
    )


def changed_since(repository: Repository, ref: str) -> frozenset[str] | None:
    """The customers whose files differ from a commit, those that are gone included; None when the platform's differ,
    which may touch every customer."""
    root = repository.root
    files = [one for one in git.changed_files(root, git.commit(root, ref)) if not one.startswith(OWN)]
    folders = {f"{customer.folder}/": customer.id for customer in repository.customers.values()}
    found: set[str] = set()
    for file in files:
        owner = next((folders[folder] for folder in _folders_above(file) if folder in folders), "")
        if owner:
            found.add(owner)
        elif file.startswith("customers/"):
            found.update(
                part.removesuffix("/").rpartition("/")[2] for part in _folders_above(file) if part != "customers/"
            )
        else:
            return None
    return frozenset(found)


def undone(options: Options, repository: Repository, at: str, scope: frozenset[str]) -> tuple[str, ...]:
    """With --at: the commits that going back to that one undoes. Of some customers, those that touched their folders
    or the platform's files; a customer that the commit does not have may have been anywhere."""
    if not at:
        return ()
    root = loading.repository_root(options.folder)
    known = repository.customers
    folders = [known[one].folder for one in sorted(scope)] if scope <= known.keys() else []
    commits = git.undone_by(root, git.commit(root, at), [*folders, *_PLATFORM] if folders else ["."])
    return tuple(f"{commit.id[:12]} {commit.subject}" for commit in commits)


def refuse_unknown(customers: Iterable[str], repository: Repository) -> None:
    """A name that no customer has, where only the repository is looked at."""
    unknown = sorted(set(customers) - repository.customers.keys())
    if unknown:
        near = did_you_mean(unknown[0], repository.customers)
        fix = f'did you mean "{near}"?' if near else ""
        raise UsageProblem([Problem(f'there is no customer "{unknown[0]}"', fix=fix, code="unknown-customer")])


def exit_code_of_plan(plan: Plan, *, asked_for: bool) -> int:
    """1 when a foreign name blocks or a preflight failed; with --exit-code 5 for refused deletes and 3 for pending
    changes."""
    if plan.problems or any(change.preflight and change.preflight.problems for change in plan.changes):
        return 1
    if asked_for and plan.refusals:
        return 5
    return 3 if asked_for and plan else 0


def verifying(terminal: Terminal) -> Callable[[int], None]:
    """A progress line for reading back."""
    return lambda done: terminal.progress(f"reading back: {done:,} done")


def _folders_above(file: str) -> list[str]:
    """a/b/c.mjs: a/b/, a/ (the nearest first)."""
    parts = file.split("/")[:-1]
    return ["/".join(parts[:end]) + "/" for end in range(len(parts), 0, -1)]
