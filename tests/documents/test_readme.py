"""The README, typed: every command in it, as a new user would, with the account of the embedded platform."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from reconciler.local.api import LOCAL_TOKEN
from reconciler.local.runtime_binary import find_workerd
from tests.documents import picture
from tests.documents.conftest import ACCOUNT, ROOT, Home, Upload, fill
from tests.documents.session import commands

README = ROOT / "README.md"
TRY, LOOK_AROUND, INSTALL, NEW, TOKENS, IMPORT, LOOK, APPLY, PULL_REQUEST = commands(README)
STAND_INS = {
    "export CLOUDFLARE_ACCOUNT_ID=<account id> CLOUDFLARE_API_TOKEN=<token>": (
        f"export CLOUDFLARE_ACCOUNT_ID={ACCOUNT} CLOUDFLARE_API_TOKEN={LOCAL_TOKEN}"
    )
}


def typed(home: Home, *blocks: tuple[str, ...]) -> str:
    lines = [STAND_INS.get(line, line) for block in blocks for line in block]
    ran = home.type(*lines)
    assert ran.code == 0, ran.printed
    return ran.printed


def test_a_new_platform_comes_to_rest_and_its_first_pull_request_has_a_plan(home: Home) -> None:
    printed = typed(home, NEW, TOKENS, LOOK, APPLY, PULL_REQUEST)
    assert "Applied 3 of 3: 3 created" in printed
    assert "Drift: none" in printed
    assert "globex-hello  new in the repository" in printed.rpartition("plan --base main")[2]


def test_a_namespace_of_other_tools_is_imported_adopted_and_at_rest(home: Home) -> None:
    code = "export default { fetch: () => new Response('hello') };\n"
    terms = {"compatibility_date": "2026-10-01", "limits": {"cpu_ms": 50}}
    names = ("globex-shop", "globex-api", "initech-status")
    fill(home.account, "acme-production", [Upload(name, {"index.mjs": code}, terms) for name in names])
    adopting = "reconciler apply --adopt '*'"
    assert f"`{adopting}`" in README.read_text(encoding="utf-8")
    printed = typed(home, TOKENS, IMPORT, (adopting,), LOOK, APPLY)
    assert "wrote 9 files: 3 scripts of 2 customers" in printed
    assert "Applied 3 of 3" in printed
    assert "Plan: nothing to do" in printed.rpartition("reconciler plan\n")[2]


def test_the_two_commands_are_what_they_say() -> None:
    """`make test` is what runs this; `make demo` is run whole by test_the_demo_tells_its_story."""
    assert TRY == ("make demo", "make test")
    assert "-m tests.demo" in _would_run("demo")
    assert "-m pytest -q" in _would_run("test")


@pytest.mark.deep
def test_the_demo_tells_its_story() -> None:
    """Beside this, .ci/run makes it at every change."""
    done = subprocess.run([sys.executable, "-m", "tests.demo"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "That was the whole job" in done.stdout


def test_dev_runs_the_sample_of_the_clone(home: Home) -> None:
    """Once, on free ports, and on a copy: the clone's own account stays as it is."""
    assert LOOK_AROUND == (".venv/bin/reconciler dev",)
    for name in picture.SAMPLE:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, home.folder / name)
    ran = home.type(f"export RECONCILER_WORKERD={find_workerd(ROOT)}", "reconciler dev --once --port 0 --api-port 0")
    assert ran.code == 0, ran.printed
    assert "12 created" in ran.printed


def test_it_is_installed_as_the_readme_says() -> None:
    """The tests' own `home` is made by the same two steps, from a wheel and without a network."""
    assert INSTALL == (
        "python3 -m venv ~/reconciler-env && . ~/reconciler-env/bin/activate",
        "pip install './reconciler[local]'",
    )


def test_it_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 250


def _would_run(target: str) -> str:
    return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
