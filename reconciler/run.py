"""One run: look, plan, explain, and carry out. Every command is cut from these functions.

repository = config.load(…)          load
outlook = look_and_plan(connection)  look, plan
plan = explained(outlook)            what show needs
results = carry_out(outlook, …)      apply
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

from reconciler import apply, kinds
from reconciler.errors import ConfigError, Problem, ReconcilerError, UsageProblem
from reconciler.kinds import dispatcher, switching, uploads, user_worker
from reconciler.kinds.connection import Connection
from reconciler.kinds.uploads import missing_secrets
from reconciler.load.repository import Repository
from reconciler.look import answers, transport
from reconciler.look.listing import Seen
from reconciler.model import Key, Resource, State
from reconciler.names import did_you_mean
from reconciler.plan import Action, Change, Explanation, Plan, make_plan
from reconciler.plan.cost import cost as cost_of
from reconciler.plan.explain import explain_worker
from reconciler.plan.guards import USER_WORKER, Caps, Policy
from reconciler.plan.results import Result
from reconciler.plan.sharding import Shard, sharded
from reconciler.verify import verify

NOBODY = "-"  # a scope that holds no customer, which a customer's id can never be
DIFF_LIMIT = 50  # changes whose live side is read back to show a diff: two calls each
READERS = 8


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for beyond the repository."""

    today: datetime.date
    scope: frozenset[str] = frozenset()
    adopt: frozenset[str] = frozenset()  # names, and patterns with *: guards.Policy.adopts
    allow_deletes: int = 0
    verify: int | None = 0  # how many to read back; None for all
    undoes: tuple[str, ...] = ()  # the commits that this run goes back behind
    shard: Shard | None = None
    requests_per_window: int = transport.REQUESTS_PER_WINDOW  # 0: no budget, as on the embedded platform


@dataclass(frozen=True)
class Outlook:
    """Both sides of a run, and the plan between them."""

    connection: Connection
    seen: Seen
    plan: Plan
    wishes: Wishes = field(repr=False)
    compared: Callable[[], tuple[State, State]] = field(repr=False)  # both sides whole; it may take its time

    @cached_property
    def _sides(self) -> tuple[State, State]:
        return self.compared()

    @property
    def desired(self) -> State:
        return self._sides[0]

    @property
    def live(self) -> State:
        return self._sides[1]


def look_and_plan(
    connection: Connection,
    wishes: Wishes,
    *,
    progress: Callable[[int], None] | None = None,
    verifying: Callable[[int], None] | None = None,
) -> Outlook:
    """Read what is live and compare it with what the repository wants. Writes nothing.

    `progress` is told how many rows the listing has shown, `verifying` how many Workers were read back.
    """
    seen = kinds.see(connection, progress=progress)
    if not (wishes.scope or wishes.adopt) and wishes.verify == 0:
        quick = _of_the_unsettled(connection, seen, wishes)
        if quick is not None:
            return quick
    return of_everything(connection, seen, wishes, verifying)


def _of_the_unsettled(connection: Connection, seen: Seen, wishes: Wishes) -> Outlook | None:
    """The plan without a look at what is as it should be; None where it would delete, or where something stands in its
    way, since then the guards have to see everything.

    Law: it is the plan of everything (each run of tests/scenarios compares the two).
    """
    settled = user_worker.settled(seen, connection)
    repository = connection.repository.but_for(settled.names)
    live = kinds.live(seen, connection.narrowed(repository, user_worker.NAME, settled.remembered))
    plan = make_plan(kinds.desired(repository), live, policy_of(repository, wishes))
    deletes = any(one.action is Action.DELETE for one in plan.changes)
    if deletes or plan.withheld or plan.blocked or plan.problems:
        return None
    plan = switching.proven(plan, connection.repository, seen, ())
    unchanged, unverified = plan.unchanged + live.settled, plan.unverified + settled.unverified
    warnings = (*plan.warnings, *_blind_spots(connection, seen))
    told = _in_shard(replace(plan, unchanged=unchanged, unverified=unverified, warnings=warnings), wishes)
    priced = _priced(told, repository, live, wishes, connection.answers, kinds.read_back(connection, told.changes))
    return Outlook(connection, seen, priced, wishes, functools.partial(_whole, connection, seen))


def _in_shard(plan: Plan, wishes: Wishes) -> Plan:
    return plan if wishes.shard is None else sharded(plan, wishes.shard, kinds.FIRST)


