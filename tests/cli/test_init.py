"""What `init` writes works as it is, and nothing that exists is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from reconciler.begin.scaffold import entry, with_script
from reconciler.cli.commands import reconciler
from reconciler.errors import UsageProblem


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(reconciler, [words[0], *words[1:], "-C", str(folder)], standalone_mode=False)


def test_an_empty_folder_becomes_a_platform_that_applies_and_rests(tmp_path: Path) -> None:
    assert run(tmp_path, "init", "--platform", "shop").return_value == 0
    assert run(tmp_path, "init", "customer", "globex").return_value == 0
    assert run(tmp_path, "init", "script", "checkout", "--customer", "globex").return_value == 0
    assert run(tmp_path, "validate").return_value == 0
    applied = run(tmp_path, "apply", "--local", "--yes")
    assert applied.return_value == 0, applied.output
    assert run(tmp_path, "plan", "--local", "--exit-code").return_value == 0


def test_a_new_repository_has_workflows_and_schemas(tmp_path: Path) -> None:
    run(tmp_path, "init", "--platform", "shop")
    assert (tmp_path / ".github/workflows/plan.yml").is_file()
    assert (tmp_path / "schemas/customer.schema.json").is_file()


OTHERS = {
    "without tiers": "platform: acme\nnamespace: acme\nprune: true\n",
    "with tiers of its own": (
        "platform: acme\nnamespace: acme\nprune: true\ntiers: {bronze: {}, silver: {}}\n"
        "platform_modules: {kit.mjs: platform/kit.mjs}\n"
    ),
}


@pytest.mark.parametrize("platform", OTHERS.values(), ids=OTHERS)
def test_what_is_added_to_a_platform_that_init_did_not_make_starts_there(tmp_path: Path, platform: str) -> None:
    (tmp_path / "platform.yaml").write_text(platform, encoding="utf-8")
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform/kit.mjs").write_text("export const kit = 1;\n", encoding="utf-8")
    assert run(tmp_path, "init", "customer", "globex").return_value == 0
    assert run(tmp_path, "init", "script", "shop").return_value == 0
    assert run(tmp_path, "validate", "--preflight").return_value == 0
    assert run(tmp_path, "plan", "--local").return_value == 0


def test_a_script_is_added_between_braces_too(tmp_path: Path) -> None:
    run(tmp_path, "init", "--platform", "shop")
    file = tmp_path / "customers/example/customer.yaml"
    text = "tier: basic\nscripts: {hello: {main: hello.mjs}} # ours\n"
    file.write_text(text, encoding="utf-8")
    assert run(tmp_path, "init", "script", "shop").return_value == 0
    assert file.read_text(encoding="utf-8") == text.replace("}} #", "}, shop: {main: shop.mjs}} #")
    assert run(tmp_path, "validate").return_value == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("init", "customer", "basic"), "basic is the name of a tier"),
        (("init", "customer", "globex", "--tier", "gold"), "platform.yaml has no tier gold: basic, advanced"),
        (("init", "customer", "rcn-x"), "cannot name a customer"),
        (("init", "script", "example-hello"), "customer example has a script example-hello already"),
        (("init",), "exists already"),
        (("init", "customer", "example"), "exists already"),
        (("init", "customer", "Bad Name"), "cannot name a customer"),
        (("init", "script", "x", "--customer", "nobody"), 'no customer "nobody"'),
        (("init", "customer"), "`init customer` takes an id, as in `reconciler init customer globex`"),
        (("init", "script"), "`init script` takes a name, as in `reconciler init script shop --customer globex`"),
        (("init", "one", "two", "three"), "not 'one two three'"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    run(tmp_path, "init", "--platform", "shop")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run(tmp_path, *words)
    assert said in str(result.exception)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: A\ntier: b\n", "name: A\ntier: b\n\nscripts:\n  s:\n    main: s.mjs\n"),
        ("scripts: {}\ntier: b\n", "scripts:\n  s:\n    main: s.mjs\ntier: b\n"),
        (
            "scripts: # mine\n    a:\n        main: a.mjs # first\n\ntier: b\n",
            "scripts: # mine\n    a:\n        main: a.mjs # first\n    s:\n        main: s.mjs\n\ntier: b\n",
        ),
    ],
)
def test_a_script_is_added_without_touching_what_is_there(before: str, after: str) -> None:
    assert with_script(before, entry("s", "s.mjs")) == after


def test_a_repository_without_workflows_gets_them_and_never_a_bare_name_to_install(tmp_path: Path) -> None:
    run(tmp_path, "init", "--platform", "shop")
    shutil.rmtree(tmp_path / ".github")
    assert run(tmp_path, "init", "workflows").return_value == 0
    assert "* @shop/platform" in (tmp_path / ".github/CODEOWNERS").read_text(encoding="utf-8")
    lines = (tmp_path / ".github/reconciler.txt").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if not line.startswith("#")]
    assert [line.split(" @ ")[0] for line in asked] == ["wfp-reconciler"], asked


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "schemas").write_text("a file", encoding="utf-8")
    refused = run(tmp_path, "init", "--platform", "shop").exception
    assert isinstance(refused, click.UsageError)
    assert "schemas cannot be written (File exists); nothing was written" in refused.message
    assert [one.name for one in tmp_path.iterdir()] == ["schemas"]


def test_a_script_that_its_customer_cannot_be_told_of_is_not_there(tmp_path: Path) -> None:
    run(tmp_path, "init", "--platform", "shop")
    folder = tmp_path / "customers/example"
    (folder / ".customer.yaml.partial").mkdir()  # where the new text would go
    assert isinstance(run(tmp_path, "init", "script", "checkout").exception, UsageProblem)
    assert not (folder / "checkout.mjs").exists()
    assert run(tmp_path, "validate").return_value == 0


def test_schema_writes_the_schema_of_the_plan_too(tmp_path: Path) -> None:
    result = CliRunner().invoke(reconciler, ["schema", str(tmp_path)], standalone_mode=False)
    assert result.return_value == 0
    committed = Path(__file__).parents[2] / "schemas"
    for file in ("customer.schema.json", "plan.schema.json", "platform.schema.json"):
        assert (tmp_path / file).read_bytes() == (committed / file).read_bytes()
