"""The loopback server, and the data planes that are told of a change before the API answers."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.errors import LocalError
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.local.watchers import Watchers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACCOUNT = "a" * 32


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with what it was asked."""
    body = environ["wsgi.input"].read()
    told = {name: environ.get(name) for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_ONE")}
    reply = json.dumps({**told, "body": body.decode("latin-1")}).encode()
    start_response("200 OK", [("Content-Length", str(len(reply))), ("Content-Type", "application/json")])
    return [reply]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers without a length; a HEAD request and a path of /fail have their own ways."""
    if environ["PATH_INFO"] == "/fail":
        raise ZeroDivisionError
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece for piece in (b"one ", b"", b"two"))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def ask(server: Server, *arguments: Any, **options: Any) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(*arguments, **options)
        response = connection.getresponse()
        return response.status, response.read()


def test_a_request_arrives_whole(server: Server) -> None:
    status, body = ask(server, "PUT", "/a%20b/%C3%A9?q=1&r=%2F", b"\x00\xffbody", {"X-One": "1", "X_One": "spoofed"})
    assert (status, json.loads(body)) == (
        200,
        {
            "REQUEST_METHOD": "PUT",
            "PATH_INFO": "/a b/Ã©",  # UTF-8 as Latin-1, as WSGI has it
            "QUERY_STRING": "q=1&r=%2F",
            "HTTP_X_ONE": "1",
            "body": "\x00ÿbody",
        },
    )


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        sockets = set()
        for _ in range(3):
            connection.request("GET", "/")
            connection.getresponse().read()
            sockets.add(id(connection.sock))
    assert len(sockets) == 1


def test_a_body_in_chunks_is_taken(server: Server) -> None:
    _, body = ask(server, "POST", "/", iter([b"one ", b"two"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert json.loads(body)["body"] == "one two"


def test_a_client_that_waits_for_continue_is_told_to_go_on(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        head = f"PUT / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hi")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "shop.localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.0.7"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://localhost:8080"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_this_machine_is_answered(server: Server, headers: dict[str, str], status: int) -> None:
    assert ask(server, "GET", "/", None, headers)[0] == status


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "x"])
def test_a_malformed_length_is_refused(server: Server, length: str) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(f"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Host: localhost\r\nContent-Length: 134217729\r\n\r\n", 413),
        (f"Host: localhost\r\nContent-Length: {'9' * 5000}\r\n\r\n", 413),
        ("Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8000001\r\n", 413),
        ("Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("Host: evil.example\r\nContent-Length: 1000\r\n\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 1000\r\n\r\n", 403),
    ],
)
def test_a_body_that_is_not_wanted_is_not_waited_for(server: Server, head: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\n{head}".encode())
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_reply_without_a_length_is_streamed() -> None:
    with Server(stream) as server:
        assert ask(server, "GET", "/") == (200, b"one two")
        assert ask(server, "HEAD", "/") == (200, b"")


def test_a_bug_in_the_app_is_answered_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(stream) as server:
        status, body = ask(server, "GET", "/fail")
    assert (status, json.loads(body)["errors"][0]["code"]) == (500, 10002)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_stopping_closes_the_port_and_kept_connections() -> None:
    server = Server(echo).start()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        server.stop()
        connection.auto_open = 0
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.request("GET", "/")
            connection.getresponse()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()


def test_a_taken_port_is_told_without_a_traceback(server: Server) -> None:
    with pytest.raises(LocalError) as told:
        Server(echo, port=server.port)
    assert str(server.port) in told.value.problems[0].what
    assert "--api-port" in told.value.problems[0].fix


class DataPlane(ThreadingHTTPServer):
    """Notes what it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Admin)
        self.told: list[tuple[dict[str, Any], str]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/invalidate"


class _Admin(BaseHTTPRequestHandler):
    server: DataPlane
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append((json.loads(body), self.headers["authorization"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def data_plane() -> Iterator[DataPlane]:
    plane = DataPlane()
    yield plane
    plane.shutdown()
    plane.server_close()


def test_a_data_plane_knows_of_a_change_when_the_api_answers(tmp_path: Path, data_plane: DataPlane) -> None:
    store = Store(tmp_path)
    store.register_watcher(data_plane.url, "t0ken")
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    transport = httpx.WSGITransport(create_app(store))
    scripts = f"{PREFIX}/accounts/{ACCOUNT}/workers/dispatch/namespaces"
    with httpx.Client(transport=transport, base_url="http://cloudflare.invalid", headers=headers) as client:
        client.post(scripts, json={"name": "ns"})
        files: Any = {
            "metadata": (None, '{"main_module": "main.mjs"}'),
            "main.mjs": ("main.mjs", b"", "application/javascript+module"),
        }
        calls: Any = (
            ("PUT", "shop", {"files": files}, "shop"),
            ("PUT", "shop/tags", {"json": ["a"]}, "shop"),
            ("PUT", "shop/secrets", {"json": {"name": "K", "type": "secret_text", "text": "t"}}, "shop"),
            ("PATCH", "shop/settings", {"files": {"settings": (None, "{}")}}, "shop"),
            ("DELETE", "shop", {}, "shop"),
            ("DELETE", "", {}, None),
        )
        for number, (method, path, options, name) in enumerate(calls, start=1):
            response = client.request(method, f"{scripts}/ns/scripts/{path}".rstrip("/"), **options)
            assert response.status_code == 200, response.text
            assert len(data_plane.told) == number
            assert data_plane.told[-1] == ({"namespace": "ns", "name": name}, "Bearer t0ken")


def test_a_data_plane_that_is_gone_is_forgotten(tmp_path: Path, data_plane: DataPlane) -> None:
    store = Store(tmp_path)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}/"
    store.register_watcher(gone, "")
    store.register_watcher(data_plane.url, "")
    Watchers(store).notify("ns", "shop")
    assert [watcher.url for watcher in store.watchers()] == [data_plane.url]
    assert len(data_plane.told) == 1


def test_a_data_plane_that_hangs_is_kept_and_does_not_stop_the_api(tmp_path: Path) -> None:
    """While a script spins nothing is answered; the data plane still needs to hear of what comes later."""
    store = Store(tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        store.register_watcher(url, "")
        Watchers(store, timeout=0.05).notify("ns", "shop")
    assert [watcher.url for watcher in store.watchers()] == [url]


def test_a_data_plane_that_is_started_again_meanwhile_is_kept(tmp_path: Path) -> None:
    """Its socket stays open while it has no process, and a connection that the old one had taken is reset."""
    store = Store(tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as plane:
        url = f"http://127.0.0.1:{plane.getsockname()[1]}/"
        store.register_watcher(url, "")
        resetting = threading.Thread(target=_reset_one, args=(plane,))
        resetting.start()
        Watchers(store).notify("ns", "shop")
        resetting.join()
    assert [watcher.url for watcher in store.watchers()] == [url]


def _reset_one(plane: socket.socket) -> None:
    connection, _ = plane.accept()
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets
    connection.close()
