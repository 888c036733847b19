"""A damaged file of ours is noticed and made anew: the emulated account from what can be read of it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from reconciler.cli.loading import COMPILED, LEDGER, LOCAL_FOLDER
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.database import DOUBT, FILE_NAME
from reconciler.local.records import KvPair, StoredScript
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import Ran, edit, repository, run, upload
from tests.scenarios.platform import ACCOUNT

NAMESPACE = "acme-production"
STRANGERS = 40
PAGE = 4096


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A platform that is applied, and scripts of others beside it: all that only the account knows."""
    folder = repository(tmp_path_factory.mktemp("damage") / "repository")
    edit(folder, "customers/globex/customer.yaml", "shop.globex.com]", "shop.globex.com], secrets: {KEY: {env: KEY}}")
    ran = run(folder, "apply", "--local", "--yes", variables={"KEY": "value"})
    assert ran.code == 0, ran.err
    for number in range(STRANGERS):
        upload(folder, _stranger(number), f"export default {{}};  // {'long ' * 50 * number}\n")
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        namespace = store.kv.create_namespace("of-a-script")
        assert namespace is not None
        store.kv.put(namespace.id, [KvPair("key", b"value")])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "repository")


def _stranger(number: int) -> str:
    return f"dispatch/namespaces/{NAMESPACE}/scripts/stranger-{number}"


def account(folder: Path) -> Path:
    return folder / LOCAL_FOLDER / FILE_NAME


def strangers(folder: Path) -> dict[str, StoredScript]:
    """What nobody can bring back but who uploaded it, with all of it."""
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        names = [row.name for row in store.rows(NAMESPACE) if row.name.startswith("stranger-")]
        found = [store.script(NAMESPACE, name) for name in names]
    return {script.name: replace(script, modified_on="") for script in found if script}


def until_whole(folder: Path) -> list[Ran]:
    """Runs as a user makes them: look, look again where it failed, apply."""
    ran = [run(folder, "plan", "--local", "--verify", "all")]
    while ran[-1].code != 0 and len(ran) < 3:
        ran.append(run(folder, "plan", "--local", "--verify", "all"))
    ran.append(run(folder, "apply", "--local", "--yes", variables={"KEY": "value"}))
    ran.append(run(folder, "plan", "--local", "--exit-code", "--verify", "all"))
    assert all("Traceback" not in one.out + one.err for one in ran)
    assert [one.code for one in ran[-2:]] == [0, 0], [one.err for one in ran]
    return ran


def kept(folder: Path) -> list[Path]:
    return sorted((folder / LOCAL_FOLDER).glob("account.damaged-*.sqlite3"))


def overwrite(file: Path, page: int) -> None:
    content = bytearray(file.read_bytes())
    content[page * PAGE : (page + 1) * PAGE] = random.Random(page).randbytes(PAGE)
    file.write_bytes(content)


def page_of(file: Path, text: bytes) -> int:
    return file.read_bytes().index(text) // PAGE


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no database": lambda file: file.write_bytes(b"no database, but long enough to be looked at" * 200),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "its first page": lambda file: overwrite(file, 0),
    "no tables": lambda file: _sql(file, "DROP TABLE scripts; DROP TABLE zones"),
    "another's tables": lambda file: _sql(file, "DROP TABLE scripts; CREATE TABLE scripts (name TEXT)"),
    "a row that is none": lambda file: _sql(file, "UPDATE scripts SET metadata = '{' WHERE name = 'globex-shop'"),
}


