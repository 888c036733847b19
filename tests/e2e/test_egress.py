"""The default outbound Worker and the sample tail Worker in the real runtime."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.load import egress
from reconciler.load.egress import Egress, Header, Layer
from reconciler.model import SecretReference
from tests.e2e.bare_workerd import WORKERS, Running, workerd

STUBS = Path(__file__).parent / "egress"

RULES = Egress(
    Layer(deny=("*.internal", "internal", "metadata.example")),
    {"basic": Layer(allow=("api.example.com", "*.partner.example", "*.internal"))},
    {"globex": Layer(allow=("only.example",))},
    (
        Header("Authorization", ("api.example.com",), secret="API_TOKEN"),
        Header("X-Customer", ("*.partner.example",), parameter="customer"),
    ),
    {"API_TOKEN": SecretReference("EXAMPLE_TOKEN")},
)
CALLERS = {  # service -> who calls; "nobody" was not called by the dispatcher
    "initech": {"customer": "initech", "tier": "basic", "script": "shop", "trace": "t-1"},
    "globex": {"customer": "globex", "tier": "basic", "script": "blog", "trace": "t-2"},
    "umbrella": {"customer": "umbrella", "tier": "advanced", "script": "lab", "trace": "t-3"},
    "nobody": {},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("egress")
    for file in (*STUBS.glob("*.mjs"), WORKERS / "egress.mjs", WORKERS / "tail.mjs"):
        shutil.copy(file, folder)
    (folder / egress.MODULE_NAME).write_bytes(egress.module(RULES))
    with workerd(folder, _config()) as process:
        yield process


def test_an_allowed_host_is_reached_as_the_script_asked(running: Running) -> None:
    init = {"method": "PUT", "body": "text", "headers": {"x-own": "1"}}
    got = fetch(running, "initech", "https://a.partner.example/path?q", init)
    seen = json.loads(got["body"])
    assert (seen["host"], seen["method"], seen["body"]) == ("a.partner.example", "PUT", "text")
    assert seen["headers"]["x-own"] == "1"


@pytest.mark.parametrize(
    ("who", "url", "rule"),
    [
        ("initech", "https://evil.example/", "not in allow of tier basic"),
        ("initech", "https://partner.example/", "not in allow of tier basic"),
        ("initech", "https://xpartner.example/", "not in allow of tier basic"),
        ("initech", "https://db.internal/", 'deny "*.internal" of the platform'),
        ("initech", "http://DB.Internal.:8080/x", 'deny "*.internal" of the platform'),
        ("globex", "https://api.example.com/", "not in allow of customer globex"),
        ("umbrella", "https://metadata.example/", 'deny "metadata.example" of the platform'),
        ("nobody", "https://api.example.com/", "the customer is not known"),
    ],
)
def test_a_refused_host_is_answered_with_the_rule(running: Running, who: str, url: str, rule: str) -> None:
    got = fetch(running, who, url)
    assert (got["status"], got["headers"]["content-type"]) == (403, "application/problem+json")
    problem = json.loads(got["body"])
    assert problem["rule"] == rule
    assert problem["host"] in problem["detail"]


def test_a_layer_without_allow_leaves_it_to_the_next(running: Running) -> None:
    assert fetch(running, "umbrella", "https://anything.example/")["status"] == 200


def test_headers_of_the_platform_go_to_their_hosts_only(running: Running) -> None:
    own = {"headers": {"authorization": "own", "x-customer": "forged"}}
    seen = json.loads(fetch(running, "initech", "https://api.example.com/", own)["body"])["headers"]
    assert (seen["authorization"], seen["x-customer"]) == ("Bearer platform", "forged")
    seen = json.loads(fetch(running, "initech", "https://a.partner.example/", own)["body"])["headers"]
    assert (seen["authorization"], seen["x-customer"]) == ("own", "initech")


def test_a_secret_is_never_sent_in_clear_text(running: Running) -> None:
    forged = {"headers": {"authorization": "own"}}
    seen = json.loads(fetch(running, "initech", "http://api.example.com/", forged)["body"])["headers"]
    assert "authorization" not in seen


def test_a_header_without_a_value_is_not_left_to_the_script(running: Running) -> None:
    rules = replace(RULES, headers=(Header("X-Script", ("api.example.com",), parameter="script"),))
    got = ask_about(running, rules, [{"host": "api.example.com", "customer": "a", "tier": "basic"}])
    assert "x-script" not in got[0]["headers"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_allowed_host_cannot_redirect_to_a_refused_one(running: Running, status: int) -> None:
    got = fetch(running, "initech", f"https://api.example.com/to?status={status}&address=https://evil.example/")
    assert got["status"] == 403
    assert json.loads(got["body"])["host"] == "evil.example"


def test_a_redirect_does_not_carry_the_secret_to_another_host(running: Running) -> None:
    got = fetch(running, "initech", "https://api.example.com/to?address=https://a.partner.example/")
    seen = json.loads(got["body"])
    assert seen["host"] == "a.partner.example"
    assert "authorization" not in seen["headers"]


def test_redirects_follow_the_rules_of_fetch(running: Running) -> None:
    post = {"method": "POST", "body": "text"}
    here = "https://a.partner.example/to?address=/end&status="
    ends = {status: json.loads(fetch(running, "initech", f"{here}{status}", post)["body"]) for status in (302, 307)}
    assert (ends[302]["method"], ends[302]["body"]) == ("GET", "")
    assert (ends[307]["method"], ends[307]["body"]) == ("POST", "text")


def test_a_script_that_handles_redirects_itself_gets_them(running: Running) -> None:
    url = "https://api.example.com/to?address=https://evil.example/"
    got = fetch(running, "initech", url, {"redirect": "manual"})
    assert (got["status"], got["headers"]["location"]) == (302, "https://evil.example/")


def test_a_loop_of_redirects_ends(running: Running) -> None:
    assert "Too many redirects" in fetch(running, "initech", "https://a.partner.example/loop")["error"]


def test_a_websocket_passes_through(running: Running) -> None:
    assert fetch(running, "initech", "https://api.example.com/", {"headers": {"upgrade": "websocket"}})["status"] == 101


def test_each_request_is_one_line_of_the_log_without_its_path(running: Running) -> None:
    fetch(running, "initech", "https://b.partner.example/secret-path?token=1")
    fetch(running, "initech", "https://c.evil.example/secret-path?token=1")
    fetch(running, "initech", "https://d.partner.example/break")
    lines = {line["host"]: line for line in _logged(running, "egress")}
    known = {"customer": "initech", "tier": "basic", "script": "shop", "trace": "t-1", "method": "GET"}
    allowed = 'allow "*.partner.example" of tier basic'
    assert lines["b.partner.example"] == known | {
        "egress": "allowed",
        "host": "b.partner.example",
        "rule": allowed,
        "status": 200,
    }
    assert lines["c.evil.example"]["egress"] == "refused"
    assert lines["d.partner.example"]["error"] == "connection lost"
    assert not any("secret" in line for line in running.lines() if '"egress"' in line)


@pytest.mark.parametrize(("log", "logged"), [("all", 2), ("refused", 1), ("none", 0)])
def test_the_log_can_be_narrowed(running: Running, log: str, logged: int) -> None:
    rules = Egress(Layer(deny=("refused.example",)), log=log)
    who = {"customer": f"logs-{log}", "tier": "basic"}
    questions = [{"host": host, **who} for host in ("allowed.example", "refused.example")]
    ask_about(running, rules, questions)
    assert len([line for line in _logged(running, "egress") if line.get("customer") == f"logs-{log}"]) == logged


def test_the_tail_worker_logs_each_invocation(running: Running) -> None:
    fetch(running, "initech", "https://b.partner.example/tailed?token=1")
    line = _soon(lambda: next((one for one in _logged(running, "outcome") if "/ask" in one.get("url", "")), None))
    assert (line["outcome"], line["method"], line["status"]) == ("ok", "POST", 200)
    assert (line["exceptions"], line["logs"]) == ([], 0)
    assert "?" not in line["url"]
    assert "cpuMs" in line
    assert "wallMs" in line


def test_the_tail_worker_logs_what_was_thrown(running: Running) -> None:
    _post(running, "initech", "not json")
    line = _soon(lambda: next((one for one in _logged(running, "outcome") if one["exceptions"]), None))
    assert line["outcome"] == "exception"
    assert line["exceptions"][0]["name"] == "SyntaxError"


HOSTS = st.sampled_from(["a.com", "b.a.com", "c.b.a.com", "xa.com", "com", "localhost", "127.0.0.1"])
PATTERNS = st.one_of(HOSTS, HOSTS.map(lambda host: f"*.{host}"), st.sampled_from(["*", "*.a.com", "B.A.com."]))
LISTS = st.lists(PATTERNS, max_size=3).map(tuple)
LAYERS = st.builds(Layer, st.one_of(st.none(), LISTS), LISTS)
WHO = st.sampled_from(["one", "two", "constructor"])
QUESTIONS = st.fixed_dictionaries(
    {
        "host": st.builds(lambda host, dot: host + dot, HOSTS, st.sampled_from(["", "."])),
        "customer": WHO,
        "tier": st.one_of(WHO, st.just("")),  # of a platform without tiers
    }
)


@settings(max_examples=50, deadline=None)
@given(
    rules=st.builds(Egress, LAYERS, st.dictionaries(WHO, LAYERS), st.dictionaries(WHO, LAYERS), log=st.just("none")),
    questions=st.lists(QUESTIONS, min_size=1, max_size=30),
)
def test_python_and_the_outbound_worker_agree_on_every_host(
    running: Running, rules: Egress, questions: list[dict[str, str]]
) -> None:
    for asked, answer in zip(questions, ask_about(running, rules, questions), strict=True):
        verdict = egress.decide(rules, asked["host"], tier=asked["tier"], customer=asked["customer"])
        assert answer.get("rule") == (None if verdict.allowed else verdict.rule), asked


def fetch(running: Running, who: str, url: str, init: dict[str, Any] | None = None) -> Any:
    """What a script of this customer gets for fetch(url, init)."""
    return _post(running, who, json.dumps({"url": url, "init": init or {}}))


def ask_about(running: Running, rules: Egress, questions: list[dict[str, str]]) -> Any:
    """What the outbound Worker with these rules answers each question."""
    return _post(running, "probe", json.dumps({"rules": egress.module(rules).decode(), "questions": questions}))


def _post(running: Running, port: str, body: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", running.ports[port], timeout=10)
    connection.request("POST", "/ask?token=1", body)
    reply = connection.getresponse().read()
    connection.close()
    return json.loads(reply) if reply.startswith((b"{", b"[")) else reply


def _logged(running: Running, mark: str) -> list[dict[str, Any]]:
    """The JSON lines that have this key."""
    lines = [json.loads(line) for line in running.lines() if line.startswith("{")]
    return [line for line in lines if mark in line]


def _soon(find: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """Tail events come after the reply; nobody says when."""
    for _ in range(100):
        found = find()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("the tail Worker got no such event in five seconds")


_DATE = 'compatibilityDate = "2026-10-01"'


def _config() -> str:
    callers = "\n".join(_caller(name, parameters) for name, parameters in CALLERS.items())
    sockets = "\n".join(
        f'(name = "{name}", address = "127.0.0.1:0", http = (), service = "{name}"),' for name in [*CALLERS, "probe"]
    )
    return f"""
