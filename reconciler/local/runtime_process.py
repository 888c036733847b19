"""workerd as a child process: its sockets are ours, so that a restart loses no connection that waits to be accepted."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

# A child that outlives a killed parent would keep the port. The pipe ends with the parent, whatever ends it.
_START = '(cat <&{pipe} >/dev/null; kill -9 $$) >/dev/null 2>&1 & exec "$0" "$@" {pipe}<&-'
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """One run of workerd. Its output is read by the caller."""

    def __init__(self, binary: Path, config: Path, sockets: Mapping[str, socket.socket]) -> None:
        reading, self._lifeline = os.pipe()
        try:
            options = [f"--socket-fd={name}={one.fileno()}" for name, one in sorted(sockets.items())]
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _START.format(pipe=reading), binary, "serve", "--experimental", *options, config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[reading, *(one.fileno() for one in sockets.values())],
                cwd=config.parent,
                env={"PATH": os.defpath},
                start_new_session=True,  # Ctrl-C is for the parent, which then ends this in order
                encoding="utf-8",
                errors="replace",
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self.output, self.errors = self._child.stdout, self._child.stderr

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> bool:
        return self._child.poll() is not None

    def kill(self) -> None:
        """End it at once and wait until it is gone. Its output can be read to the end."""
        self._child.kill()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self._child.wait()

    def close(self) -> None:
        """Let go of the output, once it is read to the end."""
        self.output.close()
        self.errors.close()

    def cpu_seconds(self) -> float | None:
        """CPU time used so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS  # utime and stime


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
