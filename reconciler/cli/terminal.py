"""What is printed, and where: data to stdout, talk to stderr, colour only where a person sees it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from typing import TextIO

from reconciler.errors import Problem
from reconciler.show import problems as render_problems
from reconciler.show.style import Style, coloured, plain
from reconciler.show.terminal import printable

WIDEST = 200


class Terminal:
    """The two streams of a run. `colour` None means: where the stream is a terminal and NO_COLOR is not set."""

    def __init__(self, *, colour: bool | None = None, quiet: bool = False, verbose: int = 0) -> None:
        self._colour, self.quiet, self.verbose = colour, quiet, verbose
        self._counting = 0.0

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
        """A reader that went away (`| head`) is no error, and stops no apply in its middle: the rest goes nowhere."""
        try:
            sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def json(self, value: object) -> None:
        self.data(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False))

    def say(self, text: str) -> None:
        """Talk: progress, advice. Not shown with --quiet."""
        if not self.quiet:
            self._clear()
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def warn(self, text: str) -> None:
        """What must be seen even with --quiet."""
        self._clear()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    @staticmethod
    def printable(text: str) -> str:
        """Foreign text, made harmless."""
        return printable(text)

    def problems(self, problems: Iterable[Problem]) -> None:
        self.warn(render_problems.text(tuple(problems), self.talk_style).rstrip("\n"))

    def progress(self, text: str) -> None:
        """One line that is written over by the next; only where someone watches."""
        if self.animated and (time.monotonic() - self._counting > 0.05 or not self._counting):
            self._counting = time.monotonic()
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\x1b[2K{text[: width - 1]}")
            sys.stderr.flush()

    def finish(self) -> None:
        self._clear()

    def waiting(self, seconds: float, why: str) -> None:
        """A wait that the API or the budget asked for, told before it is waited out."""
        if seconds >= 1:
            self.say(self.talk_style.paint("faint", f"waiting {round(seconds)} s: {why}"))

    def _clear(self) -> None:
        if self._counting:
            self._counting = 0.0
            sys.stderr.write("\r\x1b[2K")

    def _style(self, stream: TextIO) -> Style:
        width = max(60, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))
        wanted = self._colour
        if wanted is None:
            wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
            wanted = wanted or bool(os.environ.get("FORCE_COLOR"))
        return coloured(width) if wanted else plain(width)
