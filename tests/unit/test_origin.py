"""What is written for others to install names this very reconciler, and nobody's credentials."""

from __future__ import annotations

import json

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
