"""The difference between what should be and what is, as a value.

Pure: two states and a policy in, one plan out. Applying the plan to the live state gives the desired state, and
a second plan is empty (tests/property/test_laws.py). What may be deleted is decided in guards.py.

explain    what differs inside a change; decides nothing
cost       requests, time and money; prices has the price
review     what binds an apply to the plan that people reviewed
sharding   a plan cut for several runs at a time
results    what became of a plan, and what a drift run found
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from reconciler.errors import Problem, Where
from reconciler.model import Key, Resource, State, digest
from reconciler.plan import guards
from reconciler.plan.guards import Policy


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"

    @property
    def symbol(self) -> str:
        return {"create": "+", "update": "~", "delete": "-"}[self.value]


class Cause(StrEnum):
    """Why there is a change."""

    ADDED = "added"  # new in the repository
    EDITED = "edited"  # the repository is ahead of what is live
    DRIFTED = "drifted"  # someone else changed what is live
    BOTH = "edited and drifted"
    MISSING = "missing"  # we made it, and someone else deleted it
    ADOPTED = "adopted"  # foreign until now, taken over because --adopt named it
    REMOVED = "removed"  # gone from the repository
    RENAMED = "renamed"  # gone from the repository, and named by the `previously` of another


class _Absent:
    """The side of a field that does not exist; null is a value, this is none."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value of a spec that differs. Values are JSON, or ABSENT."""

    path: tuple[str, ...]  # ("limits", "cpu_ms"); list positions as "0", "1"
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class CodeChange:
    """One module that differs. A digest of "" means that this side does not exist; sizes are bytes."""

    module: str
    before_digest: str
    after_digest: str
    before_size: int = 0
    after_size: int = 0
    diff: tuple[str, ...] = ()  # unified diff without file headers; () where it is not text, minified, or not read back
    injected: bool = False  # the platform's module, not the customer's


@dataclass(frozen=True, slots=True)
class Explanation:
    """What differs inside a changed resource; made for what is shown, never used to decide."""

    fields: tuple[FieldChange, ...] = ()
    code: tuple[CodeChange, ...] = ()
    unread: str = ""  # why the live side was not read back; "" when it was


