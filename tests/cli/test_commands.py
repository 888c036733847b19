"""The contract of the command line: exit codes, what goes where, saved plans, records, and git."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.commands import COMMANDS
from reconciler.local.api import create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import edit, repository, run, upload

SHOP = "customers/globex/shop.mjs"
GLOBEX = "customers/globex/customer.yaml"
INITECH = "customers/initech/customer.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository")


@pytest.fixture
def live(folder: Path) -> Path:
    """A repository that is applied."""
    assert run(folder, "apply", "--local", "--yes").code == 0
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    found = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def committed(live: Path) -> Path:
    """A repository in git, applied. The folder of our own is not in its .gitignore."""
    git(live, "init", "--quiet")
    (live / ".git/info/exclude").write_text("", encoding="utf-8")
    git(live, "add", "platform.yaml", "platform", "customers")
    git(live, "commit", "--quiet", "--message", "the first")
    return live


# Exit codes


def test_0_nothing_to_do(live: Path) -> None:
    for words in (("plan", "--exit-code"), ("apply", "--yes"), ("apply",), ("drift",), ("status",), ("doctor",)):
        assert run(live, *words, "--local").code == 0, words
    assert run(live, "validate").code == 0


def test_1_a_problem_in_the_repository_stops_before_the_first_call(folder: Path) -> None:
    edit(folder, GLOBEX, "shop.mjs", "nowhere.mjs")
    for words in (("validate",), ("plan", "--local"), ("apply", "--local", "--yes"), ("drift", "--local")):
        ran = run(folder, *words)
        assert ran.code == 1
        assert f"{GLOBEX}:4:" in ran.out + ran.err
    assert not (folder / ".reconciler/local").exists()


def test_problems_are_painted_as_no_color_says(folder: Path) -> None:
    edit(folder, "customers/globex/customer.yaml", "shop.mjs", "nowhere.mjs")
    variables = {"FORCE_COLOR": "1"}
    assert "\x1b[" in run(folder, "plan", "--local", variables=variables).err
    assert "\x1b[" not in run(folder, "plan", "--local", "--no-color", variables=variables).err


def test_1_an_api_that_refuses_the_token(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "account")
    with Server(create_app(store)) as server, contextlib.closing(store):
        base = f"{server.url}/client/v4"
        variables = {"CLOUDFLARE_API_TOKEN": "token-that-is-secret", "CLOUDFLARE_API_BASE_URL": base}
        ran = run(folder, "plan", variables={**variables, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert ran.code == 1
    assert "check CLOUDFLARE_API_TOKEN" in ran.err
    assert "token-that-is-secret" not in ran.out + ran.err


def test_2_wrong_usage(folder: Path) -> None:
    variables = {"CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_API_BASE_URL": "http://api.example.com"}
    assert run(folder, "plan", variables=variables).code == 2
    assert run(folder, "plan", "--nonsense").code == 2
    assert run(folder.parent, "plan", "--local").code == 2
    assert run(folder, "apply", "--local").code == 2  # there is a plan, and nobody to ask
    assert run(folder, "plan", "--local", "--exit-code").code == 3  # and nothing was changed


def test_two_addresses_that_differ_are_told_and_the_first_is_used(folder: Path) -> None:
    variables = {"CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_API_BASE_URL": "http://first.example.com"}
    ran = run(folder, "plan", variables={**variables, "CLOUDFLARE_BASE_URL": "https://second.example.com"})
    assert "CLOUDFLARE_API_BASE_URL and CLOUDFLARE_BASE_URL differ" in ran.err
    assert "http://first.example.com is neither https" in ran.err
    assert "differ" not in run(folder, "plan", variables=variables).err


def test_3_changes_are_pending_and_0_without_asking_for_it(folder: Path) -> None:
    assert run(folder, "plan", "--local", "--exit-code").code == 3
    assert run(folder, "plan", "--local").code == 0


def test_4_drift(live: Path) -> None:
    edit(live, GLOBEX, "cpu_ms: 80", "cpu_ms: 70")
    assert run(live, "drift", "--local").code == 0  # pending is no drift
    upload(live, "dispatch/namespaces/acme-production/scripts/globex-shop")
    assert run(live, "drift", "--local").code == 4


def test_5_a_guard_withholds_deletes(live: Path) -> None:
    edit(live, "platform.yaml", "percent: 50", "percent: 1")
    edit(live, "platform.yaml", "count: 25", "count: 0")
    edit(live, INITECH, "  initech-old: {main: status.mjs}\n", "")
    assert run(live, "plan", "--local", "--exit-code").code == 5
    assert run(live, "plan", "--local").code == 0
    assert run(live, "apply", "--local", "--yes").code == 5


def test_6_not_the_reviewed_plan(live: Path) -> None:
    edit(live, GLOBEX, "cpu_ms: 80", "cpu_ms: 70")
    assert run(live, "apply", "--local", "--yes", "--expect", "0" * 32).code == 6
    assert run(live, "plan", "--local", "--exit-code").code == 3


def test_7_applied_in_part(live: Path) -> None:
    edit(live, GLOBEX, "cpu_ms: 80", "cpu_ms: 70")
    ran = run(live, "apply", "--local", "--yes", "--time-limit", "0s")
    assert ran.code == 7
    assert "not started" in ran.out
    assert run(live, "apply", "--local", "--yes", "--time-limit", "1h").code == 0


# Data and talk


@pytest.mark.parametrize("form", ["text", "json", "markdown", "html"])
def test_a_plan_is_data_on_stdout_and_the_same_bytes_each_time(folder: Path, form: str) -> None:
    first, second = (run(folder, "plan", "--local", "--format", form) for _ in range(2))
    assert first.out == second.out != ""
    assert first.err == ""


def test_a_plan_as_json_is_json(folder: Path) -> None:
    plan = json.loads(run(folder, "plan", "--local", "--format", "json").out)
    assert len(plan["changes"]) == 9


def test_expect_takes_the_digest_of_the_reviewed_plan(folder: Path) -> None:
    digest = json.loads(run(folder, "plan", "--local", "--format", "json").out)["digest"]
    assert run(folder, "apply", "--local", "--yes", "--expect", digest[:12]).code == 0


def test_a_saved_plan_is_applied_as_it_was_reviewed(live: Path, tmp_path: Path) -> None:
    edit(live, GLOBEX, "cpu_ms: 80", "cpu_ms: 70")
    saved = tmp_path / "plan.json"
    assert run(live, "plan", "--local", "--out", str(saved)).code == 0
    assert run(live, "apply", "--local", "--yes", "--plan", str(saved)).code == 0
    assert run(live, "plan", "--local", "--exit-code").code == 0


def test_the_record_has_one_line_a_change_and_is_appended_to(live: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    for limit in ("70", "60"):
        edit(live, GLOBEX, "cpu_ms: 80" if limit == "70" else "cpu_ms: 70", f"cpu_ms: {limit}")
        ran = run(live, "apply", "--local", "--yes", "--audit", str(audit), variables={"GITHUB_ACTOR": "octocat"})
        assert ran.code == 0
    lines = [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
    assert [(one["name"], one["outcome"], one["who"]) for one in lines] == [
        ("acme-dispatcher", "applied", "octocat"), ("globex-reports", "applied", "octocat")
    ] * 2 or len(lines) == 4  # fmt: skip
    reports = [one for one in lines if one["name"] == "globex-reports"]
    assert reports[0]["after_digest"] == reports[1]["before_digest"]


def test_files_that_cannot_be_written_or_read_are_told(live: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere" / "file")
    edit(live, GLOBEX, "cpu_ms: 80", "cpu_ms: 70")
    assert run(live, "plan", "--local", "--out", nowhere).code == 2
    assert run(live, "apply", "--local", "--yes", "--audit", nowhere).code == 2
    assert run(live, "apply", "--local", "--yes", "--plan", nowhere).code == 2
    assert run(live, "plan", "--local", "--env-file", nowhere).code == 2
    assert run(live, "plan", "--local", "--exit-code").code == 3


def test_values_of_secrets_come_from_an_env_file_and_show_nowhere(folder: Path, tmp_path: Path) -> None:
    edit(folder, GLOBEX, "globex-shop: {", "globex-shop: {secrets: {KEY: {env: GLOBEX_KEY}}, ")
    env = tmp_path / "env"
    env.write_text("# a comment\nexport GLOBEX_KEY='top secret value'\n", encoding="utf-8")
    audit = tmp_path / "audit"
    ran = run(folder, "apply", "--local", "--yes", "--env-file", str(env), "--audit", str(audit), "-v")
    assert ran.code == 0
    shown = run(folder, "plan", "--local", "--format", "html", "--verify", "all").out
    assert "top secret value" not in ran.out + ran.err + shown + audit.read_text(encoding="utf-8")


def test_a_damaged_ledger_costs_time_and_nothing_else(live: Path) -> None:
    (live / ".reconciler/ledger.sqlite3").write_bytes(b"this is no database" * 1000)
    assert run(live, "plan", "--local", "--exit-code").code == 0
    assert run(live, "apply", "--local", "--yes").code == 0


# Commands


def test_every_command_that_help_lists_is_there() -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0, name


def test_explain_tells_each_value_and_the_line_that_sets_it(folder: Path) -> None:
    ran = run(folder, "explain", "globex/globex-reports")
    assert ran.code == 0
    assert "limits.cpu_ms" in ran.out
    told = json.loads(run(folder, "explain", "globex/globex-reports", "--format", "json").out)["values"]
    limit = next(one for one in told if one["path"] == ["limits", "cpu_ms"])
    line = (folder / limit["where"]["file"]).read_text(encoding="utf-8").split("\n")[limit["where"]["line"] - 1]
    assert line[limit["where"]["column"] - 1 :].startswith(str(limit["value"]))
    ran = run(folder, "explain", "globx")
    assert ran.code == 2
    assert 'did you mean "globex"?' in ran.err
    assert "fix: there are globex, initech" in run(folder, "explain", "zzz").err


# Scopes and git


def changes(folder: Path, *words: str) -> set[str]:
    plan = json.loads(run(folder, "plan", "--format", "json", *words).out)
    return {change["key"]["name"] for change in plan["changes"]}


def test_customer_limits_a_run_to_some(live: Path) -> None:
    edit(live, SHOP, "hello", "hello again")
    edit(live, "customers/initech/status.mjs", "hello", "hello again")
    assert changes(live, "--local", "--customer", "globex") == {"globex-shop"}
    assert run(live, "apply", "--local", "--yes", "--customer", "globex").code == 0
    assert changes(live, "--local") == {"initech-old", "initech-status"}


def test_changed_since_looks_at_customers_whose_files_differ(committed: Path) -> None:
    assert changes(committed, "--local", "--changed-since", "HEAD") == set()
    edit(committed, SHOP, "hello", "hello again")
    upload(committed, "dispatch/namespaces/acme-production/scripts/initech-old")
    assert changes(committed, "--local", "--changed-since", "HEAD") == {"globex-shop"}
    (committed / "customers/hooli").mkdir()
    (committed / "customers/hooli/customer.yaml").write_text(
        "tier: basic\nscripts: {hooli: {main: hooli.mjs}}\n", encoding="utf-8"
    )
    (committed / "customers/hooli/hooli.mjs").write_text("export default {};\n", encoding="utf-8")
    assert changes(committed, "--local", "--changed-since", "HEAD") == {"globex-shop", "hooli", "acme-dispatcher"}


def test_changed_since_sees_customers_that_left(committed: Path) -> None:
    for file in (committed / "customers/initech").iterdir():
        file.unlink()
    assert changes(committed, "--local", "--changed-since", "HEAD") >= {"initech-old", "initech-status"}


def test_changed_since_looks_at_everyone_when_the_platform_changed(committed: Path) -> None:
    edit(committed, "platform/platform_module.mjs", "acme", "acme 2")
    ran = run(committed, "plan", "--local", "--changed-since", "HEAD")
    assert "every customer is looked at" in ran.err
    assert len(changes(committed, "--local", "--changed-since", "HEAD")) == 4


def test_base_compares_two_commits_without_account_or_token(committed: Path) -> None:
    edit(committed, SHOP, "hello", "hello again")
    ran = run(committed, "plan", "--base", "HEAD", "--exit-code")
    assert ran.code == 3
    assert "hello again" in ran.out
    assert changes(committed, "--base", "HEAD") == {"globex-shop"}
    assert run(committed, "plan", "--base", "HEAD", "--at", "HEAD", "--exit-code").code == 0


def below(out: str, label: str) -> list[str]:
    """The indented lines below a label of a plan."""
    lines = out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(label)) + 1
    return list(itertools.takewhile(lambda line: line.startswith("   "), lines[begin:]))


def test_at_applies_a_commit_and_leaves_the_work_tree_alone(committed: Path, tmp_path: Path) -> None:
    first = git(committed, "rev-parse", "HEAD")
    edit(committed, SHOP, "hello", "hello again")
    edit(committed, "customers/initech/status.mjs", "hello", "hello again")
    git(committed, "commit", "--quiet", "--all", "--message", "the second")
    edit(committed, INITECH, "hello", "hi")
    git(committed, "commit", "--quiet", "--all", "--message", "the third")
    assert run(committed, "apply", "--local", "--yes").code == 0
    edit(committed, SHOP, "hello again", "not committed")

    ran = run(committed, "plan", "--local", "--at", first)
    assert [line.split(maxsplit=1)[1] for line in below(ran.out, "undoes")] == ["the third", "the second"]
    ran = run(committed, "plan", "--local", "--at", first, "--customer", "globex")
    assert [line.split(maxsplit=1)[1] for line in below(ran.out, "undoes")] == ["the second"]
    assert "the second" in run(committed, "plan", "--local", "--at", first, "--format", "markdown").out
    document = json.loads(run(committed, "plan", "--local", "--at", first, "--format", "json").out)
    assert [one.partition(" ")[2] for one in document["undoes"]] == ["the third", "the second"]
    audit = tmp_path / "audit"
    words = ("--at", first, "--customer", "globex", "--audit", str(audit))
    assert run(committed, "apply", "--local", "--yes", *words).code == 0
    assert json.loads(audit.read_text(encoding="utf-8"))["commit"] == first
    assert "not committed" in (committed / SHOP).read_text(encoding="utf-8")
    assert changes(committed, "--local", "--at", first) == {"initech-old", "initech-status"}
    assert changes(committed, "--local", "--at", "HEAD") == {"globex-shop"}


@pytest.mark.parametrize("ref", ["nowhere", "--output=x", "HEAD~99", ""])
def test_a_ref_that_names_no_commit_is_wrong_usage(committed: Path, ref: str) -> None:
    for option in ("--at", "--base", "--changed-since"):
        ran = run(committed, "plan", "--local", f"{option}={ref}")
        assert ran.code == (2 if ref else 0)
        assert "Traceback" not in ran.err


def test_at_and_changed_since_do_not_go_together(committed: Path) -> None:
    assert run(committed, "plan", "--local", "--at", "HEAD", "--changed-since", "HEAD").code == 2


def test_without_git_there_are_no_refs(live: Path) -> None:
    for option in ("--at", "--base", "--changed-since"):
        assert run(live, "plan", "--local", option, "HEAD").code == 2