def _whole(connection: Connection, seen: Seen) -> tuple[State, State]:
    return kinds.desired(connection.repository), kinds.live(seen, connection)


def of_everything(
    connection: Connection, seen: Seen, wishes: Wishes, verifying: Callable[[int], None] | None = None
) -> Outlook:
    """The plan of all that was seen, one resource at a time."""
    live = kinds.live(seen, connection)
    _refuse_unknown(wishes.scope, connection.repository, live)
    connection, crossing = switching.narrowed(connection, seen, wishes.scope)
    repository = connection.repository
    wanted = kinds.desired(repository)
    _refuse_unknown_names(wishes.adopt, wanted)
    coverage = None
    if wishes.verify != 0:
        now = datetime.datetime.now(datetime.UTC)
        live, coverage = verify(connection, wanted, live, wishes.verify, now, progress=verifying)
    plan = switching.proven(make_plan(wanted, live, policy_of(repository, wishes)), repository, seen, crossing)
    blind = _blind_spots(connection, seen) if wishes.verify == 0 else ()
    plan = _in_shard(replace(plan, coverage=coverage, warnings=(*plan.warnings, *blind)), wishes)
    priced = _priced(plan, repository, live, wishes, connection.answers, kinds.read_back(connection, plan.changes))
    return Outlook(connection, seen, priced, wishes, lambda: (wanted, live))


def between(before: Repository, after: Repository, wishes: Wishes) -> Plan:
    """The plan from one state of the repository to another: offline, with every change explained."""
    after = switching.narrowed_offline(before, after, wishes.scope)
    live, wanted = kinds.desired(before), kinds.desired(after)
    plan = switching.proven_offline(make_plan(wanted, live, policy_of(after, wishes)))
    changes = tuple(replace(one, explanation=_explanation_between(before, after, one)) for one in plan.changes)
    return replace(_priced(plan, after, live, wishes, {}), changes=changes)


def policy_of(repository: Repository, wishes: Wishes) -> Policy:
    """The guards of platform.yaml, and what the command line lifts of them for this run."""
    platform = repository.platform
    safety = platform.safety
    return Policy(
        owner=platform.name,
        namespace=platform.namespace,
        environment=platform.environment,
        prune=platform.prune,
        caps=Caps(
            safety.max_deletes_count,
            safety.max_deletes_percent,
            safety.max_deletes_per_customer_percent,
            safety.where,
        ),
        approved=frozenset(name for one in safety.approvals if one.expires >= wishes.today for name in one.names),
        allow_deletes=wishes.allow_deletes,
        adopt=wishes.adopt,
        scope=wishes.scope,
    )


def explained(outlook: Outlook, limit: int = DIFF_LIMIT) -> Plan:
    """The plan with what differs inside each change. The live side of at most `limit` changes is read back."""
    read_back = [one for one in outlook.plan.changes if one.action is not Action.CREATE][:limit]
    keys = frozenset(change.key for change in read_back)

    def one(change: Change) -> Change:
        return replace(change, explanation=_explanation(outlook.connection, change, read=change.key in keys))

    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="read") as pool:
        changes = tuple(pool.map(one, outlook.plan.changes))
    return replace(outlook.plan, changes=changes)


def check_secrets(connection: Connection, wishes: Wishes) -> None:
    """Before the first call of an apply: raise for every variable that is not set and whose value may have to be sent.

    A secret that our ledger knows as sent, in the version that the repository names, is not asked for; nor is one of
    a script that may be taken over, whose live value is kept.
    """
    policy = policy_of(connection.repository, wishes)
    problems: list[Problem] = []
    for key, secrets, where in kinds.secrets(connection.repository):
        customer = connection.repository.script(key.name).customer if key.kind == USER_WORKER else ""
        if customer and wishes.scope and customer not in wishes.scope:
            continue
        if policy.adopts(Resource(key)):
            continue
        problems += missing_secrets(uploads.unsent_secrets(connection, key, secrets), connection.variables, where)
    if problems:
        raise ConfigError(problems)


