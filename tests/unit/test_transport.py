"""Retries, waits and the way to one server, with a clock and a sleep that are the test's own."""

from __future__ import annotations

import email.utils
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from reconciler.errors import LocalError
from reconciler.look import transport
from reconciler.look.budget import SharedBudget, Unlimited
from reconciler.look.transport import (
    LARGEST_REPLY,
    REPEATABLE,
    RETRIES,
    OneHost,
    Polite,
    ReadOnly,
    TooLarge,
    over_network,
)

NOW = 1_800_000_000.0
Step = httpx.Response | Exception


class World:
    """Time that passes only while someone sleeps, and the waits that were announced."""

    def __init__(self) -> None:
        self.now = 5_000.0
        self.waits: list[tuple[float, str]] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def wall_clock(self) -> float:
        return NOW + self.now - 5_000

    def waiting(self, seconds: float, why: str) -> None:
        self.waits.append((seconds, why))


@pytest.fixture
def world() -> World:
    return World()


def polite(world: World, steps: Iterator[Step] | list[Step], **more: object) -> tuple[Polite, list[float]]:
    """A transport over a script of replies, and when each request came."""
    waiting, came = iter(steps), list[float]()

    def answer(request: httpx.Request) -> httpx.Response:
        came.append(world.now)
        step = next(waiting)
        if isinstance(step, Exception):
            raise step
        return step

    budget = more.get("budget", Unlimited())
    assert isinstance(budget, Unlimited | SharedBudget)
    made = Polite(
        httpx.MockTransport(answer), budget, sleep=world.sleep, jitter=lambda: 1.0,
        wall_clock=world.wall_clock, waiting=world.waiting,
    )  # fmt: skip
    return made, came


def ask(through: Polite, method: str = "GET", *, repeatable: bool = False) -> httpx.Response:
    request = httpx.Request(method, "https://api.example.com/x", extensions={REPEATABLE: repeatable})
    return through.handle_request(request)


def broken() -> httpx.Response:
    """A reply whose connection breaks in the middle of its body."""

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"result"'
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    return httpx.Response(200, stream=Stream())


def bad_gateway() -> httpx.Response:
    return httpx.Response(502, text="<html>Bad gateway</html>")


def too_many() -> httpx.Response:
    return httpx.Response(429)


FAULTS: dict[str, Callable[[], Step]] = {
    "429": too_many,
    "500": lambda: httpx.Response(500),
    "502 page": bad_gateway,
    "503": lambda: httpx.Response(503),
    "408": lambda: httpx.Response(408),
    "522": lambda: httpx.Response(522),
    "never connected": lambda: httpx.ConnectError("refused"),
    "no connection in time": lambda: httpx.ConnectTimeout("slow"),
    "no place in the pool": lambda: httpx.PoolTimeout("full"),
    "dropped": lambda: httpx.RemoteProtocolError("server disconnected"),
    "reply too slow": lambda: httpx.ReadTimeout("slow"),
    "cut body": broken,
    "broken packing": lambda: httpx.Response(
        200, stream=httpx.ByteStream(b"no gzip"), headers={"content-encoding": "gzip"}
    ),
}
NOT_PROCESSED = {"429", "never connected", "no connection in time", "no place in the pool"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "POST", "POST that may be repeated"])
def test_what_is_repeated(world: World, method: str, fault: str) -> None:
    good = httpx.Response(200, json={"result": 1})
    through, came = polite(world, [FAULTS[fault](), good])
    repeated = method != "POST" or fault in NOT_PROCESSED
    if repeated:
        assert ask(through, method.split()[0], repeatable="repeated" in method).json() == {"result": 1}
        assert world.waits and all(seconds > 0 and why for seconds, why in world.waits)
    elif isinstance(FAULTS[fault](), httpx.Response) and fault not in ("cut body", "broken packing"):
        assert ask(through, "POST").status_code >= 400
    else:
        with pytest.raises(httpx.RequestError):
            ask(through, "POST")
    assert len(came) == through.sent == (2 if repeated else 1)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 401, 403, 404, 409, 413, 501])
def test_what_stands_is_not_asked_again(world: World, status: int) -> None:
    through, came = polite(world, [httpx.Response(status)])
    assert ask(through).status_code == status and len(came) == 1


