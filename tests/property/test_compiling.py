"""What comes out of the cache is what compiling every folder gives, whatever happened to the folders meanwhile."""

from __future__ import annotations

import datetime
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import ConfigError
from reconciler.load import compiled, compiling, config, customer_file, files, platform_file
from reconciler.load.repository import Repository
from tests.cli.test_cache import with_right_sums

PLATFORM = "platform: acme\nnamespace: n\nprune: true\ntiers: {basic: {limits: {cpu_ms: 10}}}\n"
MODULE = "export default { fetch() { return new Response('hi'); } };\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compiling, "UNFOLDED_AT_ONCE", 3)  # so that few folders are several times that
    (tmp_path / "platform.yaml").write_text(PLATFORM)
    (tmp_path / ".gitignore").write_text(".reconciler/\n*.log.mjs\n")
    for number in range(8):
        add_customer(tmp_path, f"customers/{'deep/' if number % 2 else ''}c{number}")
    return tmp_path


def add_customer(root: Path, path: str) -> None:
    folder = root / path
    folder.mkdir(parents=True)
    name = folder.name
    script = f"{{main: shop.mjs, modules: ['*.mjs'], hostnames: [{name}.example.com]}}"
    text = f"tier: basic\nscripts:\n  {name}-shop: {script}\n"
    (folder / "customer.yaml").write_text(text)
    (folder / "shop.mjs").write_text(MODULE)


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, capture_output=True)


def loaded(root: Path, kept: Path | None) -> tuple[object, object]:
    """Everything that a load tells, problems included."""
    try:
        repository = config.load(root, variables={}, kept=kept)
    except ConfigError as error:
        return None, error.problems
    return dict(repository.customers), repository.warnings


def edit(root: Path, choice: random.Random) -> None:
    """One of the things that happen to a work tree."""
    folders = sorted(one.parent for one in (root / "customers").rglob("customer.yaml"))
    folder = choice.choice(folders)
    match choice.randrange(9):
        case 0:
            (folder / "shop.mjs").write_text(f"{MODULE}// {choice.random()}\n")
        case 1:
            shutil.rmtree(folder)
        case 2:
            add_customer(root, f"customers/new{choice.randrange(10**9)}")
        case 3:
            (folder / f"more{choice.randrange(10**9)}.mjs").write_text(MODULE)
        case 4:
            (folder / f"ignored{choice.randrange(10**9)}.log.mjs").write_text(MODULE)
        case 5:
            (folder / "customer.yaml").write_text("scripts: {broken\n")
        case 6:
            (folder / f"link{choice.randrange(10**9)}.mjs").symlink_to(folder / "shop.mjs")
        case 7:
            (root / "platform.yaml").write_text(f"{PLATFORM}defaults: {{vars: {{N: '{choice.random()}'}}}}\n")
        case _:
            (folder.parent / "customers.yml").write_text("a: 1\n")


@pytest.mark.parametrize("in_git", [True, False], ids=["git", "no git"])
@pytest.mark.parametrize("seed", range(4))
def test_the_cache_never_changes_what_is_loaded(root: Path, seed: int, in_git: bool) -> None:
    choice, kept = random.Random(seed), root / ".reconciler/compiled.sqlite3"
    if in_git:
        git(root, "init", "-q")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "x")
    for _ in range(4):
        assert loaded(root, kept) == loaded(root, None)
        assert loaded(root, kept) == loaded(root, None), "the second load takes what the first one kept"
        edit(root, choice)
        if in_git and choice.random() < 0.4:
            git(root, "add", "-A")
            if choice.random() < 0.5:
                git(root, "commit", "-qm", "y", "--allow-empty")


