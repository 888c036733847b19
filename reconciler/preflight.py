"""Before anything is sent: does a script start in the real runtime, and does it answer its own `tests` as they say?

Each script goes through the emulated API into an account of its own, which is thrown away, as apply would send it:
with the injected modules, its bindings, its assets, and a stand-in for each secret. Nothing that it asks for leaves.
Law: a preflight decides nothing by itself; it says what it saw, at the line of the customer's own file.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.errors import ConfigError, Problem, ReconcilerError, Where
from reconciler.kinds import shipped, uploads
from reconciler.kinds.connection import Connection
from reconciler.load import config, excerpts, platform_file
from reconciler.load.customer_file import Trial
from reconciler.load.repository import Repository, Script
from reconciler.load.scripts import PYTHON
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.runtime import Runtime
from reconciler.local.runtime_check import MEGABYTES, START_SECONDS, start_problem
from reconciler.local.store import Store
from reconciler.look import cloudflare, transport
from reconciler.look.ledger import Ledger
from reconciler.model import Key, Resource, Secret
from reconciler.plan import Action, Cause, Change, Plan, Preflight
from reconciler.plan.guards import USER_WORKER

TEST_SECONDS = 5.0  # for one request; code that spins is stopped after START_SECONDS

START = "preflight-start"  # the code of a script's problem that does not start
_ASKER, _NO_EGRESS = "reconciler-preflight", "reconciler-preflight-egress"
_ACCOUNT = "0" * 32
_STAND_IN = "value-of-a-secret"  # no real one is needed to start, and none is given to code that nobody reviewed
_SHOWN = 200  # characters of an answer


def of_plan(plan: Plan, repository: Repository) -> Plan:
    """The plan with a preflight of each script that it creates or updates, and its problems among the warnings."""
    names = [one.key.name for one in plan.changes if one.key.kind == USER_WORKER and one.after is not None]
    seen = dict(check(repository, names))
    changes = [
        replace(one, preflight=seen.get(one.key.name) if one.key.kind == USER_WORKER else None) for one in plan.changes
    ]
    return replace(plan, changes=tuple(changes), warnings=(*plan.warnings, *problems(seen.values())))


def problems(seen: Iterable[Preflight]) -> tuple[Problem, ...]:
    """All that is wrong, in order and each once: a platform module breaks every script in the same way."""
    found = {(one.where, one.what): one for each in seen for one in each.problems}
    return tuple(sorted(found.values(), key=lambda one: one.order))


def check(repository: Repository, names: Iterable[str]) -> Iterator[tuple[str, Preflight]]:
    """Try scripts one after the other. Raises LocalError when workerd is not here."""
    wanted = list(names)
    if not wanted:
        return
    injected = _platform_modules(repository)
    with _stage(repository) as stage:
        for name in wanted:
            yield name, _with_lines(repository, stage.trial(config.read_trial(repository, name), injected))


def _platform_modules(repository: Repository) -> Mapping[str, str]:
    source = platform_file.read_source(repository.root, repository.platform.environment)
    modules: Mapping[str, str] = source.data.get("platform_modules", {})
    return modules


def _with_lines(repository: Repository, seen: Preflight) -> Preflight:
    return replace(seen, problems=excerpts.with_lines(repository.root, seen.problems))


@contextmanager
def _stage(repository: Repository) -> Iterator[_Stage]:
    """An account with the namespace, and a data plane that lets nothing out."""
    with tempfile.TemporaryDirectory(prefix="reconciler-preflight-") as folder, closing(Store(Path(folder))) as store:
        platform = repository.platform
        store.create_namespace(platform.namespace)
        store.change_namespace(platform.namespace, new_name=platform.namespace, trusted=platform.trusted)
        through = transport.Polite(transport.in_process(create_app(store)), transport.Unlimited())
        api = cloudflare.connect(f"http://127.0.0.1{PREFIX}", Secret(LOCAL_TOKEN), _ACCOUNT, through)
        ledger = Ledger(Path(folder) / "ledger.sqlite3", "preflight")
        _upload_asker(api, platform.namespace)
        with (
            closing(api),
            Runtime(
                store,
                root=repository.root,
                default_worker=_ASKER,
                egress="none",
                most_megabytes=MEGABYTES,
                stall_seconds=START_SECONDS,
            ) as runtime,
        ):
            yield _Stage(repository, store, api, ledger, runtime)


def _upload_asker(api: cloudflare.Api, namespace: str) -> None:
    date = {"compatibility_date": shipped.COMPATIBILITY_DATE}
    outbound = {"worker": {"service": _NO_EGRESS}, "params": []}
    dispatch = {"type": "dispatch_namespace", "name": "DISPATCH", "namespace": namespace, "outbound": outbound}
    for name, file, bindings in ((_NO_EGRESS, "preflight_egress.mjs", []), (_ASKER, "preflight.mjs", [dispatch])):
        api.upload("", name, {**date, "main_module": file, "bindings": bindings}, [shipped.module(file)])


@dataclass(frozen=True)
class _Stage:
    repository: Repository
    store: Store
    api: cloudflare.Api
    ledger: Ledger
    runtime: Runtime

    def trial(self, trial: Trial, injected: Mapping[str, str]) -> Preflight:
        name, namespace = trial.script.name, self.repository.platform.namespace
        found = list(self._tried(trial, {**injected, **trial.files}))
        self.store.delete_script(namespace, name)
        self.runtime.invalidate(namespace, name)
        return Preflight(len(trial.tests), tuple(found))

    def _tried(self, trial: Trial, files: Mapping[str, str]) -> Iterator[Problem]:
        """The upload, the start, the tests; each only when what comes before it went well."""
        problem = self._upload(trial)
        if problem is None and any(one.type == PYTHON for one in trial.worker.modules):
            return  # Cloudflare runs it, and nothing here does
        problem = problem or self._start(trial, files)
        if problem is not None:
            yield problem
            return
        yield from self._tests(trial)

    def _upload(self, trial: Trial) -> Problem | None:
        script = trial.script
        secrets = {reference.variable: _STAND_IN for _, reference in script.secrets}
        connection = Connection(self.repository, self.api, self.ledger, secrets)
        # What a binding would be inherited from is live, and not here.
        bindings = [one for one in trial.worker.bindings if one["type"] != "inherit"]
        worker = replace(trial.worker, bindings=tuple(map(self._stand_in, bindings)))
        after = Resource(Key(USER_WORKER, script.name), worker.digest, customer=script.customer, where=script.where)
        change = Change(Action.CREATE, after.key, Cause.ADDED, None, after)
        try:
            uploads.put_worker(connection, self.repository.platform.namespace, change, after, worker)
        except ConfigError:
            raise
        except ReconcilerError as error:
            told = error.problems[0]
            what = f"script {script.name} would be refused: {told.what}"
            return Problem(what, script.where, told.why, told.fix, "preflight-upload")
        return None

    def _stand_in(self, binding: Mapping[str, Any]) -> Mapping[str, Any]:
        """A binding to something that is there, and empty: an upload that names what is not there is refused."""
        match binding["type"]:
            case "kv_namespace":
                identity = _own(binding["namespace_id"])
                self.store.kv.ensure_namespace(identity, identity)
                return {**binding, "namespace_id": identity}
            case "d1":
                identity = _own(binding["database_id"])
                self.store.d1.ensure_database(identity, identity)
                return {**binding, "database_id": identity}
            case "r2_bucket":
                self.store.r2.create_bucket(binding["bucket_name"])
            case "service":
                return {**binding, "service": _NO_EGRESS}
            case "dispatch_namespace":
                return {"name": binding["name"], "type": binding["type"], "namespace": self._empty_namespace()}
        return binding

    def _empty_namespace(self) -> str:
        self.store.create_namespace(_NO_EGRESS)
        return _NO_EGRESS

    def _start(self, trial: Trial, files: Mapping[str, str]) -> Problem | None:
        name, namespace = trial.script.name, self.repository.platform.namespace
        stored = self.store.script(namespace, name)
        if stored is None or not stored.modules:
            return None  # static files alone
        try:
            told = self.runtime.try_start(namespace, name)
        except (OSError, http.client.HTTPException):
            told = f"It did not finish starting within {START_SECONDS:g} s"
        if not told:
            return None
        found = start_problem(stored, told)
        message = _cut(found.message.removeprefix("Uncaught "))
        ours = found.file in files and found.file not in trial.files
        what = f"platform module {found.file}" if ours else f"script {name}"  # one cause, one problem
        return Problem(
            f"{what} does not start: {message}",
            Where(files.get(found.file, found.file), found.line, found.column),
            why="workerd says so, and Cloudflare would refuse the upload",
            fix="correct the script",
            code=START,
        )

    def _tests(self, trial: Trial) -> Iterator[Problem]:
        """The problems of each test, up to the first that gets no answer: the script is stopped then."""
        for test, where in trial.tests:
            found = list(self._test(trial.script, test, where))
            yield from found
            if any(one.code == _UNANSWERED for one in found):
                return

    def _test(self, script: Script, test: Mapping[str, Any], where: Where) -> Iterator[Problem]:
        request = test["request"]
        host = request.get("host") or next((one.name for one in script.hostnames), f"{script.name}.example.com")
        method = request.get("method", "GET")
        asked = {
            "script": script.name,
            "url": f"https://{host}{request['path']}",
            "method": method,
            "headers": request.get("headers", {}),
            "body": request.get("body"),
        }
        named = f"{method} {request['path']} of script {script.name}"
        try:
            answer = self._ask(asked)
        except (OSError, http.client.HTTPException, ValueError):
            why = f"it took over {START_SECONDS:g} s of CPU time, or {TEST_SECONDS:g} s in all; the next are not made"
            yield Problem(f"{named} was not answered", where, why, _FIX, _UNANSWERED)
            return
        if "exception" in answer:
            yield Problem(f"{named} ended with an exception: {_cut(answer['exception'])}", where, "", _FIX, _CODE)
            return
        yield from _differences(named, test.get("expect", {}), answer, where)

    def _ask(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.runtime.port, timeout=TEST_SECONDS)
        with closing(connection):
            connection.request("POST", "/", json.dumps(asked).encode())
            answer: Mapping[str, Any] = json.loads(connection.getresponse().read())
            return answer


_CODE, _UNANSWERED = "preflight-test", "preflight-unanswered"
_FIX = "correct the script, or the test"


def _differences(named: str, expect: Mapping[str, Any], answer: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    """What came back otherwise than it should."""
    status, body = int(expect.get("status") or 200), str(answer["body"])
    said = f"the answer begins {_shown(body)}" if body else "the answer is empty"
    if answer["status"] != status:
        yield Problem(f"{named} answers {answer['status']}, not {status}", where, said, _FIX, _CODE)
        return  # what an error page says beside is no second problem
    headers = {str(name).lower(): value for name, value in answer["headers"]}
    for name, value in expect.get("headers", {}).items():
        got = headers.get(name.lower())
        if got != value:
            why = f"it is {_shown(got)}" if got is not None else "there is none"
            yield Problem(f"{named} has not the header {name}: {value}", where, why, _FIX, _CODE)
    if "body" in expect and body != expect["body"]:
        yield Problem(f"{named} answers another body than {_shown(expect['body'])}", where, said, _FIX, _CODE)
    if "contains" in expect and expect["contains"] not in body:
        yield Problem(f"{named} answers without {_shown(expect['contains'])}", where, said, _FIX, _CODE)


def _own(identity: str) -> str:
    """An id of the throw-away account for one of the customer's, which may hold anything."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _shown(text: str) -> str:
    return json.dumps(_cut(text), ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
