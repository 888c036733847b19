"""Modules from disk: imports, containment, names, types and sizes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Where
from reconciler.load import files, javascript, scripts
from reconciler.load.files import Folder
from reconciler.model import Module

# --- imports


def imported(text: str) -> list[str]:
    return [one.specifier for one in javascript.imports(text)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('import a from "./a.mjs";', ["./a.mjs"]),
        ("import'./a.mjs'", ["./a.mjs"]),
        ('import a, { b as c, default as d } from "./a.mjs"', ["./a.mjs"]),
        ('import * as a\n  from\n  /* why */ "./a.mjs" // here', ["./a.mjs"]),
        ('import { from } from "./a.mjs"', ["./a.mjs"]),
        ('import from from "./a.mjs"', ["./a.mjs"]),
        ('import { "any name" as a } from "./a.mjs"', ["./a.mjs"]),
        ('export { default } from "./a.mjs"', ["./a.mjs"]),
        ('export * from "./a.mjs"; export * as b from "./b.mjs"', ["./a.mjs", "./b.mjs"]),
        ('const a = await import("./a.mjs")', ["./a.mjs"]),
        ("import(`./a.mjs`)", ["./a.mjs"]),
        ('import("./a.mjs", { with: {} })', ["./a.mjs"]),
        ('import("./a" + b)', []),
        ("import(`./${a}.mjs`)", []),
        ("import(name)", []),
        ('import "\\x2e/\\u0061\\u{62}.mjs"', ["./ab.mjs"]),
        ('// import "./a.mjs"\n/* import "./b.mjs" */', []),
        ("const a = 'import \"./a.mjs\"'", []),
        ('const a = `import "./a.mjs" ${ `${import("./b.mjs")}` } from "./c.mjs"`', ["./b.mjs"]),
        ('const a = /import "x/; import "./a.mjs"', ["./a.mjs"]),
        ('const a = b / c; import "./a.mjs"; d / e', ["./a.mjs"]),
        ('a = b++ / 2; c = "/"; import "./a.mjs"', ["./a.mjs"]),
        ('if (a) /"/.test(b); import "./a.mjs"', ["./a.mjs"]),
        ('f(a) / "2"; import "./a.mjs"', ["./a.mjs"]),
        ('return /[/"]/.exec(a); import "./a.mjs"', ["./a.mjs"]),
        ('a.import("./a.mjs"); a.from("./b.mjs"); Array.from("./c.mjs")', []),
        ("import.meta.url; const a = { from: './a.mjs', import: './b.mjs' }", []),
        ('export const from = "./a.mjs"', []),
        ('export default "./a.mjs"', []),
        ('export function from() { return "./a.mjs" }', []),
        ('let a = from\n"./a.mjs"', []),
        ('const important = "./a.mjs"; const fromage = "./b.mjs"', []),
        ("<!-- not a comment in a module", []),
        ("`unterminated ${", []),
        ('"unterminated\nimport "./a.mjs"', ["./a.mjs"]),
    ],
)
def test_imports_are_found_where_the_runtime_finds_them(text: str, names: list[str]) -> None:
    assert imported(text) == names


def test_an_import_has_its_place() -> None:
    assert javascript.imports('\n\nimport a from  "./a.mjs";') == [javascript.Import("./a.mjs", 3, 16, 9)]


_PIECES = ["import ", "from ", "export ", "{ a }", "* as b ", '"./x.mjs"', "'./y.mjs'", "`", "${", "}", "{", "(", ")",
           "/", "/*", "*/", "//", "\n", ";", ",", ".", "=", "\\", "a", " ", '"', "'"]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
def test_the_quick_look_names_at_least_what_the_close_look_names(text: str) -> None:
    possible = javascript.candidates(text)
    assert possible is None or set(imported(text)) <= possible


@given(st.text(max_size=200))
def test_no_text_makes_it_crash(text: str) -> None:
    javascript.imports(text)
    javascript.candidates(text)


@pytest.mark.parametrize(
    "piece", ["/", "(", "`${", '"', "import ", "import/*", "from(", "[/", "\\", "import('", "// \n"]
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    javascript.candidates(text)
    javascript.imports(text)
    assert time.process_time() - began < 2


# --- files


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.mjs", ["a.mjs", "b.mjs"]),
        ("**/*.mjs", ["a.mjs", "b.mjs", "lib/c.mjs", "lib/deep/d.mjs"]),
        ("lib/*.mjs", ["lib/c.mjs"]),
        ("lib/**/*.mjs", ["lib/c.mjs", "lib/deep/d.mjs"]),
        ("lib/**", ["lib/c.mjs", "lib/deep/d.mjs"]),
        ("?.mjs", ["a.mjs", "b.mjs"]),
        ("a.mjs", ["a.mjs"]),
        (".hidden/*", [".hidden/e.mjs"]),
        ("A.mjs", []),
        ("l*/c.mjs", ["lib/c.mjs"]),
    ],
)
def test_patterns_match_as_in_other_tools(pattern: str, names: list[str]) -> None:
    folder = Folder(Path(), "", (".hidden/e.mjs", "a.mjs", "b.mjs", "lib/c.mjs", "lib/deep/d.mjs"))
    assert folder.matching(pattern) == names


def test_a_hostile_pattern_takes_no_longer() -> None:
    folder = Folder(Path(), "", ("a" * 250, "/".join("a" * 120)))
    began = time.process_time()
    folder.matching("*a" * 100 + "b")
    folder.matching("**/" * 60 + "b")
    assert time.process_time() - began < 1


def test_a_customers_files_end_where_another_customer_begins(tmp_path: Path) -> None:
    for name in (
        "a/customer.yaml",
        "a/x.mjs",
        "a/b/customer.yaml",
        "a/b/y.mjs",
        "a/lib/z.mjs",
        "a/node_modules/q/i.js",
    ):
        (tmp_path / "customers" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "customers" / name).write_text("")
    found = files.customers(tmp_path)
    assert {one.path: one.files for one in found.customers} == {
        "customers/a": ("customer.yaml", "lib/z.mjs", "x.mjs"),
        "customers/a/b": ("customer.yaml", "y.mjs"),
    }


def test_nothing_but_regular_files_is_opened(tmp_path: Path) -> None:
    customer = tmp_path / "customers/a"
    customer.mkdir(parents=True)
    (customer / "customer.yaml").write_text("scripts: {}\n")
    os.mkfifo(customer / "pipe.mjs")
    (customer / "link.mjs").symlink_to("/etc/passwd")
    (customer / "up").symlink_to("..")
    found = files.customers(tmp_path)
    assert found.customers[0].files == ("customer.yaml",)
    assert sorted((str(one.where), one.code) for one in found.problems) == [
        ("customers/a/link.mjs:1:1", "symlink"),
        ("customers/a/pipe.mjs:1:1", "path"),
        ("customers/a/up:1:1", "symlink"),
    ]
    for name in ("pipe.mjs", "link.mjs", "up/customer.yaml", "."):
        with pytest.raises((OSError, ValueError)):
            files.read_below(tmp_path, f"customers/a/{name}")


def test_the_customers_folder_itself_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "customers").symlink_to("elsewhere")
    assert [one.code for one in files.customers(tmp_path).problems] == ["symlink"]


@pytest.mark.parametrize("path", ["../x", "a/../b", "/x", "c:/x", "a\\b", "./x", "a//b", "a/", "", ".", "a\x1b[31m"])
def test_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    assert files.path_problem(path, Where("f"), "here") is not None


# --- modules


def folder(tmp_path: Path, **contents: str | bytes) -> Folder:
    for name, content in contents.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    return Folder(tmp_path, "", tuple(sorted(names)))


def at(*path: str | int) -> Where:
    return Where("customer.yaml", 1, 1 + len(path))


def read(main: str, modules: list[str], where: Folder, *injected: Module) -> scripts.Modules:
    return scripts.read(scripts.Code(main, modules, (), "here"), where, injected, at)


def test_modules_are_named_from_the_folder_of_main(tmp_path: Path) -> None:
    where = folder(tmp_path, src__shop_mjs='import "./lib/cart.mjs"', src__lib__cart_mjs="", src__page_html="<p>")
    found = read("src/shop.mjs", ["src/lib/*.mjs", "src/*.html", "src/shop.mjs"], where)
    assert not found.problems
    assert found.main == "shop.mjs"
    assert [(one.name, one.type) for one in found.modules] == [
        ("shop.mjs", "application/javascript+module"),
        ("lib/cart.mjs", "application/javascript+module"),
        ("page.html", "text/plain"),
    ]


def test_platform_modules_are_found_from_any_depth(tmp_path: Path) -> None:
    where = folder(tmp_path, shop_mjs='import "./kit.mjs"; import "./lib/a.mjs"', lib__a_mjs='import "../kit.mjs"')
    kit = Module("kit.mjs", scripts.ESM, b"", injected=True)
    found = read("shop.mjs", ["lib/*.mjs"], where, kit)
    assert not found.problems
    assert found.modules[-1] is kit


def test_the_same_files_give_the_same_modules_in_any_order(tmp_path: Path) -> None:
    where = folder(tmp_path, shop_mjs="", a_mjs="", b_mjs="", c_mjs="")
    patterns = ["c.mjs", "*.mjs", "a.mjs"]
    names = {one.name for one in read("shop.mjs", patterns, where).modules}
    random.Random(1).shuffle(patterns)
    assert {one.name for one in read("shop.mjs", patterns, where).modules} == names


def test_a_script_that_is_too_large_is_told_before_the_upload(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(10_100_000)
    found = read("shop.mjs", ["noise.bin"], folder(tmp_path, shop_mjs="", noise_bin=noise))
    assert [one.code for one in found.problems] == ["script-size"]
    found = read("shop.mjs", ["noise.bin"], folder(tmp_path, shop_mjs="", noise_bin=b"0" * 20_000_000))
    assert not found.problems, "it is small when it is compressed"


def test_a_module_that_is_no_utf_8_is_still_read(tmp_path: Path) -> None:
    found = read("shop.mjs", [], folder(tmp_path, shop_mjs=b'import "./\xff.mjs"'))
    assert [one.code for one in found.problems] == ["import"]
