"""Running a command and telling what it took: seconds, processor seconds, and memory of it and all that it started."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLES_PER_SECOND = 10
PART_OF_TIME = 20  # one second in so many goes into looking: large processes are looked at less often


@dataclass(frozen=True)
class Taken:
    """One run."""

    seconds: float
    processor: float  # user and system, of all its processes
    peak: int = 0  # bytes, shared pages counted once; 0 where it was not looked at
    out: str = ""


def run(command: Sequence[str], *, at: Path, variables: Mapping[str, str] | None = None, memory: bool = False) -> Taken:
    """Raises CalledProcessError when it fails. Looking at its memory takes time of its own, and makes it no measure of
    time."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=at, env={**os.environ, **(variables or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    peaks: list[int] = [0]
    done = threading.Event()
    watching = threading.Thread(target=_watch, args=(process.pid, peaks, done), daemon=True)
    if memory:
        watching.start()
    before = os.times()
    out, err = process.communicate()
    seconds, after = time.perf_counter() - began, os.times()
    done.set()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, out, err.decode(errors="replace"))
    processor = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Taken(seconds, processor, max(peaks), out.decode(errors="replace"))


def as_installed(folder: Path) -> Mapping[str, str]:
    """Variables for a run without what our tests bring along and no installation has: `rich`, which the HTTP library
    would load at each start. Something is written into the folder for it."""
    (folder / "rich.py").write_text("raise ImportError('part of the tests, and of no installation')\n")
    return {"PYTHONPATH": str(folder)}


def median(runs: Sequence[Taken]) -> float:
    return statistics.median(one.seconds for one in runs)


def median_processor(runs: Sequence[Taken]) -> float:
    return statistics.median(one.processor for one in runs)


def machine() -> str:
    """What the figures are of."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(map(str, __import__("sys").version_info[:3]))
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Python {python}, git {git}"


def _watch(pid: int, peaks: list[int], done: threading.Event) -> None:
    took = 0.0
    while not done.wait(max(1 / SAMPLES_PER_SECOND, took * PART_OF_TIME)):
        began = time.perf_counter()
        peaks.append(sum(_proportional(one) for one in _tree(pid)))
        took = time.perf_counter() - began


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _proportional(pid: int) -> int:
    """The process's part of the memory that it shares, and all of its own."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
