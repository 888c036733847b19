"""Carries out changes in dependency order, several at a time, yielding each result as it ends.

Laws (tests/property/test_laws.py): nothing starts before what it waits for is applied; a failure skips exactly what
waits for it; deletes wait for every put, so that a failed run deletes nothing.
"""

from __future__ import annotations

import graphlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from reconciler.errors import Problem, ReconcilerError
from reconciler.model import Key
from reconciler.plan import Action, Change, waits
from reconciler.plan.results import Outcome, Result

T = TypeVar("T")

_ALL_PUTS = Key("", "")  # stands between the puts and the deletes, so that the graph stays linear in size


class Done(NamedTuple):
    """What is to be told of a change that took."""

    ray: str = ""  # the id of the request that did it
    note: str = ""  # in words, beside that it took


def apply(
    changes: Sequence[Change],
    do: Callable[[Change], Done],
    *,
    workers: int,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Result]:
    """One result for each change. `do` raises ReconcilerError for a change that fails; anything else is a bug.

    Once `stopped` says so, running calls end and the rest is reported as not started; what waits for a failed change
    is skipped, stopped or not.
    """
    workers = max(1, workers)
    by_key = {change.key: change for change in changes}
    waiting_for = _graph(changes)
    failed: dict[Key, Key] = {}  # what cannot be done, and the key to blame
    unstarted: set[Key] = set()
    running: dict[Future[Result], Key] = {}
    sorter = graphlib.TopologicalSorter(waiting_for)
    sorter.prepare()
    with ThreadPoolExecutor(workers, thread_name_prefix="apply") if workers > 1 else _InThisThread() as pool:
        ready = deque(sorter.get_ready())
        while ready or running:
            while ready and len(running) < workers:
                key = ready.popleft()
                blame = min((failed[one] for one in waiting_for[key] if one in failed), default=None)
                if blame is not None:
                    failed[key] = blame
                    if key != _ALL_PUTS:
                        yield _left(by_key[key], Outcome.SKIPPED, _because(blame))
                elif stopped() or waiting_for[key] & unstarted:
                    unstarted.add(key)
                    if key != _ALL_PUTS:
                        yield _left(by_key[key], Outcome.NOT_STARTED, None)
                elif key != _ALL_PUTS:
                    running[pool.submit(_attempt, by_key[key], do, clock)] = key
                    continue
                sorter.done(key)
                ready += sorter.get_ready()
            if not running:
                continue
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                key = running.pop(future)
                result = future.result()
                if result.outcome is Outcome.FAILED:
                    failed[key] = key
                sorter.done(key)
                ready += sorter.get_ready()
                yield result


class _InThisThread(Executor):
    """For one change at a time: to hand it to another thread and wait for that takes as long as a tenth of it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _graph(changes: Sequence[Change]) -> dict[Key, frozenset[Key]]:
    """What each change waits for, with one node between the puts and the deletes."""
    graph = waits(changes)
    puts = frozenset(change.key for change in changes if change.action is not Action.DELETE)
    deletes = [change.key for change in changes if change.action is Action.DELETE]
    if deletes and puts:
        graph[_ALL_PUTS] = puts
        for key in deletes:
            graph[key] |= {_ALL_PUTS}
    return {key: graph[key] for key in sorted(graph)}


def _attempt(change: Change, do: Callable[[Change], Done], clock: Callable[[], float]) -> Result:
    started = clock()
    done = _left(change, Outcome.APPLIED, None)
    try:
        ray, note = do(change)
        done = replace(done, ray=ray, note=note)
    except ReconcilerError as error:
        problem = error.problems[0] if error.problems else Problem(str(error))
        done = replace(done, outcome=Outcome.FAILED, problem=problem, ray=getattr(error, "ray", ""))
    return replace(done, seconds=clock() - started)


def _left(change: Change, outcome: Outcome, problem: Problem | None) -> Result:
    return Result(
        change.key,
        change.action,
        outcome,
        customer=change.customer,
        problem=problem,
        before_digest=change.before.digest if change.before else "",
        after_digest=change.after.digest if change.after else "",
    )


def _because(blame: Key) -> Problem:
    return Problem(f"waits for {blame.told}, which was not applied", code="waits-for-failed")
