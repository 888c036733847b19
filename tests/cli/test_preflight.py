"""`--preflight`: what does not start in the real runtime is told before anything is sent, beside its own diff."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import edit, repository, run

GLOBEX = "customers/globex/customer.yaml"
SHOP = "customers/globex/shop.mjs"
TESTS = "hostnames: [shop.globex.com], tests: [{request: {path: /}, expect: {contains: hello}}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = repository(tmp_path / "repository")
    edit(folder, GLOBEX, "hostnames: [shop.globex.com]", TESTS)
    return folder


def test_validate_starts_every_script_and_makes_its_tests(folder: Path) -> None:
    ran = run(folder, "validate", "--preflight")
    assert ran.code == 0
    assert "preflight: 4 scripts start, 1 test passes" in ran.err

    edit(folder, SHOP, "hello", "goodbye")
    edit(folder, "customers/initech/status.mjs", "export default", "export default default")
    ran = run(folder, "validate", "--preflight", "--format", "github")
    assert ran.code == 1
    assert ran.out.count("::error file=customers/initech/status.mjs,line=1,col=16") == 2
    assert f"::error file={GLOBEX},line=4,col=" in ran.out
    assert run(folder, "validate").code == 0

    only = run(folder, "validate", "--preflight", "--customer", "globex")
    assert only.code == 1
    assert "initech" not in only.out
    assert run(folder, "validate", "--preflight", "--customer", "globx").code == 2
    assert run(folder, "validate", "--customer", "globex").code == 2


def test_a_plan_tells_it_beside_the_diff_of_each_script_that_it_changes(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    edit(folder, SHOP, "hello", "goodbye")
    edit(folder, "customers/globex/reports.mjs", "hello", "hello again")
    edit(folder, "customers/initech/status.mjs", "export default", "export default default")
    ran = run(folder, "plan", "--local", "--preflight")
    assert ran.code == 1
    lines = ran.out.splitlines()
    shop, reports = (
        next(n for n, line in enumerate(lines) if f"~ {one}" in line) for one in ("globex-shop", "globex-reports")
    )
    assert any("preflight: starts" in line for line in lines[reports:shop])
    assert any(f"preflight: {GLOBEX}:4:" in line and 'answers without "hello"' in line for line in lines[shop:])
    assert "error: script initech-old does not start: SyntaxError: Unexpected token 'default'" in ran.out
    assert run(folder, "plan", "--local").code == 0

    for form in ("markdown", "html"):
        assert "fails its preflight" in run(folder, "plan", "--local", "--preflight", "--format", form).out
    told = json.loads(run(folder, "plan", "--local", "--preflight", "--format", "json").out)
    seen = {one["key"]["name"]: one["preflight"] for one in told["changes"] if one["key"]["kind"] == "user_worker"}
    assert seen["globex-reports"] == {"tests": 0, "problems": []}
    assert seen["globex-shop"]["problems"][0]["code"] == "preflight-test"


def test_the_digest_of_a_plan_and_of_a_script_does_not_hang_on_it(folder: Path) -> None:
    plain = json.loads(run(folder, "plan", "--local", "--format", "json").out)
    tried = json.loads(run(folder, "plan", "--local", "--preflight", "--format", "json").out)
    assert plain["digest"] == tried["digest"]
    edit(folder, GLOBEX, TESTS, "hostnames: [shop.globex.com]")
    assert json.loads(run(folder, "plan", "--local", "--format", "json").out)["digest"] == plain["digest"]
