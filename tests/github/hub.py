"""The part of GitHub's API that we call, on loopback: pages with Link headers, logins, 422 for what is too long.

As strict as GitHub: a token is needed, a comment's body has at most 65,536 characters, GET /user is refused to a
workflow's token. Every call is written down with the permission that it takes.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from reconciler.github import api
from reconciler.github.api import GitHub

BOT = "github-actions[bot]"
PREFIX = "/repos/acme/platform"


@dataclass
class Call:
    method: str
    path: str
    permission: str  # "pull-requests: write"
    host: str


@dataclass
class Hub:
    """The account's state, and the server. `with` it."""

    token: str = "ghs_token_of_the_run"
    login: str = ""  # what GET /user says; "" refuses it
    page: int = 30  # rows of a page, however many are asked for
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    issues: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=dict)  # those that the token may see
    roles: dict[str, str] = field(default_factory=dict)
    tips: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)  # of workflows, oldest first
    again: list[int] = field(default_factory=list)  # runs that were started again
    minimized: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    down: int = 0  # a status that everything is answered with
    throttled: int = 0  # so many calls are answered by the secondary rate limit
    next_page_at: str = ""  # another server that the Link header names
    enterprise: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1000)
        self._lock = threading.Lock()

    def __enter__(self) -> Hub:
        hub = self

        class Handler(_Handler):
            account = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def root(self) -> str:
        return "/api/v3" if self.enterprise else ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.root}"

    def says(self, number: int, body: str, author: str = BOT) -> dict[str, Any]:
        """Somebody comments."""
        identity = next(self._numbers)
        url = f"https://github.example/acme/platform/pull/{number}#issuecomment-{identity}"
        comment = {
            "id": identity,
            "node_id": f"IC_{identity}",
            "user": {"login": author},
            "body": body,
            "html_url": url,
        }
        self.comments.setdefault(number, []).append(comment)
        return comment

    def opens(self, title: str, body: str, labels: list[str], author: str = BOT) -> dict[str, Any]:
        number = next(self._numbers)
        issue = {
            "number": number,
            "user": {"login": author},
            "title": title,
            "body": body,
            "state": "open",
            "labels": [{"name": one} for one in labels],
            "html_url": f"https://github.example/acme/platform/issues/{number}",
        }
        self.issues.append(issue)
        return issue

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and reply; a list is cut into pages by the caller."""
        with self._lock:
            for verb, pattern, permission, act in ROUTES:
                found = re.fullmatch(pattern, path)
                if verb == method and found:
                    self.calls.append(Call(method, path, permission, ""))
                    return act(self, found, query, body)
        return 404, {"message": "Not Found"}


Act = Callable[[Hub, "re.Match[str]", dict[str, list[str]], Any], tuple[int, Any]]
_TOO_LONG = {"message": "Validation Failed", "errors": [{"message": "body is too long (maximum is 65536 characters)"}]}


def _user(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return (200, {"login": hub.login}) if hub.login else (403, {"message": "Resource not accessible by integration"})


def _comments(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return 200, list(hub.comments.get(int(path[1]), []))


def _comment(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    if len(body["body"]) > 65_536:
        return 422, _TOO_LONG
    return 201, hub.says(int(path[1]), body["body"], hub.login or BOT)


def _edit_comment(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    if len(body["body"]) > 65_536:
        return 422, _TOO_LONG
    comment = next(one for some in hub.comments.values() for one in some if one["id"] == int(path[1]))
    comment["body"] = body["body"]
    return 200, comment


def _issues(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    label, state = query["labels"][0], query["state"][0]
    rows = [one for one in hub.issues if one["state"] == state]
    return 200, [one for one in reversed(rows) if label in [it["name"] for it in one["labels"]]]


def _open_issue(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    if len(body["body"]) > 65_536:
        return 422, _TOO_LONG
    return 201, hub.opens(body["title"], body["body"], body["labels"], hub.login or BOT)


def _edit_issue(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    issue = next(one for one in hub.issues if one["number"] == int(path[1]))
    issue.update(body)
    return 200, issue


def _pulls(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return 200, [one for one in hub.pulls if path[1] in (one["merge_commit_sha"], one["head"]["sha"])]


def _tip(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return (200, {"sha": hub.tips[path[1]]}) if path[1] in hub.tips else (422, {"message": "No commit found"})


def _reviews(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return 200, list(hub.reviews.get(int(path[1]), []))


def _member(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    members = hub.teams.get(f"{path[1]}/{path[2]}", set())
    return (200, {"state": "active"}) if path[3] in members else (404, {"message": "Not Found"})


def _team(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return (200, {"slug": path[2]}) if f"{path[1]}/{path[2]}" in hub.teams else (404, {"message": "Not Found"})


def _role(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    return 200, {"permission": "write", "role_name": hub.roles.get(path[1], "none")}


def _runs(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    wanted = {"path": f".github/workflows/{path[1]}", "event": query["event"][0], "head_sha": query["head_sha"][0]}
    found = [one for one in reversed(hub.runs) if wanted.items() <= one.items()]
    return 200, {"total_count": len(found), "workflow_runs": found[: int(query["per_page"][0])]}


def _rerun(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    hub.again.append(int(path[1]))
    return 201, {}


def _graphql(hub: Hub, path: re.Match[str], query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
    assert "minimizeComment" in body["query"]
    hub.minimized.add(body["variables"]["id"])
    return 200, {"data": {"minimizeComment": {"minimizedComment": {"isMinimized": True}}}}


# An issue's comment may be read by who may read issues or pull requests; the narrower is written down here.
ROUTES: tuple[tuple[str, str, str, Act], ...] = (
    ("GET", "/user", "", _user),
    ("GET", rf"{PREFIX}/issues/(\d+)/comments", "pull-requests: read", _comments),
    ("POST", rf"{PREFIX}/issues/(\d+)/comments", "write", _comment),
    ("PATCH", rf"{PREFIX}/issues/comments/(\d+)", "pull-requests: write", _edit_comment),
    ("GET", rf"{PREFIX}/issues", "issues: read", _issues),
    ("POST", rf"{PREFIX}/issues", "issues: write", _open_issue),
    ("PATCH", rf"{PREFIX}/issues/(\d+)", "issues: write", _edit_issue),
    ("GET", rf"{PREFIX}/commits/([^/]+)/pulls", "pull-requests: read", _pulls),
    ("GET", rf"{PREFIX}/commits/([^/]+)", "contents: read", _tip),
    ("GET", rf"{PREFIX}/pulls/(\d+)/reviews", "pull-requests: read", _reviews),
    ("GET", rf"{PREFIX}/actions/workflows/([^/]+)/runs", "actions: read", _runs),
    ("POST", rf"{PREFIX}/actions/runs/(\d+)/rerun", "actions: write", _rerun),
    ("GET", rf"{PREFIX}/collaborators/([^/]+)/permission", "", _role),
    ("GET", r"/orgs/([^/]+)/teams/([^/]+)/memberships/([^/]+)", "", _member),
    ("GET", r"/orgs/([^/]+)/teams/([^/]+)", "", _team),
    ("POST", r"/graphql", "pull-requests: write", _graphql),
)


def connected(hub: Hub, **more: str) -> GitHub:
    """A client of it, as a workflow's step has it. Close it."""
    environment = {"GITHUB_API_URL": hub.url, "GITHUB_TOKEN": hub.token, "GITHUB_REPOSITORY": "acme/platform"}
    return api.connect({**environment, **more})


