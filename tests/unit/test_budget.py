"""The request budget: what it promises to Cloudflare, and what may happen to its file."""

from __future__ import annotations

import heapq
import itertools
import multiprocessing
import os
import random
import resource
import signal
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.look.budget import REQUESTS_PER_WINDOW, SPACING, WINDOW, SharedBudget, Turn

CLOUDFLARE = 1_200  # in any 300 seconds


class Clock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget_at(path: Path, clock: Clock, size: int = REQUESTS_PER_WINDOW) -> SharedBudget:
    return SharedBudget(path / "budget", size=size, clock=clock)


def most_in_a_window(times: Iterable[float], window: float = WINDOW) -> int:
    """The most requests in any half-open window; a millionth of a second is the clock's own blur."""
    most, inside = 0, deque[float]()
    for at in sorted(times):
        inside.append(at)
        while inside[0] <= at - window + 1e-6:
            inside.popleft()
        most = max(most, len(inside))
    return most


def saturate(budgets: list[SharedBudget], clock: Clock, seconds: float, way: Callable[[], float]) -> list[float]:
    """When the requests reach the server, with eight senders a sharer that always have one more. `way`: seconds to it
    and, again, back."""
    arrivals: list[float] = []
    end = clock.now + seconds
    number = itertools.count()
    events: list[tuple[float, int, Callable[[], None]]] = []

    def at(moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(events, (moment, next(number), event))

    def take(budget: SharedBudget) -> None:
        turn = budget.take()
        at(clock.now + turn.wait, lambda: send(budget, turn))

    def send(budget: SharedBudget, turn: Turn) -> None:
        there = clock.now + way()
        arrivals.append(there)
        at(there + way(), lambda: answered(budget, turn))

    def answered(budget: SharedBudget, turn: Turn) -> None:
        budget.ended(turn)
        take(budget)

    for budget in budgets * 8:
        take(budget)
    while events[0][0] < end:
        clock.now, _, event = heapq.heappop(events)
        event()
    return arrivals


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.floats(0, 90), st.integers(0, 2), st.integers(1, 40)), max_size=40),
    st.sampled_from([1, 2, 7, 50]),
)
def test_no_window_ever_holds_more_than_the_budget(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[float, int, int]], size: int
) -> None:
    clock = Clock()
    folder = tmp_path_factory.mktemp("budget")
    sharers = [budget_at(folder, clock, size) for _ in range(3)]
    sent: list[float] = []
    for pause, sharer, amount in calls:
        clock.now += pause
        for _ in range(amount):
            turn = sharers[sharer].take()
            assert turn.wait >= 0
            sent.append(clock.now + turn.wait)
    assert most_in_a_window(sent) <= size
    assert all(after - before >= SPACING - 1e-6 for before, after in itertools.pairwise(sorted(sent)))


@pytest.mark.parametrize("sharers", [1, 3])
@pytest.mark.parametrize("way", ["at once", "up to a second"])
def test_an_hour_of_work_uses_the_budget_and_is_never_refused(
    tmp_path: Path, clock: Clock, sharers: int, way: str
) -> None:
    """Ways of different lengths are what a window of sending times would get wrong: the server counts arrivals."""
    chance = random.Random(7)
    once = (lambda: chance.uniform(0.0, 1.0)) if way == "up to a second" else (lambda: 0.0)
    arrivals = saturate([budget_at(tmp_path, clock) for _ in range(sharers)], clock, 3_600.0, once)
    assert most_in_a_window(arrivals) <= REQUESTS_PER_WINDOW
    assert refused(arrivals) == 0
    assert len(arrivals) >= 0.98 * CLOUDFLARE * 3_600 / WINDOW


def refused(arrivals: Iterable[float]) -> int:
    """How many Cloudflare would answer with 429: everything for five minutes, once 1,200 came in five."""
    inside, until, count = deque[float](), -1.0, 0
    for at in sorted(arrivals):
        while inside and inside[0] <= at - WINDOW:
            inside.popleft()
        inside.append(at)
        if len(inside) > CLOUDFLARE:
            until = at + WINDOW
        count += at < until
    return count


