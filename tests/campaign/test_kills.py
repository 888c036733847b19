"""Processes that are killed, or whose disk is full, at whichever write: to the API, and to the files of ours.

A sample of the kills at writes to the API is in tests/cli.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import killing
from tests.campaign.killing import TORN, VICTIMS, Task
from tests.cli.test_processes import WAIT, Account

MOST_WRITES = 40


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    try:
        yield account
    finally:
        account.stop()


@pytest.mark.deep
@pytest.mark.parametrize("processed_first", [False, True], ids=["before it is processed", "after"])
def test_a_kill_at_any_write_is_made_up_for(tmp_path: Path, processed_first: bool) -> None:
    killed = 0
    for number in range(1, MOST_WRITES):
        account = Account(tmp_path / f"{number}-{processed_first}")
        account.gate.hold(number, processed_first=processed_first)
        process = account.start("apply", "--yes")
        while not account.gate.held.wait(0.05) and process.poll() is None:
            pass
        if process.poll() is not None:
            process.communicate()
            account.stop()
            break
        process.kill()
        process.communicate(timeout=WAIT)
        killed += 1
        account.gate.open.set()
        assert account.run("apply", "--yes")[0] == 0
        code, out, _ = account.run("plan", "--exit-code", "--verify", "all")
        assert code == 0, out
        account.stop()
    assert killed >= 9
    print(f"{killed} kills, all made up for")


@pytest.mark.deep
@pytest.mark.parametrize("bytes_left", [0, 100, 2_000, 9_000, 20_000, 60_000])
def test_a_disk_that_is_full_for_ledger_budget_and_output(account: Account, tmp_path: Path, bytes_left: int) -> None:
    """No file of the process may grow beyond so many bytes: whatever it writes breaks off there."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, bytes_left))

    audit = tmp_path / "audit.jsonl"
    with (tmp_path / "out").open("wb") as out:
        process = account.start("apply", "--yes", "--audit", str(audit), stdout=out, preexec_fn=limited)
        _, err = process.communicate(timeout=WAIT)
        code = process.returncode
    assert code in (0, 1, 7), err
    assert "Traceback" not in err
    if code:
        assert "cannot be written" in err or "of no use" in err
    shutil.rmtree(account.cache)  # a budget that breaks off counts as used up, and nobody waits five minutes here
    assert account.run("apply", "--yes")[0] == 0
    code, shown, _ = account.run("plan", "--exit-code", "--verify", "all")
    assert code == 0, shown
    assert audit.stat().st_size <= bytes_left


def test_a_kill_at_some_writes_to_our_files_among_others_is_made_up_for() -> None:
    every = [Task("applied and changed", victim, TORN, step=5, most=1) for victim in VICTIMS]
    if killing.can_trace():
        every += [Task("applied and changed", "apply", "pwrite64", step=20, most=2)]
    found = list(killing.campaign(every))
    assert [broken for one in found for broken in one.broken] == []
    assert all(one.positions for one in found)


@pytest.mark.deep
@pytest.mark.skipif(not killing.can_trace(), reason="strace is not installed, or may not trace")
def test_a_kill_at_any_write_to_our_files_is_made_up_for() -> None:
    found = list(killing.campaign(killing.tasks()))
    print(killing.told(found))
    assert [broken for one in found for broken in one.broken] == []
    assert sum(one.positions for one in found) >= 500
