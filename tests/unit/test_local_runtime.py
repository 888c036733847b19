"""The data plane's parts that need no workerd: finding it, its configuration, what scripts become, what lines mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.bindings import KINDS
from reconciler.errors import LocalError
from reconciler.local.records import StoredModule, StoredScript, Syntax
from reconciler.local.runtime_binary import VERSION, find_workerd
from reconciler.local.runtime_config import Settings, config_text
from reconciler.local.runtime_events import Log, Request, Transcript
from reconciler.local.runtime_wire import wire
from tests.binding_examples import full

ROOT = Path(__file__).parents[2]
MARK = "#secret "


def test_a_named_binary_goes_before_all_others(tmp_path: Path) -> None:
    binary = tmp_path / "my-workerd"
    binary.touch()
    assert find_workerd(tmp_path, {"RECONCILER_WORKERD": str(binary)}) == binary


def test_a_named_binary_that_is_missing_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        find_workerd(tmp_path, {"RECONCILER_WORKERD": "/nowhere/workerd"})
    problem = caught.value.problems[0]
    assert problem.why == "RECONCILER_WORKERD names /nowhere/workerd, which is no file"
    assert f"workerd@{VERSION}" in problem.fix


def test_npms_own_script_of_that_name_stands_for_the_binary_that_it_starts(tmp_path: Path) -> None:
    script = find_workerd(Path(__file__).parent, {}).parents[3] / ".bin" / "workerd"
    assert find_workerd(tmp_path, {"RECONCILER_WORKERD": str(script)}).read_bytes()[:2] != b"#!"
    alone = tmp_path / "workerd"
    alone.write_text("#!/usr/bin/env node\n")
    with pytest.raises(LocalError) as caught:
        find_workerd(tmp_path, {"RECONCILER_WORKERD": str(alone)})
    assert "a script of npm's, and no node_modules above it has the binary" in caught.value.problems[0].why


def test_the_version_to_install_is_the_one_that_is_tested() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    assert package["devDependencies"]["workerd"] == VERSION


def test_node_modules_above_the_repository_are_found() -> None:
    here = Path(__file__).parent
    assert find_workerd(here, {}).name == "workerd"


def test_the_configuration_is_the_same_for_the_same_settings() -> None:
    def text(*hosts: str) -> str:
        given = {host: f"http://127.0.0.1:{len(host)}" for host in hosts}
        return config_text(Settings("127.0.0.1:1", "c", "a", MARK, hosts=given))

    assert text("b.test", "a.test") == text("a.test", "b.test")


def test_settings_do_not_show_their_tokens() -> None:
    assert "hidden" not in repr(Settings("127.0.0.1:1", "hidden-control", "hidden-admin", "hidden-mark"))


def stored(**metadata: Any) -> StoredScript:
    return StoredScript(
        namespace="production", name="shop", id="", etag="", revision=7, created_on="", modified_on="",
        main="./index.mjs", syntax=Syntax.MODULES, version_id="v1", deployed_from="api", handlers=(), has_assets=False,
        tags=None, metadata=metadata,
        modules=(
            StoredModule("./index.mjs", "application/javascript+module", b"export default {}"),
            StoredModule("index.mjs.map", "application/source-map", b"{}"),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"inherit"}))
def test_what_is_said_to_have_a_stand_in_is_what_has_one(kind: str) -> None:
    """`inherit` never reaches a stored script: the upload puts what is live in its place."""
    secret = {"text": "x", "format": "raw", "key_base64": "eA==", "algorithm": {}, "usages": []}
    script = stored(bindings=[{"name": "B", **secret, **full(KINDS[kind].schema()), "type": kind}])
    read = wire(script, trusted=False, newest_date="2026-11-17")
    has_one = "B" in read["values"] or [one["kind"] for one in read["bindings"]] == [kind]
    assert has_one == bool(KINDS[kind].local)


def test_a_script_becomes_what_the_loader_reads() -> None:
    bindings = [
        {"type": "plain_text", "name": "A", "text": "1"},
        {"type": "json", "name": "J", "json": '{"as": "text"}'},
        {"type": "kv_namespace", "name": "KV", "namespace_id": "n"},
        {"type": "vectorize", "name": "V"},
    ]
    told = wire(
        stored(bindings=bindings, compatibility_date="2030-01-01", limits={"cpu_ms": 10}),
        trusted=False,
        newest_date="2026-10-23",
    )
    assert told["main"] == "index.mjs"
    assert [module["name"] for module in told["modules"]] == ["index.mjs"]
    assert told["compatibilityDate"] == "2026-10-23"
    assert told["compatibilityFlags"] == ["nodejs_als"]
    assert told["limits"] == {"cpuMs": 10}
    assert told["values"] == {"A": "1", "J": {"as": "text"}}
    assert [(one["name"], one["kind"]) for one in told["bindings"]] == [("KV", "kv_namespace"), ("V", "unavailable")]


def test_a_dispatch_binding_names_its_outbound_worker_and_parameters() -> None:
    binding = {
        "type": "dispatch_namespace", "name": "D", "namespace": "production",
        "outbound": {"worker": {"service": "guard"}, "params": [{"name": "customer"}]},
    }  # fmt: skip
    told = wire(stored(bindings=[binding]), trusted=False, newest_date="2026-10-23")["bindings"][0]
    assert told["parameters"] == ["customer"]
    assert told["stub"]["props"]["outbound"] == {"service": "guard", "parameters": ["customer"]}


def transcript(*lines: str) -> Transcript:
    read = Transcript(MARK)
    for line in lines:
        read.read(MARK + line)
    return read


DISPATCHER, A, B = ("", "dispatcher"), ("production", "a"), ("production", "b")
FIRST = ("B 1 0 /dispatcher GET http://x/ ", "B 2 1 production/a GET http://x/ acme")
SECOND = ("B 3 0 /dispatcher GET http://x/ ", "B 4 3 production/b GET http://x/ ")


def test_a_caller_is_not_accused_of_its_callees_loop() -> None:
    assert transcript(*FIRST).accused(set()) == (True, [A])


def test_one_of_several_is_certain_only_when_all_of_them_are_watched() -> None:
    running = transcript(*FIRST, *SECOND, "M 2")
    assert running.accused(set()) == (False, [A, B])
    assert running.accused({A, B}) == (True, [A])


def test_a_module_that_loops_while_it_starts_is_accused() -> None:
    assert transcript(FIRST[0], "S production/b").accused(set()) == (True, [B])
    assert transcript(FIRST[0], "S production/b", "T production/b").accused(set()) == (True, [DISPATCHER])


def test_work_after_the_response_is_laid_to_one_of_those_that_ended() -> None:
    ended = transcript(*FIRST, "E 2 200 1 - 0", "E 1 200 1 - 1")
    assert ended.accused(set()) == (False, [DISPATCHER, A])
    ended.read(MARK + "M 2")
    assert ended.accused({DISPATCHER, A}) == (True, [A])


def test_an_ended_invocation_is_one_line_of_the_request_log() -> None:
    read = transcript(*FIRST)
    event = read.read(MARK + "E 2 200 12.5 3.0 4")
    assert event == Request("production", "a", 2, "GET", "http://x/", 200, 12.5, 3.0, 4, "acme")


def test_a_script_cannot_write_lines_of_ours() -> None:
    read = transcript(*FIRST, "L 2 production/a log first")
    assert read.read("B 9 0 /dispatcher GET http://x/ ") is None
    assert read.read(MARK + ".") == Log("production", "a", 2, "log", "first\nB 9 0 /dispatcher GET http://x/ ")
