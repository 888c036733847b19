"""What only a process of its own shows: signals, kills, start-up time, and a reader that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from reconciler.cli.interrupts import PATIENCE, was_interrupted
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import repository
from tests.scenarios.platform import ACCOUNT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = Path(__file__).parents[2]
WAIT = 60  # seconds until a process that hangs fails its test


class Gate:
    """Holds one call back, and says when it has come."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.held, self.open = threading.Event(), threading.Event()
        self.number, self.processed_first = 0, False  # which of the writes; 0 for none
        self.writes: list[str] = []

    def hold(self, number: int, *, processed_first: bool = False) -> None:
        self.held.clear()
        self.open.clear()
        self.writes.clear()
        self.number, self.processed_first = number, processed_first

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return self._app(environ, start_response)
        with self._lock:
            self.writes.append(environ["PATH_INFO"])
            mine = len(self.writes) == self.number
        if mine and not self.processed_first:
            self._wait()
        answer = list(self._app(environ, start_response))
        if mine and self.processed_first:
            self._wait()
        return answer

    def _wait(self) -> None:
        self.held.set()
        assert self.open.wait(WAIT)


class Account:
    """An emulated account on loopback, and the command line as its client."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = repository(folder / "repository"), folder / "cache"
        self.store = Store(folder / "account")
        self.store.edge.ensure_zone("acme.app")
        self.gate = Gate(create_app(self.store))
        self.server = Server(self.gate).start()

    @property
    def environment(self) -> dict[str, str]:
        """Of its clients."""
        return {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": f"{self.server.url}/client/v4",
            "XDG_CACHE_HOME": str(self.cache),
            "PYTHONDONTWRITEBYTECODE": "1",  # a process on a full disk would leave half of a module behind
        }

    def start(
        self, *words: str, stdout: int | IO[bytes] = subprocess.PIPE, preexec_fn: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler", *words, "-C", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            preexec_fn=preexec_fn,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=WAIT)
        return process.returncode, out, err

    def stop(self) -> None:
        self.gate.open.set()
        self.server.stop()
        self.store.close()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    try:
        yield account
    finally:
        account.stop()


def test_ctrl_c_once_ends_what_is_running_and_leaves_the_rest(account: Account) -> None:
    account.gate.hold(1)
    process = account.start("apply", "--yes")
    assert account.gate.held.wait(WAIT)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Ctrl-C again stops now" in process.stderr.readline()
    account.gate.open.set()
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 7
    assert "not started" in out
    assert "Traceback" not in err
    assert len(account.gate.writes) <= 2
    assert account.run("apply", "--yes")[0] == 0
    assert account.run("plan", "--exit-code")[0] == 0


def test_ctrl_c_twice_stops_now(account: Account) -> None:
    account.gate.hold(1)
    process = account.start("apply", "--yes")
    assert account.gate.held.wait(WAIT)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)  # with the call still held
    assert process.returncode == 7
    assert "Traceback" not in err
    account.gate.open.set()
    assert account.run("apply", "--yes")[0] == 0
    assert account.run("plan", "--exit-code")[0] == 0


def test_ctrl_c_while_looking_changes_nothing(account: Account) -> None:
    slow = threading.Event()

    def late(environ: Any, start_response: Any) -> Any:
        account.gate.held.set()
        slow.wait(WAIT)
        return account.gate(environ, start_response)

    with contextlib.closing(account.store), Server(late) as server:
        account.server.stop()
        account.server = server
        process = account.start("apply", "--yes")
        assert account.gate.held.wait(WAIT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT)
        slow.set()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert account.gate.writes == []


def test_ctrl_c_while_another_thread_waits_for_the_api_ends_it_soon(account: Account) -> None:
    """What differs is read by several threads, and a reply may take minutes."""
    assert account.run("apply", "--yes")[0] == 0
    for code in account.folder.glob("customers/*/*.mjs"):
        code.write_text("export default { fetch: () => new Response('changed') };\n")
    slow = threading.Event()

    def late(environ: Any, start_response: Any) -> Any:
        if "/content" in environ["PATH_INFO"]:
            account.gate.held.set()
            slow.wait(WAIT)
        return account.gate(environ, start_response)

    account.server.stop()
    account.server = Server(late).start()
    process = account.start("plan")
    assert account.gate.held.wait(WAIT)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)
    took = time.monotonic() - began
    slow.set()
    assert (process.returncode, err.splitlines()[-1]) == (1, "interrupted: nothing more is done")
    assert took < PATIENCE + 5  # a loaded machine's own slowness


def test_an_interrupt_that_python_drops_ends_the_process() -> None:
    """One that comes within a callback that has nobody to raise to is printed by Python, and was never heard."""
    code = (
        "import signal, time, weakref\n"
        "from reconciler.cli.interrupts import Interruptible\n"
        "class One: pass\n"
        "one = One()\n"
        "gone = weakref.ref(one, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "with Interruptible():\n"
        "    del one\n"
        "    print('it went on')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, cwd=ROOT)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "interrupted: nothing more is done\n")


def test_an_interrupt_that_python_wraps_is_one() -> None:
    """Python 3.11 makes a RuntimeError of what __set_name__ raises, which dataclasses have for each default."""

    class Interrupts:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, RuntimeError)) as raised:
        type("Owner", (), {"name": Interrupts()})
    assert was_interrupted(raised.value)
    assert not was_interrupted(RuntimeError())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up as Linux tells of them")
def test_ctrl_c_while_many_customers_are_compiled_ends_it_at_once(tmp_path: Path) -> None:
    """Their processes are not in the terminal's group: it would interrupt them too, and each would say so."""
    folder = repository(tmp_path / "repository")
    for number in range(1_500):
        customer = folder / f"customers/more-{number}"
        customer.mkdir()
        (customer / "customer.yaml").write_text(f"tier: free\nscripts: {{more-{number}: {{main: index.mjs}}}}\n")
        (customer / "index.mjs").write_text("export default {};\n")
    words = [sys.executable, "-m", "reconciler", "validate", "-C", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    share = _child(process.pid, "reconciler.load.compiling_share")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out, err.strip()) == (1, "", "interrupted: nothing more is done")
    until = time.monotonic() + WAIT
    while Path(f"/proc/{share}").exists():  # it notices that nobody listens
        assert time.monotonic() < until
        time.sleep(0.01)