def test_a_smaller_share_leaves_room_for_the_others_and_never_empties_their_window(
    tmp_path: Path, clock: Clock
) -> None:
    small, large = budget_at(tmp_path, clock, 5), budget_at(tmp_path, clock, 20)
    sent = [clock.now + large.take().wait for _ in range(10)]
    assert small.take().wait > WINDOW - 1
    sent += [clock.now + small.take().wait for _ in range(3)] + [clock.now + large.take().wait for _ in range(30)]
    assert most_in_a_window(sent) <= 20


def test_several_processes_keep_to_one_budget(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(3) as pool:
        sent = [at for times in pool.map(_take_many, [tmp_path / "budget"] * 3) for at in times]
    assert len(sent) == 150
    assert most_in_a_window(sent, 0.4) <= 40


def _take_many(path: Path) -> list[float]:
    clock = Clock()

    def now() -> float:
        clock.now = time.monotonic()  # read once for the budget and for us
        return clock.now

    budget = SharedBudget(path, size=40, window=0.4, clock=now)
    return [budget.take().wait + clock.now for _ in range(50)]


def test_a_holder_that_is_killed_leaves_the_lock_and_the_window_usable(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    spawn = multiprocessing.get_context("spawn")
    one = spawn.Process(target=_take_for_ever, args=(path,))
    one.start()
    deadline = time.monotonic() + 20
    while (not path.exists() or not path.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.pid is not None
    os.kill(one.pid, signal.SIGKILL)
    one.join()
    one.close()
    budget = SharedBudget(path, size=1, window=0.2)
    assert budget.take().wait <= 3_600 and not budget.unshared


def _take_for_ever(path: Path) -> None:
    budget = SharedBudget(path, window=0.0001)
    while True:
        budget.take()


def test_what_the_server_asks_of_one_holds_for_all_that_share(tmp_path: Path, clock: Clock) -> None:
    one, other = budget_at(tmp_path, clock), budget_at(tmp_path, clock)
    one.block(3_600.0)
    assert other.blocked()
    assert other.take().wait == pytest.approx(3_600.0)
    clock.now += 1_800
    assert budget_at(tmp_path, clock).take().wait == pytest.approx(1_800, abs=1)
    clock.now += 1_801
    assert not other.blocked()
    assert budget_at(tmp_path, clock).take().wait <= 1


def test_a_shorter_block_does_not_end_a_longer_one(tmp_path: Path, clock: Clock) -> None:
    budget = budget_at(tmp_path, clock)
    budget.block(300)
    budget.block(10)
    assert budget.take().wait == pytest.approx(300)


def test_other_processes_are_held_for_a_day_at_most(tmp_path: Path, clock: Clock) -> None:
    budget = budget_at(tmp_path, clock)
    budget.block(1e9)
    assert budget.take().wait == pytest.approx(86_400)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:100],
        lambda content: content[:20],
        lambda content: b"\x00" * len(content),
        lambda content: random.Random(1).randbytes(len(content)),
        lambda content: b"not ours at all\n",
        lambda content: content[:8] + b"\xff" * 32 + content[40:],
        lambda content: content * 2,
    ],
    ids=["cut", "cut in the head", "zeros", "noise", "a text", "a wrong head", "too long"],
)
def test_a_file_that_is_not_understood_counts_as_full_and_is_mended(
    tmp_path: Path, clock: Clock, damage: Callable[[bytes], bytes]
) -> None:
    budget = budget_at(tmp_path, clock, 10)
    sent = [clock.now + budget.take().wait for _ in range(10)]
    path = tmp_path / "budget"
    path.write_bytes(damage(path.read_bytes()))
    sent += [clock.now + budget_at(tmp_path, clock, 10).take().wait for _ in range(25)]
    assert most_in_a_window(sent) <= 10
    assert max(sent) <= clock.now + 4 * WINDOW + 1
    assert not budget.unshared