def test_a_damaged_cache_costs_time_and_nothing_else(root: Path) -> None:
    kept = root / ".reconciler/compiled.sqlite3"
    before = loaded(root, kept)
    for column in ("rest", "digests"):
        for value in ("'[1, 2]'", "'no JSON'", "'{}'", "x'ff'", "1", "'[' || char(0xd800)"):
            with sqlite3.connect(kept) as database:
                database.execute(f"UPDATE compiled SET {column} = {value}")
                with_right_sums(database)
            database.close()
            assert loaded(root, kept) == before, (column, value)
            kept.unlink()
            loaded(root, kept)
    kept.write_bytes(b"no database at all" * 100)
    assert loaded(root, kept) == before


def test_a_warm_load_compiles_only_what_changed(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    kept = root / ".reconciler/compiled.sqlite3"
    loaded(root, kept)
    changed = root / "customers/c0/shop.mjs"
    changed.write_text(f"{MODULE}// changed\n")
    unread = root / "customers/c2/customer.yaml"
    unread.chmod(0)  # root reads it all the same; what counts is that the result is right
    try:
        repository = config.load(root, variables={}, kept=kept)
    finally:
        unread.chmod(0o644)
    assert isinstance(repository, Repository)
    assert repository.script("c0-shop").digest != repository.script("c2-shop").digest


def test_what_many_processes_compile_and_send_as_text_is_what_one_folder_compiles_to(root: Path) -> None:
    """Every field of a customer comes back from its row, and the terms cross to another process with their places."""
    full = """\
name: Zoë's "shop" \\ Söhne
tier: basic
tags: [eu]
suspended: true
scripts:
  full-shop:
    main: shop.mjs
    hostnames: [full.example.com, www.full.example.com]
    protect: true
    previously: [full-store]
    secrets: {API_KEY: {env: FULL_KEY, version: 2}}
    limits: {cpu_ms: 7, subrequests: 3}
    bindings: {CACHE: {type: kv_namespace, namespace_id: "0123456789abcdef0123456789abcdef"}}
  full-pages: {assets: {directory: public}}
"""
    add_customer(root, "customers/full")
    (root / "customers/full/customer.yaml").write_text(full)
    (root / "customers/full/public").mkdir()
    (root / "customers/full/public/index.html").write_text("<h1>hi</h1>")
    for number in range(compiling.SPREAD_FROM):
        add_customer(root, f"customers/many/m{number:04}")
    add_customer(root, "customers/m-wrong")
    (root / "customers/m-wrong/customer.yaml").write_text("tier: gold\nscripts: {}\n")
    loaded_terms = platform_file.load(root, "", {}, datetime.date.today()).terms  # noqa: DTZ011 - any day will do
    assert loaded_terms is not None
    found = compiling.compile_all(root, "customers", loaded_terms, None)
    folders = files.customers(root).customers
    alone = {one.path: customer_file.compile_folder(one, loaded_terms) for one in folders}
    assert {row.path: compiled.decoded(row) for row in found.rows} == {
        path: one.customer for path, one in alone.items() if one.customer is not None
    }
    assert found.problems == tuple(problem for path in sorted(alone) for problem in alone[path].problems)
    assert found.problems


def test_a_share_that_breaks_off_is_an_error_and_never_fewer_customers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = platform_file.load(root, "", {}, datetime.date.today()).terms  # noqa: DTZ011 - any day will do
    assert terms is not None
    monkeypatch.setattr(compiling, "SPREAD_FROM", 1)
    found = compiling.compile_all(root, "customers", terms, None)
    assert len(found.rows) == 8
    ends_early = root / "python"
    for ending in (
        "pickle.dump({}, sys.stdout.buffer)",
        "sys.stdout.buffer.write(pickle.dumps({'a': 1})[:-3])",
        "pass",
    ):
        ends_early.write_text(f"#!{sys.executable}\nimport pickle, sys\nsys.stdin.buffer.read()\n{ending}\n")
        ends_early.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setattr("sys.executable", str(ends_early))
            with pytest.raises(ChildProcessError):
                compiling.compile_all(root, "customers", terms, None)