@dataclass(frozen=True, slots=True)
class Preflight:
    """What came of starting a script in the real runtime and of its own tests. Shown, never used to decide."""

    tests: int = 0  # that it has
    problems: tuple[Problem, ...] = ()  # () when it starts and all of them pass


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do. `before` is None for a create, `after` for a delete."""

    action: Action
    key: Key
    cause: Cause
    before: Resource | None
    after: Resource | None
    explanation: Explanation | None = None
    preflight: Preflight | None = None  # None where it was not asked for, or is not about a script

    @property
    def customer(self) -> str:
        one = self.after or self.before
        return one.customer if one else ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What carrying out the plan takes, and what the namespace costs before and after it."""

    requests: int = 0
    seconds: int = 0  # at the request rate in force
    scripts_before: int = 0
    scripts_after: int = 0
    cents_before: int = 0  # a month, US cents
    cents_after: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what looks unchanged was read back in this run, and how long ago the rest was."""

    checked: int
    total: int
    oldest: str = ""  # when the one that was read back longest ago was; "" where one never was. ISO 8601 in UTC
    altered: int = 0  # found to be other than their digest says
    unseen: int = 0  # never read back and found right, as far as our ledger knows
    unread: int = 0  # tried in this run, and not to be read
    days: int = 0  # since the oldest, a day that has begun counted whole; 0 where one is unseen


@dataclass(frozen=True)
class Plan:
    """Everything that a reviewer sees and that apply carries out. Sorted; the same bytes for the same inputs."""

    platform: str
    namespace: str
    environment: str = ""
    changes: tuple[Change, ...] = ()  # by key
    withheld: tuple[Change, ...] = ()  # deletes that a guard refuses in this run
    blocked: tuple[Change, ...] = ()  # what needs something that a foreign resource stands in the way of
    refusals: tuple[Problem, ...] = ()  # why deletes are withheld, and the exact way to allow them
    problems: tuple[Problem, ...] = ()  # foreign names that the repository wants, one for each key below
    foreign: tuple[Key, ...] = ()
    warnings: tuple[Problem, ...] = ()
    orphans: tuple[Key, ...] = ()  # ours, gone from the repository, kept because of `prune: false`
    unmanaged: tuple[Key, ...] = ()  # live, not ours, left alone
    unverified: int = 0  # ours, trusted by their tag alone
    coverage: Coverage | None = None  # of --verify
    unchanged: int = 0
    scope: tuple[str, ...] = ()  # the customers that were looked at; () for all
    undoes: tuple[str, ...] = ()  # of --at: the commits that going back undoes, newest first, "1f3c2a9b77d0 subject"
    cost: Cost = field(default_factory=Cost)

    @property
    def digest(self) -> str:
        """Names the plan: what would be done to what. Two plans with one digest do the same."""
        return digest(
            {
                "platform": self.platform,
                "namespace": self.namespace,
                "changes": [_identity(change) for change in self.changes],
                "withheld": [_identity(change) for change in self.withheld],
                "blocked": [_identity(change) for change in self.blocked],
            }
        )

    @property
    def count(self) -> Mapping[Action, int]:
        return {action: sum(change.action is action for change in self.changes) for action in Action}

    def __bool__(self) -> bool:
        """True when there is something to do or something was refused."""
        return bool(self.changes or self.withheld or self.blocked)


def make_plan(desired: State, live: State, policy: Policy) -> Plan:
    """The plan that makes `live` into `desired`, as far as `policy` lets it.

    desired   live                        change
    -------   -------------------------   ----------------------------------------------------
    wanted    –                           create (cause: added, or missing if we once made it)
    wanted    ours, same digest           nothing
    wanted    ours, digest differs        update (cause: edited)
    wanted    ours, altered by others     update (cause: drifted, or both)
    wanted    its mark lost, our ledger   update (cause: drifted)
              knows it
    wanted    foreign                     blocked, with what needs it; update if adopted
    wanted    a customer's that the       blocked, with what needs it: a move between customers
              scope leaves out            needs a run that looks at both
    –         ours                        delete, if guards.py lets it (when prune: true)
    –         foreign                     left alone, listed as unmanaged
    """
    wanted = [desired.resources[key] for key in sorted(desired.resources)]
    replaced_by = {Key(one.key.kind, old): one for one in wanted for old in one.previously}
    renamed = frozenset(replaced_by)
    compared = [
        _compare(desired.resources.get(key), live.resources.get(key), replaced_by, live, policy)
        for key in sorted(desired.resources.keys() | live.resources.keys())
        if _in_scope(desired.resources.get(key), live.resources.get(key), policy.scope)
    ]
    changes = [one for one in compared if isinstance(one, Change)]
    foreign = {one.key: one.problem for one in compared if isinstance(one, _Foreign)}
    deletes = [change.before for change in changes if change.action is Action.DELETE and change.before]
    blocked = _blocked(changes, frozenset(foreign), guards.kept_names(deletes, renamed, policy))
    puts = frozenset(change.key for change in changes if change.after is not None) - blocked
    verdict = guards.judge(deletes, renamed, puts, desired, live, policy, problems=len(foreign), blocked=len(blocked))
    changing = frozenset(one.key for one in changes)
    told = [_waiting_only_for(one, changing) for one in changes]
    return Plan(
        platform=policy.owner,
        namespace=policy.namespace,
        environment=policy.environment,
        changes=tuple(one for one in told if one.key not in blocked and one.key not in verdict.withheld),
        withheld=tuple(one for one in told if one.key in verdict.withheld),
        blocked=tuple(one for one in told if one.key in blocked),
        refusals=verdict.refusals,
        problems=tuple(foreign.values()),
        foreign=tuple(foreign),
        orphans=tuple(one.key for one in compared if isinstance(one, _Orphan)),
        unmanaged=tuple(one.key for one in compared if isinstance(one, _Unmanaged)),
        unverified=sum(isinstance(one, _Unchanged) and not one.verified for one in compared),
        unchanged=sum(isinstance(one, _Unchanged) for one in compared),
        scope=tuple(sorted(policy.scope)),
    )


def _waiting_only_for(change: Change, changing: frozenset[Key]) -> Change:
    """What stays as it is keeps nobody waiting: a dispatcher needs every script that it leads to."""
    if change.after is None or change.after.needs <= changing:
        return change
    return replace(change, after=replace(change.after, needs=change.after.needs & changing))


def waits(changes: Iterable[Change]) -> dict[Key, frozenset[Key]]:
    """Which keys each put waits for, and each delete among the deletes; every delete also waits for all puts.

    A put waits for the puts of what it needs. A delete waits for the deletes of what needed it.
    """
    by_key = {change.key: change for change in changes}
    graph: dict[Key, set[Key]] = {key: set() for key in by_key}
    for key, change in by_key.items():
        if change.after is not None:
            graph[key].update(
                need for need in change.after.needs if need in by_key and by_key[need].action is not Action.DELETE
            )
        elif change.before is not None:
            for need in change.before.needs:
                if need in by_key and by_key[need].action is Action.DELETE:
                    graph[need].add(key)
    return {key: frozenset(waiting) for key, waiting in graph.items()}


def simulate(changes: Iterable[Change], live: State) -> State:
    """The state after carrying out `changes`, without doing so."""
    resources = dict(live.resources)
    for change in changes:
        if change.after is None:
            resources.pop(change.key, None)
        else:
            resources[change.key] = change.after
    return State.of(resources.values())


@dataclass(frozen=True, slots=True)
class _Unchanged:
    key: Key
    verified: bool


@dataclass(frozen=True, slots=True)
class _Unmanaged:
    key: Key


@dataclass(frozen=True, slots=True)
class _Orphan:
    key: Key


@dataclass(frozen=True, slots=True)
class _Foreign:
    """A name that the repository wants and that is not this run's to write."""

    key: Key
    problem: Problem