@pytest.mark.parametrize(
    "error",
    [httpx.UnsupportedProtocol("ftp"), httpx.LocalProtocolError("illegal header"), httpx.ProxyError("no")],
)
def test_what_would_end_the_same_way_is_not_asked_again(world: World, error: Exception) -> None:
    through, came = polite(world, [error])
    with pytest.raises(type(error)):
        ask(through)
    assert len(came) == 1


def test_a_minute_of_trouble_is_ridden_out_and_no_more(world: World) -> None:
    through, came = polite(world, itertools.repeat(httpx.ConnectError("refused")))
    with pytest.raises(httpx.ConnectError):
        ask(through)
    assert len(came) == RETRIES + 1
    assert [after - before for before, after in itertools.pairwise(came)] == [1, 2, 4, 8, 16, 30]


def test_the_last_reply_stands_when_trouble_does_not_end(world: World) -> None:
    through, _ = polite(world, (bad_gateway() for _ in itertools.count()))
    assert ask(through).text == "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("300", 300),
        ("2.5", 2.5),
        ("3600", 3_600),
        ("86401", 86_401),
        (email.utils.formatdate(NOW + 420, usegmt=True), 420),
        (email.utils.formatdate(NOW + 420), 420),
        (email.utils.formatdate(NOW - 99, usegmt=True), 0),
        (" 30 ", 30),
    ],
)
def test_a_wait_is_as_long_as_the_server_asks_for(world: World, header: str, seconds: float) -> None:
    through, came = polite(world, [httpx.Response(429, headers={"retry-after": header}), httpx.Response(200)])
    ask(through)
    assert came[1] - came[0] == pytest.approx(seconds)
    assert {why for _, why in world.waits} == ({"Cloudflare asked to wait (429)"} if seconds else set())
    assert [left for left, _ in world.waits] == pytest.approx([seconds - n for n in range(math.ceil(seconds))])


def test_a_date_is_counted_from_the_servers_own(world: World) -> None:
    """And not from this machine's, whose clock may be wrong."""
    dates = {"date": email.utils.formatdate(NOW + 90_000), "retry-after": email.utils.formatdate(NOW + 90_300)}
    through, came = polite(world, [httpx.Response(429, headers=dates), httpx.Response(200)])
    ask(through)
    assert came[1] - came[0] == pytest.approx(300)


@pytest.mark.parametrize(
    "header", ["", "soon", "nan", "inf", "-5", "1e3", "1_000", "٣", "9" * 400, "Tue, 99 Nov 2026 00:00:00 GMT", "\x00"]
)
def test_a_wait_that_makes_no_sense_is_none_and_429_pauses_all_the_same(world: World, header: str) -> None:
    reply = httpx.Response(429, headers=[(b"retry-after", header.encode())])
    through, came = polite(world, [reply, httpx.Response(200)])
    ask(through)
    assert came[1] - came[0] == 5


def test_a_server_in_trouble_may_ask_for_longer_than_the_backoff_but_not_for_shorter(world: World) -> None:
    replies: list[Step] = [httpx.Response(503, headers={"retry-after": after}) for after in ("90", "0")]
    through, came = polite(world, [*replies, httpx.Response(200)])
    ask(through)
    assert [after - before for before, after in itertools.pairwise(came)] == [90, 2]


def test_one_429_holds_everyone_that_shares_the_budget(world: World, tmp_path: Path) -> None:
    def shared() -> SharedBudget:
        return SharedBudget(tmp_path / "budget", clock=world.clock, wall_clock=world.wall_clock)

    one, _ = polite(world, [httpx.Response(429, headers={"retry-after": "420"}), httpx.Response(200)], budget=shared())
    held: list[float] = []
    started = world.now

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        if world.now - started == 300:
            held.append(shared().take().wait)  # another process, in the midst of the block

    one._sleep = sleep
    ask(one)
    assert held == [pytest.approx(120, abs=0.1)]


def test_a_turn_that_comes_in_the_midst_of_a_block_is_let_go(world: World, tmp_path: Path) -> None:
    """Requests that waited for their turn when another got the 429 do not run into it too."""
    budget = SharedBudget(tmp_path / "budget", size=1, clock=world.clock, wall_clock=world.wall_clock)
    budget.ended(budget.take())
    through, came = polite(world, [httpx.Response(200)], budget=budget)
    blocks = iter([600.0])

    def sleep(seconds: float) -> None:
        for block in blocks:
            budget.block(block)  # while this one sleeps
        world.sleep(seconds)

    through._sleep = sleep
    started = world.now
    ask(through)
    assert len(came) == 1 and came[0] - started >= 600