def _sql(file: Path, statements: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.executescript(statements)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_account_is_made_anew_and_the_damaged_one_is_kept(
    folder: Path, damage: Callable[[Path], object]
) -> None:
    before = strangers(folder)
    damage(account(folder))
    damaged = account(folder).read_bytes()
    ran = until_whole(folder)
    told = "".join(one.err for one in ran)
    assert "was damaged, and is made anew from what could be read" in told
    (aside,) = kept(folder)
    assert aside.read_bytes() == damaged
    assert f"The damaged file is {aside.name}" in told
    after = strangers(folder)
    assert after == {one: before[one] for one in after}, "what came over is what it was"


HELD = {"code": b"// " + b"long " * 250 + b"\n", "rows": b"stranger-20", "secrets": b'{"type": "secret_text"'}


@pytest.mark.parametrize("what", HELD.values(), ids=HELD)
def test_what_can_be_read_of_a_damaged_account_comes_over_whole(folder: Path, what: bytes) -> None:
    """One page is overwritten: what it held is gone, and what is left is as it was."""
    before = strangers(folder)
    overwrite(account(folder), page_of(account(folder), what))
    (folder / LOCAL_FOLDER / DOUBT).touch()
    until_whole(folder)
    after = strangers(folder)
    assert after == {one: before[one] for one in after}
    assert len(after) > STRANGERS // 2
    with closing(Store(folder / LOCAL_FOLDER)) as store:
        shop = store.script(NAMESPACE, "globex-shop")
        assert shop is not None
        assert shop.secrets == {"KEY": {"type": "secret_text", "text": "value"}}
        assert store.kv.get(store.kv.namespaces()[0].id, "key") == KvPair("key", b"value")


def test_an_account_whose_first_page_is_gone_loses_nothing(folder: Path) -> None:
    """It tells where each table begins, which is the same in every account."""
    before = strangers(folder)
    overwrite(account(folder), 0)
    assert "46 of 46 scripts came over whole" in run(folder, "plan", "--local", "--exit-code").err
    assert strangers(folder) == before
    with closing(sqlite3.connect(account(folder))) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_damage_that_is_met_in_a_run_is_told_and_mended_by_the_next(folder: Path) -> None:
    overwrite(account(folder), page_of(account(folder), HELD["code"]))
    with closing(Store(folder / LOCAL_FOLDER)) as store, Server(create_app(store)) as server:
        headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
        address = f"{server.url}{PREFIX}/accounts/{ACCOUNT}/workers/{_stranger(5)}/content"
        reply = httpx.get(address, headers=headers, trust_env=False)
    assert reply.status_code == 500
    assert "disk image is malformed; run again: what can be read of it is" in reply.json()["errors"][0]["message"]
    assert "was damaged, and is made anew" in run(folder, "plan", "--local").err
    assert kept(folder)
    assert run(folder, "plan", "--local").err == ""


def test_an_account_that_was_doubted_for_nothing_stays(folder: Path) -> None:
    before = account(folder).read_bytes()
    (folder / LOCAL_FOLDER / DOUBT).touch()
    assert run(folder, "plan", "--local", "--exit-code").err == ""
    assert account(folder).read_bytes() == before
    assert kept(folder) == []
    assert not (folder / LOCAL_FOLDER / DOUBT).exists()


def test_an_account_that_others_use_is_not_taken_from_them(folder: Path) -> None:
    script = "import sys; from pathlib import Path; from reconciler.local.store import Store\n"
    script += "store = Store(Path(sys.argv[1])); print(flush=True); input()"
    words = [sys.executable, "-c", script, str(folder / LOCAL_FOLDER)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        overwrite(account(folder), 0)
        ran = run(folder, "plan", "--local")
        assert (ran.code, kept(folder)) == (1, [])
        assert "is damaged, and another process uses it" in ran.err
        other.communicate(b"\n")
    until_whole(folder)


def test_a_log_without_its_database_is_no_account(folder: Path) -> None:
    log = Path(f"{account(folder)}-wal")
    with closing(sqlite3.connect(account(folder))) as database:
        database.execute("UPDATE scripts SET tags = '[]'")
        database.commit()
        held = log.read_bytes()
    assert held
    account(folder).unlink()
    log.write_bytes(held)
    until_whole(folder)
    assert strangers(folder) == {}


@pytest.mark.parametrize("empty", [True, False], ids=["an empty file", "no file"])
def test_an_account_that_is_not_there_is_a_new_one(folder: Path, empty: bool) -> None:
    account(folder).unlink()
    if empty:
        account(folder).touch()
    until_whole(folder)


def test_a_folder_in_its_place_is_told(folder: Path) -> None:
    account(folder).unlink()
    account(folder).mkdir()
    ran = run(folder, "plan", "--local")
    assert (ran.code, ran.out) == (1, "")
    assert "  why: unable to open database file\n  fix: see to what stands in the way and run again" in ran.err


@pytest.mark.deep
def test_any_page_of_an_account_may_be_overwritten(made: Path, tmp_path: Path) -> None:
    pages = account(made).stat().st_size // PAGE
    came = 0
    for page in range(pages):
        folder = shutil.copytree(made, tmp_path / str(page))
        before = strangers(folder)
        overwrite(account(folder), page)
        until_whole(folder)
        (folder / LOCAL_FOLDER / DOUBT).touch()  # what no run has met is found when all of it is looked at
        until_whole(folder)
        after = strangers(folder)
        assert after == {one: before[one] for one in after}
        came += len(after)
        shutil.rmtree(folder)
    print(f"{pages} pages, all made up for; {came / pages:.1f} of {STRANGERS} scripts of others came over on average")


# The cache of compiled customers and the ledger, which hold nothing that cannot be made again


def _a_folder_instead(file: Path) -> None:
    file.unlink()
    (file / "in-it").mkdir(parents=True)


CACHES: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:6_000]),
    "an overwritten page": lambda file: overwrite(file, 2),
    "its first page overwritten": lambda file: overwrite(file, 0),
    "an empty file": lambda file: file.write_bytes(b""),
    "another version": lambda file: _sql(file, "PRAGMA user_version = 99"),
    "no file, and its log": lambda file: (file.rename(f"{file}-wal"), None),
    "a journal of another": lambda file: Path(f"{file}-journal").write_bytes(file.read_bytes()),
    "a folder": _a_folder_instead,
}


