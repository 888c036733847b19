"""workerd as a child process: its sockets are ours, so that a restart loses no connection that waits to be accepted."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

# A child that outlives a killed parent would keep the port. Standard input ends with the parent, whatever ends it.
# A shell gives a background job no standard input, so it goes by another number, which has to have one digit.
_START = 'exec {n}<&0; (cat <&{n}; kill -9 $$) >/dev/null 2>&1 & exec "$0" "$@" </dev/null {n}<&-'
# Being woken for each line costs both sides more than the lines do; this much later is soon enough for a log.
_GATHER_SECONDS = 0.004
_PIPE_BYTES = 1 << 20  # so that workerd does not wait for us meanwhile
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OWN_BYTES = 600 << 20  # what workerd asks for as it starts, and uses little of
USAGE_KEPT = 12_000  # records: ten minutes of one each 50 ms
# workerd's allocator has its fast path only where glibc leaves restartable sequences to it: a tenth of a request.
_ENVIRONMENT = {"PATH": os.defpath, "GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
_UNKNOWN = 1e12  # milliseconds: where the system does not tell, the clock alone counts


class Process:
    """One run of workerd. Its output is read by the caller."""

    def __init__(self, binary: Path, config: Path, sockets: Mapping[str, socket.socket], *, most_bytes: int) -> None:
        taken = [one.fileno() for one in sockets.values()]
        script = _START.format(n=next(n for n in range(3, 10) if n not in taken))
        options = [f"--socket-fd={name}={one.fileno()}" for name, one in sorted(sockets.items())]
        self._child = subprocess.Popen(
            ["/bin/sh", "-c", script, binary, "serve", "--experimental", *options, config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
            pass_fds=taken,
            cwd=config.parent,
            env=_ENVIRONMENT,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends this in order
        )
        if sys.platform == "linux":  # memory that is only reserved, as V8 does by the terabyte, does not count
            most = _OWN_BYTES + most_bytes
            resource.prlimit(self._child.pid, resource.RLIMIT_DATA, (most, most))
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._lifeline = self._child.stdin
        self._output, self._errors = self._child.stdout, self._child.stderr

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> bool:
        return self._child.poll() is not None

    def drain(self, seconds: float) -> None:
        """Let it answer what it has accepted, and end; for so long at most. Who comes meanwhile waits on the socket."""
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)

    def kill(self) -> None:
        """End it at once and wait until it is gone. Its output can be read to the end."""
        self._child.kill()
        self._lifeline.close()
        self._child.wait()

    def output(self) -> Iterator[str]:
        """The lines of standard output, until the process has ended."""
        return _lines(self._output)

    def errors(self) -> Iterator[str]:
        """The lines of standard error, until the process has ended."""
        return _lines(self._errors)

    def close(self) -> None:
        """Let go of the output, once it is read to the end."""
        self._output.close()
        self._errors.close()

    def cpu_seconds(self) -> float | None:
        """CPU time used so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS  # utime and stime

    def scheduled(self) -> tuple[float, float] | None:
        """Milliseconds that its thread ran, and waited for its turn; None where the system does not tell."""
        try:
            ran, queued, _ = Path(f"/proc/{self._child.pid}/schedstat").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return None
        return int(ran) / 1e6, int(queued) / 1e6

    def resident_bytes(self) -> int:
        """Memory in use; 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self._child.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * _PAGE_BYTES


class Usage:
    """What a process was given of the machine, moment by moment, so that one can ask since when."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._at: deque[float] = deque(maxlen=USAGE_KEPT)  # seconds from 1970
        self._known: deque[tuple[float, float]] = deque(maxlen=USAGE_KEPT)
        self.record()

    def record(self) -> None:
        found = self._process.scheduled()
        if found is not None:
            self._known.append(found)
            self._at.append(time.time())

    def since(self, at: float) -> tuple[float, float]:
        """Milliseconds that it ran and waited for its turn since then, or since the last record before: never too
        little."""
        now = self._process.scheduled()
        if now is None or not self._at:
            return _UNKNOWN, 0
        ran, queued = self._known[max(0, bisect_right(self._at, at) - 1)]
        return now[0] - ran, now[1] - queued


def _lines(stream: IO[bytes]) -> Iterator[str]:
    rest = b""
    while chunk := os.read(stream.fileno(), _PIPE_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
        time.sleep(_GATHER_SECONDS)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 lets the system choose."""
    listening = socket.socket(socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening
