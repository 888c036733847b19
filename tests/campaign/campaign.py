"""The fault campaign: every call of a few plans, struck by every fault, through the command line's own apply.

Laws, checked at every position: no exception but those that the command line tells; the exit code and what is printed
fit what happened; nothing foreign is touched; no route leads to nothing at any instant; no secret is printed; and the
runs after it end with an empty plan, all code and settings read back.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.cli.apply import Orders, applied
from reconciler.cli.terminal import Terminal
from reconciler.errors import ReconcilerError
from reconciler.local.api import LOCAL_TOKEN
from reconciler.look import transport
from reconciler.run import Wishes
from tests.campaign.faults import AT_ONCE, DONE, FAULTS, IN_PART, KILLED, NAMED, REFUSED, UNTOLD, Fault, Scene
from tests.campaign.plans import PLANS, SECRET
from tests.scenarios.platform import TODAY, Killed, Platform, Strike

MOST_RUNS = 3  # after the one that was struck


@dataclass(frozen=True, slots=True)
class Task:
    """One plan and one fault, at every call; or at every so-manieth."""

    plan: str
    fault: str
    workers: int = 1
    step: int = 1


@dataclass
class Figures:
    """What came of a task."""

    task: Task
    positions: int = 0
    converged: int = 0
    worst: int = 0  # runs until the plan was empty, after the struck one
    ends: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)  # laws that did not hold, and where


@dataclass(frozen=True)
class Ended:
    """A run as its caller sees it."""

    code: int | None  # None when it was killed
    out: str
    err: str
    calls: tuple[str, ...]


def tasks() -> list[Task]:
    one = [Task(plan, fault) for plan in PLANS for fault in FAULTS]
    return one + [Task(plan, fault, workers=8) for plan in PLANS for fault in AT_ONCE]


def campaign(every: Sequence[Task], processes: int) -> Iterator[Figures]:
    """Figures of each task, as they come."""
    with ProcessPoolExecutor(max_workers=processes) as pool:
        yield from pool.map(figures, every)


def figures(task: Task) -> Figures:
    found, prepared = Figures(task), _prepared(task.plan)
    first = 1 + len(task.fault) % task.step
    for at in range(first, prepared.calls + 1, task.step):
        with tempfile.TemporaryDirectory(prefix="reconciler-fault-") as folder:
            try:
                came = _strike(prepared, Path(folder), FAULTS[task.fault], at, task)
            except AssertionError as broken:
                where = f"{task.plan}, {task.fault}, call {at}, {task.workers} at a time"
                found.positions += 1
                found.broken.append(f"{where}: {broken}")
                continue
            if came is None:
                continue
            end, runs = came
            found.positions += 1
            found.converged += 1
            found.worst = max(found.worst, runs)
            found.ends[end] = found.ends.get(end, 0) + 1
    return found


@dataclass(frozen=True)
class Prepared:
    """A plan's folders, to copy, and how many calls its apply takes when nothing befalls it."""

    plan: str
    folder: Path
    variables: dict[str, str]
    calls: int = 0

    def again(self, folder: Path) -> Platform:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        platform = Platform(folder, write=False)
        platform.variables = dict(self.variables)
        return platform


@functools.cache
def _prepared(plan: str) -> Prepared:
    folder = Path(tempfile.mkdtemp(prefix="reconciler-campaign-"))
    platform = Platform(folder)
    PLANS[plan].prepare(platform)
    if platform.store.has_namespace("acme-production"):
        platform.upload_elsewhere("stranger", "export default {};\n")
    platform.upload_elsewhere("strange-worker", "export default {};\n", namespace="")
    platform.store.close()
    prepared = Prepared(plan, folder, platform.variables)
    with tempfile.TemporaryDirectory(prefix="reconciler-rehearsal-") as copy:
        rehearsal = prepared.again(Path(copy))
        ended = _run(rehearsal, PLANS[plan].adopt, Path(copy), workers=1)
        assert ended.code == 0, ended.out + ended.err
        rehearsal.store.close()
    return Prepared(plan, folder, platform.variables, len(ended.calls))


def _strike(prepared: Prepared, folder: Path, fault: Fault, at: int, task: Task) -> tuple[str, int] | None:
    """How the struck run ended, and how many runs it took to make up for it; None where it made fewer calls than that.
    AssertionError where a law is broken."""
    platform = prepared.again(folder)
    strangers = _strangers(platform)
    adopt = PLANS[task.plan].adopt
    try:
        ended = _run(platform, adopt, folder, fault=fault, at=at, workers=task.workers)
        if ended.code == 0 and len(ended.calls) < at:
            return None
        end = _held_to(ended, fault)
        if end == NAMED:
            adopt |= PLANS[task.plan].remembered
        for run in range(MOST_RUNS + 1):
            _look(platform, strangers)
            if not platform.plan(verify=None, adopt=adopt):
                break
            again = _run(platform, adopt, folder, workers=task.workers)
            assert again.code == 0, f"run {run + 1} after it ended with {again.code}:\n{again.out}{again.err}"
        else:
            raise AssertionError(f"the plan is not empty after {MOST_RUNS} runs")
        _look_at_secrets(platform)
        return end, run
    finally:
        platform.store.close()