def test_a_disk_that_gives_back_other_bytes_does_not_spoil_a_plan(folder: Path) -> None:
    """Rows that can be read, and are not what was written: a digit of a digest, a letter of a hostname."""
    run(folder, "plan", "--local")
    with closing(sqlite3.connect(folder / COMPILED)) as database:
        (digests,) = database.execute("SELECT digests FROM compiled WHERE path LIKE '%globex'").fetchone()
    first = str(next(iter(json.loads(digests).values()))).encode()
    other = first[:-1] + (b"0" if first[-1:] != b"0" else b"1")
    content = (folder / COMPILED).read_bytes()
    assert first in content
    assert b"shop.globex.com" in content
    changed = content.replace(first, other).replace(b"shop.globex.com", b"shop.globex.con")
    (folder / COMPILED).write_bytes(changed)
    assert run(folder, "plan", "--local", "--exit-code").code == 0
    assert first in (folder / COMPILED).read_bytes(), "and the cache says it right again"


# What else befalls the ledger is in tests/unit/test_ledger.py.
DAMAGED = [(COMPILED, name) for name in CACHES] + [(LEDGER, "no file, and its log"), (LEDGER, "a journal of another")]


@pytest.mark.parametrize(("cache", "how"), DAMAGED, ids=[f"{cache.stem}, {how}" for cache, how in DAMAGED])
def test_a_damaged_cache_changes_nothing(folder: Path, cache: Path, how: str) -> None:
    run(folder, "plan", "--local")
    CACHES[how](folder / cache)
    edit(folder, "customers/globex/shop.mjs", "hello", "hi")
    assert run(folder, "plan", "--local", "--exit-code").code == 3
    assert run(folder, "apply", "--local", "--yes", variables={"KEY": "value"}).code == 0
    ran = run(folder, "plan", "--local", "--exit-code", "--verify", "all")
    assert ran.code == 0
    if (folder / cache).is_dir():
        return
    assert ran.err == ""
    with closing(sqlite3.connect(folder / cache)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        table = "compiled" if cache == COMPILED else "entry"
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= 1
