"""What the wheel holds, and what it does in an environment that has nothing else of ours."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.local.api import LOCAL_TOKEN
from tests.documents.conftest import ACCOUNT, ROOT, Home, environment

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_everything_that_git_has_of_the_package_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "reconciler"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = zipfile.ZipFile(wheel).namelist()
    there = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    assert {name for name in packed if ".dist-info/" not in name} == there


def test_the_version_is_said_in_one_place(home: Home) -> None:
    assert home.type("reconciler --version").printed.splitlines()[1] == f"reconciler {VERSION}"
    assert home.type("python -m reconciler --version").printed.splitlines()[1] == f"reconciler {VERSION}"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] == VERSION


def test_plan_and_apply_need_no_extra_and_the_embedded_platform_says_what_it_needs(
    home: Home, wheel: Path, tmp_path: Path
) -> None:
    lean = replace(home, python=environment(tmp_path / "lean", wheel, without=frozenset({"werkzeug", "watchfiles"})))
    token = f"export CLOUDFLARE_ACCOUNT_ID={ACCOUNT} CLOUDFLARE_API_TOKEN={LOCAL_TOKEN}"
    ran = lean.type(
        token, "reconciler init", "reconciler apply --yes", "reconciler drift", "reconciler plan --format html"
    )
    assert ran.code == 0, ran.printed
    for words in ("plan --local", "dev --once"):
        ran = lean.type(f"reconciler {words}")
        assert ran.code == 1
        assert "error: the embedded platform needs werkzeug and watchfiles" in ran.printed
        assert "Traceback" not in ran.printed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes(home: Home, shell: str) -> None:
    """The scripts that the page of commands names; and what bash asks at a tab."""
    told = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    assert f"{shell}_source" in told
    ran = home.type(f"_RECONCILER_COMPLETE={shell}_source reconciler")
    assert ran.code == 0
    assert "_RECONCILER_COMPLETE" in ran.printed.partition("\n")[2]


def test_a_tab_shows_commands_and_options(home: Home) -> None:
    asked = "COMP_WORDS='reconciler pl' COMP_CWORD=1 _RECONCILER_COMPLETE=bash_complete reconciler"
    assert "plain,plan" in home.type(asked).printed
    options = "COMP_WORDS='reconciler plan --diff' COMP_CWORD=2 _RECONCILER_COMPLETE=bash_complete reconciler"
    assert "plain,--diff-limit" in home.type(options).printed


def test_the_container_is_made_of_what_is_here() -> None:
    """No engine runs here to build it; what its lines name exists, is let through to the build, and is what it is."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    let_through = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists() or f"!{Path(name)}" not in let_through] == []
    (lock,) = re.findall(r"--requirement (\S+)", text)
    assert "--hash=sha256:" in (ROOT / lock).read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["reconciler"]' in text
    assert [base for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if not re.search(r":\d", base)] == []
