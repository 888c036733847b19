"""A platform to tell scenarios on: a repository in a temporary folder, an emulated account in process, a ledger.

Every call goes through `Line`, one at a time: it counts and records calls, strikes at one of them when it is told to,
and after each looks at what is stored. Law, checked after every single call: no route of the live table, no route of
a zone and no custom domain leads to something that does not exist.
"""

from __future__ import annotations

import datetime
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reconciler import drift, routing, run
from reconciler import observe as observing
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.faults import Faults
from reconciler.local.store import ORDINARY, Store
from reconciler.local.switches import Switches
from reconciler.look import cloudflare, transport
from reconciler.look.budget import Budget
from reconciler.look.ledger import Ledger
from reconciler.model import Secret
from reconciler.plan import Plan
from reconciler.plan.results import Finding, FindingKind, Outcome, Result
from reconciler.routing.table import routes as routes_of

TODAY = datetime.date(2026, 11, 24)
ACCOUNT = "0123456789abcdef0123456789abcdef"

PLATFORM = """\
platform: acme
account_id: 0123456789abcdef0123456789abcdef
namespace: acme-production
defaults: {compatibility_date: 2026-10-01}
platform_modules: {platform_module.mjs: platform/platform_module.mjs}
outbound_workers:
  egress-guard: {main: platform/egress-guard.mjs, parameters: [customer, tier]}
tiers:
  basic: {limits: {cpu_ms: 10, subrequests: 5}, outbound_worker: egress-guard}
  advanced: {limits: {cpu_ms: 50, subrequests: 50}}
dispatcher:
  name: acme-dispatcher
  hostname: "{script}.acme.app"
  path: /dispatch/{script}
  routes: [{pattern: "*.acme.app/*", zone: acme.app}]
  custom_domains: [acme.app]
prune: true
safety: {max_deletes: {count: 25, percent: 50}}
"""
MODULE = 'export default { fetch: () => new Response("hello") };\n'
FILES: Mapping[str, str] = {
    "platform.yaml": PLATFORM,
    "platform/platform_module.mjs": 'export const platform = "acme";\n',
    "platform/egress-guard.mjs": "export default { fetch: (request) => fetch(request) };\n",
    "customers/globex/customer.yaml": """\
tier: advanced
tags: [eu]
scripts:
  globex-shop: {main: shop.mjs, hostnames: [shop.globex.com]}
  globex-reports: {main: reports.mjs, limits: {cpu_ms: 80}}
""",
    "customers/globex/shop.mjs": MODULE,
    "customers/globex/reports.mjs": MODULE,
    "customers/initech/customer.yaml": """\
tier: basic
scripts:
  initech-status: {main: status.mjs, vars: {GREETING: hello}}
  initech-old: {main: status.mjs}
""",
    "customers/initech/status.mjs": MODULE,
}


class Killed(BaseException):
    """The process is gone: nothing of it goes on, not even its handlers of errors."""


@dataclass
class Strike:
    """What befalls one call, and whether it befalls those that follow."""

    at: int | str  # counting calls of this run from 1; or what the path of each that it befalls ends with
    how: Callable[[Callable[[], httpx.Response]], httpx.Response]
    times: int = 1


class Line(httpx.BaseTransport):
    """The way to the account, one call at a time."""

    def __init__(
        self,
        inner: httpx.BaseTransport,
        before_each: Callable[[str], None],
        after_each: Callable[[str], None],
        strike: Strike | None = None,
    ) -> None:
        self._inner, self._before_each, self._after_each, self._strike = inner, before_each, after_each, strike
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self.dead = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.removeprefix('/client/v4/')}"
        self._before_each(call)
        with self._lock:
            if self.dead:
                raise Killed
            self.calls.append(call)
            try:
                return self._answered(request)
            except Killed:
                self.dead = True
                raise
            finally:
                self._after_each(self.calls[-1])

    def _answered(self, request: httpx.Request) -> httpx.Response:
        def answer() -> httpx.Response:
            response = self._inner.handle_request(request)
            response.read()
            return response

        number, strike = len(self.calls), self._strike
        if strike is not None and isinstance(strike.at, str) and request.url.path.endswith(strike.at):
            return strike.how(answer)
        if strike is not None and isinstance(strike.at, int) and strike.at <= number < strike.at + strike.times:
            return strike.how(answer)
        return answer()


