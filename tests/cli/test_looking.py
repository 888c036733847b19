"""The commands that only look: status, doctor, drift, import. What they print, and that they cannot write."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.local.switches import Switches
from tests.cli.terminal import edit, repository, run, upload
from tests.scenarios.platform import ACCOUNT


@dataclass
class Account:
    """An account behind a socket, as the real one is, that keeps the method of every request."""

    variables: Mapping[str, str]
    store: Store
    methods: list[str] = field(default_factory=list)


@pytest.fixture
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    store = Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    app = create_app(store, switches=getattr(request, "param", Switches()))

    def recorded(environ: dict[str, Any], start: Any) -> Any:
        kept.methods.append(environ["REQUEST_METHOD"])
        return app(environ, start)

    with Server(recorded) as server:
        variables = {
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        kept = Account(variables, store)
        yield kept
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository")


def test_commands_that_look_send_nothing_but_get(folder: Path, account: Account, tmp_path: Path) -> None:
    assert run(folder, "apply", "--yes", variables=account.variables).code == 0
    (tmp_path / "new").mkdir()
    account.methods.clear()
    for words in (("plan", "--verify", "all"), ("drift", "--verify", "all"), ("status",), ("doctor",)):
        assert run(folder, *words, variables=account.variables).code == 0, words
    import_ = ("import", "--namespace", "acme-production", "--platform", "acme")
    assert run(tmp_path / "new", *import_, variables=account.variables).code == 0
    assert set(account.methods) == {"GET"}


NO_ADD_ON = Switches(dispatch_namespaces=False)


def checks(out: str) -> dict[str, str]:
    """The line of each check by its name."""
    return {line[2:15].strip(): line for line in out.splitlines() if line[0] in "✓!✗" and line[2] != " "}


def test_doctor_looks_at_everything_that_a_run_depends_on(folder: Path, account: Account) -> None:
    assert run(folder, "apply", "--yes", variables=account.variables).code == 0
    ran = run(folder, "doctor", variables=account.variables)
    found = checks(ran.out)
    assert list(found) == [
        "python", "git", "workerd", "repository", "token", "account", "add-on", "clock", "namespace", "listing",
        "permissions", "ledger", "probe",
    ]  # fmt: skip
    assert ran.code == 0
    assert [name for name, line in found.items() if line[0] == "✗"] == []
    assert "acme-production with 4 scripts" in found["namespace"]
    assert "rows: flat, tags: yes, etag: yes" in found["listing"]
    assert "not known" in found["probe"]


def test_doctor_probes_and_remembers_the_answers(folder: Path, account: Account) -> None:
    assert run(folder, "apply", "--yes", variables=account.variables).code == 0
    ran = run(folder, "doctor", "--probe", variables=account.variables)
    assert ran.code == 0
    assert "a write of settings moves: modified_on" in ran.out
    again = run(folder, "doctor", variables=account.variables)
    assert "the ninth tag is: refused (10021)" in again.out


@pytest.mark.parametrize("account", [NO_ADD_ON], indirect=True)
def test_doctor_tells_an_account_without_the_add_on(folder: Path, account: Account) -> None:
    ran = run(folder, "doctor", variables=account.variables)
    assert ran.code == 1
    assert ran.out.splitlines()[-2:] == [
        "✗ add-on       this account has no Workers for Platforms (Cloudflare's error 10121)",
        "               fix: add it in Cloudflare's dashboard, or set another account_id",
    ]


def test_doctor_tells_a_zone_that_the_account_lacks(folder: Path, account: Account) -> None:
    edit(folder, "platform.yaml", "zone: acme.app}]", "zone: acme.dev}]")
    ran = run(folder, "doctor", variables=account.variables)
    assert ran.code == 1
    assert checks(ran.out)["permissions"].endswith("no zone acme.dev is to be seen")


def test_doctor_tells_a_token_that_is_refused(folder: Path, account: Account) -> None:
    ran = run(folder, "doctor", variables={**account.variables, "CLOUDFLARE_API_TOKEN": "another"})
    assert ran.code == 1
    assert checks(ran.out)["token"][0] == "✗"
    assert "another" not in ran.out + ran.err


def test_doctor_looks_at_the_account_before_there_is_a_repository(tmp_path: Path, account: Account) -> None:
    ran = run(tmp_path, "doctor", variables=account.variables)
    assert ran.code == 0
    found = checks(ran.out)
    assert found["repository"][0] == "!"
    assert found["add-on"].endswith("with 0 dispatch namespaces")
    assert list(tmp_path.glob(".reconciler")) == []


def test_doctor_names_what_is_wrong_in_the_repository(folder: Path) -> None:
    edit(folder, "customers/globex/customer.yaml", "shop.mjs", "nowhere.mjs")
    ran = run(folder, "doctor", "--local")
    assert ran.code == 1
    assert "✗ repository   customers/globex/customer.yaml:4:" in ran.out


@pytest.fixture
def mixed(folder: Path) -> Path:
    """Scripts in every standing, and on two versions of the platform module."""
    assert run(folder, "apply", "--local", "--yes").code == 0
    for name in ("globex-shop", "stranger"):
        upload(folder, f"dispatch/namespaces/acme-production/scripts/{name}")
    edit(folder, "platform/platform_module.mjs", "acme", "acme 2")
    assert run(folder, "apply", "--local", "--yes", "--customer", "initech").code == 0
    edit(
        folder, "customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "  new: {main: status.mjs}\n"
    )
    return folder


def standings(out: str) -> dict[str, str]:
    rows = [line.split() for line in out.splitlines() if line.startswith("●")]
    return {row[1]: row[2] for row in rows}


def test_status_tells_how_each_script_stands_and_what_it_runs(mixed: Path) -> None:
    ran = run(mixed, "status", "--local")
    assert standings(ran.out) == {
        "globex-reports": "edited",
        "globex-shop": "drifted",
        "initech-old": "orphan",
        "initech-status": "current",
        "new": "missing",
        "stranger": "unmanaged",
    }
    assert [line for line in ran.out.splitlines() if line in ("globex", "initech", "no customer")] == [
        "globex",
        "initech",
        "no customer",
    ]
    space, modules, summary = ran.out.splitlines()[-3:]
    assert space == ""
    assert re.sub("[0-9a-f]{8}", "…", modules) == (
        "platform modules: 2 run …, as in the repository, 1 run …, 1 not known"
    )
    assert summary == "1 edited, 1 drifted, 1 orphan, 1 current, 1 missing, 1 unmanaged"
    narrow = run(mixed, "status", "--local", variables={"COLUMNS": "80"}).out.splitlines()
    assert max(len(line) for line in narrow if line[:1] in ("●", " ")) <= 80
    assert ("digest" in ran.out, "digest" in narrow[0]) == (True, False)
    assert any(line.endswith("basic, initech") for line in narrow)  # its place goes to the tags


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--customer", "initech"), {"initech-old", "initech-status", "new"}),
        (("--tag", "eu"), {"globex-reports"}),
        (("--tag", "eu", "--tag", "basic"), set[str]()),
        (("--unmanaged",), {"stranger"}),
    ],
)
def test_status_shows_a_part(mixed: Path, words: tuple[str, ...], names: set[str]) -> None:
    assert set(standings(run(mixed, "status", "--local", *words).out)) == names
    rows = [json.loads(line) for line in run(mixed, "status", "--local", *words, "--format", "json").out.splitlines()]
    assert {row["script"] for row in rows} == names


def test_status_as_json_is_one_line_a_script(mixed: Path) -> None:
    rows = [json.loads(line) for line in run(mixed, "status", "--local", "--format", "json").out.splitlines()]
    (found,) = [row for row in rows if row["script"] == "initech-status"]
    assert {
        name: value for name, value in found.items() if name not in ("digest", "modified_on", "platform_modules")
    } == {
        "customer": "initech",
        "protected": False,
        "script": "initech-status",
        "standing": "current",
        "tags": ["basic", "initech"],
        "writer": "api",
    }
    assert len(found["platform_modules"]) == 32


def test_status_of_nothing(folder: Path) -> None:
    ran = run(folder, "status", "--local", "--unmanaged")
    assert (ran.code, ran.out) == (0, "the namespace holds no such script\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say which namespace to import with --namespace NAME"),
        (("--namespace", "n", "--customer-tag", "("), "the pattern is no regular expression"),
        (("--namespace", "n", "--platform", "No Id"), "say one with --platform ID"),
        (("--namespace", "gone"), "there is no namespace gone in this account"),
    ],
)
def test_an_import_that_cannot_begin_says_why(
    tmp_path: Path, account: Account, words: tuple[str, ...], told: str
) -> None:
    (tmp_path / "new").mkdir()
    ran = run(tmp_path / "new", "import", *words, variables=account.variables)
    assert ran.code == 2
    assert told in ran.err
    assert [path.name for path in (tmp_path / "new").iterdir() if path.name != ".reconciler"] == []


def test_an_import_where_nothing_is_foreign_changes_nothing(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    before = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".reconciler" not in path.parts
    }
    ran = run(folder, "import", "--local")
    assert (ran.code, "there is no script that the repository does not declare" in ran.err) == (0, True)
    after = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".reconciler" not in path.parts
    }
    assert after == before


def test_an_import_that_leaves_all_out_promises_nothing(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    shutil.rmtree(folder / "customers/initech")
    edit(folder, "platform.yaml", "platform: acme", "platform: other")
    ran = run(folder, "import", "--local")
    assert (ran.code, "carries the mark of the platform acme" in ran.err) == (0, True)
    assert "proven" not in ran.err
    assert "Next" not in ran.err


def test_a_plan_in_which_all_is_in_the_way_does_not_say_that_there_is_nothing_to_do(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    edit(folder, "platform.yaml", "platform: acme", "platform: other")
    ran = run(folder, "plan", "--local")
    assert ran.code == 1
    assert re.search(r"Plan: .*\d+ problems ", ran.out)
    assert "nothing to do" not in ran.out


def test_a_watched_name_that_is_mistyped_is_told(folder: Path) -> None:
    assert run(folder, "apply", "--local", "--yes").code == 0
    upload(folder, "dispatch/namespaces/acme-production/scripts/legacy")
    ran = run(folder, "drift", "--local", "--observe", "legacy", "--observe", "legcay", "--observe", "other-*")
    assert (ran.code, ran.err.splitlines()) == (0, ["--observe legcay: nothing of that name is live"])


def test_a_doctor_who_shows_some_of_what_is_wrong_says_how_much_is_left(folder: Path) -> None:
    for number in range(8):
        (folder / f"customers/broken-{number}").mkdir()
        (folder / f"customers/broken-{number}/customer.yaml").write_text("tier: 5\n", encoding="utf-8")
    ran = run(folder, "doctor", "--local")
    assert ran.code == 1
    shown = ran.out.count("customers/broken-")
    validated = run(folder, "validate")
    told = re.search(r"(\d+) problems in", validated.out + validated.err)
    assert told is not None
    assert f"… and {int(told[1]) - shown} more" in ran.out
