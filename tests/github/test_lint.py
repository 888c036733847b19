"""What the linters say of the workflows and actions, and that they are the ones that `init` writes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reconciler.github import templates

ROOT = Path(__file__).parents[2]
PINNED = f"wfp-reconciler @ git+https://example.com/acme/reconciler@{'0' * 40}"
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CI = ("lint", "test", "docs", "deep")
ACTIONS = [ROOT / "action.yml", ROOT / ".github/actions/setup/action.yml"]


def lint(*words: str) -> None:
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_here_are_those_that_init_writes() -> None:
    shipped = templates.files(requirement=PINNED, owner="@acme/platform")
    for name in templates.SHARED:
        assert (ROOT / ".github" / name).read_text() == shipped[f".github/{name}"], (
            f"copy reconciler/templates/github/{name}"
        )
    assert shipped[templates.RECONCILER].endswith(f"\n{PINNED}\n")
    assert "* @acme/platform\n" in shipped[".github/CODEOWNERS"]
    assert not [text for text in shipped.values() if "{requirement}" in text or "{owner}" in text]


def test_what_workflows_install_is_what_the_tests_ran_with() -> None:
    """Hashes and all; `.ci/lock` writes both."""

    def lines(text: str) -> set[str]:
        """Without the marks of Python versions, which differ with what else is locked."""
        return {line.partition(" ;")[0].rstrip(" \\") for line in text.splitlines() if not line.startswith("#")}

    wanted = lines(templates.files(requirement="", owner="")[".github/requirements.txt"])
    assert wanted <= lines((ROOT / "requirements.lock").read_text())
    assert {"click", "hatchling", "httpx", "pyyaml"} <= {line.partition("==")[0] for line in wanted}
    assert not [line for line in wanted if line.startswith(("pytest", "mypy", "werkzeug"))]


def test_zizmor_has_nothing_to_report() -> None:
    lint("zizmor", "--offline", "--pedantic", "--quiet", "--no-progress", ".github", "action.yml")


def test_the_workflows_of_the_guides_are_held_to_the_same(tmp_path: Path) -> None:
    found = documented()
    assert found
    for name, text in found.items():
        (tmp_path / name).write_text(text)
        lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(tmp_path / name))
        assert not [script for script in scripts_of(yaml.load(text, Loader=yaml.BaseLoader)) if "${{" in script]
        pins = set(re.findall(r"uses: (actions/.*)", text))
        assert pins <= {one for file in WORKFLOWS for one in re.findall(r"uses: (actions/.*)", file.read_text())}
    config = str(ROOT / ".github/zizmor.yml")
    lint(
        "zizmor",
        "--offline",
        "--pedantic",
        "--quiet",
        "--no-progress",
        "--config",
        config,
        *map(str, tmp_path.iterdir()),
    )


def test_the_schemas_of_github_hold() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", *map(str, ACTIONS))


def test_shellcheck_has_nothing_to_say_of_any_script(tmp_path: Path) -> None:
    scripts = []
    for file in (*WORKFLOWS, *ACTIONS):
        for number, script in enumerate(scripts_of(yaml.load(file.read_text(), Loader=yaml.BaseLoader))):
            path = tmp_path / f"{file.parent.name}-{file.stem}-{number}.sh"
            # What an expression fills in is a word to the shell.
            path.write_text("#!/bin/bash -e\n" + re.sub(r"\$\{\{.*?\}\}", "EXPRESSION", script))
            scripts.append(str(path))
    assert len(scripts) > 20
    lint("shellcheck", "--severity=style", *scripts)


def test_nothing_is_filled_into_a_script() -> None:
    """`${{ }}` stands in `env:`, where bash cannot take it for code."""
    for file in (*WORKFLOWS, *ACTIONS):
        for script in scripts_of(yaml.load(file.read_text(), Loader=yaml.BaseLoader)):
            assert "${{" not in script, file


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: str(file.relative_to(ROOT)))
def test_actions_of_others_are_pinned_by_commit_with_their_version(file: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: (.*)", file.read_text(), re.MULTILINE)
    pinned = re.compile(r"(?:actions)/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert not [one for one in used if not (one.startswith("./") or pinned.fullmatch(one))]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_begins_with_no_permission_and_each_job_says_its_own(file: Path) -> None:
    document = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert job["timeout-minutes"]
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert job["permissions"].get("contents") == ("read" if checkouts else None)
        assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_applies_and_drift_wait_for_each_other_and_none_is_dropped() -> None:
    for name in ("apply.yml", "drift.yml"):
        document = yaml.load((ROOT / ".github/workflows" / name).read_text(), Loader=yaml.BaseLoader)
        assert document["concurrency"] == {"group": "reconciler", "queue": "max", "cancel-in-progress": "false"}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_nothing_of_a_pull_request_runs_where_secrets_are_and_no_artifact_is_taken_up(file: Path) -> None:
    text = file.read_text()
    assert not [one for one in ("pull_request_target", "workflow_run", "download-artifact") if one in text]


def test_a_cache_of_one_environment_is_no_beginning_of_anothers() -> None:
    """With "staging-" as its beginning, the ledger of "staging" would be taken from "staging-eu"."""
    for name in ("plan.yml", "apply.yml", "drift.yml"):
        text = (ROOT / ".github/workflows" / name).read_text()
        keys = re.findall(r"^ +(?:restore-)?key(?:s)?: (.*)", text, re.MULTILINE)
        assert keys
        assert all(one.startswith("reconciler/${{ matrix.environment }}/") for one in keys), name


def test_the_commands_of_ci_are_those_of_the_makefile() -> None:
    steps = scripts_of(yaml.load((ROOT / ".github/workflows/ci.yml").read_text(), Loader=yaml.BaseLoader))
    assert [step.removesuffix(" PYTHON=python") for step in steps] == [f"make {one}" for one in CI]
    assert {*CI} <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_guide_names_every_file_that_init_writes_and_every_output_of_the_action() -> None:
    guide = (ROOT / "docs/github.md").read_text()
    files = templates.files(requirement=PINNED, owner="@acme/platform")
    wanted = {name.replace("setup/action.yml", "setup/") for name in files}
    outputs = yaml.load((ROOT / "action.yml").read_text(), Loader=yaml.BaseLoader)["outputs"]
    assert not [one for one in (*wanted, *outputs) if f"`{one}`" not in guide]


def test_the_token_that_writes_is_in_reach_of_apply_alone() -> None:
    """The others name an environment that ends in -plan, or none."""
    for file in WORKFLOWS:
        for name, job in yaml.load(file.read_text(), Loader=yaml.BaseLoader)["jobs"].items():
            told = yaml.safe_dump(job)
            if file.name == "apply.yml":
                assert job["environment"] == "${{ matrix.environment || 'production' }}"
            elif "secrets." in told:
                assert job["environment"].endswith("-plan"), (file.name, name)


def scripts_of(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [part["run"]] if isinstance(part.get("run"), str) else []
        return own + [script for one in part.values() for script in scripts_of(one)]
    return [script for one in part for script in scripts_of(one)] if isinstance(part, list) else []


def documented() -> dict[str, str]:
    """The workflows that the guides print whole, by file name."""
    block = re.compile(r"^```yaml\n# \.github/workflows/([\w-]+\.yml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return {
        name: text for page in sorted((ROOT / "docs").glob("*.md")) for name, text in block.findall(page.read_text())
    }
