"""Serves WSGI apps on loopback: HTTP/1.1 with kept connections, one thread each, replies in one write.

Refuses requests whose Host or Origin is not this machine, so that a page in a browser cannot reach it by a name that
it made resolve to 127.0.0.1, or from another site.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from reconciler.errors import LocalError, Problem
from reconciler.local.faults import Dropped

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOOPBACK = "127.0.0.1"
_INTERNAL_ERROR = (
    b'{"result":null,"success":false,"errors":[{"code":10002,"message":"An internal error occurred"}],"messages":[]}'
)
_BODILESS = (204, 304)
LARGEST_BODY = 128 << 20  # bytes; a KV bulk write has 100 MB at most
MOST_DIGITS = 12  # of a Content-Length


class Server:
    """One WSGI app on 127.0.0.1. Port 0 takes any that is free; `url` tells which.

    `names` are hosts that it also answers for, beside those of this machine: nobody else can make them lead here.
    """

    def __init__(self, app: WSGIApplication, *, port: int = 0, names: Collection[str] = ()) -> None:
        try:
            self._http = _HttpServer((LOOPBACK, port), _Handler)
        except OSError as error:
            raise LocalError([_taken(port, error)]) from error
        self._http.app, self._http.names = app, frozenset(names)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        port: int = self._http.server_address[1]
        return port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Server:
        """Answer requests in threads of their own, from now on."""
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every kept connection; waits for the thread that listens."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()
        self._http.close_connections()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    app: WSGIApplication
    names: frozenset[str]

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait on kept connections; each then ends."""
        with self._lock:
            kept = list(self._open)
        for connection in kept:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that the library does here; it can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port is free again as soon as we are gone
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the client broke is no news; anything else is a bug, and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # unbuffered (the default) sends headers and body apart: two packets, and 40 ms where ACKs are delayed
    disable_nagle_algorithm = True

    def handle_expect_100(self) -> bool:
        """The client waits for this line before it sends the body, so it must not stay in the buffer."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return
        if not self.parse_request():
            return
        host = self.headers.get("host", "")
        if refusal := _foreign(LOOPBACK if host in self.server.names else host, self.headers.get("origin", "")):
            self._send_whole(403, refusal)  # before a byte of its body is read
            return
        body = self._body()
        if body is None:
            return
        try:
            self._run(body)
        except Dropped:
            self._drop()
        self.wfile.flush()

    def _run(self, body: bytes) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            started[:] = [(status, headers)]
            return self.wfile.write

        try:
            result = self.server.app(self._environ(body), start_response)
        except (Dropped, ConnectionError):
            raise
        except LocalError as error:  # no bug: something on this machine is broken, such as the account's file
            self._send_whole(500, _broken(error.problems[0]))
            return
        except Exception:
            # A bug in the app: the client gets an answer, and the developer the traceback.
            self.server.handle_error(self.request, self.client_address)
            self._send_whole(500, _INTERNAL_ERROR)
            return
        try:
            self._send(*started[0], result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _send(self, status: str, headers: list[tuple[str, str]], result: Iterable[bytes]) -> None:
        """Headers and body; in chunks where the app does not say how long the body is."""
        number = int(status.split(" ", 1)[0])
        self.send_response_only(number, status.partition(" ")[2])
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "date" not in names:
            self.send_header("Date", self.date_time_string())
        bodiless = self.command == "HEAD" or number in _BODILESS
        chunked = "content-length" not in names and not bodiless
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in result:
            if bodiless or not piece:
                continue
            if chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()  # a stream of events is seen as it happens
            else:
                self.wfile.write(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_whole(self, status: int, body: bytes) -> None:
        self.close_connection = True
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        self._send(f"{status} {self.responses[status][0]}", headers, [body])
        self.wfile.flush()

    def _drop(self) -> None:
        """What is written so far goes out, then the connection is cut."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes | None:
        """The whole body; None when it is malformed and has been answered."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            try:
                return b"".join(_chunks(self.rfile, LARGEST_BODY))
            except OverflowError:
                self.send_error(413)
                return None
            except ValueError:
                self.send_error(400)
                return None
        length = self.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            self.send_error(400)
            return None
        if len(length) > MOST_DIGITS or int(length) > LARGEST_BODY:
            self.send_error(413)
            return None
        return self.rfile.read(int(length))

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        if "://" in path:  # a proxy's form of the request line
            path = urlsplit(path).path
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "RAW_URI": self.path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "SERVER_NAME": LOOPBACK,
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            key = f"HTTP_{name.upper().replace('-', '_')}"
            if "_" not in name and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's signature
        """Requests are logged by the app, which knows what they mean."""


def _foreign(host: str, origin: str) -> bytes:
    """Why a request is refused, as a reply; empty when it comes from this machine."""
    if not _is_loopback(_hostname(f"//{host}")):
        return _refusal(f"the Host {json.dumps(host)[1:-1]} is not this machine")
    if origin and not _is_loopback(_hostname(origin)):
        return _refusal(f"the Origin {json.dumps(origin)[1:-1]} is not this machine")
    return b""


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(hostname: str) -> bool:
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def _refusal(message: str, code: int = 10000) -> bytes:
    error = {"code": code, "message": message}
    return json.dumps({"result": None, "success": False, "errors": [error], "messages": []}).encode()


def _broken(problem: Problem) -> bytes:
    return _refusal(f"An internal error occurred: {problem.what}: {problem.why}; {problem.fix}", 10002)


def _chunks(stream: Any, most: int) -> Iterator[bytes]:
    """The pieces of a chunked body; ValueError when it is malformed, OverflowError when it is larger than allowed."""
    while size := int(stream.readline(64).split(b";")[0], 16):
        most -= size
        if size < 0:
            raise ValueError("a chunk has no negative size")
        if most < 0:
            raise OverflowError
        yield stream.read(size)
        stream.readline(8)
    while stream.readline(65536).strip():
        continue


def _taken(port: int, error: OSError) -> Problem:
    return Problem(
        f"port {port} of {LOOPBACK} cannot be used",
        why=error.strerror or str(error),
        fix="stop what uses it, or name another with --api-port; 0 takes one that is free",
        code="port",
    )