class Platform:
    """What a scenario is told with. Every apply is followed by the law of the empty plan when the test ends."""

    def __init__(self, root: Path, switches: Switches | None = None, *, write: bool = True) -> None:
        self.root, self.switches = root / "repository", switches or Switches()
        self.faults = Faults()
        self.clock = _Clock()
        self.store = Store(root / "account", clock=self.clock)
        self.store.edge.ensure_zone("acme.app")
        self.store.edge.ensure_zone("globex.com")
        self.ledger = root / "ledger.sqlite3"
        self.variables: dict[str, str] = {}
        self.environment = ""
        self.dangling: list[str] = []  # every moment at which a route led to nothing, and the call before it
        self.striking: Strike | None = None  # what befalls the next run
        self.before_each_call: Callable[[str], None] = lambda call: None  # while others may be under way
        self.line = self._line()
        self.written = False
        if write:
            self.write(FILES)

    # The repository

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def edit(self, file: str, before: str, after: str) -> None:
        text = (self.root / file).read_text(encoding="utf-8")
        assert before in text, f"{file} does not hold {before!r}"
        self.write({file: text.replace(before, after)})

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def load(self) -> Repository:
        return config.load(self.root, self.environment, variables=self.variables, today=TODAY)

    # Runs

    def plan(self, **wishes: Any) -> Plan:
        return self.look(**wishes).plan

    def look(self, **wishes: Any) -> run.Outlook:
        return _looked(self.connection(), _wishes(**wishes))

    def apply(self, *, workers: int = 4, **wishes: Any) -> list[Result]:
        """Carries out the plan; fails the test when a change does not take."""
        results = self.attempt(workers=workers, **wishes)
        assert [one.problem for one in results if one.outcome is not Outcome.APPLIED] == []
        return results

    def attempt(self, *, workers: int = 4, **wishes: Any) -> list[Result]:
        """Carries out the plan, whatever comes of it."""
        connection = self.connection()
        asked = _wishes(**wishes)
        run.check_secrets(connection, asked)
        outlook = _looked(connection, asked)
        self.written = True
        return list(run.carry_out(outlook, outlook.plan.changes, workers=workers))

    def drift(self, *, verify: int | None = 0, observe: Iterable[str] = ()) -> dict[str, FindingKind]:
        """What a drift run finds, on a line that lets nothing through but GET."""
        return {str(one.key): one.kind for one in self.findings(verify=verify, observe=observe)}

    def findings(self, *, verify: int | None = 0, observe: Iterable[str] = ()) -> tuple[Finding, ...]:
        connection = self.connection(transport.ReadOnly)
        outlook = _looked(connection, _wishes(verify=verify))
        plan = run.explained(outlook)
        watched = observing.observe(connection, outlook.desired, outlook.live, frozenset(observe))
        return drift.findings(plan, connection.repository.platform.expected_drift, TODAY, watched)

    def connection(
        self,
        way: Callable[[httpx.BaseTransport], httpx.BaseTransport] = lambda line: line,
        *,
        budget: Budget | None = None,
        **how: Any,
    ) -> Connection:
        """A new run: files and ledger read anew, calls counted from nothing. `way` wraps the line."""
        self.line = self._line()
        shared = budget or transport.Unlimited()
        through = transport.Polite(way(self.line), shared, sleep=self.clock.sleep, jitter=lambda: 0.0, **how)
        api = cloudflare.connect("http://127.0.0.1/client/v4", Secret(LOCAL_TOKEN), ACCOUNT, through)
        repository = self.load()
        scope = f"{ACCOUNT}/{repository.platform.namespace}/{repository.platform.name}"
        return Connection(repository, api, Ledger(self.ledger, scope), self.variables)

    def forget(self) -> None:
        """Lose the ledger."""
        for file in self.root.parent.glob("ledger.sqlite3*"):
            file.unlink()

    @property
    def calls(self) -> list[str]:
        """The calls of the latest run."""
        return [call.replace(f"accounts/{ACCOUNT}/workers/", "") for call in self.line.calls]

    # The account, as others see and change it

    def elsewhere(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A call that someone else makes: straight to the account."""
        self.clock.sleep(1)
        client = httpx.Client(transport=transport.in_process(self._app()), base_url="http://127.0.0.1/client/v4/")
        with client:
            response = client.request(method, path, headers={"authorization": f"Bearer {LOCAL_TOKEN}"}, **body)
        assert response.is_success, response.text
        return response

    def upload_elsewhere(self, name: str, code: str = MODULE, *, namespace: str = "acme-production") -> None:
        """As wrangler does it: without tags, as it knows none."""
        metadata = {"main_module": "worker.mjs", "compatibility_date": "2026-10-01"}
        files = {
            "metadata": ("metadata", json.dumps(metadata).encode(), "application/json"),
            "worker.mjs": ("worker.mjs", code.encode(), "application/javascript+module"),
        }
        self.elsewhere("PUT", self.script(name, namespace=namespace), files=files)

    @staticmethod
    def script(name: str, *, namespace: str = "acme-production") -> str:
        """The path of a script; of an ordinary Worker with the namespace ""."""
        inside = f"dispatch/namespaces/{namespace}/" if namespace else ""
        return f"accounts/{ACCOUNT}/workers/{inside}scripts/{name}"

    @property
    def scripts(self) -> list[str]:
        return self.scripts_of("acme-production")

    def scripts_of(self, namespace: str) -> list[str]:
        return [row.name for row in self.store.rows(namespace)]

    @property
    def workers(self) -> list[str]:
        return self.scripts_of(ORDINARY)

    def table(self, dispatcher: str = "acme-dispatcher") -> routing.Table:
        """The routing table that is live."""
        stored = self.store.script(ORDINARY, dispatcher)
        assert stored is not None
        content = next(one.content for one in stored.modules if one.name == routing.MODULE_NAME)
        return routing.parse_module(content, self._kv_value)

    def led_to(self, host: str, path: str = "/", dispatcher: str = "acme-dispatcher") -> str:
        """The script that an address leads to; "" for none."""
        target = routing.resolve(self.table(dispatcher), host, path)
        return target.script if target else ""

    # Laws

    def look_for_dangling_routes(self, call: str) -> None:
        if not call.startswith("GET"):
            self.dangling += [f"{one}, after {call}" for one in self._dangling()]

    def _dangling(self) -> Iterator[str]:
        workers = set(self.workers)
        for route in self.store.edge.routes():
            if route.script and route.script not in workers:
                yield f"route {route.pattern} leads to no Worker"
        for domain in self.store.edge.domains():
            if domain.service not in workers:
                yield f"domain {domain.hostname} leads to no Worker"
        for name in sorted(workers):
            stored = self.store.script(ORDINARY, name)
            if stored is not None and any(one.name == routing.MODULE_NAME for one in stored.modules):
                yield from self._dangling_in(name, stored.metadata["bindings"], workers)

    def _dangling_in(self, dispatcher: str, bindings: Iterable[Mapping[str, Any]], workers: set[str]) -> Iterator[str]:
        bound = {one["name"]: one for one in bindings if one["type"] == "dispatch_namespace"}
        table = self.table(dispatcher)
        there = {namespace.name: set(self.scripts_of(namespace.name)) for namespace in self.store.namespaces()}
        for number in range(len(table.parts)):
            for address, target in routes_of(table, number):
                binding = bound[table.head["bindings"][target.outbound]]
                if target.script not in there.get(binding["namespace"], set()):
                    yield f"{dispatcher}: {address} leads to no script {target.script}"
                outbound = binding.get("outbound", {}).get("worker", {}).get("service")
                if outbound is not None and outbound not in workers:
                    yield f"{dispatcher}: {address} leads through no Worker {outbound}"

    def _kv_value(self, key: str) -> bytes:
        for namespace in self.store.kv.namespaces():
            found = self.store.kv.get(namespace.id, key)
            if found is not None:
                return found.value
        return b""

    def _line(self) -> Line:
        return Line(
            transport.in_process(self._app()), self.before_each_call, self.look_for_dangling_routes, self.striking
        )

    def _app(self) -> Any:
        return create_app(self.store, switches=self.switches, faults=self.faults, sleep=self.clock.sleep)

    @contextmanager
    def in_environment(self, name: str) -> Iterator[None]:
        before, self.environment = self.environment, name
        try:
            yield
        finally:
            self.environment = before


class _Clock:
    """The account's time: it stands still but for what is slept, and moves on a little with every look at it."""

    def __init__(self) -> None:
        self._now = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC).timestamp()
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def __call__(self) -> float:
        with self._lock:
            self._now += 0.001
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._now += seconds


def _looked(connection: Connection, wishes: run.Wishes) -> run.Outlook:
    """Law: a plan that looks only at what is not settled is the plan of everything."""
    outlook = run.look_and_plan(connection, wishes)
    if not wishes.scope and wishes.verify == 0:
        assert outlook.plan == run.of_everything(connection, outlook.seen, wishes).plan
    return outlook


def _wishes(**wishes: Any) -> run.Wishes:
    for name in ("scope", "adopt"):
        wishes[name] = frozenset(wishes.get(name, ()))
    return run.Wishes(today=TODAY, requests_per_window=0, **wishes)