def test_the_count_of_requests_is_exact_with_many_threads() -> None:
    through = Polite(httpx.MockTransport(lambda request: httpx.Response(200)), Unlimited())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(through), range(2_000)))
    assert through.sent == 2_000


def test_a_reply_that_would_fill_the_memory_is_refused_before_it_does(world: World) -> None:
    piece, sent = b"x" * 2**20, list[int]()

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                sent.append(1)
                yield piece

    through, came = polite(world, [httpx.Response(200, stream=Endless())])
    with pytest.raises(TooLarge):
        ask(through)
    assert len(sent) == LARGEST_REPLY // 2**20 + 1 and len(came) == 1


def test_a_packed_reply_comes_out_unpacked_once(world: World) -> None:
    import gzip

    packed = httpx.Response(
        200, stream=httpx.ByteStream(gzip.compress(b"hello")), headers={"content-encoding": "gzip", "x-kept": "1"}
    )
    through, _ = polite(world, [packed])
    reply = ask(through)
    assert reply.content == b"hello" and reply.headers["x-kept"] == "1" and "content-encoding" not in reply.headers


# Over a real socket


class _Server(BaseHTTPRequestHandler):
    answers: list[bytes]

    def do_GET(self) -> None:
        self.wfile.write(self.answers.pop(0))
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        del args


@pytest.fixture
def served() -> Iterator[Callable[[list[bytes]], str]]:
    servers: list[HTTPServer] = []

    def serve(answers: list[bytes]) -> str:
        handler = type("Answers", (_Server,), {"answers": answers})
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_replies_that_break_off_on_the_wire_are_asked_for_again(served: Callable[[list[bytes]], str]) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"
    url = served([b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                  b"chunked\r\n\r\n5\r\ncu", b"garbage\r\n\r\n", whole])  # fmt: skip
    through = Polite(over_network(url), Unlimited(), sleep=lambda _: None)
    assert through.handle_request(httpx.Request("GET", url)).content == b"whole"
    assert through.sent == 5
    through.close()


def test_nothing_is_sent_through_a_proxy_of_the_environment(
    served: Callable[[list[bytes]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is the input here, and nothing of ours is replaced."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = served([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])
    one = OneHost(url, {"authorization": "x"}, over_network(url))
    assert one.send("GET", "path").body == b"hi"
    one.close()


# One host


def test_one_host_keeps_its_headers_to_itself() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "https://evil.example/"})

    one = OneHost("https://api.github.com", {"authorization": "Bearer t"}, httpx.MockTransport(answer))
    assert one.send("GET", "repos/x?page=2").status == 302
    for address in (
        "https://evil.example/",
        "//evil.example/x",
        "http://api.github.com/x",
        "https://api.github.com:1/",
    ):
        with pytest.raises(ValueError, match="another server"):
            one.send("GET", address)
    assert asked == ["https://api.github.com/repos/x?page=2"]


def test_one_host_tells_a_failure_in_words_without_its_headers() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}")

    one = OneHost("https://api.github.com", {"authorization": "Bearer tok"}, httpx.MockTransport(answer))
    assert one.send("GET", "x").reason == "LocalProtocolError"


@pytest.mark.parametrize("address", ["http://api.github.com", "ftp://127.0.0.1", "x"])
def test_one_host_is_https_or_this_machine(address: str) -> None:
    with pytest.raises(ValueError, match="neither https"):
        OneHost(address, {}, httpx.MockTransport(lambda request: httpx.Response(200)))


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False),
     ("localhost.evil.example", False), ("127.0.0.1.nip.io", False), ("2130706433", False), ("", False)],
)  # fmt: skip
def test_which_hosts_are_this_machine(host: str, ours: bool) -> None:
    assert transport.is_this_machine(host) is ours


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_a_line_for_reading_lets_nothing_through_but_get(world: World, method: str) -> None:
    came: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        came.append(request.method)
        return httpx.Response(200)

    line = Polite(ReadOnly(httpx.MockTransport(answer)), Unlimited(), sleep=world.sleep)
    line.handle_request(httpx.Request("GET", "https://api.example.com/"))
    with pytest.raises(LocalError, match="only reads"):
        line.handle_request(httpx.Request(method, "https://api.example.com/"))
    assert came == ["GET"]
