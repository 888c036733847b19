"""The calls to Cloudflare: listings in every form, and a token that never goes astray."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import LocalError, ReconcilerError, UsageProblem
from reconciler.look.cloudflare import Api, connect
from reconciler.look.exchange import Part
from reconciler.look.replies import ApiError, NotFound, Unreachable
from reconciler.look.transport import Polite, Unlimited
from reconciler.model import Module, Secret

ACCOUNT = "0123456789abcdef0123456789abcdef"
TOKEN = "tok-4f1c9a7e2b"
VALUE, SESSION = "value-of-key", "jwt-of-session"
BASE = "https://api.example.com/client/v4"

Answer = Callable[[httpx.Request], httpx.Response]


def api(answer: Answer, *, retries: int = 0) -> Api:
    polite = Polite(httpx.MockTransport(answer), Unlimited(), sleep=lambda _: None, retries=retries)
    return connect(BASE, Secret(TOKEN), ACCOUNT, polite)


def good(result: Any, **info: Any) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "result": result, "result_info": info, "errors": []})


def bad(status: int, code: int, message: str = "no") -> httpx.Response:
    return httpx.Response(status, json={"success": False, "errors": [{"code": code, "message": message}]})


def answers(*replies: httpx.Response) -> Answer:
    waiting = iter(replies)
    return lambda request: next(waiting)


# Listings


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_a_listing_is_read_to_its_end_whatever_the_pages_size(nested: bool, page: int) -> None:
    names = [f"script-{number}" for number in range(7)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", "0"))
        shown = names[start : start + page]
        following = str(start + page) if start + page < len(names) else ""
        rows = [{"script": {"id": name}} if nested else {"id": name} for name in shown]
        return good(rows, count=len(rows), total_count=7, cursor=following)

    listing = api(answer).scripts("acme")
    assert [row.name for row in listing.rows] == names
    assert listing.incomplete_because == ""
    assert listing.pages == -(-7 // page)


@pytest.mark.parametrize(
    ("replies", "because"),
    [
        ([good([{"id": "a"}], cursor="1"), good([{"id": "b"}], cursor="1")], "came round"),
        ([good([{"id": "a"}], cursor="1"), good([{"id": "b"}], cursor="2"), good([{"id": "c"}], cursor="1")], "round"),
        ([good([{"id": "a"}], cursor="1"), good([], cursor="2")], "came round"),
        ([good([{"id": "a"}], cursor="1"), good([{"id": "a"}], cursor="2")], "came round"),
        ([good([{"id": "a"}, {"etag": "x"}])], "without a name"),
        ([good([{"id": "a"}], cursor="1"), bad(404, 100119)], "disappeared"),
        ([good([{"id": "a"}], total_count=250, per_page=100, page=1)], "shows 1 scripts and says that there are 250"),
    ],
)
def test_a_listing_that_did_not_end_well_says_so_and_keeps_what_it_saw(
    replies: list[httpx.Response], because: str
) -> None:
    listing = api(answers(*replies)).scripts("acme")
    assert because in listing.incomplete_because
    assert listing.rows[0].name == "a"


@pytest.mark.parametrize(
    "reply",
    [
        good(None),
        good({"scripts": []}),
        good("none"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'{"success": true, "result": [{"id"'),
        httpx.Response(200, json={"success": False, "result": []}),
        httpx.Response(404, text="<html>no such page</html>"),
        bad(404, 7003),
        bad(403, 10000),
        bad(500, 10002),
        httpx.Response(502, text="<html>"),
    ],
)
@pytest.mark.parametrize("first", [True, False], ids=["first page", "second page"])
def test_a_page_that_is_not_understood_is_an_error_and_never_an_empty_listing(
    reply: httpx.Response, first: bool
) -> None:
    pages = [reply] if first else [good([{"id": "a"}], cursor="1"), reply]
    with pytest.raises(ApiError):
        api(answers(*pages)).scripts("acme")


def test_a_missing_namespace_has_no_scripts() -> None:
    listing = api(answers(bad(404, 100119))).scripts("acme")
    assert listing.rows == () and listing.incomplete_because == "" and listing.pages == 1


@pytest.mark.parametrize("reply", [good(None), good([{"etag": "x"}]), good([{"id": "a"}], total_count=2)])
def test_a_listing_of_ordinary_workers_that_leaves_some_out_is_an_error(reply: httpx.Response) -> None:
    with pytest.raises(Unreachable):
        api(answers(reply)).workers()


def test_kv_namespaces_are_read_on_where_the_page_size_is_not_honoured() -> None:
    titles = [f"t{number}" for number in range(45)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = (int(request.url.params["page"]) - 1) * 20
        rows = [{"id": f"id-{title}", "title": title} for title in titles[start : start + 20]]
        return good(rows, page=request.url.params["page"], per_page=20, total_count=45)

    assert api(answer).kv_namespace("t44") == "id-t44"
    assert api(answer).kv_namespace("t99") == ""


def test_a_circle_of_kv_cursors_ends() -> None:
    cursors = {"": "1", "1": "2", "2": "1"}

    def answer(request: httpx.Request) -> httpx.Response:
        return good([{"name": "k"}], cursor=cursors[request.url.params.get("cursor", "")])

    with pytest.raises(Unreachable):
        api(answer).kv_keys("0f2a", "routes/")


# What is gone, and what is not


def test_what_is_gone_is_deleted_and_a_gateways_404_is_not_believed() -> None:
    api(answers(bad(404, 10007))).delete_script("acme", "shop")
    api(answers(httpx.Response(200, json={"success": True, "errors": [], "messages": []}))).delete_script("acme", "a")
    api(answers(httpx.Response(200))).delete_domain("0f2a")
    api(answers(bad(404, 10020))).delete_route("0f2a", "1b")
    with pytest.raises(Unreachable):
        api(answers(httpx.Response(404, text="<html>"))).delete_script("acme", "shop")
    with pytest.raises(Unreachable):
        api(answers(httpx.Response(200, text="<html>Log in</html>"))).delete_script("acme", "shop")


def test_a_missing_kv_key_is_none() -> None:
    assert api(answers(bad(404, 10009))).kv_value("0f2a", "routes/x") is None


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.scripts("acme"),
        lambda one: one.namespace("acme"),
        lambda one: one.workers(),
        lambda one: one.upload("acme", "shop", {"main_module": "a"}, [Module("a", "text/plain", b"")]),
        lambda one: one.delete_script("acme", "shop"),
        lambda one: one.script("acme", "shop"),
        lambda one: one.settings("acme", "shop"),
        lambda one: one.content("acme", "shop"),
        lambda one: one.script_tags("acme", "shop"),
        lambda one: one.put_tags("acme", "shop", ["a"]),
        lambda one: one.secret_names("acme", "shop"),
        lambda one: one.put_secrets("acme", "shop", {"KEY": Secret(VALUE), "OLD": None}),
        lambda one: one.asset_session("acme", "shop", {"/": ("0" * 32, 1)}),
        lambda one: one.upload_assets(Secret(SESSION), [Part("0" * 32, b"", "text/plain")]),
        lambda one: one.zone("acme.app"),
        lambda one: one.routes("0f2a"),
        lambda one: one.put_route("0f2a", "", "*.acme.app/*", "dispatch"),
        lambda one: one.domains(),
        lambda one: one.workers_dev("dispatch"),
        lambda one: one.kv_namespace("t"),
        lambda one: one.create_kv_namespace("t"),
        lambda one: one.kv_keys("0f2a", "routes/"),
        lambda one: one.kv_value("0f2a", "routes/x"),
        lambda one: one.put_kv("0f2a", [("k", "v")]),
        lambda one: one.delete_kv("0f2a", ["k"]),
        lambda one: one.verify_token(),
        lambda one: one.server_time(),
        lambda one: one.raw_listing("acme"),
    ],
)
def test_no_reply_makes_a_call_stumble_or_tell_a_secret(call: Callable[[Api], Any]) -> None:
    """Whatever comes back: a value or an error of ours, and no error that holds what must not be told."""
    secrets = sent_by(call)
    echo = " ".join([*secrets, ACCOUNT])
    replies = [
        *[good({name: echo}) for name in ("jwt", "buckets", "unsuccessful_keys", "script", "tags", "id")],
        good({"jwt": "line\nbreak"}),
        bad(400, 10021, echo),
        bad(403, 10000, echo),
        bad(404, 7003, echo),
        bad(500, 1, echo),
        httpx.Response(200, text=echo),
        httpx.Response(200, content=b""),
        httpx.Response(302, headers={"location": f"https://evil.example/{TOKEN}"}),
        *[httpx.Response(status, headers={"cf-ray": TOKEN}, json={"success": False}) for status in (200, 400)],
    ]
    nothings: list[Any] = [None, [], {}, "x", 1, True, [None], [[]], ["x"], [{"id": None}], {"buckets": "x"}]
    errors: list[Exception] = [
        httpx.ReadTimeout(echo),
        httpx.ConnectError(echo),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"),
        httpx.RemoteProtocolError(echo),
    ]

    def failing(error: Exception) -> Answer:
        def answer(request: httpx.Request) -> httpx.Response:
            raise error

        return answer

    def answering(reply: httpx.Response) -> Answer:
        return lambda request: httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def damaged(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(b"no gzip"), headers={"content-encoding": "gzip"})

    replies += map(good, nothings)
    for answer in (damaged, *map(answering, replies), *map(failing, errors)):
        try:
            call(api(answer))
        except ReconcilerError as error:
            for text in everything_of(error):
                assert not any(secret in text for secret in secrets), text
            assert ACCOUNT not in str(error.problems)


def test_an_id_of_a_request_that_is_the_token_is_kept_from_the_audit_file() -> None:
    one = api(lambda request: httpx.Response(200, headers={"cf-ray": TOKEN}, json={"result": {}, "success": True}))
    one.settings("acme", "shop")
    assert one.ray == "***"


def sent_by(call: Callable[[Api], Any]) -> list[str]:
    """Which secrets the call sends, and a server can so repeat."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.headers['authorization']} {request.read()!r}")
        return good({})

    with contextlib.suppress(ReconcilerError):
        call(api(answer))
    return [one for one in (TOKEN, VALUE, SESSION) if one in " ".join(sent)]


