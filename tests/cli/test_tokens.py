"""The token and the values of secrets, looked for wherever a process leaves something: logs of the libraries turned on,
crashes, files, and what its own children are told. Real processes, since all of that is the process's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.local.runtime_binary import find_workerd
from tests.cli.terminal import edit, repository, run
from tests.cli.test_processes import ROOT, WAIT, Account

SECRET = "a-value-that-nobody-may-see"
LOUD = """
import logging, sys
logging.basicConfig(level=1, stream=sys.stderr, format="%(name)s %(message)s %(args)s")
logging.getLogger("urllib3").setLevel(1)
"""
# Something of the library breaks in a way that nobody expects: what is shown then is a traceback.
BROKEN = """
import h11
def broken(self, *_):
    raise RuntimeError("planted")
h11.Connection.next_event = broken
"""


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    edit(
        account.folder,
        "customers/globex/customer.yaml",
        "globex-reports: {",
        "globex-reports: {secrets: {KEY: {env: GLOBEX_KEY}}, ",
    )
    try:
        yield account
    finally:
        account.stop()


class Run:
    """One run with the library's own doings changed by a sitecustomize, as a user may for looking into something."""

    def __init__(self, account: Account, place: Path, words: list[str], custom: str, *options: str) -> None:
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(custom, encoding="utf-8")
        self.token = account.environment["CLOUDFLARE_API_TOKEN"]
        environment = {**account.environment, "PYTHONPATH": f"{place}", "GLOBEX_KEY": SECRET}
        self.process = subprocess.Popen(
            [sys.executable, *options, "-m", "reconciler", *words, "-C", str(account.folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def end(self) -> tuple[int, str]:
        """Its exit code, and all that it said, which held neither the token nor a secret."""
        out, err = self.process.communicate(timeout=WAIT)
        for value in (self.token, SECRET):
            assert value not in out + err
        return self.process.returncode, out + err


def test_every_log_turned_on_shows_neither_token_nor_secret(account: Account, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    for words, called in ((["plan", "-vv"], "GET"), (["apply", "--yes", "-vv", "--audit", str(audit)], "PUT")):
        code, said = Run(account, tmp_path / "custom", words, LOUD, "-X", "dev").end()
        assert code == 0, said
        assert re.search(rf"httpcore\.http11 send_request_headers.started request=<Request \[b'{called}'\]>", said)
    left = [path for place in (account.folder, account.cache, audit) for path in (place, *place.rglob("*"))]
    for path in left:
        content = path.read_bytes() if path.is_file() else b""
        assert SECRET.encode() not in content, path
        assert account.environment["CLOUDFLARE_API_TOKEN"].encode() not in content, path


@pytest.mark.parametrize("words", [["plan"], ["apply", "--yes"]], ids=" ".join)
def test_a_crash_shows_neither_token_nor_secret(account: Account, tmp_path: Path, words: list[str]) -> None:
    code, said = Run(account, tmp_path / "custom", words, LOUD + BROKEN, "-X", "dev", "-X", "faulthandler").end()
    assert code == 1
    assert "RuntimeError: planted" in said
    assert account.gate.writes == []


def test_a_process_that_is_aborted_shows_neither_token_nor_secret(account: Account, tmp_path: Path) -> None:
    """What faulthandler shows of every thread in the middle of a call that sends secrets."""
    account.gate.hold(7)
    running = Run(account, tmp_path / "custom", ["apply", "--yes"], LOUD, "-X", "dev", "-X", "faulthandler")
    assert account.gate.held.wait(WAIT)
    running.process.send_signal(signal.SIGABRT)
    code, said = running.end()
    assert code == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert "transport.py" in said


# What its children are told


def listening(place: Path, program: Path) -> Path:
    """A program that writes down what it was told, and then is the one that it stands for."""
    place.mkdir(exist_ok=True)
    path = place / program.name
    path.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$0" "$@"; /usr/bin/env; }} >>{place}/told\nexec {program} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def told(place: Path, variables: Mapping[str, str]) -> str:
    """All that programs there were told, which held none of these values."""
    text = (place / "told").read_text(encoding="utf-8")
    for name, value in variables.items():
        assert value not in text, f"a child was told {name}"
    return text


def test_no_child_is_told_the_token_or_a_secret(tmp_path: Path) -> None:
    folder, place = repository(tmp_path / "repository"), tmp_path / "programs"
    edit(folder, "customers/globex/customer.yaml", "scripts:", "secrets: {KEY: {env: GLOBEX_KEY}}\nscripts:")
    git = shutil.which("git")
    assert git is not None
    kept = {"CLOUDFLARE_API_TOKEN": "t" * 40, "GLOBEX_KEY": SECRET, "RECONCILER_PROXY": "http://n:p@proxy.example"}
    variables = {
        **kept,
        "PATH": f"{listening(place, Path(git)).parent}:{os.environ['PATH']}",
        "RECONCILER_WORKERD": str(listening(place, find_workerd(ROOT))),
    }
    commit = ("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "first")
    for made in (("init", "--quiet"), ("add", "."), commit):
        subprocess.run([git, "-C", str(folder), *made], check=True)
    commands: tuple[tuple[str, ...], ...] = (
        ("validate", "--preflight"),
        ("plan", "--base", "HEAD"),
        ("plan", "--local", "--changed-since", "HEAD"),
        ("apply", "--local", "--yes", "--at", "HEAD"),
        ("doctor", "--local"),
    )
    for words in commands:
        ran = run(folder, *words, variables=variables)
        assert ran.code == 0, ran.err
    children = told(place, kept)
    for word in ("status", "ls-tree", "rev-parse", "--version", "serve"):
        assert f"\n{word}\n" in children


@pytest.mark.deep
def test_the_processes_that_share_the_compiling_are_not_told_either(tmp_path: Path) -> None:
    many = {f"customers/c{n}/customer.yaml": f"scripts:\n  s{n}: {{main: s.mjs}}\n" for n in range(1_000)}
    modules = {f"customers/c{n}/s.mjs": "export default {};\n" for n in range(1_000)}
    platform = "platform: acme\nnamespace: acme-production\nprune: true\n"
    folder = repository(tmp_path / "repository", {"platform.yaml": platform, **many, **modules})
    place = tmp_path / "programs"
    place.mkdir()
    note = f"open({str(place / 'told')!r}, 'a').write(repr((sys.orig_argv, dict(os.environ))))"
    custom = f"import os, sys\n{note}\n"
    (place / "sitecustomize.py").write_text(custom, encoding="utf-8")
    kept = {"CLOUDFLARE_API_TOKEN": "t" * 40, "GLOBEX_KEY": SECRET}
    ran = run(folder, "validate", variables={**kept, "PYTHONPATH": str(place)})
    assert ran.code == 0, ran.err
    assert "reconciler.load.compiling_share" in told(place, kept)
