"""The few GitHub calls that are made: comments, issues, pull requests, and who we are.

Laws (tests/github/test_api.py): every page is walked; the token goes to GITHUB_API_URL and nowhere else, and into no
message; a reply that cannot be understood is an error, never an empty list.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.errors import Problem, ReconcilerError, UsageProblem
from reconciler.look import transport
from reconciler.look.transport import Answer, OneHost

DEFAULT_URL = "https://api.github.com"
ACTIONS_BOT = "github-actions[bot]"  # who the token of a workflow run acts as
API_VERSION = "2022-11-28"
PAGE = 100  # the most that a page holds
MOST_PAGES = 300  # 30,000 comments; a Link header that leads in a circle ends here
LONGEST_WAIT = 300.0  # seconds that a rate limit may ask for

_REPOSITORY = re.compile(r"[A-Za-z0-9_-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+")
_ADDRESS = re.compile(r"https?://[\x21-\x7e]+")  # on one line, and no word to a runner or a terminal
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_MINIMIZE = """mutation($id: ID!) {
  minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) { minimizedComment { isMinimized } }
}"""


class GitHubError(ReconcilerError):
    """GitHub refused a call, or gave no usable reply."""

    def __init__(self, call: str, status: int, why: str, fix: str = "") -> None:
        told = f"GitHub answered {status} to {call}" if status else f"GitHub did not answer {call}"
        self.status = status
        super().__init__([Problem(told, why=why, fix=fix or _FIXES.get(status, ""), code="github")])


_FIXES = {
    0: "run the job again; githubstatus.com tells whether GitHub has trouble",
    401: "pass the job's token: GITHUB_TOKEN: ${{ github.token }}",
    403: "give the job the permission that the call needs: pull-requests, issues or actions: write",
    404: "give the job the permission that the call needs; GitHub says 404 for what a token may not see",
}


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of an issue or pull request."""

    id: int
    node: str  # its GraphQL id
    author: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Issue:
    number: int
    author: str
    title: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request that brought a commit to a branch."""

    number: int
    head: str  # the last commit that was reviewed
    base: str  # the branch it went to
    merged_as: str  # the commit that it became; "" while it is open
    url: str


@dataclass(frozen=True, slots=True)
class Review:
    author: str
    state: str  # APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED
    commit: str


class GitHub:
    """One repository's part of GitHub's API."""

    def __init__(
        self, host: OneHost, repository: str, *, login: str = "", sleep: Callable[[float], Any] = time.sleep
    ) -> None:
        self._host, self._repository, self._login, self._sleep = host, repository, login, sleep

    def login(self) -> str:
        """Who we write as. A workflow's token may not ask, and is then the bot of GitHub Actions."""
        if not self._login:
            answer = self._answer("GET", "user")
            if answer.status not in (200, 403):
                raise GitHubError("GET user", answer.status, why=answer.reason or self._said(answer))
            self._login = _text(_json(answer, "GET user"), "login") if answer.status == 200 else ACTIONS_BOT
        return self._login

    def comments(self, number: int) -> Iterator[Comment]:
        """Every comment of an issue or pull request, oldest first."""
        return map(_comment, self._pages(self._path("issues", str(number), "comments")))

    def create_comment(self, number: int, body: str) -> Comment:
        return _comment(self._call("POST", self._path("issues", str(number), "comments"), {"body": body}))

    def update_comment(self, comment: Comment, body: str) -> Comment:
        return _comment(self._call("PATCH", self._path("issues", "comments", str(comment.id)), {"body": body}))

    def minimize(self, comment: Comment) -> None:
        """Fold a comment as outdated. Only GraphQL can."""
        body = {"query": _MINIMIZE, "variables": {"id": comment.node}}
        reply = self._call("POST", self._graphql(), body)
        if reply.get("errors"):
            raise GitHubError("minimizeComment", 200, why=_cut(self._host.without_headers(json.dumps(reply["errors"]))))

    def issues(self, label: str) -> Iterator[Issue]:
        """Open issues with a label; pull requests, which GitHub lists among them, left out."""
        query = {"labels": label, "state": "open"}
        return (_issue(row) for row in self._pages(self._path("issues"), query) if "pull_request" not in row)

    def create_issue(self, title: str, body: str, label: str) -> Issue:
        return _issue(self._call("POST", self._path("issues"), {"title": title, "body": body, "labels": [label]}))

    def update_issue(self, number: int, **fields: str) -> Issue:
        return _issue(self._call("PATCH", self._path("issues", str(number)), fields))

    def pulls_of(self, commit: str) -> list[Pull]:
        """The pull requests that a commit belongs to."""
        return list(map(_pull, self._pages(self._path("commits", commit, "pulls"))))

    def tip(self, branch: str) -> str:
        """The commit that a branch stands at."""
        return _text(self._call("GET", self._path("commits", branch)), "sha")

    def reviews(self, number: int) -> Iterator[Review]:
        """The reviews of a pull request, oldest first."""
        return map(_review, self._pages(self._path("pulls", str(number), "reviews")))

    def last_run(self, workflow: str, commit: str) -> int | None:
        """The youngest run that a push to a pull request started; None where there is none."""
        query = urlencode({"event": "pull_request", "head_sha": commit, "per_page": 1})
        reply = self._call("GET", f"{self._path('actions', 'workflows', workflow, 'runs')}?{query}")
        runs = reply.get("workflow_runs")
        if not isinstance(runs, list):
            raise GitHubError("GET workflow runs", 200, why='the reply holds no "workflow_runs"')
        return _number(runs[0], "id") if runs else None

    def run_again(self, run: int) -> None:
        self._good("POST", self._path("actions", "runs", str(run), "rerun"))

    def in_team(self, organization: str, team: str, login: str) -> bool | None:
        """Whether someone is a member; None where the token may not know."""
        address = f"orgs/{_segment(organization)}/teams/{_segment(team)}/memberships/{_segment(login)}"
        answer = self._answer("GET", address)
        if answer.status == 200:
            return bool(_json(answer, "GET team membership").get("state") == "active")
        # 404 says "not a member" as well as "not for this token"; a token that may see the team itself knows.
        known = self._answer("GET", f"orgs/{_segment(organization)}/teams/{_segment(team)}").status == 200
        return False if known and answer.status == 404 else None

    def role(self, login: str) -> str:
        """Someone's role in the repository: admin, maintain, write, triage, read or none."""
        answer = self._answer("GET", self._path("collaborators", login, "permission"))
        if answer.status in (403, 404):
            return "none"
        if answer.status != 200:
            raise GitHubError("GET collaborator's permission", answer.status, why=answer.reason or self._said(answer))
        reply = _json(answer, "GET collaborator's permission")
        return _text(reply, "role_name") or _text(reply, "permission")

    def close(self) -> None:
        self._host.close()

    def _path(self, *segments: str) -> str:
        return "/".join(["repos", self._repository, *map(_segment, segments)])

    def _graphql(self) -> str:
        """Enterprise Server has it at /api/graphql, beside /api/v3."""
        return "graphql" if not self._host.path.endswith("/api/v3/") else f"{self._host.path[:-3]}graphql"

    def _pages(self, address: str, query: Mapping[str, str] | None = None) -> Iterator[Mapping[str, Any]]:
        address = f"{address}?{urlencode({**(query or {}), 'per_page': PAGE})}"
        for _ in range(MOST_PAGES):
            answer = self._good("GET", address)
            rows = _json(answer, _named("GET", address))
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise GitHubError(_named("GET", address), answer.status, why="the reply is no list of objects")
            yield from rows
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return
            address = following[1]
        raise GitHubError(_named("GET", address), 200, why=f"there are more than {MOST_PAGES} pages")

    def _call(self, method: str, address: str, body: Any = None) -> Mapping[str, Any]:
        answer = self._good(method, address, body)
        reply = _json(answer, _named(method, address))
        if not isinstance(reply, dict):
            raise GitHubError(_named(method, address), answer.status, why="the reply is no object")
        return reply

    def _good(self, method: str, address: str, body: Any = None) -> Answer:
        answer = self._answer(method, address, body)
        if 200 <= answer.status < 300:
            return answer
        raise GitHubError(_named(method, address), answer.status, why=answer.reason or self._said(answer))

    def _said(self, answer: Answer) -> str:
        """GitHub's own sentence, without what must not be told."""
        return _cut(self._host.without_headers(_said(answer)))

    def _answer(self, method: str, address: str, body: Any = None) -> Answer:
        """One reply; a rate limit that says when it ends is waited out once."""
        try:
            answer = self._host.send(method, address, body)
            pause = _asked_to_wait(answer)
            if pause is None:
                return answer
            self._sleep(pause)
            return self._host.send(method, address, body)
        except ValueError as error:
            raise GitHubError(_named(method, address), 0, why=str(error), fix="check GITHUB_API_URL") from None


