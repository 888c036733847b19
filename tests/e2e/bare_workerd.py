"""workerd with a configuration of the test's own: no emulated platform, started in a tenth of a second."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKERS = ROOT / "reconciler/workers"
STARTUP_SECONDS = 20.0  # a cold page cache takes three


@dataclass(frozen=True)
class Running:
    ports: dict[str, int]  # socket name -> port on loopback
    log: Path  # what the Workers wrote to their console

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def workerd(folder: Path, config: str) -> Iterator[Running]:
    """Serve a configuration whose modules lie in the folder; its sockets get free ports of loopback."""
    (folder / "config.capnp").write_text('using Workerd = import "/workerd/workerd.capnp";\n' + config)
    reading, writing = os.pipe()
    log = folder / "workerd.log"
    binary = next(ROOT.glob("node_modules/@cloudflare/workerd-*/bin/workerd"))
    command = [str(binary), "serve", "--experimental", f"--control-fd={writing}", "config.capnp"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, pass_fds=[writing])
    os.close(writing)
    try:
        yield Running(_ports(reading, config.count('address = "127.0.0.1:0"'), log), log)
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def _ports(control: int, expected: int, log: Path) -> dict[str, int]:
    ports: dict[str, int] = {}
    pending = b""
    while len(ports) < expected:
        ready, _, _ = select.select([control], [], [], STARTUP_SECONDS)
        chunk = os.read(control, 65536) if ready else b""
        if not chunk:
            raise RuntimeError(f"workerd did not start:\n{log.read_text()}")
        *lines, pending = (pending + chunk).split(b"\n")
        events = [json.loads(line) for line in lines]
        ports |= {event["socket"]: event["port"] for event in events if event["event"] == "listen"}
    return ports