def everything_of(error: BaseException) -> Iterator[str]:
    """All that a crash report could show: the chain of errors, their traceback, and every value in our own frames."""
    seen: BaseException | None = error
    while seen is not None:
        yield repr(seen)
        yield str(seen)
        yield repr(vars(seen))
        yield "".join(traceback.format_exception(seen))
        step = seen.__traceback__
        while step is not None:
            if f"{'reconciler'}/" in step.tb_frame.f_code.co_filename:
                yield from _values(step.tb_frame)
            step = step.tb_next
        seen = seen.__cause__ or seen.__context__


def _values(frame: FrameType) -> Iterator[str]:
    for name, value in frame.f_locals.items():
        # What is sent holds what is sent, and what came holds what came; neither is a message.
        if name not in ("body", "content", "secrets", "parts", "envelope", "reply", "found", "value", "jwt", "made"):
            yield repr(value)


# Where requests go, and what they carry


def test_the_token_goes_with_every_request_and_to_one_host() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(307, headers={"location": "https://evil.example/steal"})

    with pytest.raises(Unreachable) as caught:
        api(answer, retries=3).scripts("acme")
    assert [one.url.host for one in asked] == ["api.example.com"]
    assert asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "no other than the one that was set" in caught.value.problems[0].why


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=30) | st.sampled_from(["//evil.example/x", "https://evil.example", "a/../../b"]))
def test_a_name_stays_one_segment_of_the_path(name: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return good({})

    try:
        api(answer).settings("acme", name)
    except UsageProblem:
        assert name in (".", "..")
        return
    assert asked[0].url.host == "api.example.com"
    prefix = f"/client/v4/accounts/{ACCOUNT}/workers/dispatch/namespaces/acme/scripts/"
    path = asked[0].url.raw_path.decode()
    assert path.startswith(prefix) and path.endswith("/settings")
    assert not set(path[len(prefix) : -len("/settings")]) & set("/?#\\ ")


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 2_000])
def test_a_name_that_can_be_none_is_never_sent(name: str) -> None:
    with pytest.raises(UsageProblem):
        api(answers()).settings("acme", name)


