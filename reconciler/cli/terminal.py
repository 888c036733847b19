"""What is printed, and where: data to stdout, talk to stderr, colour only where a person sees it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from typing import TextIO

from reconciler.errors import Problem
from reconciler.show import problems as render_problems
from reconciler.show.style import Style, coloured, plain, shown

WIDEST = 200
# What GitHub's runner takes for a command: "::" where a line begins, "##[" anywhere. Talk is never one, whatever file,
# server or person had a word in it.
_COMMAND = re.compile(r"((?:^|[\n\r])\s*:(?=:)|##(?=\[))")


class Terminal:
    """The two streams of a run. `colour` None means: where the stream is a terminal and NO_COLOR is not set."""

    def __init__(
        self,
        *,
        colour: bool | None = None,
        quiet: bool = False,
        verbose: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._colour, self.quiet, self.verbose, self._clock = colour, quiet, verbose, clock
        self.lost = False  # whether something that was asked for could not be written: the run has failed then
        self._counting = 0.0
        self._told_at = self._told_until = -math.inf  # of the wait that was told last

    @property
    def style(self) -> Style:
        """How data is painted."""
        return self._style(sys.stdout)

    @property
    def talk_style(self) -> Style:
        return self._style(sys.stderr)

    @property
    def animated(self) -> bool:
        """Whether someone watches stderr as it moves."""
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ

    def data(self, text: str) -> None:
        """A reader that went away (`| head`) is no error. A full disk is one, told at once and in the exit code; but
        neither stops an apply in its middle: the rest goes nowhere."""
        try:
            sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                self.lost = True
                self.warn(f"what is printed is lost: stdout cannot be written ({error.strerror or error})")

    def json(self, value: object) -> None:
        """In ASCII, so that no name does anything to a terminal."""
        self.data(json.dumps(value, sort_keys=True, indent=2))

    def say(self, text: str) -> None:
        """Talk: progress, advice. Not shown with --quiet."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """What must be seen even with --quiet."""
        self._talk(("\r\x1b[2K" if self._counting else "") + text + "\n")
        self._counting = 0.0

    @staticmethod
    def printable(text: str) -> str:
        """Foreign text, made harmless."""
        return shown(text)

    def problems(self, problems: Iterable[Problem]) -> None:
        self.warn(render_problems.text(tuple(problems), self.talk_style).rstrip("\n"))

    def progress(self, text: str) -> None:
        """One line that is written over by the next; only where someone watches."""
        if self.animated and (self._clock() - self._counting > 0.05 or not self._counting):
            self._counting = self._clock()
            width = shutil.get_terminal_size().columns
            self._talk(f"\r\x1b[2K{text[: width - 1]}")

    def finish(self) -> None:
        self._clear()

    def waiting(self, seconds: float, why: str) -> None:
        """A wait that the API or the budget asked for, told once a second: a countdown where someone watches, else a
        line at its start and one a minute. Threads that wait for the same are told of once."""
        now = self._clock()
        if self.animated:
            self.progress(f"waiting {_left(seconds)}: {why}")
            return
        is_longer = seconds > 10 and now + seconds > self._told_until + 10
        if is_longer or (seconds >= 1 and now >= self._told_at + 60):
            self._told_at, self._told_until = now, now + seconds
            self.say(self.talk_style.paint("faint", f"waiting {_left(seconds)}: {why}"))

    def _clear(self) -> None:
        if self._counting:
            self._counting = 0.0
            self._talk("\r\x1b[2K")

    @staticmethod
    def _talk(text: str) -> None:
        """Talk that nobody can be told stops nothing."""
        try:
            sys.stderr.write(_COMMAND.sub(r"\1\\", text))
            sys.stderr.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _style(self, stream: TextIO) -> Style:
        width = max(60, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))
        wanted = self._colour
        if wanted is None:
            wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
            wanted = wanted or bool(os.environ.get("FORCE_COLOR"))
        return coloured(width) if wanted else plain(width)


def _left(seconds: float) -> str:
    """`42 s`, `4:59 min`, `1:04:59 h`."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
