"""Decide and explain agree, and what is explained is what a reader needs."""

from __future__ import annotations

import time
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler import routing
from reconciler.model import Module, SecretReference, Worker, canonical
from reconciler.plan import ABSENT, FieldChange
from reconciler.plan.explain import HIDDEN, LARGEST_BYTES, MOST_LINES, explain, explain_code, explain_worker

names = st.sampled_from(["a", "b", "0", "1", "__a", "it's", '"q"', "a.b", "root['a']", "", "type", "modules", "tags"])
scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 0.0, -0.0, 0.5, "", "0", "1", "a", "None", "null", 2**60])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
specs = st.dictionaries(names, values, max_size=4)


@settings(max_examples=2_000, deadline=None)
@given(specs, specs)
@example({"a": [0]}, {"a": [False]})
@example({"a": [1, 1]}, {"a": [True, 1]})
@example({"a": 1}, {"a": 1.0})
@example({"a": 0.0}, {"a": -0.0})
@example({"a": None}, {})
@example({"a": {}}, {"a": []})
@example({"a": {}}, {})
@example({"a": [[]]}, {"a": [{}]})
@example({"__a": 1}, {"__a": 2})
@example({"a": (1, 2)}, {"a": [1, 2]})
def test_canonical_json_differs_exactly_when_there_is_a_field_to_show(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    changes = explain(before, after)
    assert bool(changes) == (canonical(before) != canonical(after))
    assert len({change.path for change in changes}) == len(changes)
    for change in changes:
        assert _at(before, change.path) == _shown(change.before)
        assert _at(after, change.path) == _shown(change.after)


@settings(max_examples=300, deadline=None)
@given(specs)
def test_nothing_differs_from_itself(spec: dict[str, Any]) -> None:
    assert explain(spec, spec) == ()


def test_a_field_is_told_by_its_path_and_both_its_values() -> None:
    before = {"limits": {"cpu_ms": 50}, "main": "a.mjs"}
    assert explain(before, {"limits": {"cpu_ms": 80}, "main": "a.mjs"}) == (FieldChange(("limits", "cpu_ms"), 50, 80),)


def test_null_and_missing_are_different_things() -> None:
    assert explain({"a": None}, {}) == (FieldChange(("a",), None, ABSENT),)


def test_a_list_of_plain_values_is_told_whole() -> None:
    assert explain({"tags": ["a", "c"]}, {"tags": ["a", "b", "c"]}) == (
        FieldChange(("tags",), ["a", "c"], ["a", "b", "c"]),
    )


def test_positions_in_a_list_of_objects_count_as_numbers() -> None:
    before = {"routes": [{"at": n} for n in range(12)]}
    after = {"routes": [{"at": n + 1} for n in range(12)]}
    assert [change.path[1] for change in explain(before, after)] == [str(n) for n in range(12)]


def test_the_value_of_a_secret_binding_is_never_told() -> None:
    before = {"bindings": {"KEY": {"type": "secret_text", "text": "hunter2"}, "V": {"type": "plain_text", "text": "v"}}}
    after = {"bindings": {"KEY": {"type": "secret_text", "text": "hunter3"}, "V": {"type": "plain_text", "text": "w"}}}
    told = [explain(before, after), explain(before, {}), explain({}, after), explain({"bindings": {}}, after)]
    assert "hunter" not in repr(told)
    assert told[0][0] == FieldChange(("bindings", "KEY", "text"), HIDDEN, HIDDEN)
    assert told[0][1] == FieldChange(("bindings", "V", "text"), "v", "w")


def test_a_module_that_differs_is_told_once_as_code() -> None:
    before = _worker({"a.mjs": b"one\n", "gone.mjs": b"x\n"}, limits={"cpu_ms": 50})
    after = _worker({"a.mjs": b"two\n", "new.mjs": b"y\n"}, limits={"cpu_ms": 80})
    explanation = explain_worker(before, after)
    assert [change.path for change in explanation.fields] == [("limits", "cpu_ms")]
    assert [change.module for change in explanation.code] == ["a.mjs", "gone.mjs", "new.mjs"]


def test_the_routing_table_is_told_by_script_and_not_by_line() -> None:
    before, after = (
        Worker("d.mjs", (Module(routing.MODULE_NAME, "application/javascript+module", table.module()),))
        for table in (_table(outbound="egress-guard", cpu_ms=10), _table(outbound="", cpu_ms=50))
    )
    explanation = explain_worker(before, after)
    assert explanation.code == ()
    assert list(explanation.fields) == [
        FieldChange(("routes", "bindings", "egress-guard"), "OUT", ABSENT),
        FieldChange(("routes", "parameters", "egress-guard"), ["customer"], ABSENT),
        FieldChange(("routes", "scripts", "shop", "limits", "cpuMs"), 10, 50),
        FieldChange(("routes", "scripts", "shop", "outbound"), "egress-guard", ABSENT),
    ]


def test_a_table_of_someone_else_is_told_as_code() -> None:
    for theirs in (b"export default {};\n", b"\xff", b'export default {"format":1,"scripts":3};\n'):
        before = Worker("d.mjs", (Module(routing.MODULE_NAME, "application/javascript+module", theirs),))
        ours = _table(outbound="", cpu_ms=50).module()
        after = Worker("d.mjs", (Module(routing.MODULE_NAME, "application/javascript+module", ours),))
        assert [change.module for change in explain_worker(before, after).code] == [routing.MODULE_NAME]


def test_a_table_in_kv_is_told_by_the_digest_of_its_parts() -> None:
    before, after = (
        Worker("d.mjs", (Module(routing.MODULE_NAME, "t", _table(outbound="", cpu_ms=n, table="kv").module()),))
        for n in (10, 50)
    )
    (change,) = explain_worker(before, after).fields
    assert change.path == ("routes", "parts")
    assert str(change.after).startswith("1 in Workers KV, ")


def test_ten_thousand_fields_are_explained_in_seconds() -> None:
    before, after = ({"scripts": {f"s{n}": {"limits": {"cpu_ms": cpu}} for n in range(10_000)}} for cpu in (10, 50))
    began = time.process_time()
    assert len(explain(before, after)) == 10_000
    assert time.process_time() - began < 20


def test_the_type_of_a_module_stays_a_field() -> None:
    before = Worker("a", (Module("a", "text/plain", b"x"),))
    after = Worker("a", (Module("a", "application/octet-stream", b"x"),))
    explanation = explain_worker(before, after)
    assert explanation.fields == (FieldChange(("modules", "a", "type"), "text/plain", "application/octet-stream"),)
    assert explanation.code[0].diff == ()


def test_a_new_worker_is_told_whole() -> None:
    explanation = explain_worker(None, _worker({"a.mjs": b"one\n"}, limits={"cpu_ms": 50}))
    assert FieldChange(("limits",), ABSENT, {"cpu_ms": 50}) in explanation.fields
    assert explanation.code[0].diff == ("@@ -0,0 +1 @@", "+one")
    assert explanation.code[0].before_digest == ""


def test_a_new_version_of_a_secret_is_a_field() -> None:
    before = Worker("a", (), secrets={"KEY": SecretReference("ENV", 1)})
    after = Worker("a", (), secrets={"KEY": SecretReference("ENV", 2)})
    assert explain_worker(before, after).fields == (FieldChange(("secrets", "KEY"), 1, 2),)


def test_code_is_told_as_a_unified_diff_with_three_lines_around() -> None:
    old = "".join(f"line {n}\n" for n in range(20))
    change = _code(old.encode(), old.replace("line 10", "changed").encode())
    assert change.diff == (
        "@@ -8,7 +8,7 @@",
        " line 7",
        " line 8",
        " line 9",
        "-line 10",
        "+changed",
        " line 11",
        " line 12",
        " line 13",
    )


def test_a_lost_newline_at_the_end_is_seen() -> None:
    assert _code(b"a\n", b"a").diff == ("@@ -1 +1 @@", "-a", "+a", "\\ No newline at end of file")


def test_minified_binary_and_very_large_code_is_told_by_digest_and_size() -> None:
    for old, new in [
        (b"x" * 3_000, b"y" * 3_000),
        (b"\n".join([b"x" * 1_900] * 5), b"\n".join([b"y" * 1_900] * 5)),
        (b"\0asm", b"\0asm2"),
        (b"\xff\xfe", b"\xff"),
        (b"a\n" * LARGEST_BYTES, b"b\n"),
        (b"a\n" * (MOST_LINES + 1), b"b\n" * (MOST_LINES + 1)),
    ]:
        change = _code(old, new)
        assert change.diff == ()
        assert (change.before_size, change.after_size) == (len(old), len(new))
        assert change.before_digest != change.after_digest


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_line_numbers_of_a_diff_are_those_of_the_files(before: list[str], after: list[str]) -> None:
    old, new = "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
    explained = explain_code((Module("a", "text/plain", old.encode()),), (Module("a", "text/plain", new.encode()),))
    shown = explained[0].diff if explained else ()
    left = right = 0
    for line in shown:
        if line.startswith("@@"):
            ranges = [piece[1:].split(",") for piece in line.split()[1:3]]
            left, right = (int(one[0]) - (one[1:] != ["0"]) for one in ranges)
            continue
        if line[0] in " -":
            assert before[left] == line[1:]
            left += 1
        if line[0] in " +":
            assert after[right] == line[1:]
            right += 1


def test_a_small_edit_of_a_large_file_is_shown() -> None:
    lines = [f"{n}\n" for n in range(100_000)]
    edited = [*lines[:70_000], "new\n", *lines[70_000:]]
    change = _code("".join(lines).encode(), "".join(edited).encode())
    assert change.diff[:5] == ("@@ -69998,6 +69998,7 @@", " 69997", " 69998", " 69999", "+new")


def test_the_worst_code_within_the_bounds_takes_seconds_at_most() -> None:
    lines = [f"{n * 7919 % 101}\n" for n in range(MOST_LINES)]
    began = time.process_time()
    assert _code("".join(lines).encode(), "".join(reversed(lines)).encode()).diff
    assert time.process_time() - began < 10


def _at(spec: Any, path: tuple[str, ...]) -> str:
    for step in path:
        if isinstance(spec, dict) and step not in spec:
            return repr(ABSENT)
        if isinstance(spec, list | tuple) and int(step) >= len(spec):
            return repr(ABSENT)
        spec = spec[step] if isinstance(spec, dict) else spec[int(step)]
    return canonical(spec)


def _shown(value: Any) -> str:
    return repr(ABSENT) if value is ABSENT else canonical(value)


def _worker(modules: dict[str, bytes], **settings: Any) -> Worker:
    return Worker(
        "a.mjs",
        tuple(Module(name, "application/javascript+module", content) for name, content in modules.items()),
        settings,
    )


def _table(*, outbound: str, cpu_ms: int, table: Literal["bundle", "kv"] = "bundle") -> routing.Table:
    settings = routing.DispatcherSettings(platform="acme", hostname="{script}.acme.app", path="", table=table)
    script = routing.RoutedScript("shop", "globex", "basic", cpu_ms=cpu_ms, outbound=outbound)
    bindings = [routing.OutboundBinding(outbound, "OUT", ("customer",))] if outbound else []
    return routing.compile_table(settings, [script], bindings)


def _code(old: bytes, new: bytes) -> Any:
    module = "application/javascript+module"
    (change,) = explain_code((Module("a.mjs", module, old),), (Module("a.mjs", module, new),))
    return change