const config :Workerd.Config = (
  services = [
    {callers}
    (name = "internet", worker = (modules = [(name = "internet.mjs", esModule = embed "internet.mjs")], {_DATE})),
    (name = "tail", worker = (modules = [(name = "tail.mjs", esModule = embed "tail.mjs")], {_DATE})),
    (name = "probe", worker = (
      modules = [(name = "loader.mjs", esModule = embed "loader.mjs")], {_DATE},
      bindings = [
        (name = "LOADER", workerLoader = (id = "probes")),
        (name = "INTERNET", service = "internet"),
        (name = "PROBE", text = embed "probe.mjs"),
        (name = "EGRESS", text = embed "egress.mjs"),
      ],
    )),
  ],
  sockets = [{sockets}],
);
"""


def _caller(name: str, parameters: dict[str, str]) -> str:
    """A user Worker, and its way out with what the dispatcher would have told of it."""
    told = parameters | {"API_TOKEN": "Bearer platform"}
    bindings = " ".join(f'(name = "{key}", text = "{value}"),' for key, value in told.items())
    return f"""
    (name = "{name}", worker = (
      modules = [(name = "user.mjs", esModule = embed "user.mjs")], {_DATE},
      globalOutbound = "{name}-egress", tails = ["tail"],
    )),
    (name = "{name}-egress", worker = (
      modules = [
        (name = "egress.mjs", esModule = embed "egress.mjs"),
        (name = "egress_rules.mjs", esModule = embed "egress_rules.mjs"),
      ], {_DATE},
      bindings = [{bindings}], globalOutbound = "internet",
    )),"""
