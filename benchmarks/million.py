"""A million scripts: what a plan takes, cold and warm, measured once, beside the least that the machine takes.

    python -m benchmarks.million [--customers 500000] [--folder FOLDER] [--write]

A platform that stands in the folder already is used as it is: to write it takes longer than all the rest.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import account, platforms
from benchmarks.measuring import Taken, machine
from benchmarks.scale import ROOT, Here, serving
from benchmarks.tables import MB, Table

NAMES = {
    "git status": "`git status`",
    "listing": "the listing, fetched and parsed",
    "sha256sum": "`find \\| xargs sha256sum`",
    "cold plan": "**plan, cold**",
    "plan": "**no-op plan, warm**",
    "validate": "**validate, warm**",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure plans of a very large platform, once.")
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, help="where the platform stands, or is written and left")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-million-") as made:
        taken, calls = _measured(asked.folder or Path(made), asked.customers)
    table = _table(asked.customers, taken, calls)
    print(table)
    if asked.write:
        Table.keep(ROOT / "docs/benchmarks.md", "million", [table])


def _measured(folder: Path, customers: int) -> tuple[Mapping[str, Taken], int]:
    root, live = folder / "repository", folder / "account"
    if not root.exists():
        _say(f"writing {customers:,} customers")
        platforms.write(root, customers)
    if not live.exists():
        _say("recording the account")
        account.record(root, live)
    with serving(live) as port:
        here = Here(root, port, folder)
        measures: Mapping[str, Callable[[], Taken]] = {
            "git status": here.git_status,
            "listing": here.listing,
            "sha256sum": here.hashes,
            "cold plan": lambda: here.cold(memory=True),
            "plan": lambda: here.plan(memory=True),
            "validate": lambda: here.command("validate", "--quiet", memory=True),
        }
        here.git_status()  # what it finds out of the files it keeps in its index, for the next one
        taken = {}
        for name, measure in measures.items():
            _say(f"measuring {name}")
            taken[name] = measure()
        return taken, here.calls()


def _table(customers: int, taken: Mapping[str, Taken], calls: int) -> Table:
    least = taken["git status"].seconds + taken["listing"].seconds
    against = {
        "plan": f"{taken['plan'].seconds / least:.2f} × (`git status` + listing)",
        "cold plan": f"{taken['cold plan'].seconds / taken['sha256sum'].seconds:.2f} × `sha256sum`",
        "listing": f"{calls:,} calls in a plan",
    }
    rows = [
        [
            told,
            f"{taken[name].seconds:,.1f}",
            f"{taken[name].processor:,.1f}",
            f"{taken[name].peak / MB:,.0f} MB" if taken[name].peak else "–",
            against.get(name, "–"),
        ]
        for name, told in NAMES.items()
    ]
    scripts = customers * platforms.SCRIPTS_PER_CUSTOMER
    head = ["what", "seconds", "of processor", "memory, all processes", "against"]
    return Table(f"{scripts:,} scripts of {customers:,} customers, one run ({machine()})", head, rows)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
