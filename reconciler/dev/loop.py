"""`reconciler dev`, from its first line to its last: a round at the start and on every save, until it is stopped."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.dev import log, show
from reconciler.dev.journal import Entry, Journal
from reconciler.dev.platform import Platform, Settings
from reconciler.dev.rounds import Round
from reconciler.dev.watching import Watch, told
from reconciler.errors import Problem
from reconciler.plan.results import Result


@dataclass(frozen=True, slots=True)
class _Saved:
    files: tuple[str, ...]


class _Stop:
    """Wakes a loop that waits."""


class Loop:
    """`stop` may be called from anywhere, a signal's handler included."""

    def __init__(self, settings: Settings, terminal: show.Terminal, *, verbose: bool = False) -> None:
        self._settings, self._terminal, self._verbose = settings, terminal, verbose
        self._turns: queue.SimpleQueue[_Saved | Entry | _Stop] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._turns.put(_Stop())

    def run(self, *, once: bool = False, began: float | None = None) -> int:
        """Until it is stopped; with `once` until the first round is live. The exit code.

        `began` is when the user pressed return, by time.time. Raises LocalError.
        """
        began = time.time() if began is None else began
        with Platform(self._settings, Journal(), waiting=self._terminal.waiting, happened=self._turns.put) as platform:
            if platform.made_anew is not None:
                self._terminal.problems([platform.made_anew])
            first = self._round(platform, "start")
            platform.ready()
            self._greet(platform, time.time() - began, once=once)
            if once:
                return first.exit_code
            platform.expect_saves()
            with self._watched():
                self._follow(platform)
        self._terminal.say("stopped: nothing is left running")
        return 0

    def _follow(self, platform: Platform) -> None:
        while not self._stopping.is_set():
            turn = self._turns.get()
            if isinstance(turn, Entry):
                self._print(turn)
            elif isinstance(turn, _Saved):
                self._round(platform, told(self._settings.root, turn.files) or "a save before the watch stood")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if not self._settings.watch:
            yield
            return
        watch = Watch(self._settings.root, lambda files: self._turns.put(_Saved(files)), self._unwatched)
        try:
            yield
        finally:
            watch.stop()

    def _round(self, platform: Platform, cause: str) -> Round:
        before, had = platform.rounds.last, platform.rounds.repository
        counted = 0

        def progress(_: Result, total: int) -> None:
            nonlocal counted
            counted += 1
            self._terminal.progress(f"{counted:,} of {total:,} live")

        done = platform.reconcile(cause, told=progress, stopped=self._stopping.is_set)
        self._terminal.finish()
        for line in show.round_lines(done, before, self._terminal.style):
            self._terminal.data(line)
        if problems := show.problems(done, before):
            self._terminal.problems(problems)
        if advice := show.advice(done, before, had=had is not None):
            self._terminal.warn(self._terminal.talk_style.paint("faint", advice))
        return done

    def _greet(self, platform: Platform, took: float, *, once: bool) -> None:
        style = self._terminal.style
        self._terminal.data("")
        self._terminal.data(f"  {show.heading(platform.settings.root, platform.rounds.repository, style)}")
        self._terminal.data("")
        for line in show.places(platform.addresses(), platform.server.url, style):
            self._terminal.data(line)
        if not once:
            for line in show.for_other_tools(platform.server.url, platform.rounds.account_id):
                self._terminal.data(style.paint("faint", line))
        self._terminal.data("")
        parts = [f"ready in {took:.2f} s", *([f"fault: {self._settings.fault}"] if self._settings.fault else [])]
        if not once:
            parts.append("reconciles on every save" if self._settings.watch else "does not watch the files")
            parts.append("Ctrl-C ends it")
        self._terminal.data(style.paint("faint", f"  {' · '.join(parts)}"))
        self._terminal.data("")

    def _print(self, entry: Entry) -> None:
        if self._verbose or log.of_a_customer(entry):
            for line in log.lines(entry, self._terminal.style):
                self._terminal.data(line)

    def _unwatched(self, error: OSError) -> None:
        problem = Problem(
            "the files are not watched",
            why=error.strerror or str(error),
            fix="raise the system's limit of watched files (fs.inotify.max_user_watches), or set"
            " WATCHFILES_FORCE_POLLING=1; until then the dashboard's Plan page reconciles on demand",
            code="local-watch",
        )
        self._terminal.problems([problem])
