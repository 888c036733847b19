"""Patterns of .gitignore, held against git itself."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.load.ignore import NoPattern, ignored, pattern

# Git takes off what stands before the first wildcard and matches the rest alone, so that ".**/?" fits ".a": not ours.
TEXTS = st.text(alphabet="ab*?.[]!-\\", min_size=1, max_size=5).filter(lambda text: "**" not in text)
SEGMENTS = TEXTS | st.sampled_from(["**", "*", "a", "b.map", "[a-c]"])
LINES = st.builds(
    lambda before, parts, after: before + "/".join(parts) + after,
    st.sampled_from(["", "/", "!", "!/"]),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from(["", "/", " "]),
)
PATHS = [
    "/".join(parts)
    for parts in (
        ["a"], ["b"], ["ab"], ["b.map"], ["a", "a"], ["a", "b"], ["a", "b.map"], ["b", "a", "b"], ["ab", "ba", "b.map"],
        ["a", "b", "a", "b"], [".a"], ["a", ".b"], ["-"], ["!a"], ["a]"], ["abab"], ["c", "a.b"],
    )
]  # fmt: skip


def is_pattern(line: str) -> bool:
    try:
        return pattern(line) is not None
    except NoPattern:
        return False


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def git_ignores(folder: Path, lines: list[str]) -> set[str]:
    (folder / ".gitignore").write_text("\n".join(lines) + "\n")
    command = ["git", "check-ignore", "--no-index", "--stdin", "-z"]
    done = subprocess.run(command, cwd=folder, input="\0".join(PATHS).encode(), capture_output=True, check=False)
    return set(done.stdout.decode().split("\0")) - {""}


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(LINES.filter(is_pattern), min_size=1, max_size=4))
def test_git_leaves_out_the_same(git: Path, lines: list[str]) -> None:
    """Of its patterns, less those with a "[" in a "[": git takes [[:alpha:]] for a class of letters."""
    ours = {path for path in PATHS if path in ignored(lines)}
    assert ours == git_ignores(git, lines)


@pytest.mark.parametrize(
    ("line", "out", "kept"),
    [
        ("*.map", ["x.map", "lib/x.map"], ["x.mapped"]),
        ("/drafts/", ["drafts/a", "drafts/b/c"], ["public/drafts/a", "drafts"]),
        ("docs/**/old.html", ["docs/old.html", "docs/a/b/old.html"], ["old.html"]),
        ("#*.css", [], ["#a.css", "a.css"]),
        ("\\#a", ["#a"], ["a"]),
    ],
)
def test_a_line_leaves_out(line: str, out: list[str], kept: list[str]) -> None:
    assert [path for path in [*out, *kept] if path in ignored([line])] == out


def test_what_is_in_a_folder_that_is_left_out_stays_out() -> None:
    assert "a/keep" in ignored(["a/", "!a/keep"])
    assert "a/keep" not in ignored(["a/*", "!a/keep"])


@pytest.mark.parametrize("line", ["!", "/", "a[b", "a\\"])
def test_what_is_no_pattern_is_said(line: str) -> None:
    with pytest.raises(NoPattern):
        pattern(line)


def test_no_pattern_takes_long() -> None:
    lines = ignored(["*a" * 500 + "*b", "**/" * 100 + "*a" * 20 + "*b"])
    started = time.process_time()
    assert "/".join(["a" * 200] * 30) not in lines
    assert time.process_time() - started < 5
