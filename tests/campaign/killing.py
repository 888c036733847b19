"""Processes that are killed at any write of theirs, while others write to the same three files.

`python -m tests.campaign.killing [WORD…]` kills each of VICTIMS before each call of CALLS that it makes, and in the
middle of writes, with three others at work beside it. Laws, checked each time: nobody ends in a traceback; what was
answered is there (uploads, and changes that stand in the record); the three files are whole; a plan made with the cache
of compiled customers is the plan made without; the next apply ends what was begun, and the plan after it is empty with
all code and settings read back.

Processes are forked with everything imported, since starting Python anew takes most of the time of a run. strace kills
before a system call of our choice; in the middle of a write, the limit on the size of files does.
"""

from __future__ import annotations

import ctypes
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from reconciler.cli import main as reconciler
from reconciler.cli.loading import COMPILED, LEDGER, LOCAL_FOLDER
from reconciler.local.database import FILE_NAME
from reconciler.local.store import Store
from tests.campaign.campaign import processes
from tests.cli.terminal import edit, repository, run, upload

NAMESPACE = "acme-production"
WAIT = 60.0  # seconds until a process that hangs breaks a law
UPLOADS = 4  # of the one that writes to the API
TORN = "in the middle"
TORN_STEP = 4_603  # bytes: no multiple of a page or of a frame
CALLS = ("pwrite64", "write", "fdatasync", "ftruncate", "unlink")
_ANY_TRACER = (0x59616D61, -1)  # prctl: PR_SET_PTRACER, PR_SET_PTRACER_ANY


@dataclass(frozen=True)
class Command:
    do: Callable[[Path, str], None]  # in the repository, under a name of its own; ends as a command does
    ends: frozenset[int]  # how it may end while others write


def _command(*words: str) -> Callable[[Path, str], None]:
    def do(folder: Path, name: str) -> None:
        recorded = ("--audit", str(folder.with_name(f"{name}.audit"))) if words[0] == "apply" else ()
        reconciler([*words, *recorded, "-C", str(folder)])

    return do


def _write_to_the_api(folder: Path, name: str) -> None:
    """What is answered is noted after the answer."""
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        store.create_namespace(NAMESPACE)  # where nobody has
    with folder.with_name(f"{name}.answered").open("a", encoding="utf-8") as answered:
        for number in range(UPLOADS):
            script = f"{name}-{number}"
            upload(folder, f"dispatch/namespaces/{NAMESPACE}/scripts/{script}", f"export default {{}}; // {script}\n")
            print(script, file=answered, flush=True)


COMMANDS: Mapping[str, Command] = {
    "plan": Command(_command("plan", "--local"), frozenset({0})),
    "validate": Command(_command("validate"), frozenset({0})),
    # Deletes wait while others write, and what another apply has done meanwhile is left to it.
    "apply": Command(_command("apply", "--local", "--yes"), frozenset({0, 5, 7})),
    "uploads": Command(_write_to_the_api, frozenset({0})),
}
VICTIMS = ("plan", "apply", "uploads")  # validate writes what plan writes
OTHERS = ("apply", "uploads", "plan", "validate")


def nothing_yet(folder: Path) -> None:
    """None of the three files is there."""


