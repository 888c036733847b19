"""A wait of minutes is seen: a countdown on a terminal, a line a minute in a log."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from reconciler.cli.terminal import Terminal
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.faults import Fault, Faults, Kind
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import redirected, repository
from tests.scenarios.platform import ACCOUNT

WHY = "Cloudflare asked to wait (429)"


def test_in_a_log_a_wait_is_told_at_its_start_and_once_a_minute_however_many_wait() -> None:
    now, err = [1_000.0], io.StringIO()
    terminal = Terminal(clock=lambda: now[0])
    with redirected(io.StringIO(), err):
        for left in range(300, 0, -1):
            for _ in range(8):
                terminal.waiting(left, WHY)
            now[0] += 1
    told = [f"waiting {left} min: {WHY}" for left in ("5:00", "4:00", "3:00", "2:00", "1:00")]
    assert err.getvalue().splitlines() == told


def test_turns_of_the_budget_make_no_noise() -> None:
    """At four requests a second every one waits a little, for hours."""
    now, err = [1_000.0], io.StringIO()
    terminal = Terminal(clock=lambda: now[0])
    with redirected(io.StringIO(), err):
        for _ in range(1_200):
            terminal.waiting(2.0, "the request budget")
            now[0] += 0.25
    assert len(err.getvalue().splitlines()) == 5


def test_hours_are_told_as_hours() -> None:
    err = io.StringIO()
    with redirected(io.StringIO(), err):
        Terminal().waiting(3_899, WHY)
    assert err.getvalue() == f"waiting 1:04:59 h: {WHY}\n"


def test_on_a_terminal_it_counts_down_and_goes_on(tmp_path: Path) -> None:
    folder, store = repository(tmp_path / "repository"), Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    faults = Faults([Fault(Kind.RATE_LIMITED, times=1, seconds=3)])
    ours, theirs = pty.openpty()
    with Server(create_app(store, faults=faults)) as server:
        environment = {
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        words = [sys.executable, "-m", "reconciler", "plan", "--exit-code", "-C", str(folder)]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
            os.close(theirs)
            code = process.wait(60)
    seen = os.read(ours, 65_536).decode()
    os.close(ours)
    store.close()
    assert code == 3
    assert re.findall(r"waiting (\d) s: Cloudflare asked to wait", seen) == ["3", "2", "1"]
