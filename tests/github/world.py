"""A platform's repository on a GitHub of its own, beside an emulated Cloudflare: where workflows are tried out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.github import templates
from reconciler.local.api import create_app
from reconciler.local.records import StoredScript
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.github import workflow
from tests.github.expressions import Expressions
from tests.github.hub import Hub
from tests.github.stand_ins import Saved
from tests.github.workflow import Event, Hosted, JobRun

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAMESPACE = "acme-production"
LEDGER, COMPILED = ".reconciler/ledger.sqlite3", ".reconciler/compiled.sqlite3"
READ_TOKEN, WRITE_TOKEN = "read-token-of-cloudflare", "write-token-of-cloudflare"
ACCOUNT = "0123456789abcdef0123456789abcdef"

PLATFORM = f"""\
platform: acme
account_id: {ACCOUNT}
namespace: acme-production
defaults:
  compatibility_date: 2026-10-01
tiers:
  basic: {{limits: {{cpu_ms: 10, subrequests: 5}}}}
dispatcher:
  name: acme-dispatcher
  hostname: "{{script}}.acme.app"
prune: true
self_service: [scripts.*.vars, scripts.*.modules]
environments:
  staging: {{namespace: acme-staging, dispatcher: {{name: acme-dispatcher-staging}}}}
"""
FILES: Mapping[str, str] = {
    "platform.yaml": PLATFORM,
    "customers/globex/customer.yaml": "tier: basic\nscripts:\n  globex-shop:\n    main: shop.mjs\n",
    "customers/globex/shop.mjs": 'export default { fetch: () => new Response("shop") };\n',
    "customers/initech/customer.yaml": "tier: basic\nscripts:\n  initech-hello:\n    main: hello.mjs\n",
    "customers/initech/hello.mjs": 'export default { fetch: () => new Response("hello") };\n',
    ".gitignore": ".reconciler/\n",
}
SHOP = "customers/globex/shop.mjs"
_IDENTITY = ("-c", "user.name=Octo", "-c", "user.email=octo@example.com", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class PullRequest:
    number: int
    head: str
    base: str
    merge: str  # what would be on the branch


class Repository:
    """The repository on GitHub, bare; commits are made in a work tree beside it."""

    def __init__(self, folder: Path) -> None:
        self.origin, self._tree = folder / "origin.git", folder / "tree"
        self._git(folder, "init", "-q", "--bare", "-b", "main", str(self.origin))
        self._git(self.origin, "config", "uploadpack.allowAnySHA1InWant", "true")
        self._git(folder, "clone", "-q", str(self.origin), str(self._tree))
        self._git(self._tree, "checkout", "-q", "-b", "main")

    def commit(self, files: Mapping[str, str | None], message: str = "Change", branch: str = "main") -> str:
        """Write files (None removes one) on top of a branch, which begins at main where there is none yet."""
        if self._git(self._tree, "branch", "--list", branch):
            self._git(self._tree, "checkout", "-q", branch)
        elif branch != "main":
            self._git(self._tree, "checkout", "-q", "-b", branch, "main")
        for name, text in files.items():
            path = self._tree / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git(self._tree, "add", "-A")
        self._git(self._tree, *_IDENTITY, "commit", "-q", "--allow-empty", "-m", message)
        self._git(self._tree, "push", "-q", "origin", branch)
        return self._git(self._tree, "rev-parse", "HEAD")

    def open(self, number: int, branch: str) -> PullRequest:
        """What refs/pull/N/merge stands for: the branch merged into main, without main knowing."""
        head, base = (self._git(self._tree, "rev-parse", one) for one in (branch, "main"))
        self._git(self._tree, "checkout", "-q", "--detach", "main")
        self._git(self._tree, *_IDENTITY, "merge", "-q", "--no-ff", "-m", "Merge", branch)
        merge = self._git(self._tree, "rev-parse", "HEAD")
        self._git(self._tree, "push", "-q", "-f", "origin", f"HEAD:refs/pull/{number}/merge")
        return PullRequest(number, head, base, merge)

    def merge(self, branch: str) -> str:
        self._git(self._tree, "checkout", "-q", "main")
        self._git(self._tree, *_IDENTITY, "merge", "-q", "--no-ff", "-m", f"Merge {branch}", branch)
        self._git(self._tree, "push", "-q", "origin", "main")
        return self._git(self._tree, "rev-parse", "HEAD")

    @staticmethod
    def _git(folder: Path, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, encoding="utf-8")
        return done.stdout.strip()


@dataclass
class World:
    """All of it, and what people do in it."""

    repository: Repository
    hub: Hub
    hosted: Hosted
    store: Store
    requests: list[tuple[str, str]]  # method and path of each call that Cloudflare got

    def run(self, name: str, event: Event) -> JobRun:
        """The one job of a workflow that was not skipped; the check that stands for all of them has to agree."""
        before = len(self.hub.calls)
        if "pull_request" in event.payload and event.attempt == 1:
            head = event.payload["pull_request"]["head"]["sha"]
            told = {"path": f".github/workflows/{name}", "event": event.name, "head_sha": head}
            self.hub.runs.append({"id": self.hosted.runs + 1, **told})
        *jobs, last = [job for job in workflow.run(self.hosted, name, event) if job.result != "skipped"]
        jobs = jobs or [last]
        assert len(jobs) == 1, [job.name for job in jobs]
        assert last.result == jobs[0].result
        for call in self.hub.calls[before:]:
            assert _allowed(call.permission, jobs[0].permissions), f"{name} may not {call.method} {call.path}"
        return jobs[0]

    def change(self, files: Mapping[str, str | None], *, number: int = 7, branch: str = "change") -> PullRequest:
        """Push to a branch that a pull request is open for."""
        self.repository.commit(files, branch=branch)
        return self.repository.open(number, branch)

    def plan(self, pull: PullRequest, **how: Any) -> JobRun:
        return self.run("plan.yml", event_of(pull, **how))

    def merge(self, pull: PullRequest, branch: str = "change") -> Event:
        """The push that merging a pull request makes."""
        commit = self.repository.merge(branch)
        self.hub.pulls.append(
            {
                "number": pull.number,
                "head": {"sha": pull.head},
                "base": {"ref": "main"},
                "merge_commit_sha": commit,
                "merged_at": "2026-11-24T04:00:00Z",
                "html_url": f"https://github.example/acme/platform/pull/{pull.number}",
            }
        )
        self.hub.tips["main"] = commit
        return push(commit)

    def live(self, namespace: str = NAMESPACE) -> set[str]:
        """Names in the namespace."""
        return {one.name for one in self.store.rows(namespace)}

    def code(self, name: str) -> str:
        """The main module as it is live."""
        script = self.store.script(NAMESPACE, name)
        assert script is not None
        assert script.main_module is not None
        return script.main_module.content.decode()

    def edit_by_hand(self, name: str, code: str) -> StoredScript:
        """Someone else uploads a script, tags and all; what it was before."""
        before = self.store.script(NAMESPACE, name)
        assert before is not None
        modules = tuple(replace(one, content=code.encode()) for one in before.modules)
        after = replace(before, modules=modules, etag="by-hand", modified_on=self.store.now())
        self.store.change_script(NAMESPACE, name, lambda _: after)
        return before

    def put_back(self, before: StoredScript) -> None:
        self.store.change_script(NAMESPACE, before.name, lambda _: before)

    def writes(self) -> list[str]:
        """The changes that Cloudflare was asked for so far."""
        return [f"{method} {path.rpartition('/')[2]}" for method, path in self.requests if method != "GET"]


def _allowed(needed: str, granted: Mapping[str, str]) -> bool:
    """A comment may be written by who may write issues or pull requests."""
    if not needed:
        return True
    scope, colon, level = needed.partition(": ")
    if not colon:
        return any(granted.get(one) == scope for one in ("issues", "pull-requests"))
    if scope == "pull-requests" and "issues" in granted:
        scope = "issues"
    return granted.get(scope) in {"read": ("read", "write"), "write": ("write",)}[level]


def event_of(
    pull: PullRequest,
    *,
    title: str = "A change",
    fork: bool = False,
    author: str = "octocat",
) -> Event:
    head = {"sha": pull.head, "ref": "change", "repo": {"full_name": "mallory/platform" if fork else "acme/platform"}}
    base = {"sha": pull.base, "ref": "main", "repo": {"full_name": "acme/platform"}}
    payload = {
        "pull_request": {"number": pull.number, "title": title, "user": {"login": author}, "head": head, "base": base},
        "repository": {"default_branch": "main"},
    }
    return Event("pull_request", payload, pull.merge, f"refs/pull/{pull.number}/merge", actor=author)


def reviewed(event: Event, state: str = "approved") -> Event:
    """Somebody reviews the pull request of an event."""
    return replace(event, name="pull_request_review", payload={**event.payload, "review": {"state": state}})


def push(commit: str) -> Event:
    return Event("push", {"repository": {"default_branch": "main"}}, commit, "refs/heads/main")


def by_hand(commit: str, **inputs: str) -> Event:
    return replace(push(commit), name="workflow_dispatch", inputs=inputs)


def nightly(commit: str) -> Event:
    return Event("schedule", {"repository": {"default_branch": "main"}}, commit, "refs/heads/main", actor="")


@dataclass(frozen=True)
class Applied:
    """What a first apply leaves: the account at Cloudflare, and the ledger."""

    account: Path
    ledger: bytes


def saved(ledger: bytes) -> Saved:
    """A ledger in the cache, as the workflows keep it."""
    return Saved((LEDGER, COMPILED), {LEDGER: ledger})


def first_apply(folder: Path) -> Applied:
    """Apply FILES once, for all tests that begin there."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    state = Store(folder / "cloudflare")
    with contextlib.closing(state), Server(create_app(state, token=WRITE_TOKEN)) as server:
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "CLOUDFLARE_API_TOKEN": WRITE_TOKEN,
        }
        command = [str(workflow.PYTHON.parent / "reconciler"), "apply", "--yes"]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return Applied(folder / "cloudflare", (folder / LEDGER).read_bytes())


