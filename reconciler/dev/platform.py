"""The local account, its API, its data plane, and the rounds that keep it in step with the files.

store ── API server and dashboard ─┐
  └───── data plane (workerd) ─────┼── journal ── terminal, pages
files ── rounds ───────────────────┘
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reconciler.dev import urls
from reconciler.dev.journal import Entry, Journal
from reconciler.dev.rounds import Account, Round, Rounds
from reconciler.errors import LocalError, Problem
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.faults import Faults
from reconciler.local.runtime import Runtime
from reconciler.local.runtime_binary import find_workerd
from reconciler.local.runtime_check import Checker
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.local.switches import LAPTOP
from reconciler.look import cloudflare, transport
from reconciler.model import Secret
from reconciler.plan.results import Result

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from reconciler.local.records import StoredScript
    from reconciler.local.runtime_events import Event

PORT, API_PORT = 8787, 8788
CLOUDFLARE = "api.cloudflare.com"


@dataclass(frozen=True)
class Settings:
    """What `reconciler dev` is asked for. Port 0 takes any that is free."""

    root: Path
    environment: str
    variables: Mapping[str, str] = field(repr=False)  # the environment: secret values are in it
    folder: Path  # of the local account
    ledger: Path
    account: str  # its id, where platform.yaml names none
    port: int = PORT
    api_port: int = API_PORT
    reset: bool = False
    watch: bool = True
    fault: str = ""
    egress: Literal["block", "allow"] = "block"
    hosts: Mapping[str, str] = field(default_factory=dict)  # that scripts may fetch, and what stands in for each


def _nobody(_entry: Entry) -> None:
    """Nobody listens."""


class Platform:
    """Everything that runs. A context manager: what it started is gone when it ends."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        *,
        waiting: Callable[[float, str], None] | None = None,
        happened: Callable[[Entry], None] = _nobody,
    ) -> None:
        self.settings, self.journal = settings, journal
        self._waiting, self._happened = waiting, happened

    def __enter__(self) -> Platform:
        """Raises LocalError: no workerd, a port that is taken, another one that runs here."""
        settings = self.settings
        with ExitStack() as ends:
            ends.enter_context(_alone(settings.folder.parent))
            if settings.reset and settings.folder.exists():
                shutil.rmtree(settings.folder)
            binary = find_workerd(settings.root)  # before anything is started for nothing
            self._store = Store(settings.folder)
            ends.callback(self._store.close)
            self.made_anew = self._store.made_anew
            faults = Faults.named(settings.fault) if settings.fault else Faults()
            self._checking = _Checking(binary, self._trouble)
            ends.callback(self._checking.end)
            self._api = create_app(self._store, faults=faults, switches=LAPTOP, check=self._checking.problems)
            self.server = ends.enter_context(
                Server(_Front(self._api, self._dashboard), port=settings.api_port, names=(CLOUDFLARE,))
            )
            self._starting = _Starting(lambda: self._new_runtime(binary))
            ends.callback(self._starting.end)
            ends.callback(self.journal.close)  # the streams of pages end before the server does
            account = Account(self._connect, settings.account, settings.ledger)
            self.rounds = Rounds(
                settings.root, settings.environment, settings.variables, account, forgetful=settings.reset
            )
            ends.callback(self.rounds.close)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def ready(self) -> None:
        """Wait until the data plane answers. Raises LocalError when it cannot."""
        self._starting.runtime()

    def expect_saves(self) -> None:
        """Be ready for them: nobody shall wait for the first one's check."""
        self._checking.prepare()

    @property
    def port(self) -> int:
        """Of the data plane, once it is ready."""
        return self._starting.runtime().port

    def addresses(self) -> list[urls.Address]:
        """Every script's that the files name, by name."""
        repository = self.rounds.repository
        return list(urls.addresses(repository, self.port)) if repository else []

    def reconcile(
        self,
        cause: str,
        *,
        told: Callable[[Result, int], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Round:
        """One round, which the journal tells of."""
        before = self.rounds.last
        done = self.rounds.run(cause, told=told, stopped=stopped)
        self._point()
        if not done.quiet or (before is not None and before.problems):
            self._add("round", {"round": done.number, "cause": done.cause, "problems": len(done.problems)})
        return done

    def _connect(self, account: str) -> cloudflare.Api:
        # In process saves 40 ms of the start; a connection that a fault drops has to be one.
        wire = transport.over_network(self.server.url) if self.settings.fault else transport.in_process(self._api)
        polite = transport.Polite(wire, transport.Unlimited(), waiting=self._waiting)
        return cloudflare.connect(self.server.url + PREFIX, Secret(LOCAL_TOKEN), account, polite)

    def _new_runtime(self, binary: Path) -> Runtime:
        settings = self.settings
        return Runtime(
            self._store,
            binary=binary,
            port=settings.port,
            egress=settings.egress,
            # A script that calls Cloudflare's API means this account: from here no request reaches the real one.
            hosts={CLOUDFLARE: self.server.url, **settings.hosts},
            closed_ports=(self.server.port,),  # under its own name, the pages are there, and pages write files
            on_event=self._on_event,
        ).start()

    def _point(self) -> None:
        """Let the dispatcher answer every address that no route covers, under the names that its pattern and its
        scripts have."""
        repository = self.rounds.repository
        dispatcher = repository.platform.dispatcher if repository else None
        if dispatcher is None:
            return
        assert repository is not None
        wanted = {
            "default_worker": dispatcher.name,
            "local_suffix": urls.suffix(dispatcher.hostname),
            "local_hosts": json.dumps(sorted(one.name for script in repository.scripts() for one in script.hostnames)),
        }
        changed = {name: value for name, value in wanted.items() if self._store.value(name) != value}
        for name, value in changed.items():
            self._store.set_value(name, value)
        if changed:
            self._starting.runtime().invalidate()

    def _dashboard(self) -> WSGIApplication:
        from reconciler.dev.dashboard import Site, dashboard  # templates take 60 ms to import

        return dashboard(
            Site(
                rounds=self.rounds,
                journal=self.journal,
                reconcile=self.reconcile,
                addresses=self.addresses,
                port=lambda: self.port,
                api_port=self.server.port,
            )
        )

    def _on_event(self, event: Event) -> None:
        what = event.as_json()
        kind = what.pop("kind")
        self._add(kind, {**what, "customer": what.get("customer") or self._customer(event.namespace, event.script)})

    def _customer(self, namespace: str, script: str) -> str:
        """Whose script it is: the dispatcher tells outbound Workers alone."""
        repository = self.rounds.repository
        if not namespace or repository is None:
            return ""
        try:
            return repository.script(script).customer
        except KeyError:  # someone else's, uploaded by hand
            return ""

    def _trouble(self, message: str) -> None:
        self._add("trouble", {"namespace": "", "script": "", "message": message})

    def _add(self, kind: str, what: Mapping[str, object]) -> None:
        self._happened(self.journal.add(kind, what))


class _Starting:
    """A data plane that comes up beside other work: 100 ms that nobody waits for."""

    def __init__(self, start: Callable[[], Runtime]) -> None:
        self._started: Runtime | BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(start,), name="start of workerd", daemon=True)
        self._thread.start()

    def runtime(self) -> Runtime:
        """The data plane, once it answers; raises what kept it from starting."""
        self._thread.join()
        if isinstance(self._started, Runtime):
            return self._started
        assert self._started is not None
        raise self._started

    def end(self) -> None:
        self._thread.join()
        if isinstance(self._started, Runtime):
            self._started.stop()

    def _run(self, start: Callable[[], Runtime]) -> None:
        try:
            self._started = start()
        except BaseException as error:  # raised again where it is waited for
            self._started = error


class _Checking:
    """Code that does not start is refused, as Cloudflare does it: what is live stays live."""

    def __init__(self, binary: Path, trouble: Callable[[str], None]) -> None:
        self._binary, self._trouble = binary, trouble
        self._lock = threading.Lock()
        self._checker: Checker | None = None
        self._over = False

    def problems(self, script: StoredScript) -> list[str]:
        checker = self._ready()
        return [str(one) for one in checker.check(script)] if checker else []

    def prepare(self) -> None:
        """Start, without anybody's waiting for it."""
        threading.Thread(target=self._ready, name="start of the check", daemon=True).start()

    def end(self) -> None:
        with self._lock:
            self._over = True
            if self._checker is not None:
                self._checker.close()

    def _ready(self) -> Checker | None:
        with self._lock:
            if self._checker is None and not self._over:
                try:
                    self._checker = Checker(binary=self._binary)
                except LocalError as error:
                    self._over = True
                    self._trouble(f"uploads are not checked: {error.problems[0].what}: {error.problems[0].why}")
            return self._checker


class _Front:
    """The API under its prefix, and the pages everywhere else; they are made when someone first asks for one."""

    def __init__(self, api: WSGIApplication, pages: Callable[[], WSGIApplication]) -> None:
        self._api, self._make = api, pages
        self._lock = threading.Lock()
        self._pages: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return self._api(environ, start_response)
        with self._lock:
            if self._pages is None:
                self._pages = self._make()
        return self._pages(environ, start_response)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One `reconciler dev` for each local account: two would answer each other's requests with half of the truth."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "dev.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what, why = "the local account cannot be kept here", f"{error.filename}: {error.strerror}"
        fix = "work in a folder that can be written, such as a clone of your own"
        raise LocalError([Problem(what, why=why, fix=fix, code="local-folder")]) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        problem = Problem(
            "another `reconciler dev` runs for this repository",
            why="both would write to the same local account",
            fix="stop it, or work with it: `reconciler apply --local` reaches what it runs",
            code="local-running",
        )
        raise LocalError([problem]) from None
    try:
        yield
    finally:
        os.close(lock)
