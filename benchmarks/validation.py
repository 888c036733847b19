"""How long `reconciler validate` takes, with every check: `python -m benchmarks.validation [customers] [folder]`.

Cold: no cache, every file is read, parsed, checked and hashed. Warm: nothing changed since. Then one customer changed,
and one that is wrong, which has to be told. What is wanted of 100,000 customers on two cores: under 60 s cold and 5 s
warm. A folder that holds the platform already is used as it is; without one it is made, and thrown away.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import platforms

CACHES = ".reconciler"


def main(customers: int, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="reconciler-validation-") as temporary:
        root = folder or Path(temporary) / "platform"
        if not root.exists():
            took = time.perf_counter()
            platforms.write(root, customers)
            tell(f"{customers:,} customers written in {time.perf_counter() - took:.0f} s")
        shutil.rmtree(root / CACHES, ignore_errors=True)
        validate("cold", root, 0)
        validate("warm", root, 0)
        platforms.change(root, [0])
        validate("one customer changed", root, 0)
        wrong = root / f"customers/{platforms.name(1)}/customer.yaml"
        right = wrong.read_text()
        wrong.write_text(right.replace("tier:", "teir:"))
        validate("one customer wrong", root, 1)
        wrong.write_text(right)


def validate(what: str, root: Path, expected: int) -> None:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "reconciler", "validate", "--quiet"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != expected:
        sys.exit(f"{what}: exit {ran.returncode}\n{ran.stdout[:2_000]}{ran.stderr[:2_000]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tell(f"{what:<22} {took:6.1f} s, {cpu:6.1f} s of CPU, largest process so far {after.ru_maxrss // 1024:,} MB")


def tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # what a benchmark is for


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
