"""The fixtures as a team uses them: in a repository of its own, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from reconciler.errors import LocalError
from reconciler.local.runtime_binary import find_workerd
from tests import small_platform


def _workerd() -> str:
    try:
        return str(find_workerd(Path(__file__).parent))
    except LocalError:
        return ""


needs_workerd = pytest.mark.skipif(not _workerd(), reason="workerd is not installed")

RUNS = """
import urllib.request

def test_a_script_answers(reconciler_platform):
    reply = reconciler_platform.get("globex-shop", "/cart", accept="text/html")
    assert (reply.status, reply.text) == (200, "shop <b>1</b>")
    assert reconciler_platform.request("POST", "globex-shop", body="x", host="shop.globex.com").status == 200
    assert urllib.request.urlopen(reconciler_platform.url("hello").replace("hello.localhost", "127.0.0.1")
                                  + "dispatch/hello").read() == b"hello 1"

def test_what_it_did_is_told(reconciler_platform):
    seen = reconciler_platform.events("request", "globex-shop")
    assert [one["method"] for one in seen] == ["GET", "POST"]
    assert seen[0]["customer"] == "globex"

def test_a_change_of_the_files_is_made_live(reconciler_platform, reconciler_root):
    file = reconciler_root / "customers/initech/hello.mjs"
    file.write_text("export default { fetch: () => new Response('hello 2') };")
    reconciler_platform.reconcile()
    assert reconciler_platform.get("hello").text == "hello 2"

def test_only_stand_ins_are_reached(reconciler_platform, reconciler_root):
    (reconciler_root / "customers/globex/api/main.mjs").write_text(
        "export default { fetch: (request) => fetch(new URL(request.url).searchParams.get('to')) };")
    reconciler_platform.reconcile()
    assert reconciler_platform.get("globex-api", "/?to=http://api.example.com/x").text == "stand-in for /x"
    refused = reconciler_platform.get("globex-api", "/?to=http://other.example.com/")
    assert refused.headers["x-reconciler-egress"] == "blocked"
"""
HOSTS = """
import http.server, threading
import pytest

@pytest.fixture(scope="session")
def reconciler_hosts():
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"stand-in for {self.path}".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"api.example.com": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()
"""
ACCOUNT = """
import json, os, subprocess, sys, urllib.request

def test_an_account_is_empty_and_takes_an_apply(reconciler_account, reconciler_root):
    command = [sys.executable, "-m", "reconciler", "apply", "--yes", "-C", str(reconciler_root)]
    environment = {**os.environ, **reconciler_account.environment, "XDG_CACHE_HOME": str(reconciler_root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    url = f"{reconciler_account.base_url}/accounts/{reconciler_account.id}/workers/dispatch/namespaces"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {reconciler_account.token}"})
    (namespace,) = json.load(urllib.request.urlopen(request))["result"]
    assert namespace["script_count"] == 3
"""


def _pytest(root: Path, test: str, conftest: str = "", **environment: str) -> tuple[int, str]:
    (root / "test_it.py").write_text(test)
    (root / "conftest.py").write_text(conftest)
    installed = any(one.value == "reconciler.local.pytest" for one in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "reconciler.local.pytest"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(root),
        *plugin,
        str(root),
    ]
    given = {**os.environ, "RECONCILER_WORKERD": _workerd(), **environment}
    done = subprocess.run(command, cwd=root, env=given, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@needs_workerd
def test_a_teams_tests_run_against_its_platform(tmp_path: Path) -> None:
    code, printed = _pytest(small_platform.write(tmp_path), RUNS, HOSTS)
    assert code == 0, printed
    assert not (tmp_path / ".reconciler").exists()  # the developer's own local account is not touched


def test_a_teams_tests_have_an_account(tmp_path: Path) -> None:
    code, printed = _pytest(small_platform.write(tmp_path), ACCOUNT)
    assert code == 0, printed


@needs_workerd
def test_problems_of_the_repository_fail_with_their_place(tmp_path: Path) -> None:
    small_platform.write(tmp_path)
    (tmp_path / "customers/initech/customer.yaml").write_text("tier: golden\nscripts: {}\n")
    code, printed = _pytest(tmp_path, "def test_it(reconciler_platform): pass\n")
    assert code == 1
    assert "customers/initech/customer.yaml:1:7: error: there is no tier" in printed
    assert "Traceback" not in printed


def test_without_a_runtime_the_platform_says_how_to_get_it(tmp_path: Path) -> None:
    test = "def test_it(reconciler_platform): pass\n"
    code, printed = _pytest(small_platform.write(tmp_path), test, RECONCILER_WORKERD=str(tmp_path / "nothing"))
    assert code == 1
    assert "npm install --no-save workerd@" in printed


def test_pytest_starts_no_slower_for_it() -> None:
    heavy = "{'httpx', 'yaml', 'werkzeug', 'reconciler.load.config', 'reconciler.local.store', 'sqlite3'}"
    plugin = "reconciler.local.pytest, reconciler.dev.pytest_plugin"
    check = f"import pytest, sys; import {plugin}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
