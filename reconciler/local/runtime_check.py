"""Do a script's modules parse and start? Asked of the real workerd, with nothing to read, reach or keep: no file, no
network and no loopback, a second of CPU time, and a bound on memory.

    with Checker() as checker:
        problems = checker.check(script)

Syntax errors, missing modules, exceptions and endless loops at start-up come back with the place in the script's own
file. No handler is called.
"""

from __future__ import annotations

import http.client
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.local.records import StoredScript
from reconciler.local.runtime import Runtime
from reconciler.local.store import Store

PYTHON = "text/x-python"
MEGABYTES = 512  # of the whole process; a Worker has 128 at Cloudflare
START_SECONDS = 1.0  # Cloudflare gives a Worker one second of CPU time to start

_PLACE = re.compile(r"^\s*at (?:.*\()?(?P<file>[^\s()]+):(?P<line>\d+):(?P<column>\d+)\)?$")
_IMPORTED_FROM = re.compile(r'^\s*imported from "(?P<file>.+)"$')
_NO_MODULE = re.compile(r'No such module "(?P<name>[^"]+)"')
_OURS = ".reconciler/"


@dataclass(frozen=True, slots=True)
class StartProblem:
    """Why a script does not start. `file` is one of its own modules; "" when the runtime does not say which."""

    script: str
    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """One sentence, as the API gives it for a refused upload."""
        return f"{self.message} at {self.file}:{self.line}:{self.column}"


class Checker:
    """A workerd that starts scripts and throws them away. Safe with several threads; they take turns."""

    def __init__(self, *, root: Path = Path(), binary: Path | None = None, timeout: float = START_SECONDS) -> None:
        self._timeout = timeout
        self._turn = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="reconciler-check-"))
        self._store = Store(self._folder)
        try:
            self._runtime = Runtime(
                self._store, root=root, binary=binary, egress="none", most_megabytes=MEGABYTES, stall_seconds=timeout
            )
            self._runtime.start()
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        self._runtime.stop()
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def check(self, script: StoredScript) -> list[StartProblem]:
        """Start the modules once; nothing when they do."""
        main = script.main_module
        if main is None or main.type == PYTHON:  # static files alone; or Cloudflare runs it, and nothing here does
            return []
        with self._turn:
            self._store.change_script(script.namespace, script.name, lambda _old: script)
            self._runtime.invalidate(script.namespace, script.name)
            try:
                told = self._runtime.try_start(script.namespace, script.name)
            except (OSError, http.client.HTTPException):
                told = f"It did not finish starting within {self._timeout:g} s"
            self._store.delete_script(script.namespace, script.name)
        return [start_problem(script, told)] if told else []

    def _let_go(self) -> None:
        self._store.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def check(
    scripts: Iterable[StoredScript], *, root: Path = Path(), timeout: float = START_SECONDS
) -> Iterator[StartProblem]:
    """The problems of many scripts, in one process, as they are found."""
    with Checker(root=root, timeout=timeout) as checker:
        for script in scripts:
            yield from checker.check(script)


def start_problem(script: StoredScript, told: str) -> StartProblem:
    """The runtime's words, with the place in the script's own code that they name."""
    message, *rest = told.split("\n")
    if missing := _NO_MODULE.search(message):
        importer = next((found["file"] for line in rest if (found := _IMPORTED_FROM.match(line))), script.main)
        return StartProblem(script.name, importer, *_where_named(script, importer, missing["name"]), message)
    for line in rest:
        found = _PLACE.match(line)
        if found and not found["file"].startswith(_OURS):
            # The runtime counts the columns of a SyntaxError from 0 and of a stack frame from 1.
            column = int(found["column"]) + ("SyntaxError" in message)
            return StartProblem(script.name, found["file"], int(found["line"]), column, message)
    return StartProblem(script.name, script.main, 1, 1, message)


def _where_named(script: StoredScript, importer: str, name: str) -> tuple[int, int]:
    """The line and column at which a module is imported: the runtime tells only who imports it."""
    last = name.rpartition("/")[2]
    content = next((module.content for module in script.modules if module.name == importer), b"")
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        found = re.search(rf"[\"'][^\"']*{re.escape(last)}[\"']", line)
        if found:
            return number, found.start() + 1
    return 1, 1
