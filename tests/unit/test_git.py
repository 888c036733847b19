"""Git in a folder that came with a .git of its own: what stands in its configuration runs no program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import UsageProblem
from reconciler.load import git

TREE = "customers"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(folder), *words],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_ALLOW_PROTOCOL": "file"},
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / TREE / "acme").mkdir(parents=True)
    _git(folder, "init", "--quiet")
    for number in (1, 2):
        (folder / TREE / "acme/customer.yaml").write_text(f"name: {number}\n")
        _git(folder, "add", ".")
        _git(folder, "commit", "--quiet", "--message", f"number {number}")
    return folder


def _everything(folder: Path, into: Path) -> tuple[str, ...] | None:
    """Each question that is asked of git; what `status` tells."""
    git.head(folder)
    git.remote(folder)
    first = git.commit(folder, "HEAD^")
    git.undone_by(folder, first)
    git.changed_files(folder, first)
    identity = git.tree(folder, TREE)
    git.children(folder, [identity])
    git.write_tree(folder, first, into)
    with git.status(folder, TREE) as status:
        return status.differing()


def test_nothing_that_the_repositorys_configuration_names_is_run(clone: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0" "$@" >>{ran}\nexit 0\n')
    program.chmod(0o755)
    hooks = clone / ".git/hooks"
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (hooks / hook).write_bytes(program.read_bytes())
        (hooks / hook).chmod(0o755)
    included = clone / ".git/more"
    included.write_text(f'[filter "more.over"]\n\tclean = {program}\n\trequired = true\n')
    for key, value in (
        ("filter.evil.clean", str(program)),
        ("filter.evil.process", str(program)),
        ("filter.evil.required", "true"),
        ("diff.evil.textconv", str(program)),
        ("diff.evil.command", str(program)),
        ("diff.external", str(program)),
        ("core.fsmonitor", str(program)),
        ("core.sshCommand", str(program)),
        ("core.pager", str(program)),
        ("core.askPass", str(program)),
        ("credential.helper", f"!{program}"),
        ("gpg.program", str(program)),
        ("log.showSignature", "true"),
        ("alias.status", f"!{program}"),
        ("include.path", str(included)),
    ):
        _git(clone, "config", key, value)
    (clone / ".gitattributes").write_text("*.yaml filter=evil diff=evil\n*.mjs filter=more.over\n")
    (clone / TREE / "acme/x.mjs").write_text("export default {}")
    _git(clone, "-c", "core.fsmonitor=false", "-c", "filter.more.over.clean=", "-c", "filter.more.over.required=false",
         "-c", "filter.evil.process=", "-c", "filter.evil.clean=", "-c", "filter.evil.required=false",
         "-c", "core.hooksPath=/dev/null", "add", ".")  # fmt: skip
    signed = _git(clone, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    (tmp_path / "signed").write_text(f"{signed}\n")
    _git(clone, "update-ref", "HEAD", _git(clone, "hash-object", "-t", "commit", "-w", str(tmp_path / "signed")))
    ran.unlink(missing_ok=True)
    for file in ("customer.yaml", "x.mjs"):  # another size and time: git has to look into them
        with (clone / TREE / "acme" / file).open("a") as open_file:
            open_file.write("# more\n")
    found = _everything(clone, tmp_path / "into")
    assert found is not None and f"{TREE}/acme/customer.yaml" in found
    assert not ran.exists(), ran.read_text()


def test_a_submodules_own_configuration_runs_nothing_either(clone: Path, tmp_path: Path) -> None:
    ran, inner = tmp_path / "ran", tmp_path / "inner"
    inner.mkdir()
    _git(inner, "init", "--quiet")
    _git(inner, "commit", "--quiet", "--allow-empty", "--message", "first")
    _git(clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), f"{TREE}/sub")
    _git(clone, "commit", "--quiet", "--message", "sub")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho >>{ran}\n")
    program.chmod(0o755)
    _git(clone / TREE / "sub", "config", "core.fsmonitor", str(program))
    ran.unlink(missing_ok=True)
    _everything(clone, tmp_path / "into")
    assert not ran.exists()


def test_what_a_partial_clone_lacks_is_not_fetched_by_a_program_of_its_choice(clone: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho >>{ran}\n")
    program.chmod(0o755)
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.url", str(clone)),
        ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", str(program)),
        ("protocol.allow", "always"),
        ("protocol.ext.allow", "always"),
    ):
        _git(clone, "config", key, value)
    lost = _git(clone, "rev-parse", "HEAD^:customers/acme/customer.yaml")
    (clone / ".git/objects" / lost[:2] / lost[2:]).unlink()
    first = git.commit(clone, "HEAD^")
    git.children(clone, [lost])
    git.changed_files(clone, first)
    with pytest.raises(UsageProblem) as caught:
        git.write_tree(clone, first, tmp_path / "into")
    assert caught.value.problems[0].code == "lacking-object"
    assert not ran.exists()


def test_a_commits_subject_cannot_make_a_commit_of_its_own(clone: Path) -> None:
    first = git.commit(clone, "HEAD")
    forged = f"{'0' * 40} forged"
    (clone / TREE / "acme/x.mjs").write_text("export default {}")
    _git(clone, "add", ".")
    _git(clone, "commit", "--quiet", "--message", f"real\x85{forged}\u2028{forged}\x0b{forged}")
    assert len(git.undone_by(clone, first)) == 1


def test_a_folders_name_is_no_pattern(clone: Path, tmp_path: Path) -> None:
    odd = clone / TREE / "[a]*"
    odd.mkdir()
    (odd / "customer.yaml").write_text("name: odd\n")
    _git(clone, "add", ".")
    _git(clone, "commit", "--quiet", "--message", "odd")
    git.write_tree(clone, git.commit(clone, "HEAD"), tmp_path / "into", (f"{TREE}/[a]*",))
    assert [one.name for one in (tmp_path / "into" / TREE).iterdir()] == ["[a]*"]


def test_a_folder_whose_name_ends_in_a_blank_is_known_by_its_changes(tmp_path: Path) -> None:
    root = tmp_path / "all" / " platform "
    (root / TREE).mkdir(parents=True)
    _git(tmp_path / "all", "init", "--quiet")
    (root / TREE / "x").write_text("1")
    _git(tmp_path / "all", "add", ".")
    _git(tmp_path / "all", "commit", "--quiet", "--message", "first")
    (root / TREE / "x").write_text("2")
    with git.status(root, TREE) as status:
        assert status.differing() == (f"{TREE}/x",)