def connect(environment: Mapping[str, str]) -> GitHub:
    """From the variables of a workflow run. Raises UsageProblem for what is missing."""
    token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or ""
    repository = environment.get("GITHUB_REPOSITORY", "")
    missing = [name for name, one in (("GITHUB_TOKEN", token), ("GITHUB_REPOSITORY", repository)) if not one]
    if missing:
        raise UsageProblem([_unset(name) for name in missing])
    if not _REPOSITORY.fullmatch(repository):
        raise UsageProblem([Problem(f'GITHUB_REPOSITORY "{repository}" is not OWNER/NAME', code="github")])
    url = environment.get("GITHUB_API_URL") or DEFAULT_URL
    headers = {
        "accept": "application/vnd.github+json",
        "authorization": f"Bearer {token}",
        "user-agent": "reconciler",
        "x-github-api-version": API_VERSION,
    }
    network = transport.over_network(url, environment.get(transport.PROXY, ""))
    try:
        host = OneHost(url, headers, transport.Polite(network, transport.Unlimited(), retries=3))
    except ValueError as error:
        raise UsageProblem([Problem(f'GITHUB_API_URL "{url}" cannot be used', why=str(error), code="github")]) from None
    return GitHub(host, repository, login=environment.get("RECONCILER_GITHUB_LOGIN", ""))