@contextmanager
def world(
    folder: Path, expressions: Expressions, applied: Applied | None = None, files: Mapping[str, str] = FILES
) -> Iterator[World]:
    """A new repository with the workflows in it."""
    repository = Repository(folder)
    if applied is not None:
        shutil.copytree(applied.account, folder / "cloudflare")
    requests: list[tuple[str, str]] = []
    state = Store(folder / "cloudflare")
    state.put_token(hashlib.sha256(READ_TOKEN.encode()).hexdigest(), "active")
    app = create_app(state, token=WRITE_TOKEN, on_request=lambda one: requests.append((one.method, one.path)))
    with contextlib.closing(state), Hub() as hub, Server(_read_only(app, READ_TOKEN)) as server:
        cloudflare = f"{server.url}/client/v4"
        tokens = {"production-plan": READ_TOKEN, "production": WRITE_TOKEN}
        hosted = Hosted(
            expressions,
            folder,
            repository.origin,
            hub.url,
            cloudflare,
            {name: {"CLOUDFLARE_API_TOKEN": token} for name, token in tokens.items()},
        )
        if applied is not None:
            hosted.caches["reconciler//99/1"] = saved(applied.ledger)
        shipped = templates.files(requirement="wfp-reconciler @ git+https://example.com/r@0", owner="@octo-boss")
        hub.tips["main"] = repository.commit({**shipped, **files}, "Begin")
        yield World(repository, hub, hosted, state, requests)


def _read_only(app: WSGIApplication, token: str) -> WSGIApplication:
    """Cloudflare refuses a write to a token that may only read."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET" or environ.get("HTTP_AUTHORIZATION") != f"Bearer {token}":
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [
            b'{"success":false,"result":null,"messages":[],"errors":[{"code":10000,"message":"Authentication error"}]}'
        ]

    return guarded
