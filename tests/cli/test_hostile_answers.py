"""A server that lies: whatever its replies hold, in every command and every format it stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import Ran, edit, repository, run
from tests.scenarios.platform import ACCOUNT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u200b\ud800##[error]x\n::add-mask::y\r\x85::error::z\u2028"
    '<script>alert(1)</script>"><img src=x onerror=alert(1)> @acme/all #1 ![x](http://evil.example/x) `a` | <!-- -->'
)
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\u2028\ud800-\udfff]")  # but for tab and line feed
_RUNNER = re.compile(r"(?m)^\s*::|##\[")


class Liar:
    """The embedded platform. It `lies` by rows of its own in the listing, and `refuses` with an error for all."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app, self.lies, self.refuses = app, False, False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        told: list[Any] = []
        body = b"".join(self._app(environ, lambda *words: told.append(words)))  # type: ignore[arg-type]  # told takes the words of all three
        status, headers = told[0][:2]
        if self.refuses:
            status = "400 Bad Request"
            body = json.dumps({"success": False, "errors": [{"code": 10021, "message": EVIL}]}).encode()
        elif self.lies and environ["PATH_INFO"].endswith("/scripts") and environ["REQUEST_METHOD"] == "GET":
            body = _with_more(json.loads(body))
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "cf-ray")]
        start_response(status, [*kept, ("content-length", str(len(body))), ("cf-ray", "##[error]x")])
        return [body]


def _with_more(envelope: dict[str, Any]) -> bytes:
    row = {"id": EVIL, "tags": [EVIL, "globex"], "etag": EVIL, "modified_on": EVIL, "last_deployed_from": EVIL}
    ours = {**row, "id": f"x{EVIL}", "tags": ["rcn-acme", f"rcn-d-{EVIL}", EVIL, "rcn-protect"]}
    envelope["result"] += [row, ours]
    return json.dumps(envelope).encode()


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[tuple[Liar, dict[str, str]]]:
    store = Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    liar = Liar(create_app(store))
    with Server(liar) as server:
        yield (
            liar,
            {
                "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
            },
        )
    store.close()


COMMANDS = [
    ("plan",), ("plan", "-v"), ("plan", "--format", "json"), ("plan", "--format", "markdown"),
    ("plan", "--format", "html"), ("status",), ("status", "--format", "json"), ("drift",),
    ("drift", "--format", "json"), ("doctor",), ("apply", "--yes"), ("import",),
]  # fmt: skip


def test_what_a_listing_says_stays_text_in_every_command_and_format(
    tmp_path: Path, liar: tuple[Liar, dict[str, str]]
) -> None:
    folder = repository(tmp_path / "repository")
    assert run(folder, "apply", "--yes", variables=liar[1]).code == 0
    liar[0].lies = True
    for words in COMMANDS:
        ran = run(folder, *words, variables=liar[1])
        _is_harmless(ran, words)
        if words[0] in ("plan", "status", "drift"):
            assert "owned" in ran.out + ran.err, words


def test_what_is_written_to_files_is_written_whatever_the_listing_says(
    tmp_path: Path, liar: tuple[Liar, dict[str, str]]
) -> None:
    folder, plan, audit = repository(tmp_path / "repository"), tmp_path / "plan.json", tmp_path / "audit.jsonl"
    assert run(folder, "apply", "--yes", variables=liar[1]).code == 0
    liar[0].lies = True
    edit(folder, "customers/globex/shop.mjs", "hello", "other")
    assert "Traceback" not in run(folder, "plan", "--out", str(plan), variables=liar[1]).err
    assert "owned" in json.dumps(json.loads(plan.read_text(encoding="utf-8")))
    _is_harmless(run(folder, "apply", "--yes", "--plan", str(plan), "--audit", str(audit), variables=liar[1]), ())
    record = audit.read_text(encoding="utf-8")
    assert not _UNSEEN.search(record)
    assert all(json.loads(line)["ray"] for line in record.splitlines())


def test_what_an_error_says_stays_text(tmp_path: Path, liar: tuple[Liar, dict[str, str]]) -> None:
    folder = repository(tmp_path / "repository")
    liar[0].refuses = True
    for words in COMMANDS:
        ran = run(folder, *words, variables=liar[1])
        _is_harmless(ran, words)
        assert ran.code == 1, words


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def _is_harmless(ran: Ran, words: tuple[str, ...]) -> None:
    assert "Traceback" not in ran.err, (words, ran.err)
    for text in (ran.out, ran.err):
        found = _UNSEEN.search(text)
        assert found is None, (words, text[max(0, found.start() - 80) :][:120])
    assert not _RUNNER.search(ran.err), (words, ran.err)
    if "json" not in words and "html" not in words and "markdown" not in words:
        assert not _RUNNER.search(ran.out), (words, ran.out)
    if "html" in words:
        elements = _Elements()
        elements.feed(ran.out)
        assert elements.found.count("script") <= 1
        assert "img" not in elements.found
