"""Laws of the forms that write files: what was there stays, what was typed is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.begin import scaffold
from reconciler.dev import writing
from reconciler.errors import ConfigError
from reconciler.load.source import parse

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
COMMENTS = st.sampled_from(["", "# a comment\n", "\n", "\n# two\n\n# three\n"])
BODIES = st.sampled_from(
    ["main: a.mjs", "{main: a.mjs}", "main: a.mjs # why\n{i}{i}tags: [a]", "main: a.mjs\n\n{i}{i}# end"]
)
ENDS = st.sampled_from(["", "\n", "\n\n# the end\n", "\ntags: [x]\n", "\n# of tags\ntags:\n  - x\n", "\n    # deep\n"])


@st.composite
def customers(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(["  ", "    "]))
    scripts = ""
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        body = draw(BODIES).replace("{i}", indent)
        between = " " if body.startswith("{") else f"\n{indent}{indent}"
        scripts += f"{draw(COMMENTS)}{indent}{scaffold.scalar(name)}:{between}{body}\n"  # quoted as needed
    text = f"{draw(COMMENTS)}name: X\nscripts:{draw(st.sampled_from(['', ' # all']))}\n{scripts.rstrip()}{draw(ENDS)}"
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(customers())
@example("scripts:\n  a:\n    main: a.mjs")
@example("scripts:\n  a: {main: a.mjs}\n\ntags: [x]\n")
def test_a_script_is_added_and_every_line_stays(text: str) -> None:
    source = parse("customers/x/customer.yaml", text.encode())
    if "new-one" in source.data["scripts"]:
        return
    found = scaffold.with_script(text, scaffold.entry("new-one", "new.mjs"))
    again = parse("customers/x/customer.yaml", found.encode())
    assert again.data["scripts"] == {**source.data["scripts"], "new-one": {"main": "new.mjs"}}
    assert list(again.data["scripts"])[-1] == "new-one"
    assert {**again.data, "scripts": source.data["scripts"]} == source.data
    kept = [line for line in found.splitlines() if line.strip()]
    for line in [line for line in text.splitlines() if line.strip()]:
        assert line in kept
    if "\r\n" in text:
        assert found.count("\r\n") == found.count("\n")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20))
@example("no")
@example("1.10")
@example("a: b")
@example("# x")
@example("Null")
def test_a_written_scalar_is_read_as_the_same_text(text: str) -> None:
    try:
        found = parse("x.yaml", f"name: {scaffold.scalar(text)}\n".encode())
    except ConfigError:
        pytest.skip("YAML has no way to write these characters")
    assert found.data == {"name": text}


@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4))
def test_what_is_taken_back_leaves_no_trace(contents: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "old").write_bytes(b"old")
        files = {**{f"new/{name}/file": one for name, one in contents.items()}, "old": b"new"}
        with writing.written(root, files) as undo:
            assert (root / "old").read_bytes() == b"new"
            undo()
        assert [file.name for file in root.rglob("*")] == ["old"]
        assert (root / "old").read_bytes() == b"old"