_Compared = Change | _Unchanged | _Unmanaged | _Orphan | _Foreign


def _in_scope(want: Resource | None, have: Resource | None, scope: frozenset[str]) -> bool:
    """Whether a run looks at this: at everything, or at these customers and at what belongs to none.

    A live script whose customer is not certain is out of every scope.
    """
    if not scope:
        return True
    if want is not None:
        return not want.customer or want.customer in scope
    return have is not None and have.customer in scope


def _compare(
    want: Resource | None, have: Resource | None, replaced_by: Mapping[Key, Resource], live: State, policy: Policy
) -> _Compared:
    crossing = _crossing(want, have, replaced_by, live, policy)
    if crossing is not None:
        return crossing
    if have is None:
        assert want is not None
        cause = Cause.MISSING if want.key in live.vanished else Cause.ADDED
        return Change(Action.CREATE, want.key, cause, None, want)
    ours = have.owner == policy.owner
    if want is None:
        if not ours:
            return _Unmanaged(have.key)
        if not policy.prune:
            return _Orphan(have.key)
        cause = Cause.RENAMED if have.key in replaced_by else Cause.REMOVED
        return Change(Action.DELETE, have.key, cause, have, None)
    unmarked = have.claimed and not have.owner
    if not ours and not unmarked:
        if policy.adopts(have):
            return Change(Action.UPDATE, want.key, Cause.ADOPTED, have, want)
        return _Foreign(want.key, _taken(want, have))
    edited = want.digest != have.digest and have.digest != ""
    drifted = have.altered or have.digest == "" or unmarked
    if not edited and not drifted:
        return _Unchanged(want.key, have.verified)
    cause = Cause.BOTH if edited and drifted else Cause.EDITED if edited else Cause.DRIFTED
    return Change(Action.UPDATE, want.key, cause, have, want)


def _crossing(
    want: Resource | None, have: Resource | None, replaced_by: Mapping[Key, Resource], live: State, policy: Policy
) -> _Foreign | None:
    """A move between a customer that this run looks at and one that it does not: half of it would be done.

    Neither half can be done alone: the one that loses the script and the one that gets it may both route to it.
    """

    def outside(one: Resource | None) -> bool:
        return one is not None and bool(policy.scope and one.customer) and one.customer not in policy.scope

    if want is None:
        successor = replaced_by.get(have.key) if have is not None and have.owner == policy.owner else None
        if have is not None and successor is not None and outside(successor):
            return _Foreign(have.key, _moving(have.key, have.customer, successor.customer, successor.where))
        return None
    before = [have, *(live.resources.get(Key(want.key.kind, old)) for old in want.previously)]
    for one in before:
        if one is not None and one.owner == policy.owner and outside(one):
            return _Foreign(want.key, _moving(one.key, one.customer, want.customer, want.where))
    return None


def _taken(want: Resource, have: Resource) -> Problem:
    holder = f"it is marked as the platform {have.owner}'s" if have.owner else "it carries no owner mark"
    return Problem(
        f"{want.key.told} exists already and is not ours",
        want.where,
        why=f"{holder}, so it may be someone's: nothing is overwritten",
        fix=f"rename it here, or take it over with --adopt {want.key.name}",
        code="foreign-name",
    )


def _moving(key: Key, before: str, after: str, where: Where | None) -> Problem:
    return Problem(
        f"{key.told} moves from customer {before} to customer {after}, and this run looks at one of them only",
        where,
        why="half a move would leave the other customer with a script that is gone, or that is not theirs",
        fix=f"look at both with --customer {before} --customer {after}, or at all",
        code="move-out-of-scope",
    )


def _blocked(changes: Iterable[Change], foreign: frozenset[Key], kept: frozenset[Key]) -> frozenset[Key]:
    """The puts that cannot be: new names of protected ones, and what needs a foreign or blocked key.

    A new name that is live already has been switched to: its updates harm no one.
    """
    changes = list(changes)
    puts = {change.key: change.after for change in changes if change.after is not None}
    new = {change.key: change.after for change in changes if change.after is not None and change.before is None}
    replacing = {key for key, one in new.items() if any(Key(key.kind, old) in kept for old in one.previously)}
    blocked = set(foreign) | replacing
    while True:
        more = {key for key, one in puts.items() if key not in blocked and not blocked.isdisjoint(one.needs)}
        if not more:
            return frozenset(blocked - foreign)
        blocked |= more


def _identity(change: Change) -> list[str]:
    before = f"{change.before.digest}@{change.before.etag}" if change.before else ""
    after = change.after.digest if change.after else ""
    return [change.action.value, str(change.key), before, after]