class _Handler(BaseHTTPRequestHandler):
    account: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def do_PATCH(self) -> None:
        self._reply()

    def log_message(self, *arguments: object) -> None:
        """Tests print nothing."""

    def _reply(self) -> None:
        hub = self.account
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        at = urlsplit(self.path)
        query = parse_qs(at.query)
        status, reply, headers = self._answered(at.path, query, json.loads(body) if body else None)
        if isinstance(reply, list):
            number, size = int(query.get("page", ["1"])[0]), min(hub.page, int(query.get("per_page", ["30"])[0]))
            if len(reply) > number * size:
                following = urlencode({**{name: one[0] for name, one in query.items()}, "page": number + 1})
                address = f"{hub.next_page_at or hub.url.removesuffix(hub.root)}{at.path}?{following}"
                headers["Link"] = f'<{address}>; rel="next", <{address}>; rel="last"'
            reply = reply[(number - 1) * size : number * size]
        content = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def _answered(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any, dict[str, Any]]:
        hub = self.account
        if hub.down:
            return hub.down, {"message": "Unicorn!"}, {}
        if self.headers.get("authorization") != f"Bearer {hub.token}":
            return 401, {"message": "Bad credentials"}, {}
        if hub.throttled:
            hub.throttled -= 1
            return 403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": 0}
        graphql = "/api/graphql" if hub.enterprise else "/graphql"
        if path != graphql and not path.startswith(hub.root):
            return 404, {"message": "Not Found"}, {}
        return (
            *hub.answer(self.command, "/graphql" if path == graphql else path.removeprefix(hub.root), query, body),
            {},
        )