def carry_out(
    outlook: Outlook,
    changes: Sequence[Change],
    *,
    stopped: Callable[[], bool] = lambda: False,
    workers: int | None = None,
) -> Iterator[Result]:
    """Apply `changes`, yielding each result as it ends; `workers` at a time, None for as many as the connection takes.
    Raises before the first write when a secret's value that has to be sent is missing."""
    _refuse_missing_secrets(outlook.connection, changes)

    def do(change: Change) -> apply.Done:
        kind, note = kinds.kind_of(change.key), None
        if change.after is not None:
            note = kind.put(outlook.connection, change, change.after)
        elif change.before is not None:
            kind.delete(outlook.connection, change.before)
        return apply.Done(outlook.connection.api.ray, note or "")

    yield from apply.apply(changes, do, stopped=stopped, workers=workers or outlook.connection.at_once)


def _refuse_missing_secrets(connection: Connection, changes: Sequence[Change]) -> None:
    declared = {key: (secrets, where) for key, secrets, where in kinds.secrets(connection.repository)}
    problems: list[Problem] = []
    for change in changes:
        if change.after is None or change.key not in declared:
            continue
        secrets, where = declared[change.key]
        due = uploads.due_secrets(connection, change, secrets)
        problems += missing_secrets(due, connection.variables, where)
    if problems:
        raise ConfigError(problems)


def _blind_spots(connection: Connection, seen: Seen) -> Iterator[Problem]:
    return answers.blind_spots(connection.answers, tags_in_rows=seen.tags_in_rows)


def _priced(
    plan: Plan,
    repository: Repository,
    live: State,
    wishes: Wishes,
    known: Mapping[str, str],
    read_back: Iterable[Key] = (),
) -> Plan:
    requests = {change.key: kinds.requests(repository, change, known) for change in plan.changes}
    for key in read_back:
        requests[key] += 1
    cost = cost_of(plan.changes, live, requests, per_window=wishes.requests_per_window, window=transport.WINDOW)
    warnings = (*repository.warnings, *plan.warnings)
    return replace(plan, warnings=warnings, undoes=wishes.undoes, cost=cost)


def _refuse_unknown(scope: frozenset[str], repository: Repository, live: State) -> None:
    """A customer that neither side knows is a slip of the keyboard; one that is only live may be on its way out."""
    there = {one.customer for one in live.resources.values()}
    unknown = sorted(scope - repository.customers.keys() - there - {NOBODY})
    if unknown:
        raise UsageProblem([_unknown_customer(name, repository) for name in unknown])


def _refuse_unknown_names(adopt: frozenset[str], wanted: State) -> None:
    names = {key.name for key in wanted.resources}
    unknown = sorted(one for one in adopt if "*" not in one and one not in names)
    if unknown:
        near = did_you_mean(unknown[0], names)
        what = f"--adopt {unknown[0]}: the repository declares nothing of that name"
        why = "what is taken over is made what the repository says, so it has to say something"
        fix = f'did you mean "{near}"?' if near else "declare it first; `reconciler import` writes what is live"
        raise UsageProblem([Problem(what, why=why, fix=fix, code="unknown-adopt")])


def _unknown_customer(name: str, repository: Repository) -> Problem:
    near = did_you_mean(name, repository.customers)
    return Problem(
        f'there is no customer "{name}", in the repository or live',
        why="a customer's id is the name of the folder that holds its customer.yaml",
        fix=f'did you mean "{near}"?' if near else "",
        code="unknown-customer",
    )


def _explanation_between(before: Repository, after: Repository, change: Change) -> Explanation | None:
    kind = kinds.kind_of(change.key)
    old = kind.wanted(before, change.before) if change.before is not None else None
    new = kind.wanted(after, change.after) if change.after is not None else None
    if not old and not new:
        return None
    told = explain_worker(old, new)
    if change.key.kind == dispatcher.NAME and old is not None and new is not None:
        return switching.explained_offline(told, before, after)
    return told


def _explanation(connection: Connection, change: Change, *, read: bool) -> Explanation | None:
    if not read and change.action is not Action.CREATE:  # not even its files are read: there may be 100,000
        return Explanation(unread="over the limit of changes that are read back; see --diff-limit")
    kind = kinds.kind_of(change.key)
    after = kind.wanted(connection.repository, change.after) if change.after is not None else None
    if change.action is Action.CREATE:
        return None if after is None else explain_worker(None, after)
    if change.before is None:
        return None
    try:
        before = kind.read(connection, change.before, after)
        if before is None and after is None:
            return None
        told = explain_worker(before, after)
        if change.key.kind == dispatcher.NAME and before is not None and after is not None:
            return switching.explained(connection, told, before)
        return told
    except ReconcilerError as error:
        return Explanation(unread=error.problems[0].what)
