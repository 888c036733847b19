"""Problems with the line of the file that they stand on, in which nothing secret is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from reconciler.errors import ConfigError, Problem
from reconciler.load import files
from reconciler.load.source import Source, parse, without_tokens


def with_lines(root: Path, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in order, each once, with their lines."""
    unique = {(one.where, one.what): one for one in reversed(list(problems))}.values()
    texts = _Texts(root)
    return tuple(texts.with_line(one) for one in sorted(unique, key=lambda one: one.order))


class _Texts:
    """The files that problems stand in, read once each as the problems come sorted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = ""
        self._text: Source | None = None

    def with_line(self, problem: Problem) -> Problem:
        # What is wrong may be a credential in the wrong place.
        what, why, fix = map(without_tokens, (problem.what, problem.why, problem.fix))
        problem = replace(problem, what=what, why=why, fix=fix)
        if problem.where is None or problem.excerpt or not problem.where.width:
            return problem
        if problem.where.file != self._file:
            self._file, self._text = problem.where.file, self._read(problem.where.file)
        return replace(problem, excerpt=self._text.excerpt(problem.where.line)) if self._text else problem

    def _read(self, file: str) -> Source | None:
        try:
            content = files.read_below(self._root, file)
        except (OSError, ValueError):
            return None
        if file.endswith((".yaml", ".yml")):
            try:
                return parse(file, content)
            except ConfigError:
                pass  # its lines are shown as far as they can be told apart
        text = "" if b"\0" in content else content.decode("utf-8", "replace").removeprefix("\ufeff")
        return Source(file, text, None, None)
