"""Measures as tables: ratios to what the machine takes at least, targets beside them, seconds and bytes after."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Taken, median, median_processor

MB = 2**20
SMALL, LARGE = 10, 100_000  # customers: the sizes that targets are of


@dataclass(frozen=True)
class Measured:
    """All of one size."""

    customers: int
    pages: int
    calls: int
    taken: Mapping[str, list[Taken]]
    peaks: Mapping[str, int]

    def seconds(self, name: str) -> float:
        return median(self.taken[name])

    @property
    def least(self) -> float:
        """`git status`, then the listing: what a plan that looks at everything cannot do without."""
        return self.seconds("git status") + self.seconds("listing")


def _any(one: Measured) -> bool:
    del one
    return True


def _small(one: Measured) -> bool:
    return one.customers <= SMALL


def _large(one: Measured) -> bool:
    return one.customers >= LARGE


@dataclass(frozen=True)
class Target:
    """A ratio or an amount, the most that it may be, and the sizes that this is asked of."""

    what: str
    value: Callable[[Measured], float]
    most: float
    unit: str = "×"
    of: Callable[[Measured], bool] = _any

    def told(self, one: Measured) -> str:
        value = self.value(one)
        shown = f"{value:.2f} ×" if self.unit == "×" else f"{value:,.0f} {self.unit}"
        return f"{shown} {'✓' if value <= self.most else '✗'}" if self.of(one) else shown


def _per(name: str, other: str) -> Callable[[Measured], float]:
    return lambda one: one.seconds(name) / one.seconds(other)


def _per_least(name: str) -> Callable[[Measured], float]:
    return lambda one: one.seconds(name) / one.least


def _memory(name: str) -> Callable[[Measured], float]:
    return lambda one: one.peaks[name] / MB


TARGETS = (
    Target("`--help` / `python -c pass`", _per("help", "pass"), 6),
    Target("no-op plan / `python -c pass`", _per("plan", "pass"), 35, of=_small),
    Target("warm no-op plan / (`git status` + listing)", _per_least("plan"), 2, of=_large),
    Target("fresh clone, restored cache / the same", _per_least("fresh clone"), 2, of=_large),
    Target("1 % changed / no-op plan", _per("1 % changed", "plan"), 1.3, of=_large),
    Target("cold plan / `find \\| xargs sha256sum`", _per("cold plan", "sha256sum"), 5, of=_large),
    Target("memory of the warm plan", _memory("plan"), 500, "MB", _large),
    Target("memory of the cold plan", _memory("cold plan"), 800, "MB", _large),
    Target("API calls beside the pages", lambda one: one.calls - one.pages, 6, "calls"),
)
_SECONDS = (
    "pass", "help", "git status", "listing", "sha256sum", "plan", "fresh clone", "1 % changed", "one more",
    "validate", "cold plan",
)  # fmt: skip
_NAMES = {
    "pass": "`python -c pass`",
    "help": "`reconciler --help`",
    "git status": "`git status`",
    "listing": "the listing, fetched and parsed",
    "sha256sum": "`find \\| xargs sha256sum`",
    "plan": "**no-op plan, warm**",
    "fresh clone": "**no-op plan, fresh clone with restored cache**",
    "1 % changed": "**plan with 1 % changed**",
    "one more": "**plan with one customer more**",
    "validate": "**validate, warm**",
    "cold plan": "**plan, cold**",
}


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    missed: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", f"| {' | '.join(self.head)} |", f"| --- |{' ---: |' * (len(self.head) - 1)}"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])

    @staticmethod
    def keep(page: Path, section: str, tables: Iterable[Table]) -> None:
        """Put tables into a page, between the comments that name the section."""
        text = page.read_text(encoding="utf-8")
        begin, end = f"<!-- measured: {section} -->", f"<!-- end: {section} -->"
        content = "\n\n".join(str(table) for table in tables)
        kept, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n\n{content}\n\n{end}", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{page} has no section {section}")
        page.write_text(kept, encoding="utf-8")


def scale_tables(measured: Sequence[Measured], machine: str, command: str) -> list[Table]:
    sizes = [f"{one.customers:,} customers" for one in measured]
    ratios = [[target.what, _bound(target), *(target.told(one) for one in measured)] for target in TARGETS]
    missed = tuple(
        f"{target.what} at {one.customers:,} customers: {target.told(one)}, and at most {_bound(target)}"
        for target in TARGETS
        for one in measured
        if target.of(one) and target.value(one) > target.most
    )
    seconds = [[_NAMES[name], *(_seconds(one.taken[name]) for one in measured)] for name in _SECONDS]
    memory = [[_NAMES[name], *(f"{one.peaks[name] / MB:,.0f} MB" for one in measured)] for name in measured[0].peaks]
    growth = [*_growth(measured)]
    return [
        Table(f"Ratios ({machine}; `{command}`)", ["what", "at most", *sizes], ratios, missed),
        Table("Seconds: median, and processor time of all processes", ["what", *sizes], seconds),
        Table("Memory at its peak, all processes", ["what", *sizes], memory),
        *([Table("Growth from one size to the next", ["what", *_steps(measured)], growth)] if growth else []),
    ]


def _growth(measured: Sequence[Measured]) -> Iterable[list[str]]:
    steps = list(itertools.pairwise(measured))
    if not steps:
        return
    yield ["customers", *(f"{b.customers / a.customers:.1f} ×" for a, b in steps)]
    for name in ("plan", "cold plan"):
        yield [f"seconds of {_NAMES[name]}", *(f"{b.seconds(name) / a.seconds(name):.1f} ×" for a, b in steps)]
        each = [(b.peaks[name] - a.peaks[name]) / (b.customers - a.customers) / 1024 for a, b in steps]
        yield [f"memory of {_NAMES[name]}", *(f"{one:.1f} KB a customer" for one in each)]


def _steps(measured: Sequence[Measured]) -> list[str]:
    return [f"{a.customers:,} → {b.customers:,}" for a, b in itertools.pairwise(measured)]


def _bound(target: Target) -> str:
    return f"{target.most:g} {target.unit}"


def _seconds(runs: Sequence[Taken]) -> str:
    return f"{median(runs):.2f} ({median_processor(runs):.2f})"
