"""What a reply means, in every shape that one was seen in or could come in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ReconcilerError
from reconciler.look.replies import (
    ApiError,
    NotFound,
    Reply,
    Row,
    Unauthorized,
    Unreachable,
    cursor_of,
    modules_of,
    refusal,
    row_of,
    sequence,
    success,
)
from reconciler.model import Module, Secret

CALL = "GET somewhere"


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def failed(*codes: int, status: int) -> Reply:
    return reply({"success": False, "errors": [{"code": code, "message": "no"} for code in codes]}, status)


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "result": [1], "errors": None, "messages": None},
        {"result": [1]},
        {"success": True, "result": [1], "errors": [{"code": 1}], "unknown": {}},
    ],
)
def test_a_good_envelope_gives_its_result(body: Any) -> None:
    assert success(reply(body), CALL)["result"] == [1]


def test_a_good_reply_may_have_no_result_and_no_body() -> None:
    assert success(reply({"success": True, "errors": [], "messages": []}), CALL).get("result") is None
    assert success(reply(b"", 204), CALL) == {"result": None}


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>It works!</body></html>",
        b'{"success": true, "result": [{"id": "a"},',
        b"null",
        b"[]",
        b'"result"',
        b"{}",
        b"[" * 200_000,
        b'{"result": ' + b'{"a":' * 200_000,
        b"\xff\xfe\x00",
        b"9" * 5_000,
    ],
    ids=["HTML", "cut off", "null", "a list", "a text", "nothing in it", "deep", "deeper", "not UTF-8", "a number"],
)
def test_a_reply_that_is_no_envelope_is_an_error_and_never_an_empty_result(body: bytes) -> None:
    with pytest.raises(Unreachable) as caught:
        success(reply(body, cf_ray="8f1c-FRA"), CALL)
    assert caught.value.problems[0].why.endswith("[cf-ray 8f1c-FRA]")


@pytest.mark.parametrize("said", [False, None, 0, "false", "true"])
def test_a_reply_that_does_not_say_success_is_a_refusal_whatever_its_status(said: Any) -> None:
    with pytest.raises(ApiError):
        success(reply({"success": said, "result": [], "errors": [{"code": 10_021, "message": "no"}]}), CALL)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed(10007, status=404), NotFound),
        (failed(10090, status=404), NotFound),
        (failed(10092, status=400), NotFound),
        (failed(100119, status=404), NotFound),
        (failed(10009, status=404), NotFound),
        (failed(status=404), NotFound),
        (reply({"success": False, "errors": None, "result": None}, 404), NotFound),
        (failed(7003, 7000, status=404), ApiError),
        (reply(b"<html>Not found</html>", 404), Unreachable),
        (reply(b"", 404), Unreachable),
        (reply({"message": "no such page"}, 404), Unreachable),
        (failed(10000, status=401), Unauthorized),
        (failed(10000, status=400), Unauthorized),
        (failed(9109, status=403), Unauthorized),
        (reply(b"denied", 403), Unauthorized),
        (failed(10121, status=403), Unauthorized),
        (failed(10021, status=400), ApiError),
        (failed(971, status=429), ApiError),
        (reply(b"<html>Bad gateway</html>", 502), Unreachable),
        (reply(b"", 301), Unreachable),
        (reply({"success": False, "errors": "no"}, 500), Unreachable),
        (reply({"success": False, "errors": [None, "x", {"code": "10007"}]}, 500), ApiError),
    ],
)
def test_what_a_refusal_is(answer: Reply, kind: type[ApiError]) -> None:
    found = refusal(answer, CALL)
    assert type(found) is kind
    assert found.status == answer.status and len(found.problems) == 1 and found.problems[0].what


def test_a_refusal_tells_the_call_every_code_and_the_servers_own_words() -> None:
    body = {"errors": [{"code": 10021, "message": "Uncaught SyntaxError"}, {"code": 10068, "message": "no handlers"}]}
    problem = refusal(reply(body, 400, cf_ray="8f1c-FRA"), "PUT scripts/shop").problems[0]
    assert problem.what == "Cloudflare refused PUT scripts/shop (400, code 10021, code 10068)"
    assert problem.why == "Uncaught SyntaxError; no handlers [cf-ray 8f1c-FRA]"


def test_what_must_not_be_told_is_not_told_even_where_the_server_repeats_it() -> None:
    said = "no route for /accounts/0123abcd/x with Bearer top-secret and top-secret-2"
    body = json.dumps({"errors": [{"code": 7003, "message": said}]}).encode()
    found = refusal(Reply(404, {}, body, (Secret("0123abcd"), Secret("top-secret"), Secret("top-secret-2"))), CALL)
    assert found.problems[0].why == "no route for /accounts/***/x with Bearer *** and ***"
    assert "top-secret" not in repr(found.messages) + str(found)


@pytest.mark.parametrize("value", [None, {}, "", 0, False, {"scripts": []}])
def test_a_listing_that_is_no_list_is_an_error(value: Any) -> None:
    with pytest.raises(Unreachable):
        sequence(value, CALL)


def test_a_row_is_read_flat_or_nested() -> None:
    flat = {"id": "shop", "tags": ["a"], "etag": "e", "modified_on": "m", "created_on": "c"}
    assert row_of(flat) == Row("shop", ("a",), "e", "m", "c")
    nested = {"dispatch_namespace": "n", "modified_on": "older", "script": flat}
    assert row_of(nested) == Row("shop", ("a",), "e", "m", "c")
    assert row_of({**flat, "script": {"id": "shop", "etag": None}}) == Row("shop", ("a",), "e", "m", "c")


def test_a_row_tells_apart_no_tags_and_no_word_of_tags() -> None:
    empty, silent, null = row_of({"id": "a", "tags": []}), row_of({"id": "a"}), row_of({"id": "a", "tags": None})
    assert empty is not None and empty.tags == ()
    assert silent is not None and silent.tags is None
    assert null is not None and null.tags == ()  # never set
    nested = row_of({"script": {"id": "a", "tags": None}})
    assert nested is not None and nested.tags == ()


@pytest.mark.parametrize("item", [None, [], "shop", 1, {}, {"id": ""}, {"id": 1}, {"script": {"tags": []}}])
def test_a_row_without_a_name_is_none(item: Any) -> None:
    assert row_of(item) is None


@pytest.mark.parametrize(
    ("info", "cursor"),
    [
        ({"cursor": "a"}, "a"),
        ({"cursors": {"after": "b"}}, "b"),
        ({"cursor": ""}, ""),
        ({"cursor": None}, ""),
        ({"cursor": {"x": 1}}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_where_a_cursor_sits(info: Any, cursor: str) -> None:
    assert cursor_of({"result_info": info}) == cursor


def form(parts: list[tuple[str, str, bytes]], boundary: str, *, last: bytes = b"--\r\n") -> Reply:
    body = b""
    for name, kind, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        body += f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
    return reply(body + b"--" + boundary.encode() + last, content_type=f"multipart/form-data; boundary={boundary}")


BINARY = [
    b"",
    b"\x00asm\x01\x00\x00\x00",
    bytes(range(256)) * 3,
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"ends in a break\r\n",
    b"x--edge",
    b"--edged",
    b"\n--edge\n",
    b"\r\n--edges of something\r\n",
    b"\r\n--edge-\r\n",
    b"\r\n--edg",
    b"Content-Disposition: form-data; name=x\r\n\r\n",
]


def test_modules_come_out_byte_for_byte() -> None:
    parts = [(f"lib/{number}.wasm", "application/wasm", content) for number, content in enumerate(BINARY)]
    assert modules_of(form(parts, "edge"), CALL) == tuple(Module(*part) for part in parts)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(BINARY), max_size=5))
def test_any_bytes_come_out_as_they_went_in(contents: list[bytes]) -> None:
    parts = [(f"{number}.bin", "application/octet-stream", content) for number, content in enumerate(contents)]
    assert [one.content for one in modules_of(form(parts, "edge-0123"), CALL)] == contents


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("lib/greet.mjs", "lib/greet.mjs"),
        ("./main.mjs", "main.mjs"),
        ("a%22b%0D%0A.mjs", 'a"b\r\n.mjs'),
        ("100%25.mjs", "100%25.mjs"),  # only what form data escapes is an escape
        ("größe.mjs", "größe.mjs"),
    ],
)
def test_a_modules_name_is_its_file_name(sent: str, name: str) -> None:
    assert [one.name for one in modules_of(form([(sent, "text/plain", b"")], "edge"), CALL)] == [name]


@pytest.mark.parametrize("kind", ['multipart/form-data; boundary="edge"', "Multipart/Form-Data; Boundary=edge ; x=y"])
def test_the_boundary_is_found_however_it_is_written(kind: str) -> None:
    body = form([("a.mjs", "text/plain", b"1")], "edge").content
    assert len(modules_of(Reply(200, {"content-type": kind}, body), CALL)) == 1


def test_content_that_breaks_off_anywhere_is_an_error() -> None:
    whole = form([("a.mjs", "text/plain", b"1" * 20), ("b.mjs", "text/plain", b"2" * 20)], "edge", last=b"--")
    for length in range(len(whole.content)):
        with pytest.raises(Unreachable):
            modules_of(Reply(200, whole.headers, whole.content[:length]), CALL)
    assert len(modules_of(whole, CALL)) == 2


@pytest.mark.parametrize("header", ["src/main one.mjs", "src/main%20one.mjs"])
def test_the_main_module_comes_first_whatever_the_order_of_the_parts(header: str) -> None:
    parts = [("a.txt", "text/plain", b""), ("src/main one.mjs", "application/javascript+module", b"")]
    reply = form(parts, "edge")
    named = Reply(200, {**reply.headers, "cf-entrypoint": header}, reply.content)
    assert [one.name for one in modules_of(named, CALL)] == ["src/main one.mjs", "a.txt"]
    assert [one.name for one in modules_of(reply, CALL)] == ["a.txt", "src/main one.mjs"]


def test_one_bare_script_is_its_own_module() -> None:
    answer = reply(b"export default {}", content_type="application/javascript+module; x=y", cf_entrypoint="main.mjs")
    assert modules_of(answer, CALL) == (Module("main.mjs", "application/javascript+module", b"export default {}"),)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "multipart/form-data"])
def test_a_page_is_no_script(kind: str) -> None:
    with pytest.raises(Unreachable):
        modules_of(reply(b"<html>", content_type=kind), CALL)


@settings(max_examples=500, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["success", "result", "errors", "code", "message", "id"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from([200, 204, 301, 400, 401, 404, 429, 500]),
)
def test_no_json_makes_it_stumble(body: Any, status: int) -> None:
    row_of(body)
    try:
        success(reply(body, status), CALL)
    except ReconcilerError as error:
        assert error.problems
    assert refusal(reply(body, status), CALL).problems
