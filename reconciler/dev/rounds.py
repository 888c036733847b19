"""One reconciliation after another: load the files, look, plan, apply, and keep what became of it.

Law: a round never leaves less running than there was: with a problem in the files nothing is sent, and a change that
fails leaves the version before it live. The guards are those of `apply`.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import kinds, preflight, run
from reconciler.errors import Problem, ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.look.cloudflare import Api
from reconciler.look.ledger import Ledger
from reconciler.model import Key, Worker
from reconciler.plan import Action, Change, Explanation, Plan
from reconciler.plan.explain import explain_worker
from reconciler.plan.guards import USER_WORKER
from reconciler.plan.results import Outcome, Result
from reconciler.run import Outlook, Wishes

KEPT = 30
EXPLAINED = 20  # changes of one save that are shown line by line; more than that is a merge, and told by digests
FRESH_SECONDS = 1.0  # how old a look may be that a page shows


@dataclass(frozen=True)
class Account:
    """Where rounds send their changes, and what remembers them."""

    connect: Callable[[str], Api]  # by the account's id
    id: str  # where platform.yaml names none
    ledger: Path


@dataclass(frozen=True)
class Round:
    """What one reconciliation did."""

    number: int
    at: float  # seconds from 1970
    cause: str
    seconds: float  # from its start until the last change was live
    problems: tuple[Problem, ...] = ()  # of the files or the account; nothing was sent then
    plan: Plan | None = None
    results: tuple[Result, ...] = ()

    @property
    def failed(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome is not Outcome.APPLIED)

    @property
    def short_of_it(self) -> bool:
        """What is live is not all that the files say."""
        return bool(self.problems or self.failed or (self.plan and (self.plan.withheld or self.plan.problems)))

    @property
    def quiet(self) -> bool:
        """Nothing was to be done, and nothing stood in the way."""
        return not self.problems and not self.results and not self.plan and not (self.plan and self.plan.problems)

    @property
    def exit_code(self) -> int:
        """As `reconciler apply` would end."""
        if self.problems or self.plan is None:
            return 1
        if self.failed or self.plan.blocked or self.plan.problems:
            return 7
        return 5 if self.plan.refusals else 0


class Rounds:
    """The rounds of one repository against one account. Safe with several threads: rounds wait for each other."""

    def __init__(
        self,
        root: Path,
        environment: str,
        variables: Mapping[str, str],
        account: Account,
        *,
        clock: Callable[[], float] = time.time,
        forgetful: bool = False,
        fresh: float = FRESH_SECONDS,
    ) -> None:
        """`forgetful`: the account is new, so that what the ledger remembers of it is dropped first. `fresh`: for how
        many seconds a look at the account is shown again."""
        self.root, self._forgetful, self._fresh = root, forgetful, fresh
        self._environment, self._variables, self._account, self._clock = environment, variables, account, clock
        self._lock = threading.RLock()
        self._apis: dict[str, Api] = {}
        self._number = 0
        self._looked: tuple[float, Outlook | None] = (0.0, None)
        self.history: deque[Round] = deque(maxlen=KEPT)
        self.repository: Repository | None = None  # the last one without a problem

    def close(self) -> None:
        for api in self._apis.values():
            api.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No round begins meanwhile: for who writes several files, or may take back what it wrote."""
        with self._lock:
            yield

    def load(self) -> Repository:
        """The files as they are now. Raises ConfigError."""
        repository = config.load(self.root, self._environment, variables=self._variables)
        return config.with_stand_in_warnings(repository)

    def run(
        self,
        cause: str,
        *,
        told: Callable[[Result, int], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Round:
        """Make the account what the files say. Raises nothing that a user can cause: problems are in the round.

        `told` gets each result as it ends, and how many there will be.
        """
        with self._lock:
            at, began = self._clock(), time.perf_counter()
            self._number += 1
            try:
                repository = self.load()
                if self._forgetful:
                    self._forget(repository)
                outlook = self._look(repository)
                before = _live_sides(outlook)
                results = []
                for result in run.carry_out(outlook, outlook.plan.changes, stopped=stopped):
                    results.append(result)
                    if told is not None:
                        told(result, len(outlook.plan.changes))
            except ReconcilerError as error:
                took = time.perf_counter() - began
                done = Round(self._number, at, cause, took, error.problems)
            else:
                took = time.perf_counter() - began
                plan = _explained(outlook, before)
                done = Round(self._number, at, cause, took, (), plan, tuple(_in_place(repository, results)))
                self.repository = repository
                self._looked = (0.0, None)
            self.history.append(done)
            return done

    def outlook(self) -> Outlook | None:
        """What is wanted and what is live now, also where others wrote to the account; None before the first good
        load. Raises ReconcilerError when the account cannot be read."""
        at, outlook = self._looked
        if self.repository is None or (outlook is not None and time.monotonic() - at < self._fresh):
            return outlook
        with self._lock:
            fresh = self._look(self.repository)
            self._looked = (time.monotonic(), fresh)
        return fresh

    @property
    def last(self) -> Round | None:
        return self.history[-1] if self.history else None

    def _look(self, repository: Repository) -> Outlook:
        connection = Connection(repository, self._api(repository), self._ledger(repository), self._variables)
        today = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()
        return run.look_and_plan(connection, Wishes(today, requests_per_window=0))

    def _forget(self, repository: Repository) -> None:
        ledger = self._ledger(repository)
        for kind in kinds.KINDS:
            ledger.forget(kind.NAME, ledger.entries(kind.NAME))
        self._forgetful = False

    def _ledger(self, repository: Repository) -> Ledger:
        platform = repository.platform
        scope = f"local/{self._account_id(repository)}/{platform.namespace}/{platform.name}"
        return Ledger(self._account.ledger, scope)

    def _api(self, repository: Repository) -> Api:
        account = self._account_id(repository)
        if account not in self._apis:
            self._apis[account] = self._account.connect(account)
        return self._apis[account]

    @property
    def account_id(self) -> str:
        """Of the account that rounds write to."""
        return self._account.id if self.repository is None else self._account_id(self.repository)

    def _account_id(self, repository: Repository) -> str:
        return repository.platform.account_id or self._account.id


def _in_place(repository: Repository, results: Sequence[Result]) -> Iterator[Result]:
    """The results; what does not start is told at the line of the customer's own file instead of in the API's words."""
    failed = [one.key.name for one in results if one.outcome is Outcome.FAILED and one.key.kind == USER_WORKER]
    try:
        found = dict(preflight.check(repository, failed[:EXPLAINED]))
    except ReconcilerError:  # no runtime here, or the files have moved on: the API's words have to do
        found = {}
    for one in results:
        seen = found.get(one.key.name) if one.outcome is Outcome.FAILED else None
        starts = [problem for problem in seen.problems if problem.code == preflight.START] if seen else []
        yield replace(one, problem=starts[0]) if starts else one


def _live_sides(outlook: Outlook) -> dict[Key, Worker | None]:
    """The live Workers behind the first changes of a round, read before they are written over."""
    found: dict[Key, Worker | None] = {}
    read = [change for change in outlook.plan.changes if change.before is not None and kinds.is_worker(change.key)]
    for change in read[:EXPLAINED]:
        assert change.before is not None
        kind = kinds.kind_of(change.key)
        wanted = kind.wanted(outlook.connection.repository, change.after) if change.after else None
        found[change.key] = kind.read(outlook.connection, change.before, wanted)
    return found


def _explained(outlook: Outlook, before: Mapping[Key, Worker | None]) -> Plan:
    """The plan with what differed inside its changes: made once they are live, so that nobody waits for it."""
    changes = tuple(
        replace(change, explanation=_explanation(outlook, change, before[change.key]))
        if change.key in before
        else change
        for change in outlook.plan.changes
    )
    return replace(outlook.plan, changes=changes)


def _explanation(outlook: Outlook, change: Change, before: Worker | None) -> Explanation | None:
    if change.action is Action.DELETE:
        return None
    try:
        after = kinds.kind_of(change.key).wanted(outlook.connection.repository, change.after) if change.after else None
    except ReconcilerError:  # the files have moved on since they were sent, and the next round tells of it
        return None
    return explain_worker(before, after)