def _child(parent: int, command: str) -> int:
    """Its process that runs this, as soon as there is one."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            with contextlib.suppress(OSError):
                if command in Path(f"/proc/{one}/cmdline").read_text():
                    return int(one)
        time.sleep(0.002)
    raise AssertionError(f"no {command}")


@pytest.mark.parametrize("processed_first", [False, True], ids=["before it is processed", "after"])
@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_kill_at_a_write_is_made_up_for(account: Account, number: int, processed_first: bool) -> None:
    account.gate.hold(number, processed_first=processed_first)
    process = account.start("apply", "--yes")
    assert account.gate.held.wait(WAIT)
    process.kill()
    process.communicate(timeout=WAIT)
    account.gate.open.set()
    assert account.run("apply", "--yes")[0] == 0
    code, out, _ = account.run("plan", "--exit-code")
    assert code == 0, out


def test_two_applies_at_once_end_as_one(account: Account) -> None:
    both = [account.start("apply", "--yes") for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=WAIT)
        assert "Traceback" not in err
    account.run("apply", "--yes")
    assert account.run("plan", "--exit-code")[0] == 0


def test_a_reader_that_goes_away_is_no_error(account: Account) -> None:
    words = [sys.executable, "-m", "reconciler", "plan", "--local", "-C", str(account.folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT) == 0


HEAVY = ("yaml", "httpx", "jsonschema", "deepdiff", "rich", "werkzeug", "jinja2")


def test_help_imports_nothing_that_it_does_not_show() -> None:
    code = (
        "import sys\nfrom reconciler.cli.commands import reconciler\n"
        "reconciler.main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"
    assert "plan" in done.stdout


def test_help_is_quick() -> None:
    """Under six times an interpreter that does nothing, in instructions' stead by the processor time of both."""
    nothing = min(_processor_time("-c", "pass") for _ in range(5))
    shown = min(_processor_time("-m", "reconciler", "--help") for _ in range(5))
    assert shown < 6 * nothing


def test_a_plan_of_the_sample_takes_less_than_a_second(tmp_path: Path) -> None:
    """By processor time, which a busy machine stretches less than the clock's."""
    files = ("platform.yaml", "platform", "customers")
    repository(tmp_path, {})
    for name in files:
        subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path)], check=True)
    words = ("-m", "reconciler", "plan", "--local", "-C", str(tmp_path))
    assert min(_processor_time(*words) for _ in range(3)) < 1.0


def _processor_time(*words: str) -> float:
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "words",
    [("plan", "--local"), ("validate", "--preflight"), ("plan", "--preflight", "--base", "HEAD"), ("dev",)],
    ids=" ".join,
)
def test_without_the_extra_of_the_embedded_platform_the_way_to_it_is_told(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    folder = repository(tmp_path / "repository")
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(folder))
    for did in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "first")):
        subprocess.run([*git, *did], check=True)
    # None in sys.modules is how Python says that a package is not there.
    program = "import sys; sys.modules['werkzeug'] = None; from reconciler.cli import main; main(sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-c", program, *words, "-C", str(folder)], capture_output=True, text=True, timeout=WAIT
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "installed without its extra `local`" in ran.stderr
