"""The laws of planning and applying, each over random states, policies, failures and interruptions."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.apply import Done, apply
from reconciler.errors import Problem, ReconcilerError
from reconciler.model import Key, Resource, State
from reconciler.plan import Action, Change, Plan, make_plan, simulate, waits
from reconciler.plan.results import Outcome, Result
from reconciler.show import plan_json
from tests.strategies import OWNER, Situation, owned, situations

law = settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
with_threads = settings(law, max_examples=300)  # a pool of threads for each: ten times as slow
at_length = settings(law, max_examples=10_000)


def plan_of(one: Situation) -> Plan:
    return make_plan(one.desired, one.live, one.policy)


class Platform:
    """A live state that changes under a concurrent apply, and everything that was ever wrong with it.

    A put shows both its versions while it runs, since the server may already have the new one. A delete takes its
    resource away the moment it starts. What a resource lacked before the run began is not the run's doing.
    """

    def __init__(self, live: State, failing: Iterable[Key] = ()) -> None:
        self.there = dict(live.resources)
        self.wrong: list[str] = []
        self.tried: list[Key] = []
        self._failing = frozenset(failing)
        self._coming: dict[Key, Resource] = {}
        self._lock = threading.Lock()

    def do(self, change: Change) -> Done:
        with self._lock:
            self.tried.append(change.key)
            if change.after is not None:
                self._coming[change.key] = change.after
            else:
                del self.there[change.key]
            self.look()
        time.sleep(0)  # let others run in between
        with self._lock:
            self._coming.pop(change.key, None)
            if change.key not in self._failing:
                if change.after is not None:
                    self.there[change.key] = change.after
            elif change.before is not None:
                self.there[change.key] = change.before
            self.look()
        if change.key in self._failing:
            raise ReconcilerError([Problem(f"{change.key} fails", code="meant-to")])
        return Done()

    @property
    def state(self) -> State:
        return State.of(self.there.values())

    def look(self) -> None:
        for one in (*self.there.values(), *self._coming.values()):
            lacking = one.needs - self.there.keys()
            if lacking:
                self.wrong.append(f"{one.key} lacks {', '.join(sorted(map(str, lacking)))}")


def run(one: Situation, plan: Plan, *, failing: Iterable[Key] = ()) -> tuple[Platform, dict[Key, Result]]:
    platform = Platform(one.live, failing)
    results = list(apply(plan.changes, platform.do, workers=one.workers))
    assert len(results) == len(plan.changes) == len({result.key for result in results})
    return platform, {result.key: result for result in results}


def digests(state: State) -> dict[Key, str]:
    return {key: one.digest for key, one in state.resources.items()}


@with_threads
@given(owned())
def test_applying_a_plan_to_what_is_live_gives_what_is_desired(one: Situation) -> None:
    plan = plan_of(one)
    assert digests(simulate(plan.changes, one.live)) == digests(one.desired)
    platform, results = run(one, plan)
    assert digests(platform.state) == digests(one.desired)
    assert {result.outcome for result in results.values()} <= {Outcome.APPLIED}


@law
@given(owned())
def test_a_state_that_is_as_desired_has_an_empty_plan(one: Situation) -> None:
    assert not make_plan(one.desired, one.desired, one.policy).changes
    assert not make_plan(one.desired, simulate(plan_of(one).changes, one.live), one.policy)


@law
@given(situations())
def test_a_second_plan_writes_nothing_whatever_the_first_had_to_leave(one: Situation) -> None:
    after = simulate(plan_of(one).changes, one.live)
    second = make_plan(one.desired, State.of(after.resources.values()), one.policy)
    assert [change for change in second.changes if change.action is not Action.DELETE] == []


@law
@given(situations())
def test_what_is_not_ours_is_never_named_in_a_change(one: Situation) -> None:
    plan = plan_of(one)
    for change in (*plan.changes, *plan.withheld, *plan.blocked):
        before = change.before
        if before is None or before.owner == OWNER:
            continue
        adopted = change.key.name in one.policy.adopt
        assert change.action is Action.UPDATE and (adopted or (before.claimed and not before.owner)), change


@law
@given(situations())
def test_only_what_carries_our_mark_is_deleted_and_never_outside_the_scope(one: Situation) -> None:
    for change in plan_of(one).changes:
        if change.action is Action.DELETE:
            assert change.before is not None and change.before.owner == OWNER
            assert change.key not in one.desired.resources
            assert not one.policy.scope or change.before.customer in one.policy.scope
            assert not change.before.protected or change.key.name in one.policy.approved


@law
@given(situations())
def test_nothing_outside_the_scope_is_written(one: Situation) -> None:
    for change in plan_of(one).changes:
        for side in (change.before, change.after):
            if side is not None and side.owner == OWNER and side.customer and one.policy.scope:
                assert side.customer in one.policy.scope


@law
@given(situations())
def test_every_delete_is_either_allowed_or_withheld_and_explained(one: Situation) -> None:
    plan = plan_of(one)
    asked = {
        key
        for key, have in one.live.resources.items()
        if key not in one.desired.resources and have.owner == OWNER and one.policy.prune and key not in plan.foreign
        if not one.policy.scope or have.customer in one.policy.scope
    }
    allowed = {change.key for change in plan.changes if change.action is Action.DELETE}
    withheld = {change.key for change in plan.withheld}
    assert allowed | withheld == asked and not allowed & withheld
    assert all(change.action is Action.DELETE for change in plan.withheld)
    assert bool(plan.withheld) == bool(plan.refusals)
    assert all(problem.what and problem.why and problem.fix for problem in (*plan.refusals, *plan.problems))
    if one.live.incomplete_because or plan.problems or plan.blocked:
        assert not allowed


@with_threads
@given(situations())
def test_nothing_lacks_what_it_needs_at_any_instant_whatever_fails(one: Situation) -> None:
    assert_nothing_lacks_what_it_needs(one)


def assert_nothing_lacks_what_it_needs(one: Situation) -> None:
    before = Platform(one.live)
    before.look()
    platform, _ = run(one, plan_of(one), failing=one.failing)
    assert set(platform.wrong) <= set(before.wrong)


@with_threads
@given(situations())
def test_a_failure_skips_exactly_what_waits_for_it(one: Situation) -> None:
    assert_a_failure_is_contained(one)


def assert_a_failure_is_contained(one: Situation) -> None:
    plan = plan_of(one)
    platform, results = run(one, plan, failing=one.failing)
    expected = outcomes(plan.changes, one.failing)
    assert {key: result.outcome for key, result in results.items()} == expected
    tried = {key for key, outcome in expected.items() if outcome in (Outcome.APPLIED, Outcome.FAILED)}
    assert sorted(platform.tried) == sorted(tried)
    for result in results.values():
        assert (result.problem is None) == (result.outcome is Outcome.APPLIED)
    if any(results[change.key].outcome is not Outcome.APPLIED for change in plan.changes if change.after):
        assert not any(results[change.key].outcome is Outcome.APPLIED for change in plan.changes if not change.after)


@with_threads
@given(situations())
def test_once_told_to_stop_nothing_more_is_started(one: Situation) -> None:
    plan = plan_of(one)
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > one.stop_after

    platform = Platform(one.live, one.failing)
    results = list(apply(plan.changes, platform.do, stopped=stopped, workers=one.workers))
    before = Platform(one.live)
    before.look()
    assert set(platform.wrong) <= set(before.wrong)
    assert len(results) == len(plan.changes) and len(platform.tried) <= one.stop_after
    failed = {result.key for result in results if result.outcome is Outcome.FAILED}
    for result in results:
        started = result.outcome in (Outcome.APPLIED, Outcome.FAILED)
        assert started == (result.key in platform.tried)
        assert result.outcome is not Outcome.SKIPPED or failed
    if asked > one.stop_after and not failed:
        assert Outcome.NOT_STARTED in {result.outcome for result in results} or len(platform.tried) == len(results)


@with_threads
@given(owned())
def test_whatever_failed_the_next_runs_end_where_one_good_run_would(one: Situation) -> None:
    live = one.live
    for failing in (one.failing, frozenset[Key]()):
        platform = Platform(live, failing)
        list(apply(make_plan(one.desired, live, one.policy).changes, platform.do, workers=one.workers))
        live = platform.state
    assert digests(live) == digests(one.desired)


@law
@given(situations())
def test_a_plan_has_the_same_bytes_in_whatever_order_its_inputs_came(one: Situation) -> None:
    plan = plan_of(one)
    chance = random.Random(one.stop_after)
    again = make_plan(shuffled(one.desired, chance), shuffled(one.live, chance), one.policy)
    assert again.digest == plan.digest
    assert plan_json.render(again).encode() == plan_json.render(plan).encode()


@pytest.mark.deep
@at_length
@given(situations())
def test_every_instant_at_length(one: Situation) -> None:
    assert_nothing_lacks_what_it_needs(one)
    assert_a_failure_is_contained(one)


def outcomes(changes: Iterable[Change], failing: frozenset[Key]) -> dict[Key, Outcome]:
    """What must become of each change, worked out from what waits for what and nothing else."""
    changes = tuple(changes)
    graph = waits(changes)
    found: dict[Key, Outcome] = {}

    def outcome(key: Key) -> Outcome:
        if key not in found:
            done = all(outcome(one) is Outcome.APPLIED for one in graph[key])
            found[key] = Outcome.SKIPPED if not done else Outcome.FAILED if key in failing else Outcome.APPLIED
        return found[key]

    puts = [outcome(change.key) for change in changes if change.after is not None]
    for change in changes:
        if change.after is None and any(one is not Outcome.APPLIED for one in puts):
            found[change.key] = Outcome.SKIPPED
    for change in changes:
        outcome(change.key)
    return found


def shuffled(state: State, chance: random.Random) -> State:
    pairs = list(state.resources.items())
    chance.shuffle(pairs)
    return State(dict(pairs), state.incomplete_because, state.vanished)