def applied_and_changed(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    edit(folder, "customers/globex/shop.mjs", "hello", "hi")
    edit(folder, "customers/initech/customer.yaml", "initech-old", "initech-new")
    edit(folder, "customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 70")


SCENES: Mapping[str, Callable[[Path], None]] = {"nothing yet": nothing_yet, "applied and changed": applied_and_changed}


@dataclass(frozen=True)
class Task:
    """One command, killed at each of its calls of one kind; or at every so-manieth, and not more often than that."""

    scene: str
    victim: str
    call: str
    others: int = 3  # processes at work beside it
    step: int = 1
    most: int = 1_000_000


@dataclass
class Figures:
    task: Task
    positions: int = 0
    processes: int = 0
    broken: list[str] = field(default_factory=list)


def tasks() -> list[Task]:
    kinds = [(scene, victim, call) for scene in SCENES for victim in VICTIMS for call in (*CALLS, TORN)]
    return [Task(*kind, others) for others in (0, 3) for kind in kinds]


def figures(task: Task) -> Figures:
    """Until the command ends of itself."""
    step = task.step * (TORN_STEP if task.call == TORN else 1)
    found, at, killed = Figures(task), step if task.step > 1 else 1, True
    while killed and found.positions < task.most:
        with tempfile.TemporaryDirectory(prefix="reconciler-kill-") as place:
            try:
                killed = _strike(Path(place), task, at)
                found.processes += 1 + task.others
            except AssertionError as broken:
                found.broken.append(f"{task.scene}, {task.victim} and {task.others} others, {task.call} {at}: {broken}")
        found.positions += killed
        at += step
    return found


def _strike(place: Path, task: Task, at: int) -> bool:
    """Whether the victim was killed. AssertionError where a law is broken."""
    folder = shutil.copytree(_prepared(task.scene), place / "repository")
    before = _remembered(folder)
    turn = at // TORN_STEP if task.call == TORN else at
    names = [task.victim, *(OTHERS[(turn + number) % len(OTHERS)] for number in range(task.others))]
    running = [_Process(folder, f"{name}-of-{number}", COMMANDS[name]) for number, name in enumerate(names)]
    tracer = None if task.call == TORN else running[0].kill_before(task.call, at)
    for one in running:
        one.go_on(at if task.call == TORN and one is running[0] else 0)
    for name, one in zip(names, running, strict=True):
        code, told = one.end()
        assert "Traceback" not in told, told
        killed = one is running[0] and code is None
        assert killed or code in COMMANDS[name].ends, f"{name} ended with {code}:\n{told}"
    if tracer is not None:
        tracer.wait(WAIT)
    _look(folder, before, [one.name for one in running])
    return running[0].code is None


class _Process:
    """A command in a process of its own, which waits until it is told to go on."""

    def __init__(self, folder: Path, name: str, command: Command) -> None:
        self.name = name
        self.code: int | None = None
        self._said = folder.with_name(f"{name}.said")
        self._bytes, self._told = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os._exit(self._run(folder, command))
        os.close(self._bytes)

    def _run(self, folder: Path, command: Command) -> int:
        """In the child. Whatever it raises is told as a traceback, and its end is the process's."""
        os.close(self._told)
        said = os.open(self._said, os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8", write_through=True)
        ctypes.CDLL(None).prctl(*_ANY_TRACER, 0, 0, 0)
        try:
            if most := int(os.read(self._bytes, 20)):
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            command.do(folder, self.name)
        except SystemExit as end:
            return int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            return 99
        return 0

    def kill_before(self, call: str, at: int) -> subprocess.Popen[bytes]:
        """Before its so-manieth call of this kind, in whichever of its threads that comes first."""
        strike = f"inject={call}:signal=SIGKILL:when={at}"
        words = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", strike, "-p", str(self._pid)]
        tracer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + WAIT
        while "TracerPid:\t0\n" in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii"):
            assert tracer.poll() is None and time.monotonic() < until, "strace could not attach"
            time.sleep(0.002)
        return tracer

    def go_on(self, most: int) -> None:
        """To its end; or to the write that would make one of its files larger than so many bytes, in whose middle it is
        killed. 0 is no limit."""
        os.write(self._told, str(most).encode())
        os.close(self._told)

    def end(self) -> tuple[int | None, str]:
        """Its exit code, None when it was killed; and what it said."""
        until = time.monotonic() + WAIT
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                os.kill(self._pid, signal.SIGKILL)
                raise AssertionError(f"{self.name} hangs: {self._said.read_text(encoding='utf-8')}")
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        assert code >= 0 or -code in (signal.SIGKILL, signal.SIGXFSZ), f"{self.name} ended by signal {-code}"
        self.code = code if code >= 0 else None
        return self.code, self._said.read_text(encoding="utf-8", errors="replace")


@cache
def _prepared(scene: str) -> Path:
    folder = repository(Path(tempfile.mkdtemp(prefix="reconciler-killing-")) / "repository")
    SCENES[scene](folder)
    return folder


# What is looked at afterwards


def _look(folder: Path, before: frozenset[str], names: Sequence[str]) -> None:
    for file in (folder / LEDGER, folder / COMPILED, folder / LOCAL_FOLDER / FILE_NAME):
        if file.exists():
            with closing(sqlite3.connect(file)) as database:
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], file.name
    _look_at_what_was_answered(folder, names)
    with_cache = run(folder, "plan", "--local", "--format", "json")
    assert (with_cache.code, with_cache.err) == (0, ""), with_cache.err
    (folder / COMPILED).unlink(missing_ok=True)
    without = run(folder, "plan", "--local", "--format", "json")
    assert with_cache.out == without.out, "the cache says something else than the files"
    assert before <= _remembered(folder), "the ledger has lost what it remembered"
    ran = run(folder, "apply", "--local", "--yes")
    assert (ran.code, "Traceback" in ran.err) == (0, False), ran.out + ran.err
    ran = run(folder, "plan", "--local", "--exit-code", "--verify", "all")
    assert (ran.code, ran.err) == (0, ""), ran.out + ran.err


def _look_at_what_was_answered(folder: Path, names: Sequence[str]) -> None:
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        for script in _lines(folder, names, "answered"):
            found = store.script(NAMESPACE, script)
            assert found is not None, f"{script} was answered and is not there"
            assert found.modules[0].content == f"export default {{}}; // {script}\n".encode(), script
        for record in map(json.loads, _lines(folder, names, "audit")):
            if record["kind"] == "user_worker" and record["outcome"] == "applied" and record["action"] != "delete":
                name = record["name"]
                assert store.row(NAMESPACE, name) is not None, f"{name} was recorded as applied and is not there"


def _lines(folder: Path, names: Sequence[str], ending: str) -> Iterator[str]:
    """Whole ones: who is killed in a line has not said it."""
    for name in names:
        file = folder.with_name(f"{name}.{ending}")
        if file.exists():
            yield from file.read_text(encoding="utf-8").split("\n")[:-1]


def _remembered(folder: Path) -> frozenset[str]:
    """What the ledger remembers and nobody is about to delete."""
    if not (folder / LEDGER).exists():
        return frozenset()
    with closing(sqlite3.connect(folder / LEDGER)) as database:
        rows = database.execute("SELECT name FROM entry WHERE name <> 'initech-old'").fetchall()
    return frozenset(name for (name,) in rows)


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "-e", "trace=none", "true"], check=False).returncode == 0


