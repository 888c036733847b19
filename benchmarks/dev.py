"""How quick `reconciler dev` is: from the command to the first answered request, and from a save to the new answer.

    python -m benchmarks.dev [--rounds 10] [--customers 0] [--target]

Runs the sample platform from a copy, with more customers of one script each where asked for. `--target` exits 1 when a
median misses the project's own target: 1 s from a warm start, 250 ms from a save.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import argparse
import http.client
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_TARGET, SAVE_TARGET = 1.0, 0.25
SCRIPT = "customers/initech/hello.mjs"
TIMEOUT = 60.0


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="reconciler-benchmark-") as folder:
        root = Path(folder)
        _copy(root, asked.customers)
        with _dev(root, _written(root, 0)) as (_, cold):
            pass
        starts = []
        for number in range(max(3, asked.rounds // 2)):
            with _dev(root, _written(root, number + 1)) as (_, warm):
                starts.append(warm)
        with _dev(root, _written(root, 0)) as (port, _):
            time.sleep(1)  # what it does after its first answer is over
            saves = [_save(root, port, number + 1) for number in range(asked.rounds)]
    print(f"first start, empty account     {cold * 1000:7.0f} ms to the first answer")
    print(f"warm start                     {_told(starts)}   target {START_TARGET * 1000:.0f} ms")
    print(f"a save, until it is answered   {_told(saves)}   target {SAVE_TARGET * 1000:.0f} ms")
    missed = statistics.median(starts) > START_TARGET or statistics.median(saves) > SAVE_TARGET
    return int(asked.target and missed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure `reconciler dev`.")
    parser.add_argument("--rounds", type=int, default=10, help="saves that are measured")
    parser.add_argument("--customers", type=int, default=0, help="customers beside those of the sample")
    parser.add_argument("--target", action="store_true", help="exit 1 when a target is missed")
    return parser.parse_args()


def _copy(root: Path, customers: int) -> None:
    shutil.copy(ROOT / "platform.yaml", root)
    for folder in ("platform", "customers"):
        shutil.copytree(ROOT / folder, root / folder)
    for number in range(customers):
        own = root / f"customers/many/extra-{number:05}"
        own.mkdir(parents=True)
        (own / "customer.yaml").write_text(f"tier: basic\nscripts:\n  extra-{number:05}: {{main: main.mjs}}\n")
        (own / "main.mjs").write_text(f"export default {{ fetch: () => new Response('{number}') }};\n")


@contextmanager
def _dev(root: Path, wanted: int) -> Iterator[tuple[int, float]]:
    """The command as a user starts it: its port, and the seconds until it answered as the files say now."""
    port, api_port = _free(), _free()
    command = [sys.executable, "-m", "reconciler", "dev", "-C", str(root), "--port", str(port), "--api-port"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(api_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        _until(lambda: _ask(port) == wanted, process)
        yield port, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT)


def _save(root: Path, port: int, number: int) -> float:
    """Seconds from a save until a request is answered by the new version."""
    began = time.perf_counter()
    wanted = _written(root, number)
    _until(lambda: _ask(port) == wanted)
    return time.perf_counter() - began


def _written(root: Path, number: int) -> int:
    """Another version of a script each time; the status that it answers."""
    status = (201, 203, 207)[number % 3]
    (root / SCRIPT).write_text(f"export default {{ fetch: () => new Response('{number}', {{ status: {status} }}) }};\n")
    return status


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    until = time.perf_counter() + TIMEOUT
    while not true():
        if time.perf_counter() > until or (process is not None and process.poll() is not None):
            sys.exit("`reconciler dev` did not answer")
        time.sleep(0.002)


def _ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/dispatch/hello-world")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _told(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1000:7.0f} ms median, {ordered[-1] * 1000:.0f} ms at most"


if __name__ == "__main__":
    sys.exit(main())
