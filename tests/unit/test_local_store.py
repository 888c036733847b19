"""The emulated account keeps whole writes only, whoever writes and whenever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import LocalError
from reconciler.local.records import Asset, AssetFile, KvPair, StoredModule, StoredScript, Syntax
from reconciler.local.store import ORDINARY, Store

NOW = "2026-11-24T00:00:00.000000Z"
SCRIPT = StoredScript(
    namespace="",
    name="",
    id="",
    etag="e" * 64,
    revision=0,
    created_on=NOW,
    modified_on=NOW,
    main="main.mjs",
    syntax=Syntax.MODULES,
    version_id="",
    deployed_from="api",
    handlers=("fetch",),
    has_assets=False,
    tags=("acme",),
    metadata={"bindings": [{"type": "plain_text", "name": "A", "text": "x"}]},
    modules=(StoredModule("main.mjs", "application/javascript+module", b"export default {}"),),
    secrets={"KEY": {"type": "secret_text", "text": "s3cret"}},
    assets={"/index.html": AssetFile("0" * 32, 3)},
)
WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from reconciler.local.store import Store
from reconciler.local.records import StoredModule
from tests.unit.test_local_store import SCRIPT

store = Store(Path(sys.argv[1]))
for number in range(100_000):
    parts = tuple(StoredModule(f"{n}.mjs", "text/plain", b"%d" % number * 2000) for n in range(4))
    store.change_script("ns", "script", lambda old: replace(SCRIPT, etag=str(number), modules=parts))
    print(number, flush=True)
"""


def write(store: Store, namespace: str, name: str, script: StoredScript = SCRIPT) -> StoredScript:
    return store.change_script(namespace, name, lambda _: script)


def test_a_script_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written = write(store, "ns", "shop")
    assert store.script("ns", "shop") == written
    assert (written.namespace, written.name, written.modules, written.secrets) == (
        "ns",
        "shop",
        SCRIPT.modules,
        SCRIPT.secrets,
    )
    assert store.script(ORDINARY, "shop") is None


def test_the_identity_stays_and_the_revision_moves_with_each_write(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = write(store, "ns", "shop"), write(store, "ns", "shop")
    assert first.id == second.id and first.revision < second.revision and first.version_id != second.version_id


def test_a_secret_is_not_in_the_text_of_a_script(tmp_path: Path) -> None:
    assert "s3cret" not in repr(write(Store(tmp_path), "ns", "shop"))


def test_an_exception_in_a_change_leaves_the_script_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = write(store, "ns", "shop")

    def fail(_: StoredScript | None) -> StoredScript:
        raise ValueError

    with pytest.raises(ValueError):
        store.change_script("ns", "shop", fail)
    assert store.script("ns", "shop") == before


def test_scripts_are_found_by_tags_that_they_have_and_have_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, tags in (("a", ("x",)), ("b", ("x", "y")), ("c", None)):
        write(store, "ns", name, replace(SCRIPT, tags=tags))
    found = {
        query: [row.name for row in store.rows("ns", tags=tags)]
        for query, tags in (("x", {"x": True}), ("x not y", {"x": True, "y": False}), ("not x", {"x": False}))
    }
    assert found == {"x": ["a", "b"], "x not y": ["a"], "not x": ["c"]}


def test_a_renamed_namespace_keeps_everything_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create_namespace("old")
    before = write(store, "old", "shop")
    store.put_assets("old", {"0" * 32: Asset("text/html", b"<p>")})
    store.change_namespace("old", new_name="new", trusted=True)
    assert store.script("new", "shop") == replace(before, namespace="new")
    assert store.known_assets("new", ["0" * 32]) == {"0" * 32}
    assert not store.has_namespace("old")


def test_a_deleted_namespace_takes_its_scripts_along(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create_namespace("ns")
    write(store, "ns", "shop")
    write(store, ORDINARY, "shop")
    store.delete_namespace("ns")
    store.create_namespace("ns")
    assert store.rows("ns") == []
    assert store.row(ORDINARY, "shop") is not None


def test_the_workers_that_call_a_worker_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    service = {"type": "service", "name": "S", "service": "guard"}
    outbound = {"type": "dispatch_namespace", "name": "D", "outbound": {"worker": {"service": "guard"}}}
    write(store, "ns", "shop", replace(SCRIPT, metadata={"bindings": [service]}))
    write(store, ORDINARY, "dispatcher", replace(SCRIPT, metadata={"bindings": [outbound]}))
    write(store, ORDINARY, "guard", replace(SCRIPT, metadata={"bindings": [service]}))
    write(store, ORDINARY, "other", replace(SCRIPT, metadata={}))
    assert store.referrers("guard") == [("", "dispatcher"), ("ns", "shop")]


def test_a_kv_pair_that_has_expired_is_gone(tmp_path: Path) -> None:
    now = [1000.0]
    store = Store(tmp_path, clock=lambda: now[0])
    store.kv.put("id", [KvPair("a", b"1", expires=1060), KvPair("b", b"2", metadata={"n": 1})])
    now[0] = 1060
    assert store.kv.get("id", "a") is None
    assert [key.name for key in store.kv.keys("id")] == ["b"]


def test_kv_keys_are_listed_by_their_bytes_and_prefix(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.kv.put("id", [KvPair(key, b"") for key in ("é", "z", "v1/b", "v1/a", "v1_", "v2/a")])
    assert [key.name for key in store.kv.keys("id")] == ["v1/a", "v1/b", "v1_", "v2/a", "z", "é"]
    assert [key.name for key in store.kv.keys("id", prefix="v1/", after="v1/a")] == ["v1/b"]


def test_the_same_calls_give_the_same_identities(tmp_path: Path) -> None:
    first, second = (Store(tmp_path / name, clock=lambda: 0.0) for name in ("one", "two"))
    for store in (first, second):
        store.create_namespace("ns")
        write(store, "ns", "shop")
    assert first.namespaces() == second.namespaces()
    assert first.script("ns", "shop") == second.script("ns", "shop")


def test_threads_write_side_by_side(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def work(thread: int) -> None:
        for number in range(20):
            write(store, "ns", f"{thread}-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.rows("ns")) == 160
    assert len({row.revision for row in store.rows("ns")}) == 160


def test_a_process_killed_while_it_writes_leaves_whole_scripts(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05)
        os.kill(writer.pid, signal.SIGKILL)
        seen = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        script = Store(tmp_path).script("ns", "script")
        assert script is not None
        assert {module.content for module in script.modules} == {script.etag.encode() * 2000}
        assert not seen or int(script.etag) >= int(seen[-1]), "what was answered is kept"


def test_two_processes_share_an_account(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert writer.stdout is not None
    writer.stdout.readline()
    for number in range(50):
        write(store, "ns", f"mine-{number}")
    os.kill(writer.pid, signal.SIGKILL)
    writer.stdout.close()
    writer.wait()
    assert len(store.rows("ns")) == 51


def test_no_place_for_an_account_is_told(tmp_path: Path) -> None:
    """What becomes of a damaged one: tests/cli/test_damage.py."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalError) as told:
        Store(tmp_path / "file")
    assert told.value.problems[0].why == "[Errno 17] File exists: '{}'".format(tmp_path / "file")
