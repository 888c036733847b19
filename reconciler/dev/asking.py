"""A request to one script from the page's form, and its answer: to this machine's data plane and nowhere else."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from reconciler.dev.urls import LOOPBACK, Address

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SECONDS = 30.0
LARGEST = 256 * 1024  # bytes of an answer that are shown


class Asked(NamedTuple):
    """The form's fields."""

    script: str = ""
    method: str = "GET"
    path: str = "/"
    via: str = ""  # one of the script's own hostnames; "" for its first address
    headers: str = ""  # "Name: value" lines
    body: str = ""


class Answer(NamedTuple):
    """What came back, or why nothing did."""

    url: str = ""
    status: int = 0
    reason: str = ""
    milliseconds: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""
    note: str = ""  # what is not shown of the body, and why
    problem: str = ""

    @property
    def type(self) -> str:
        """The suffix that highlights the body."""
        kind = next((value for name, value in self.headers if name.lower() == "content-type"), "")
        return ".json" if "json" in kind else ".mjs" if "javascript" in kind else ".txt"


EMPTY = Asked()


def read(form: Mapping[str, str]) -> Asked:
    return Asked(**{name: form.get(name, default) for name, default in EMPTY._asdict().items()})


def ask(asked: Asked, addresses: Sequence[Address], port: int) -> Answer:
    """Send it. What a user can get wrong comes back as the answer's problem."""
    address = next((one for one in addresses if one.script == asked.script), None)
    if address is None:
        return Answer(problem=f'there is no script "{asked.script}"')
    if asked.method not in METHODS:
        return Answer(problem=f"the methods are {', '.join(METHODS)}")
    if not asked.path.startswith("/"):
        return Answer(problem="a path begins with /")
    headers = {}
    for line in filter(None, (one.strip() for one in asked.headers.splitlines())):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            return Answer(problem=f'"{line}" is no header; write one a line, as in Accept: text/html')
        headers[name.strip()] = value.strip()
    target = _target(asked, address)
    if target is None:
        return Answer(problem="the dispatcher has no address for this script")
    host, path = target
    return _send(asked, host, path, headers, port)


def _target(asked: Asked, address: Address) -> tuple[str, str] | None:
    """Host and path of the request."""
    if asked.via in address.hostnames:
        return asked.via, asked.path
    if address.by_host and asked.via != "path":
        return urlsplit(address.by_host).netloc, asked.path
    if address.by_path:
        parts = urlsplit(address.by_path)
        return parts.netloc, parts.path + (asked.path if asked.path != "/" else "")
    return (address.hostnames[0], asked.path) if address.hostnames else None


def _send(asked: Asked, host: str, path: str, headers: Mapping[str, str], port: int) -> Answer:
    url = f"http://{host}{path}"
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=SECONDS)
    began = time.perf_counter()
    try:
        body = asked.body.encode() if asked.body else None
        safe = quote(path, safe="/?#[]@!$&'()*+,;=:%~")
        connection.request(asked.method, safe, body, {"Host": host, "Accept": "*/*", **headers})
        reply = connection.getresponse()
        content = reply.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(url=url, problem=f"nothing came back: {error or type(error).__name__}")
    finally:
        connection.close()
    took = (time.perf_counter() - began) * 1000
    text, note = _shown(content)
    return Answer(url, reply.status, reply.reason, took, tuple(reply.getheaders()), text, note)


def _shown(content: bytes) -> tuple[str, str]:
    cut, note = content[:LARGEST], ""
    if len(content) > LARGEST:
        note = f"the first {LARGEST // 1024} KiB"
    try:
        return cut.decode(), note
    except UnicodeDecodeError:
        if note:
            return cut.decode("utf-8", "replace"), note
        return "", f"{len(content):,} bytes that are no text"
