"""`apply` on a terminal: it shows the plan, asks, and does what it is told and nothing else."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.cli.terminal import repository, run
from tests.cli.test_processes import WAIT

QUESTION = "Apply this plan? [y/N]: "


def answered(folder: Path, keys: str) -> tuple[int, str]:
    """The exit code, and all that stood on the terminal from the question on."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply", "--local", "--no-color", "-C", str(folder)],
        env={"PATH": os.environ["PATH"], "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_take_the_terminal,
    )
    os.close(theirs)
    said, asked, until = "", False, time.monotonic() + WAIT
    while time.monotonic() < until:
        if not select.select([ours], [], [], 1)[0]:
            continue
        try:
            said += os.read(ours, 65_536).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            break
        if not asked and QUESTION in said:
            asked = True
            os.write(ours, keys.encode())
    os.close(ours)
    return process.wait(WAIT), said.partition(QUESTION)[2].replace("\r", "")


def _take_the_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(("keys", "told"), [("\x03", "interrupted"), ("\x04", "interrupted"), ("n\r", "nothing was")])
def test_anything_but_yes_changes_nothing_and_says_so_in_a_line_of_its_own(
    keys: str, told: str, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "repository")
    code, said = answered(folder, keys)
    assert code == 1
    assert any(line.startswith(told) for line in said.splitlines()[1:]), said
    assert run(folder, "plan", "--local", "--exit-code").code == 3


def test_a_yes_is_a_yes(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    code, said = answered(folder, "perhaps\ry\r")
    assert (code, "Applied 9 of 9" in said) == (0, True)
    assert run(folder, "plan", "--local", "--exit-code").code == 0
