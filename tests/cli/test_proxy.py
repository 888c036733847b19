"""A proxy is used when RECONCILER_PROXY asks for one: it is told where to, and sees neither the token nor a request.

tls/api.example.pem is a certificate for a name that does not exist, with its key: it protects nothing.
"""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import UsageProblem
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.look.transport import PROXY, over_network
from tests.cli.terminal import repository, run
from tests.scenarios.platform import ACCOUNT

CERTIFICATE = Path(__file__).with_name("tls") / "api.example.pem"
API = "api.example"
WAIT = 30  # seconds until a connection that hangs fails its test
PASSWORD = "pass-nobody-sees"


class Proxy:
    """A CONNECT proxy on loopback. Whatever it is asked for, it leads to one server, and stands in for its TLS."""

    def __init__(self, port: int, refusal: bytes = b"") -> None:
        self._to, self._refusal = port, refusal
        self.seen: list[bytes] = []  # what was said before the tunnel, byte for byte
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(CERTIFICATE)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):  # it wakes the thread that accepts
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        said = b""
        while not said.endswith(b"\r\n\r\n") and (more := connection.recv(4096)):
            said += more
        self.seen.append(said)
        if self._refusal:
            connection.sendall(self._refusal)
            connection.close()
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with (
            suppress(OSError),
            self._tls.wrap_socket(connection, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self._to)) as far,
        ):
            back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
            back.start()
            _pass_on(near, far)
            back.join(WAIT)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Server]:
    store = Store(tmp_path / "account")
    store.edge.ensure_zone("acme.app")
    with Server(create_app(store), names=(API,)) as server:
        yield server
    store.close()


@pytest.fixture
def proxy(api: Server) -> Iterator[Proxy]:
    proxy = Proxy(api.port)
    yield proxy
    proxy.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repository")


def variables(folder: Path, **more: str) -> dict[str, str]:
    return {
        "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
        "CLOUDFLARE_API_BASE_URL": f"https://{API}/client/v4",
        "SSL_CERT_FILE": str(CERTIFICATE),
        "XDG_CACHE_HOME": str(folder / ".reconciler/cache"),
        **more,
    }


def test_everything_goes_through_the_proxy_that_was_asked_for(folder: Path, proxy: Proxy) -> None:
    asked = variables(folder, RECONCILER_PROXY=f"http://name:{PASSWORD}@{proxy.address}")
    words = [sys.executable, "-m", "reconciler", "apply", "--yes", "-v", "-C", str(folder)]
    path = str(Path(shutil.which("git") or "/usr/bin/git").parent)
    done = subprocess.run(words, env={"PATH": path, **asked}, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert "Applied 9 of 9" in done.stdout
    told = base64.b64encode(f"name:{PASSWORD}".encode())
    assert proxy.seen
    for one in proxy.seen:
        assert one.startswith(f"CONNECT {API}:443 HTTP/1.1\r\n".encode())
        assert b"proxy-authorization: basic " + told.lower() in one.lower()
        assert LOCAL_TOKEN.encode() not in one
    assert PASSWORD not in done.stdout + done.stderr


def test_what_the_proxy_says_is_told_without_the_password(folder: Path) -> None:
    echo = f"HTTP/1.1 407 no entry for name with {PASSWORD}\x1b[2J\r\nContent-Length: 0\r\n\r\n"
    proxy = Proxy(0, echo.encode())
    try:
        given = variables(folder, RECONCILER_PROXY=f"http://name:{PASSWORD}@{proxy.address}")
        ran = run(folder, "plan", variables=given)
    finally:
        proxy.close()
    assert ran.code == 1
    assert "the proxy of RECONCILER_PROXY refuses: 407 no entry for *** with ***" in ran.err
    assert PASSWORD not in ran.out + ran.err
    assert "\x1b" not in ran.out + ran.err
    assert len(proxy.seen) == 1, "asking again would end the same way"


def test_this_machine_is_never_asked_for_through_a_proxy(folder: Path, api: Server, proxy: Proxy) -> None:
    near = variables(folder, CLOUDFLARE_API_BASE_URL=f"{api.url}/client/v4", RECONCILER_PROXY=f"http://{proxy.address}")
    assert run(folder, "plan", variables=near).code == 0
    assert proxy.seen == []


def test_a_proxy_that_others_use_is_not_ours(folder: Path, api: Server, proxy: Proxy) -> None:
    others = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"), f"http://{proxy.address}")
    near = variables(folder, CLOUDFLARE_API_BASE_URL=f"{api.url}/client/v4", **others)
    assert run(folder, "plan", variables=near).code == 0
    assert proxy.seen == []


@pytest.mark.parametrize(
    "address",
    [
        "socks5://proxy.example.com:1080",
        f"http://name:{PASSWORD}@",
        f"http://name:{PASSWORD}@host:port",
        f"ftp://{PASSWORD}",
        f"http://host/{PASSWORD}",
        f"http://host?{PASSWORD}",
        "http://ho\nst",
        "http://[::1",
        " ",
    ],
)
def test_an_address_that_is_no_proxys_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        over_network(f"https://{API}", address)
    assert refused.value.problems[0].what == "RECONCILER_PROXY is not the address of a proxy"
    assert PASSWORD not in str(refused.value.problems)


def test_an_address_that_is_no_proxys_is_wrong_usage(folder: Path) -> None:
    ran = run(folder, "plan", variables=variables(folder, RECONCILER_PROXY="proxy.example.com:3128"))
    assert ran.code == 2
    assert ran.err.startswith("error: RECONCILER_PROXY is not the address of a proxy\n")
    assert "  fix: set RECONCILER_PROXY to an address such as http://proxy.example.com:3128" in ran.err


def test_a_customer_cannot_read_the_proxys_password_as_a_secret(folder: Path) -> None:
    file = folder / "customers/globex/customer.yaml"
    file.write_text(file.read_text(encoding="utf-8") + f"secrets: {{P: {{env: {PROXY}}}}}\n", encoding="utf-8")
    ran = run(folder, "validate")
    assert ran.code == 1
    assert f'env of secret P cannot be "{PROXY}"' in ran.err + ran.out
