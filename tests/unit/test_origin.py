"""What is written for others to install names this very reconciler, and nobody's credentials."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from reconciler.origin import UNKNOWN, source

COMMIT = "1" * 40


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        (
            {"url": "https://git.example.com/acme/reconciler.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+https://git.example.com/acme/reconciler.git@{COMMIT}",
        ),
        (
            {"url": "https://me:token@git.example.com/r.git?x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+https://git.example.com/r.git@{COMMIT}",
        ),
        (
            {"url": "https://files.example.com/r.whl", "archive_info": {"hashes": {"sha256": "ab" * 32}}},
            f"https://files.example.com/r.whl#sha256={'ab' * 32}",
        ),
        ({"url": "https://files.example.com/r.whl", "archive_info": {}}, UNKNOWN),
        ({"url": "file:///home/me/reconciler", "dir_info": {"editable": True}}, UNKNOWN),
        ({"url": "file:///home/me/r.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_it_is_what_pip_noted_where_others_can_reach_it(noted: dict[str, object], told: str) -> None:
    assert source(json.dumps(noted)) == told


def test_a_clone_is_named_by_where_it_came_from_and_what_it_stands_at(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        told = subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, encoding="utf-8")
        return told.stdout.strip()

    noted = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    run("init", "-q")
    run("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x")
    assert source(noted) == UNKNOWN
    for url in ("git@git.example.com:acme/reconciler.git", "https://token@git.example.com/acme/reconciler.git"):
        run("config", "remote.origin.url", url)
        assert source(noted) == f"git+https://git.example.com/acme/reconciler.git@{run('rev-parse', 'HEAD')}"
    (tmp_path / "below").mkdir()  # what is installed from there is not what the commit holds at its top
    assert source(json.dumps({"url": (tmp_path / "below").as_uri(), "dir_info": {}})) == UNKNOWN
