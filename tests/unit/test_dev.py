"""The parts of `reconciler dev`: addresses, what happened, lines on the terminal, colours, saves."""

from __future__ import annotations

import shlex
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.dev import FAULTS
from reconciler.dev import highlight, log, show, urls
from reconciler.dev.journal import Entry, Journal
from reconciler.dev.rounds import Round
from reconciler.dev.watching import Watch, told, watched_folders
from reconciler.errors import Problem, Severity
from reconciler.load import config
from reconciler.local.api import LOCAL_TOKEN
from reconciler.local.faults import NAMED
from reconciler.model import Key, Resource
from reconciler.plan import Action, Cause, Change, Plan
from reconciler.plan.results import Outcome, Result
from reconciler.show.style import plain
from tests import small_platform

REQUEST = {
    "namespace": "acme-production", "script": "globex-shop", "customer": "globex", "id": 1, "method": "GET",
    "status": 200, "url": "http://globex-shop.acme.app/cart?id=7", "milliseconds": 2.6, "cpu_milliseconds": 1.0,
    "subrequests": 2,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_platform.write(tmp_path)


def test_the_faults_of_the_command_are_those_of_the_api() -> None:
    assert tuple(NAMED) == FAULTS


# Addresses


@pytest.mark.parametrize(
    ("pattern", "suffix", "host"),
    [
        ("{script}.acme.app", "acme.app", "http://globex-shop.localhost:8787/"),
        ("{script}.{customer}.acme.app", "acme.app", "http://globex-shop.globex.localhost:8787/"),
        ("{script}-apps.acme.app", "acme.app", "http://globex-shop-apps.localhost:8787/"),
        ("app.{script}.acme.app", "acme.app", "http://app.globex-shop.localhost:8787/"),
    ],
)
def test_a_script_answers_under_localhost_as_under_the_platforms_domain(
    root: Path, pattern: str, suffix: str, host: str
) -> None:
    text = small_platform.PLATFORM.replace("{script}.acme.app", pattern)
    (root / "platform.yaml").write_text(text)
    found = {one.script: one for one in urls.addresses(config.load(root, variables={}), 8787)}
    assert urls.suffix(pattern) == suffix
    assert found["globex-shop"].by_host == host
    assert found["globex-shop"].by_path == "http://127.0.0.1:8787/dispatch/globex-shop"
    assert found["globex-shop"].hostnames == ("shop.globex.com",)


def test_a_pattern_of_customers_leads_to_their_one_script(root: Path) -> None:
    (root / "platform.yaml").write_text(small_platform.PLATFORM.replace("{script}.acme.app", "{customer}.acme.app"))
    text = small_platform.GLOBEX.replace("globex-shop", "globex")
    (root / "customers/globex/customer.yaml").write_text(text)
    found = {one.script: one.by_host for one in urls.addresses(config.load(root, variables={}), 8787)}
    assert found == {
        "globex": "http://globex.localhost:8787/",
        "globex-api": "",
        "hello": "http://initech.localhost:8787/",
    }


# What happened


def test_who_follows_gets_every_entry_once_and_in_order() -> None:
    journal = Journal(kept=1000)
    got: list[int] = []
    follower = threading.Thread(
        target=lambda: got.extend(one.number for one in journal.follow(0, patience=5) if one is not None)
    )
    follower.start()
    writers = [threading.Thread(target=lambda: [journal.add("log", {}) for _ in range(100)]) for _ in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    until = time.monotonic() + 5
    while len(got) < 400 and time.monotonic() < until:
        time.sleep(0.005)
    journal.close()
    follower.join()
    assert got == list(range(1, 401))


def test_a_journal_keeps_the_last_entries_and_tells_of_silence() -> None:
    journal = Journal(kept=3, clock=lambda: 7.0)
    for number in range(5):
        journal.add("log", {"message": str(number)})
    assert [one.number for one in journal.recent()] == [3, 4, 5]
    assert [one.number for one in journal.recent(2)] == [4, 5]
    assert next(journal.follow(5, patience=0.001)) is None
    assert journal.recent(1)[0].as_json() == {"number": 5, "at": 7.0, "kind": "log", "message": "4"}


# Lines on the terminal


def test_a_request_is_one_line() -> None:
    entry = Entry(1, time.mktime((2026, 11, 24, 12, 3, 11, 0, 0, -1)), "request", REQUEST)
    (line,) = log.lines(entry, plain())
    assert line == "12:03:11  GET    200      3 ms  globex-shop            globex       /cart?id=7   2 subrequests"


def test_foreign_text_cannot_move_the_cursor() -> None:
    entries = [
        Entry(1, 0.0, "log", {"script": "x", "level": "log", "message": "a\x1b[2Jb\nc"}),
        Entry(2, 0.0, "exception", {"script": "x", "name": "E\x07", "message": "\x1b]0;", "stack": "a\n\x1b[1m"}),
        Entry(3, 0.0, "request", {**REQUEST, "url": "http://a/\x1b[2J"}),
        Entry(4, 0.0, "trouble", {"script": "", "message": "\x9b2J"}),
    ]
    for entry in entries:
        for line in log.lines(entry, plain()):
            assert line.isprintable()


def test_a_request_that_the_dispatcher_passed_on_is_told_once() -> None:
    dispatcher = {**REQUEST, "namespace": "", "script": "acme-dispatcher"}
    assert log.of_a_customer(Entry(1, 0.0, "request", REQUEST))
    assert not log.of_a_customer(Entry(1, 0.0, "request", dispatcher))
    assert log.of_a_customer(Entry(1, 0.0, "request", {**dispatcher, "status": 404}))


def test_a_round_without_a_change_says_nothing() -> None:
    assert list(show.round_lines(Round(1, 0.0, "x", 0.1), None, plain())) == []
    broken = Round(2, 0.0, "x", 0.1, (Problem("no"),))
    assert len(list(show.round_lines(broken, None, plain()))) == 1
    assert show.advice(broken, None, had=True) == "nothing was sent: what was live stays live"
    assert show.problems(broken, None) == list(broken.problems)
    assert show.advice(Round(3, 0.0, "x", 0.1), broken, had=True) == "mended: what is live is what the files say"


def test_a_save_that_brings_back_what_is_live_says_so_whatever_was_wrong_before() -> None:
    key = Key("user_worker", "globex-shop")
    gone = Change(Action.DELETE, key, Cause.REMOVED, before=Resource(key, ""), after=None)
    refused = Result(key, Action.UPDATE, Outcome.FAILED)
    withheld = Plan("acme", "production", withheld=(gone,), refusals=(Problem("too many"),))
    for before in (Round(1, 0.0, "x", 0.1, results=(refused,)), Round(1, 0.0, "x", 0.1, (), withheld)):
        assert show.advice(Round(2, 0.0, "x", 0.1), before, had=True) == "mended: what is live is what the files say"
    assert show.advice(Round(3, 0.0, "x", 0.1), Round(2, 0.0, "x", 0.1), had=True) == ""


def test_a_warning_is_told_in_the_round_that_it_comes_with() -> None:
    warned = Plan("acme", "production", warnings=(Problem("mind", severity=Severity.WARNING),))
    first, second = Round(1, 0.0, "x", 0.1, (), warned), Round(2, 0.0, "x", 0.1, (), warned)
    assert show.problems(first, None) == list(warned.warnings)
    assert show.problems(second, first) == []


def test_what_the_guards_withhold_is_told_once() -> None:
    key = Key("user_worker", "globex-shop")
    gone = Change(Action.DELETE, key, Cause.REMOVED, before=Resource(key, ""), after=None)
    held = Plan("acme", "production", withheld=(gone,), refusals=(Problem("too many"),))
    first, second = Round(1, 0.0, "start", 0.1, (), held), Round(2, 0.0, "a save", 0.1, (), held)
    assert next(show.round_lines(first, None, plain())).endswith("  start")
    assert show.problems(first, None) == list(held.refusals)
    assert "--allow-deletes" in show.advice(first, None, had=True)
    assert list(show.round_lines(second, first, plain())) == []
    assert show.problems(second, first) == []
    assert show.advice(second, first, had=True) == ""


def test_other_tools_are_told_of_the_local_account_in_a_line_to_copy() -> None:
    _, line = show.for_other_tools("http://127.0.0.1:8788", "0" * 32)
    name, *exported = shlex.split(line)
    assert name == "export"
    assert dict(one.split("=", 1) for one in exported) == {
        "CLOUDFLARE_ACCOUNT_ID": "0" * 32,
        "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
        "CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:8788/client/v4",
        "CLOUDFLARE_BASE_URL": "http://127.0.0.1:8788/client/v4",
    }


# Colours


def test_files_that_go_while_a_round_runs_end_nothing(root: Path, tmp_path: Path) -> None:
    """The change is live, what differed in it cannot be told any more, and the next round goes on from the files."""
    with small_platform.pages(root, tmp_path / "state") as pages:
        (root / "customers/initech/hello.mjs").write_text("export default { fetch: () => new Response('2') };")
        folder = root / "customers/initech"
        done = pages.site.rounds.run("a save", told=lambda *_: shutil.rmtree(folder, ignore_errors=True))
        assert [one.outcome for one in done.results] == [Outcome.APPLIED]
        assert done.plan is not None and done.plan.changes[0].explanation is None
        small_platform.write(root)
        assert pages.site.rounds.run("as it was").exit_code == 0


@given(
    st.text(alphabet=st.sampled_from("ab1 \"'`/*\\\n#:{}[],.$-"), max_size=60),
    st.sampled_from([".mjs", ".json", ".yaml", ".x"]),
)
def test_coloured_pieces_together_are_the_text(text: str, suffix: str) -> None:
    assert "".join(piece for _, piece in highlight.pieces(f"a{suffix}", text)) == text
    joined = "\n".join("".join(piece for _, piece in line) for line in highlight.lines(f"a{suffix}", text))
    assert joined == (text.removesuffix("\n") if text.endswith("\n") else text)


def test_code_is_coloured_by_what_it_is() -> None:
    pieces = list(highlight.pieces("a.mjs", 'const a = "b"; // const\n'))
    assert [(role, text) for role, text in pieces if role] == [
        ("word", "const"), ("string", '"b"'), ("comment", "// const"),
    ]  # fmt: skip


# Saves


def test_folders_that_the_platform_names_are_watched(root: Path) -> None:
    for name in ("node_modules", ".git", "docs"):
        (root / name).mkdir()
    assert watched_folders(root) == ("customers", "platform")


def test_saves_are_told_with_their_files(root: Path) -> None:
    saves: list[tuple[str, ...]] = []
    watch = Watch(root, saves.append, lambda error: pytest.fail(str(error)))
    try:
        _until(lambda: saves.count(()) == 2)  # both watches stand: from now on one save is enough
        (root / "customers/globex/shop.mjs").write_text("// 1")
        _until(lambda: ("customers/globex/shop.mjs",) in saves)
        (root / "new.yaml").write_text("# 2")
        (root / "new.yaml").replace(root / "platform.yaml")
        _until(lambda: ("platform.yaml",) in saves)
        small_platform.write(root)
        (root / "customers/new").mkdir()
        _until(lambda: _touched(root / "customers/new/customer.yaml", saves, "customers/new/customer.yaml"))
        (root / "README.md").write_text("not a file of the platform")
    finally:
        watch.stop()
    assert not any("README.md" in save for save in saves)


def test_an_editors_own_files_are_not_told(root: Path) -> None:
    assert told(root, ["customers/globex/shop.mjs", "customers/globex/4913"]) == "customers/globex/shop.mjs"
    assert told(root, ["customers/globex/gone.mjs"]) == "customers/globex/gone.mjs"
    many = [
        "customers/globex/shop.mjs",
        "platform.yaml",
        "customers/globex/customer.yaml",
        "customers/initech/hello.mjs",
    ]
    assert told(root, many) == "customers/globex/customer.yaml and 3 more"


def _touched(file: Path, saves: list[tuple[str, ...]], name: str) -> bool:
    """Write again until it is seen: a watch takes a moment to stand."""
    file.write_text(f"{file.read_text() if file.exists() else ''}\n")
    time.sleep(0.1)
    return any(name in save for save in saves)


def _until(true: object) -> None:
    assert callable(true)
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