def _run(
    platform: Platform, adopt: frozenset[str], folder: Path, *, fault: Fault | None = None, at: int = 0, workers: int
) -> Ended:
    """`reconciler apply --yes --audit FILE`, from the connection on, into files."""
    paths = [folder / name for name in ("stdout", "stderr")]
    with paths[0].open("w") as out, paths[1].open("w") as err:
        scene = Scene(platform, out.fileno(), err.fileno(), folder / "audit.jsonl", folder / "budget")
        if fault is not None:
            platform.striking = Strike(at, lambda answer: fault.strike(scene, answer), fault.times)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _code(platform, adopt, scene, workers)
        platform.striking = None
        for stream in (out, err):
            with contextlib.suppress(OSError):
                stream.flush()
    printed, talked = (path.read_text(encoding="utf-8") for path in paths)
    shown = [printed, talked, scene.audit.read_text(encoding="utf-8") if scene.audit.exists() else ""]
    for secret in (SECRET, LOCAL_TOKEN):
        assert all(secret not in text for text in shown), "a secret was printed"
    return Ended(code, printed, talked, tuple(platform.calls))


def _code(platform: Platform, adopt: frozenset[str], scene: Scene, workers: int) -> int | None:
    terminal = Terminal()
    budget = transport.SharedBudget(
        scene.budget, clock=platform.clock, wall_clock=lambda: platform.clock() + scene.wall_offset
    )
    connection = platform.connection(
        budget=budget, wall_clock=lambda: platform.clock() + scene.wall_offset, waiting=terminal.waiting
    )
    asked = Wishes(TODAY, adopt=adopt)
    try:
        code = applied(connection, asked, Orders(yes=True, audit=scene.audit, workers=workers), terminal)
    except Killed:
        return None
    except ReconcilerError as error:
        terminal.problems(error.problems)
        return error.exit_code
    return 1 if terminal.lost and not code else code


def _held_to(ended: Ended, fault: Fault) -> str:
    """The way the run ended, which must be one that the fault allows, with the words that belong to it."""
    told = f"exit {ended.code}:\n{ended.out}{ended.err}"
    wrote = [call for call in ended.calls if not call.startswith("GET ")]
    assert "Traceback" not in told
    if ended.code is None:
        end = KILLED
    elif ended.code == 0:
        end = DONE
    elif ended.code == 7 and "✗" not in ended.out and "not started" not in ended.out:
        end = NAMED
        assert "take it over with --adopt" in ended.out, told
    elif ended.code == 7:
        end = IN_PART
        assert "the next run goes on from what is live" in ended.out, told
        assert "✗" in ended.out or "not started" in ended.out, told
        assert ended.out.count("✗") <= ended.out.count("why:") + ended.out.count("was written by someone"), told
    else:
        assert ended.code == 1, told
        end = UNTOLD if "cannot be written" in ended.err else REFUSED
        assert end == UNTOLD or (not wrote and "error:" in ended.err and "why:" in ended.err), told
    assert end in fault.ends, f"it ended {end}, {told}"
    return end


def _look(platform: Platform, strangers: Sequence[object]) -> None:
    assert platform.dangling == [], platform.dangling
    assert _strangers(platform) == strangers, "something foreign was touched"


def _look_at_secrets(platform: Platform) -> None:
    for script in platform.load().scripts():
        stored = platform.store.script("acme-production", script.name)
        assert stored is not None, f"{script.name} is not there"
        values = {name: one["text"] for name, one in stored.secrets.items()}
        assert values == {name: platform.variables[one.variable] for name, one in script.secrets}, "a secret is not set"


def _strangers(platform: Platform) -> list[object]:
    """What is someone else's, to the byte and to the time of its last change."""
    return [platform.store.script("acme-production", "stranger"), platform.store.script("", "strange-worker")]


def told(every: Sequence[Figures]) -> str:
    """The figures as a table in Markdown, converged of tried, the sums last."""
    plans = [plan for plan in PLANS if any(one.task.plan == plan for one in every)]
    rows = [f"| fault | {' | '.join(plans)} | runs after it |", f"|-|{'-:|' * len(plans)}-:|"]
    for workers in sorted({one.task.workers for one in every}):
        for fault in FAULTS:
            some = [one for one in every if (one.task.fault, one.task.workers) == (fault, workers)]
            if some:
                rows.append(_row(fault if workers == 1 else f"{fault}, {workers} at a time", some, plans))
    return "\n".join([*rows, _row("**all**", every, plans)])


def _row(name: str, some: Sequence[Figures], plans: Sequence[str]) -> str:
    cells = [_share([one for one in some if one.task.plan == plan]) for plan in plans]
    return f"| {name} | {' | '.join(cells)} | {max(one.worst for one in some)} |"


def _share(some: Sequence[Figures]) -> str:
    return f"{sum(one.converged for one in some):,} of {sum(one.positions for one in some):,}" if some else ""


def processes() -> int:
    return max(1, len(os.sched_getaffinity(0)))