def campaign(every: Sequence[Task]) -> Iterator[Figures]:
    """Figures of each task, as they come. Processes are started anew: one with threads must not be forked."""
    with ProcessPoolExecutor(max_workers=processes(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(figures, every)


def main(words: Sequence[str]) -> int:
    every = [
        one for one in tasks() if all(word in f"{one.scene} {one.victim} {one.call} {one.others}" for word in words)
    ]
    found = []
    for one in campaign(every):
        found.append(one)
        task = one.task
        what = f"{task.scene}, {task.victim} and {task.others} others, {task.call}: {one.positions} kills"
        print(what, *one.broken, sep="\n")
        sys.stdout.flush()
    print(told(found))
    return 1 if any(one.broken for one in found) else 0


def told(every: Sequence[Figures]) -> str:
    """Kills of each command and kind, in both scenes, as a table in Markdown."""
    rows = [f"| killed | {' | '.join(VICTIMS)} |", f"|-|{'-:|' * len(VICTIMS)}"]
    for call in (*CALLS, TORN):
        counts = [
            sum(one.positions for one in every if (one.task.call, one.task.victim) == (call, each)) for each in VICTIMS
        ]
        rows.append(f"| {call} | {' | '.join(map(str, counts))} |")
    kills, ran = sum(one.positions for one in every), sum(one.processes for one in every)
    return "\n".join([*rows, f"{kills} kills among {ran} processes; {sum(len(one.broken) for one in every)} broken"])


if __name__ == "__main__":
    if not can_trace():
        sys.exit("strace is needed, and has to be allowed to trace: apt install strace")
    sys.exit(main(sys.argv[1:]))
