"""The data plane of the embedded platform: every script of an account, answering requests in the real workerd.

    with Runtime(store, default_worker="acme-dispatcher") as runtime:
        httpx.get(runtime.url + "/dispatch/globex-shop")

One static configuration; scripts are loaded when a request needs them, and again when the API says that they changed.
A script that spins is stopped with its process, which is started again on the same sockets.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from reconciler.errors import LocalError, Problem
from reconciler.local.runtime_binary import compatibility_date, find_workerd
from reconciler.local.runtime_config import Settings, config_text
from reconciler.local.runtime_control import Control, ControlServer
from reconciler.local.runtime_events import Event, Transcript, Trouble
from reconciler.local.runtime_process import Process, Usage, listen
from reconciler.local.store import Store

LOOPBACK = "127.0.0.1"
INVALIDATE = "/invalidate"
START_SECONDS = 30  # a cold page cache alone took 2.5 s
BEAT_SECONDS = 0.25
RECORD_SECONDS = 0.05  # between two records of the CPU time that workerd got
DRAIN_SECONDS = 1.0
TRIM_SHARE, TRIM_SECONDS = 0.6, 2  # of the most memory: from here on what is idle goes; memory is free a little later
# Of `stall_seconds`, in CPU time and without an answer: a process that had less than this waited for the machine.
SPINNING_SHARE = 0.8
# Lines of workerd's own that every eviction or every ordinary mistake of a script writes, and V8's last words.
_NOISE = (
    "abortIsolate() called", "script terminated for unknown reasons", "evicted", "stack: ", "became the default as of",
    "Socket proxy disconnected", "V8 fatal error", "Received signal #", "<--- ", " ms: Mark-Compact ", " ms: Scavenge ",
    "system_allocator.h",
)  # fmt: skip

_OUT_OF_MEMORY = "out of memory"  # said by V8 as it ends
_EXHAUSTED = "Cannot allocate memory"  # said for each array that did not find a place

Egress = Literal["none", "block", "allow"]


def _ignore(_event: Event) -> None:
    """Nobody listens."""


class Runtime:
    """Runs the scripts of a store. `start` it, or use it as a context manager.

    `default_worker` answers what no route, custom domain or workers.dev name covers (else the store's value
    "default_worker"). `suffix` stands for "localhost" in the host that Workers see (else "local_suffix"): with
    "acme.app", http://shop.localhost:8787 reaches Workers as shop.acme.app. `egress` "block" lets scripts reach
    loopback and `hosts` alone, a map of host to the http:// origin that stands in for it, "none" only `hosts`;
    `closed_ports` of loopback are reached by no script, whatever the egress. Past `most_megabytes` workerd is started
    again, and well before that scripts that are idle are let go. `on_event` is called from this object's own thread,
    in order.
    """

    def __init__(
        self,
        store: Store,
        *,
        binary: Path | None = None,
        root: Path = Path(),
        default_worker: str = "",
        suffix: str = "",
        port: int = 0,
        egress: Egress = "block",
        hosts: Mapping[str, str] | None = None,
        closed_ports: Iterable[int] = (),
        most_loaded: int = 150,
        most_megabytes: int = 1500,
        stall_seconds: float = 1.0,
        on_event: Callable[[Event], None] = _ignore,
    ) -> None:
        self._store = store
        self._binary = binary or find_workerd(root)
        self._control = Control(
            store, newest_date=compatibility_date(self._binary), default_worker=default_worker, suffix=suffix
        )
        self._port = port
        self._egress = egress
        self._hosts = dict(hosts or {})
        self._closed_ports = tuple(closed_ports)
        self._most_loaded = most_loaded
        self._most_bytes = most_megabytes << 20
        self._stall_seconds = stall_seconds
        self._on_event = on_event
        self._token = secrets.token_hex(16)
        self._mark = f"#{secrets.token_hex(8)} "
        self._stopping = threading.Event()
        self._saying = threading.Lock()
        self._errors: list[str] = []
        self._out_of_memory = False
        self._exhausted = False
        self._trimmed: float | None = None

    def start(self) -> Self:
        """Come up and answer; LocalError when the port is taken or workerd does not run."""
        self._sockets = {"http": _listen(self._port), "admin": _listen(0)}
        self._server = ControlServer(self._control, self._token)
        self._folder = Path(tempfile.mkdtemp(prefix="reconciler-"))
        self._config = self._folder / "config.capnp"
        settings = Settings(
            control=self._server.address,
            control_token=self._token,
            admin_token=self._token,
            mark=self._mark,
            egress=self._egress,
            hosts=self._hosts,
            closed_ports=self._closed_ports,
            most_loaded=self._most_loaded,
        )
        self._config.touch(mode=0o600)
        self._config.write_text(config_text(settings), encoding="utf-8")
        try:
            self._launch()
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        self._store.register_watcher(self.admin_url, self._token)
        self._watchers = [
            threading.Thread(target=self._watch, name="workerd watch", daemon=True),
            threading.Thread(target=self._record, name="workerd usage", daemon=True),
        ]
        for watcher in self._watchers:
            watcher.start()
        return self

    def stop(self) -> None:
        """End workerd and let go of every socket, thread and file."""
        self._store.unregister_watcher(self.admin_url)
        self._stopping.set()
        for watcher in self._watchers:
            watcher.join()
        self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        port: int = self._sockets["http"].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where requests go, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where the API tells of changes, with this runtime's token. The store knows both as a watcher."""
        return f"http://{LOOPBACK}:{self._sockets['admin'].getsockname()[1]}{INVALIDATE}"

    def invalidate(self, namespace: str | None = None, name: str | None = None) -> None:
        """Make the next request see what the store holds now: of one script, of a namespace, or of everything."""
        changed = json.dumps({"namespace": namespace, "name": name}).encode()
        with contextlib.suppress(ConnectionError):  # it is started again, with nothing in memory that it would forget
            self._admin("POST", INVALIDATE, changed)

    def try_start(self, namespace: str, name: str) -> str:
        """Start a script's modules without a request: what went wrong, or "". OSError when the start hung."""
        asked = json.dumps({"namespace": namespace, "name": name}).encode()
        told: str = json.loads(self._admin("POST", "/start", asked, timeout=START_SECONDS))
        return told

    def statistics(self) -> dict[str, int]:
        """How many scripts are known and loaded, and how many loads and requests there were."""
        found: dict[str, int] = json.loads(self._admin("GET", "/stats"))
        return found

    @property
    def pid(self) -> int:
        """Of workerd as it runs now."""
        return self._process.pid

    def _launch(self) -> None:
        self._out_of_memory = self._exhausted = False
        self._trimmed = None
        self._transcript = Transcript(self._mark)
        self._process = Process(self._binary, self._config, self._sockets, most_bytes=self._most_bytes)
        self._usage = Usage(self._process)
        self._control.usage_since = self._usage.since
        self._readers = [
            threading.Thread(target=read, args=(self._process,), name="workerd output", daemon=True)
            for read in (self._read_output, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._beats(timeout=START_SECONDS):
            if self._process.ended or time.monotonic() > until:
                raise LocalError([_does_not_start(self._binary, self._errors)])
            time.sleep(0.005)

    def _read_output(self, process: Process) -> None:
        transcript = self._transcript
        for line in process.output():
            event = transcript.read(line)
            if event is not None:
                self._say(event)

    def _read_errors(self, process: Process) -> None:
        for line in process.errors():
            self._out_of_memory |= _OUT_OF_MEMORY in line
            self._exhausted |= _EXHAUSTED in line
            if line and not any(noise in line for noise in _NOISE):
                self._errors = [*self._errors[-20:], line]
                self._say(Trouble("", "", line))

    def _say(self, event: Event) -> None:
        with self._saying:
            self._on_event(event)

    def _record(self) -> None:
        while not self._stopping.wait(RECORD_SECONDS):
            self._usage.record()

    def _watch(self) -> None:
        """Restart workerd when it died or hangs in a script."""
        used = self._process.cpu_seconds()
        while not self._stopping.wait(BEAT_SECONDS):
            if self._beat(used):
                used = self._process.cpu_seconds()

    def _beat(self, used: float | None) -> bool:
        """Whether workerd answers, perhaps because it was started again. `used`: its CPU time when it last did."""
        if self._process.ended:
            for reader in self._readers:  # its last words tell why
                reader.join()
            if self._out_of_memory:
                self._blame(f"the runtime ran out of the {self._most_bytes >> 20:,} MB that scripts may use")
            self._restart("workerd ended unexpectedly and was started again")
        elif self._beats(timeout=self._stall_seconds):
            self._make_room()
        elif self._stopping.is_set() or self._process.ended or not self._spins(used):
            return False
        else:
            self._blame(f"it kept the runtime busy for more than {self._stall_seconds:g} s without a pause")
            self._restart("workerd was started again")
        return True

    def _make_room(self) -> None:
        """When memory runs short let idle scripts go; when that does not help, begin anew as soon as nothing runs."""
        if self._exhausted:
            self._restart(f"scripts held more than {self._most_bytes >> 20:,} MB, and workerd was started again")
        elif self._process.resident_bytes() < TRIM_SHARE * self._most_bytes:
            self._trimmed = None
        elif self._trimmed is None:
            self._trimmed = time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException):  # busy: workerd is started again later
                self._admin("POST", "/trim", b"{}")
        elif time.monotonic() > self._trimmed + TRIM_SECONDS and self._transcript.idle:
            self._process.drain(DRAIN_SECONDS)
            self._restart("workerd was started again to free memory")

    def _spins(self, used: float | None) -> bool:
        """Whether it was busy for long enough, after having used that much CPU time when it answered last."""
        now = self._process.cpu_seconds()
        return used is None or now is None or now - used > SPINNING_SHARE * self._stall_seconds

    def _blame(self, why: str) -> None:
        """Refuse the script that did it, where it is known; else keep an eye on all that may have."""
        certain, scripts = self._transcript.accused(self._control.suspects)
        for at in scripts:
            if certain:
                self._control.stop(*at, f"Script {at[1]} was stopped: {why}. Upload it again to start it.")
                self._say(Trouble(*at, f"stopped: {why}; refused until it is uploaded again"))
            else:
                self._control.suspect(*at)
                self._say(Trouble(*at, f"one of {len(scripts)} that ran when the runtime was stopped: {why}"))

    def _restart(self, why: str) -> None:
        self._finish_process()
        if self._stopping.is_set():
            return
        self._launch()
        self._wait_until_ready()
        self._say(Trouble("", "", why))

    def _finish_process(self) -> None:
        self._process.kill()
        for reader in self._readers:
            reader.join()
        self._process.close()

    def _beats(self, *, timeout: float) -> bool:
        try:
            return self._admin("GET", "/ping", timeout=timeout) == b"pong\n"
        except (OSError, http.client.HTTPException):
            return False

    def _admin(self, method: str, path: str, body: bytes | None = None, *, timeout: float = 10) -> bytes:
        port = self._sockets["admin"].getsockname()[1]
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {self._token}"})
            return connection.getresponse().read()
        finally:
            connection.close()

    def _end(self) -> None:
        if hasattr(self, "_process"):
            self._finish_process()
        self._server.close()
        for one in self._sockets.values():
            one.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _listen(port: int) -> socket.socket:
    try:
        return listen(LOOPBACK, port)
    except OSError as error:
        problem = Problem(
            f"port {port} of {LOOPBACK} cannot be used",
            why=str(error.strerror or error),
            fix="stop what uses it, or name another with --port; 0 takes one that is free",
            code="local-port",
        )
        raise LocalError([problem]) from error


def _does_not_start(binary: Path, said: list[str]) -> Problem:
    why = "; ".join(said[-3:]) or f"it did not answer within {START_SECONDS} s"
    return Problem("workerd does not start", why=why, fix=f"try `{binary} --version`", code="local-workerd")
