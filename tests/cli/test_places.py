"""Where a run stands: in a folder that is gone, as a user without a home, with variables that hold something else."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.connecting import budget_file
from reconciler.errors import LocalError
from reconciler.local.api import LOCAL_TOKEN
from reconciler.local.runtime_binary import find_workerd
from tests.cli.terminal import repository
from tests.cli.test_commands import commit
from tests.cli.test_processes import WAIT
from tests.scenarios.platform import ACCOUNT

NOBODYS = 54_321  # a user that no machine has an entry of


def ran(
    *words: str, cwd: Path | None = None, become: Callable[[], None] | None = None, **variables: str
) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *words],
        env={"PATH": os.environ["PATH"], **variables},
        cwd=cwd,
        preexec_fn=become,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("words", [("plan", "--local"), ("init",), ("validate",), ("import", "--namespace", "acme")])
def test_the_folder_one_stands_in_may_have_gone_with_a_branch(words: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    code, said = ran(*words, cwd=folder, become=folder.rmdir)
    assert (code, "the folder that you are in is not there any more" in said) == (2, True)


def test_a_folder_that_is_none_is_called_so(tmp_path: Path) -> None:
    code, said = ran("plan", "-C", str(tmp_path / "acme"))
    assert (code, "which is no folder itself" in said) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that there is no entry of")
def test_a_user_that_the_machine_has_no_entry_of_has_no_home_and_no_traceback() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        budget, workerd = pool.apply(_as_nobodys)
    assert budget == Path(f"/.cache/reconciler/budget-{ACCOUNT}")
    assert "workerd" in workerd


def _as_nobodys() -> tuple[Path, str]:
    os.environ.pop("HOME", None)
    os.setuid(NOBODYS)
    try:
        workerd = str(find_workerd(Path("/"), {}))
    except LocalError as error:
        workerd = error.problems[0].what
    return budget_file({}, ACCOUNT), workerd


def test_what_is_no_account_is_told_without_being_shown_or_asked(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    platform = folder / "platform.yaml"
    platform.write_text(platform.read_text(encoding="utf-8").replace(f"account_id: {ACCOUNT}\n", ""), encoding="utf-8")
    for wrong in (LOCAL_TOKEN, f"{ACCOUNT} ", ACCOUNT.upper().replace("0", "A"), "<the account>"):
        code, said = ran(
            "plan", "-C", str(folder), CLOUDFLARE_ACCOUNT_ID=wrong, CLOUDFLARE_API_BASE_URL="http://127.0.0.1:1"
        )
        assert code == 1
        assert "CLOUDFLARE_ACCOUNT_ID is no account's id" in said
        assert "CLOUDFLARE_API_TOKEN is not set" in said
        assert wrong not in said


def test_a_folder_that_cannot_be_written_is_told_by_whoever_writes_there(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    (folder / ".reconciler").write_text("a file where a folder belongs", encoding="utf-8")
    for words in (("dev", "--once"), ("import", "--local", "--customer-name", "(.*)")):
        code, said = ran(*words, "-C", str(folder))
        assert (code, ".reconciler" in said, "fix:" in said) == (1, True, True)
    code, said = ran("schema", str(folder / "platform.yaml" / "below"))
    assert (code, "platform.yaml/below cannot be used" in said) == (1, True)


def test_a_machine_without_room_for_a_commit_s_files_says_so(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    commit(folder, "The platform as it is")
    code, said = ran("plan", "--local", "--at", "HEAD", "-C", str(folder), become=_without_room)
    assert (code, "cannot be" in said) == (1, True)


def _without_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_locale_that_would_misread_names_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    words = ("validate", "-C", str(folder))
    code, said = ran(*words, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (code, "set PYTHONUTF8=1" in said) == (2, True)
    assert ran(*words, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="1")[0] == 0


def test_a_file_that_a_user_names_and_that_cannot_be_read_is_told_with_the_way_out(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    (tmp_path / "latin").write_bytes("GRÖSSE=1".encode("latin-1"))
    for words in (("--env-file", "latin"), ("--env-file", "nowhere"), ("--env-file", ".")):
        code, said = ran("plan", "--local", "-C", str(folder), *words, cwd=tmp_path)
        assert code == 2
        assert "Errno" not in said
    code, said = ran("apply", "--local", "--yes", "--plan", "nowhere", "-C", str(folder), cwd=tmp_path)
    assert (code, "nowhere cannot be read" in said, "fix:" in said, "Errno" in said) == (2, True, True, False)