def _unset(name: str) -> Problem:
    fixes = {
        "GITHUB_TOKEN": "in a workflow: env: {GITHUB_TOKEN: ${{ github.token }}}",
        "GITHUB_REPOSITORY": "set it to OWNER/NAME; a workflow run has it",
    }
    return Problem(f"{name} is not set", fix=fixes[name], code="github")


def _asked_to_wait(answer: Answer) -> float | None:
    """Seconds, where GitHub's secondary rate limit says so: a 403 with Retry-After (429 is the transport's work)."""
    asked = answer.headers.get("retry-after", "")
    if answer.status != 403 or not asked.isdecimal():
        return None
    return min(float(asked), LONGEST_WAIT)


def _segment(text: str) -> str:
    if text in ("", ".", ".."):
        raise UsageProblem([Problem(f'"{text}" cannot be the name of anything at GitHub', code="github")])
    return quote(text, safe="")


def _named(method: str, address: str) -> str:
    return f"{method} {address.partition('?')[0].partition('://')[2].partition('/')[2] or address.partition('?')[0]}"


def _json(answer: Answer, call: str) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise GitHubError(call, answer.status, why="the reply is not JSON") from None


def _said(answer: Answer) -> str:
    try:
        reply = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    return str(reply.get("message", "")) if isinstance(reply, dict) else ""


def _cut(text: str) -> str:
    return text if len(text) <= 500 else f"{text[:499]}…"


def _text(row: Any, *path: str) -> str:
    """A string in a reply; "" for null and for what a deleted account leaves behind."""
    for step in path:
        row = row.get(step) if isinstance(row, dict) else None
    return row if isinstance(row, str) else ""


def _address(row: Any) -> str:
    """Where people see it, which is printed where a runner listens; "" for what is no address."""
    found = _ADDRESS.fullmatch(_text(row, "html_url"))
    return found[0] if found else ""


def _number(row: Any, name: str) -> int:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, int):
        raise GitHubError("a call", 200, why=f'the reply holds no "{name}"')
    return value


def _comment(row: Any) -> Comment:
    return Comment(
        _number(row, "id"),
        _text(row, "node_id"),
        _text(row, "user", "login"),
        _text(row, "body"),
        _address(row),
    )


def _issue(row: Any) -> Issue:
    return Issue(
        _number(row, "number"),
        _text(row, "user", "login"),
        _text(row, "title"),
        _text(row, "body"),
        _address(row),
    )


def _pull(row: Any) -> Pull:
    merged_as = _text(row, "merge_commit_sha") if _text(row, "merged_at") else ""
    return Pull(_number(row, "number"), _text(row, "head", "sha"), _text(row, "base", "ref"), merged_as, _address(row))


def _review(row: Any) -> Review:
    return Review(_text(row, "user", "login"), _text(row, "state"), _text(row, "commit_id"))