def test_an_upload_is_metadata_and_modules_by_file_name() -> None:
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        return good({"id": "shop", "etag": "e", "tags": ["rcn-acme"]})

    row = api(answer).upload("acme", "shop", {"b": 1, "a": 2}, [Module("lib/x.wasm", "application/wasm", b"\x00\r\n")])
    assert row.etag == "e" and row.tags == ("rcn-acme",)
    assert b'filename="metadata"\r\nContent-Type: application/json\r\n\r\n{"a": 2, "b": 1}\r\n' in sent[0]
    assert b'name="lib/x.wasm"; filename="lib/x.wasm"\r\nContent-Type: application/wasm\r\n\r\n\x00\r\n\r\n' in sent[0]


def test_assets_go_with_the_sessions_own_token() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return good({"jwt": "done"})

    done = api(answer).upload_assets(Secret("jwt-of-session"), [Part("0" * 32, b"hello", "text/plain")])
    assert done is not None and done.reveal() == "done"
    assert asked[0].headers["authorization"] == "Bearer jwt-of-session"
    assert b"aGVsbG8=" in asked[0].read()


@pytest.mark.parametrize(
    "address",
    [
        "http://api.cloudflare.com/client/v4",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://[::1",
        "ftp://127.0.0.1/",
        "https://",
        "https:///client/v4",
        "api.cloudflare.com",
        "",
        "https://user:pass-word@api.cloudflare.com/",
        "https://api.cloudflare.com/?x=1",
        "http://0.0.0.0/",
        "https://api.cloudflare.com:port/",
    ],
)
def test_a_token_is_sent_over_https_or_to_this_machine_only(address: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        connect(address, Secret(TOKEN), ACCOUNT, httpx.MockTransport(answers()))
    problem = caught.value.problems[0]
    assert problem.code == "unsafe-base-url" and problem.fix
    assert "pass-word" not in repr(caught.value.problems)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8787/client/v4", "http://[::1]:1/", "http://localhost/", BASE])
def test_https_and_this_machine_are_fine(address: str) -> None:
    connect(address, Secret(TOKEN), ACCOUNT, httpx.MockTransport(answers())).close()


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}\x00", f"{TOKEN}é", f"{TOKEN} {TOKEN}"])
def test_a_token_that_cannot_be_sent_is_a_problem_that_does_not_show_it(token: str) -> None:
    with pytest.raises(LocalError) as caught:
        connect(BASE, Secret(token), ACCOUNT, httpx.MockTransport(answers()))
    assert caught.value.problems[0].code == "bad-token"
    assert not any(TOKEN in text for text in everything_of(caught.value))


def test_no_proxy_and_no_credentials_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is the input here, and nothing of ours is replaced."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    from reconciler.look.transport import over_network

    url = "http://127.0.0.1:9/"
    one = connect(url, Secret(TOKEN), ACCOUNT, Polite(over_network(url), Unlimited(), retries=0))
    with pytest.raises(Unreachable) as caught:
        one.workers()
    assert caught.value.problems[0].what == "GET workers/scripts got no usable reply from Cloudflare"
    assert "ConnectError" in caught.value.problems[0].why
    one.close()


def test_requests_are_counted_with_their_repetitions() -> None:
    one = api(answers(httpx.Response(500), httpx.Response(502), good([])), retries=6)
    assert one.workers() == () and one.requests == 3


def test_a_missing_thing_is_none_and_no_error() -> None:
    one = api(lambda request: bad(404, 10007))
    assert (one.settings("n", "s"), one.content("n", "s"), one.script_tags("n", "s")) == (None, None, None)
    assert (one.secret_names("n", "s"), one.namespace("n"), one.workers_dev("s")) == (None, None, None)
    assert json.dumps(one.requests) == "6"
    with pytest.raises(NotFound):
        one.put_tags("n", "s", [])