def test_a_damaged_file_that_nobody_has_used_for_long_is_a_new_one(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "budget").write_bytes(b"from another version")
    os.utime(tmp_path / "budget", (time.time() - 601, time.time() - 601))
    assert budget_at(tmp_path, clock).take().wait == 0


def test_damaged_times_count_as_now(tmp_path: Path, clock: Clock) -> None:
    budget = budget_at(tmp_path, clock, 3)
    budget.take()
    path = tmp_path / "budget"
    content = path.read_bytes()
    head = len(content) - 8 * REQUESTS_PER_WINDOW
    for value in (float("nan"), float("inf"), 1e300):
        path.write_bytes(content[:head] + struct.pack("<d", value) * REQUESTS_PER_WINDOW)
        assert 0 <= budget.take().wait <= WINDOW + 1


def test_a_reboot_starts_the_clock_anew_and_stops_nobody_for_long(tmp_path: Path) -> None:
    before = budget_at(tmp_path, Clock(1e6))
    for _ in range(REQUESTS_PER_WINDOW):
        before.take()
    booted = Clock(20.0)
    assert budget_at(tmp_path, booted).take().wait <= WINDOW + 1  # just now, as far as the file tells
    before.take()
    os.utime(tmp_path / "budget", (time.time() - 601, time.time() - 601))
    assert SharedBudget(tmp_path / "budget", clock=booted).take().wait == 0


@pytest.mark.parametrize("jump", [-86_400.0, -3.0, 3.0, 86_400.0])
def test_a_wall_clock_that_is_set_changes_nothing(tmp_path: Path, clock: Clock, jump: float) -> None:
    wall = time.time()
    times = iter([wall, *[wall + jump] * 40])
    budget = SharedBudget(tmp_path / "budget", size=10, clock=clock, wall_clock=lambda: next(times))
    assert most_in_a_window(clock.now + budget.take().wait for _ in range(35)) <= 10


def test_a_budget_without_a_usable_file_holds_for_this_process_and_says_so(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    fifo, link, folder = tmp_path / "fifo", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(fifo)
    link.symlink_to(tmp_path / "elsewhere")
    folder.mkdir()
    for path in (tmp_path / "file" / "budget", fifo, link, folder):
        budget = SharedBudget(path, size=10, clock=clock)
        sent = [clock.now + budget.take().wait for _ in range(35)]
        assert most_in_a_window(sent) == 10
        assert str(path) in budget.unshared
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_fails_on_the_way_counts_as_full(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "cache"
    budget = budget_at(folder, clock, 10)
    sent = [clock.now + budget.take().wait for _ in range(10)]
    (folder / "budget").unlink()
    (folder / "budget").mkdir()
    sent += [clock.now + budget.take().wait for _ in range(15)]
    assert most_in_a_window(sent) <= 10 and budget.unshared


def test_a_folder_that_may_not_be_written_does_not_stop_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        most, unshared = pool.apply(_as_nobody, (tmp_path / "budget",))
    assert most <= 10 and "Permission denied" in unshared


def _as_nobody(path: Path) -> tuple[int, str]:
    if os.geteuid() == 0:
        os.setuid(65_534)  # root may write everywhere
    clock = Clock()
    budget = SharedBudget(path, size=10, clock=clock)
    return most_in_a_window(clock.now + budget.take().wait for _ in range(25)), budget.unshared


def test_a_full_disk_does_not_stop_work(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        most, unshared = pool.apply(_on_a_full_disk, (tmp_path / "budget",))
    assert most <= 10 and "cannot be used" in unshared


def _on_a_full_disk(path: Path) -> tuple[int, str]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    clock = Clock()
    budget = SharedBudget(path, size=10, clock=clock)
    return most_in_a_window(clock.now + budget.take().wait for _ in range(25)), budget.unshared
