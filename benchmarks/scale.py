"""From ten customers to a hundred thousand: what a run takes, beside the least that the machine takes for its files.

    python -m benchmarks.scale [--sizes 10,100,1000,10000] [--rounds 5] [--write] [--check]

`make bench` runs it. The measures of one round are taken one after the other and the rounds repeated, so that what
else the machine does falls on all of them. Ratios are what counts. `--write` puts the tables into docs/benchmarks.md,
`--check` exits 1 when a target is missed.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import account, platforms
from benchmarks.measuring import Taken, as_installed, machine, run
from benchmarks.tables import Measured, Table, scale_tables

ROOT = Path(__file__).parent.parent
CACHE = ".reconciler/compiled.sqlite3"
FETCH = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
cursor, rows = "", 0
while True:
    connection.request("GET", f"/client/v4/{sys.argv[2]}/scripts?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
    page = json.loads(connection.getresponse().read())
    rows += len(page["result"])
    cursor = page["result_info"]["cursor"]
    if not cursor:
        break
print(rows)
"""


def main() -> int:
    asked = _arguments()
    measured = [_size(customers, asked.rounds, asked.folder) for customers in asked.sizes]
    tables = scale_tables(measured, machine(), f"make bench SIZES={','.join(map(str, asked.sizes))}")
    print("\n\n".join(str(table) for table in tables))
    if asked.write:
        Table.keep(ROOT / "docs/benchmarks.md", "scale", tables)
    missed = [one for table in tables for one in table.missed]
    for one in missed:
        print(f"missed: {one}", file=sys.stderr)
    return int(asked.check and bool(missed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure plans over platforms of several sizes.")
    parser.add_argument("--sizes", type=_numbers, default=[10, 100, 1000, 10_000], help="customers, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each measure, of which the median is told")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where there is much room")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks.md")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _size(customers: int, rounds: int, folder: Path) -> Measured:
    """Every measure of one size."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{customers}-", dir=folder) as made:
        root, clone, live = Path(made) / "repository", Path(made) / "clone", Path(made) / "account"
        print(f"{customers:,} customers: writing the repository", file=sys.stderr, flush=True)
        platforms.write(root, customers)
        pages = account.record(root, live)
        with serving(live) as port:
            here = Here(root, port, Path(made))
            here.plan()  # fills the cache
            platforms.git(Path(made), "clone", "-q", str(root), str(clone))
            shutil.copytree(root / ".reconciler", clone / ".reconciler")
            taken = _rounds(here, Here(clone, port, Path(made)), customers, rounds)
            calls = here.calls()
            peaks = _peaks(here, customers)
    return Measured(customers, pages, calls, taken, peaks)


class Here:
    """A repository and the account that it is held against."""

    def __init__(self, root: Path, port: int, budgets: Path) -> None:
        self.root, self.port, self.budgets = root, port, budgets
        self.variables = {
            "CLOUDFLARE_API_TOKEN": "bench",
            "CLOUDFLARE_API_BASE_URL": f"http://127.0.0.1:{port}/client/v4",
        }

    def command(self, *words: str, memory: bool = False) -> Taken:
        """A run as the only one of its five minutes: else the request budget would have it wait for those before."""
        with tempfile.TemporaryDirectory(prefix="budget-", dir=self.budgets) as cache:
            variables = {**self.variables, "XDG_CACHE_HOME": cache, **as_installed(Path(cache))}
            return run([sys.executable, "-m", "reconciler", *words], at=self.root, variables=variables, memory=memory)

    def plan(self, *, memory: bool = False) -> Taken:
        return self.command("plan", "--quiet", memory=memory)

    def cold(self, *, memory: bool = False) -> Taken:
        (self.root / CACHE).unlink(missing_ok=True)
        return self.plan(memory=memory)

    def git_status(self) -> Taken:
        return run(["git", "status", "--porcelain"], at=self.root)

    def hashes(self) -> Taken:
        return run(["bash", "-c", "find customers -type f -print0 | xargs -0 sha256sum | tail -1"], at=self.root)

    def listing(self) -> Taken:
        return run([sys.executable, "-c", FETCH, str(self.port), account.NAMESPACE_PATH], at=self.root)

    def calls(self) -> int:
        """The requests of one plan."""
        before = self._counted()
        self.plan()
        return self._counted() - before

    def _counted(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/client/v4/requests") as reply:
            return int(reply.read())


def _rounds(here: Here, clone: Here, customers: int, rounds: int) -> Mapping[str, list[Taken]]:
    taken: dict[str, list[Taken]] = {}

    def measure(name: str, one: Taken) -> None:
        taken.setdefault(name, []).append(one)

    changed = _one_in_a_hundred(customers)
    clone.plan()
    for number in range(rounds):
        print(f"{customers:,} customers: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        measure("pass", run([sys.executable, "-c", "pass"], at=here.root))
        measure("help", here.command("--help"))
        measure("git status", here.git_status())
        measure("listing", here.listing())
        measure("plan", here.plan())
        measure("fresh clone", clone.plan())
        measure("validate", here.command("validate", "--quiet"))
        platforms.change(here.root, changed)
        measure("1 % changed", here.command("plan", "--quiet", "--diff-limit", "0"))
        platforms.git(here.root, "checkout", "-q", "--", "customers")
        added = platforms.add(here.root, customers)
        measure("one more", here.command("plan", "--quiet"))
        shutil.rmtree(added)
        here.plan()
        here.hashes()  # what the machine had let go of comes back from the disk, and is in neither time
        measure("sha256sum", here.hashes())
        measure("cold plan", here.cold())
    return taken


def _peaks(here: Here, customers: int) -> Mapping[str, int]:
    """Bytes, in runs of their own."""
    peaks = {"cold plan": here.cold(memory=True).peak, "plan": here.plan(memory=True).peak}
    platforms.change(here.root, _one_in_a_hundred(customers))
    peaks["1 % changed"] = here.command("plan", "--quiet", "--diff-limit", "0", memory=True).peak
    platforms.git(here.root, "checkout", "-q", "--", "customers")
    platforms.add(here.root, customers)
    peaks["one more"] = here.command("plan", "--quiet", memory=True).peak
    return peaks


def _one_in_a_hundred(customers: int) -> range:
    return range(0, customers, 100)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The recorded account behind a port of this machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.account", str(folder)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
