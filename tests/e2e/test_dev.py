"""`reconciler dev` as a user starts it: a process, its ports, its files, and nothing left when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from reconciler.cli.loading import LOCAL_FOLDER
from reconciler.errors import LocalError
from reconciler.local.database import FILE_NAME
from reconciler.local.runtime_binary import find_workerd
from tests import small_platform

HERE = Path(__file__).parent
SECONDS = 20.0
SCRIPTS = f"/client/v4/accounts/{'0' * 32}/workers/dispatch/namespaces/acme-production/scripts"
TOKEN = {"Authorization": "Bearer local-token"}


def _workerd() -> str:
    try:
        return str(find_workerd(HERE))
    except LocalError:
        return ""


pytestmark = pytest.mark.skipif(not _workerd(), reason="workerd is not installed")


class Dev:
    """A running `reconciler dev`, and what it has printed so far."""

    def __init__(self, root: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        command = [
            sys.executable,
            "-m",
            "reconciler",
            "dev",
            "-C",
            str(root),
            "--port",
            "0",
            "--api-port",
            "0",
            *options,
        ]
        self.root = root
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "RECONCILER_WORKERD": _workerd(),
                "NO_COLOR": "1",
                "COLUMNS": "120",
                **(environment or {}),
            },
        )
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ready(self) -> Dev:
        self.until(lambda: "ready in" in self.printed)
        return self

    @property
    def api(self) -> str:
        return self._found(r"dashboard +(http://127\.0\.0\.1:\d+)/")

    def url(self, script: str) -> str:
        return self._found(rf"(http://127\.0\.0\.1:\d+/dispatch/{script})")

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        assert found, self.printed
        return found[1]

    def get(self, script: str) -> str:
        return httpx.get(self.url(script), timeout=10).text

    def until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < until, self.printed
            time.sleep(0.005)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:  # the test fails, and leaves nothing running
            self.process.kill()
            raise
        self._reader.join(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One for the tests that only save files; each begins with the files as they were."""
    one = Dev(small_platform.write(tmp_path_factory.mktemp("dev"))).ready()
    yield one
    assert one.end() == 0
    assert "nothing is left running" in one.printed
    assert "Traceback" not in one.printed
    assert "workerd/" not in one.printed  # its own talk about a version that was replaced is no news


@pytest.fixture(autouse=True)
def same_files(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "dev" in request.fixturenames:
        one: Dev = request.getfixturevalue("dev")
        small_platform.write(one.root)
        one.until(lambda: one.get("hello") == "hello 1")


def test_every_script_answers_under_both_addresses(dev: Dev) -> None:
    assert dev.get("hello") == "hello 1"
    port = dev.url("hello").split(":")[2].split("/")[0]
    assert f"http://hello.localhost:{port}/" in dev.printed
    by_host = httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": f"globex-shop.localhost:{port}"})
    assert by_host.text == "shop <b>1</b>"
    assert httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": "shop.globex.com"}).text == "shop <b>1</b>"


def test_a_save_is_live_and_told(dev: Dev) -> None:
    """What is saved in the first quarter of a second is found too, by a look of each of the two watches once they
    stand; only a save after that is known by the name of its file."""
    by_name = r"customers/initech/hello\.mjs\n +✓ ~ hello .*\n +live: 1 updated"
    early = r"a save before the watch stood\n +✓ ~ hello .*\n +live: 1 updated"
    for version in range(2, 5):
        before = len(dev.printed)
        code = f"export default {{ fetch: () => new Response('hello {version}') }};\n"
        (dev.root / "customers/initech/hello.mjs").write_text(code)
        dev.until(lambda version=version: dev.get("hello") == f"hello {version}")  # type: ignore[misc]  # a default binds it
        dev.until(lambda before=before: bool(re.search(f"{by_name}|{early}", dev.printed[before:])))  # type: ignore[misc]  # as above
        if re.search(by_name, dev.printed[before:]):
            return
    pytest.fail(f"three saves, and none was told by its name: {dev.printed}")


def test_a_request_is_told_with_script_and_customer(dev: Dev) -> None:
    dev.get("globex-api")
    dev.until(lambda: bool(re.search(r"GET +200 +\d+ ms +globex-api +globex ", dev.printed)))


def test_a_problem_is_told_in_place_and_what_was_live_stays(dev: Dev) -> None:
    file = dev.root / "customers/globex/customer.yaml"
    file.write_text(small_platform.GLOBEX.replace("advanced", "golden"))
    dev.until(lambda: "customers/globex/customer.yaml:3:7: error: there is no tier" in dev.printed)
    dev.until(lambda: "what was live stays live" in dev.printed)
    assert dev.get("globex-api") == "api 1"
    file.write_text(small_platform.GLOBEX)
    dev.until(lambda: "mended" in dev.printed)


def test_a_script_that_does_not_start_is_refused_in_place_and_what_was_live_stays(dev: Dev) -> None:
    before = len(dev.printed)
    (dev.root / "customers/initech/hello.mjs").write_text(
        "export default {\n  fetch() { return new Response('x' }\n};\n"
    )
    dev.until(lambda: "customers/initech/hello.mjs:2:" in dev.printed[before:].replace("\n", " "))
    assert "script hello does not start: SyntaxError" in dev.printed[before:]
    dev.until(lambda: "what was live stays live" in dev.printed[before:])
    assert dev.get("hello") == "hello 1"


def test_a_binding_makes_what_it_names(dev: Dev) -> None:
    (dev.root / "customers/globex/api/main.mjs").write_text(
        "export default { async fetch(_request, { CACHE }) { await CACHE.put('a', 'kept');"
        " return new Response(await CACHE.get('a')); } };"
    )
    binding = "bindings: {CACHE: {type: kv_namespace, namespace_id: cache}}"
    customer = dev.root / "customers/globex/customer.yaml"
    customer.write_text(customer.read_text().replace("main: api/main.mjs", f"main: api/main.mjs\n    {binding}"))
    dev.until(lambda: dev.get("globex-api") == "kept")


def test_a_customer_that_leaves_goes_as_far_as_the_guards_let_it(dev: Dev) -> None:
    held = dev.root.parent / "held"
    (dev.root / "customers/globex").rename(held)
    try:
        dev.until(lambda: "2 deletes withheld by the guards" in dev.printed)
        assert httpx.get(f"{dev.api}{SCRIPTS}/globex-api", headers=TOKEN).status_code == 200
        assert "reconciler apply --local --allow-deletes" in dev.printed
    finally:
        held.rename(dev.root / "customers/globex")
    dev.until(lambda: dev.get("globex-api") == "api 1")


def test_what_others_upload_runs_at_once_and_is_seen_as_drift(dev: Dev) -> None:
    files = {
        "metadata": (None, '{"main_module": "x.mjs"}', "application/json"),
        "x.mjs": ("x.mjs", "export default { fetch: () => new Response('by hand') };", "application/javascript+module"),
    }
    assert httpx.put(f"{dev.api}{SCRIPTS}/hello", files=files, headers=TOKEN).status_code == 200
    assert dev.get("hello") == "by hand"
    (dev.root / "customers/initech/hello.mjs").write_text("export default { fetch: () => new Response('hello 3') };\n")
    dev.until(lambda: dev.get("hello") == "hello 3")


def test_a_script_that_calls_cloudflares_api_reaches_this_account(dev: Dev) -> None:
    url = f"https://api.cloudflare.com{SCRIPTS}"
    code = (
        f"export default {{ fetch: () => fetch('{url}', {{ headers: {{ authorization: 'Bearer local-token' }} }}) }};"
    )
    (dev.root / "customers/globex/api/main.mjs").write_text(code)
    dev.until(lambda: '"success": true' in dev.get("globex-api"))
    names = [one["id"] for one in httpx.get(dev.url("globex-api")).json()["result"]]
    assert names == ["globex-api", "globex-shop", "hello"]


def test_a_script_cannot_reach_the_pages_that_write_files(dev: Dev) -> None:
    port = dev.api.rpartition(":")[2]
    (dev.root / "customers/globex/api/main.mjs").write_text(
        """
        import { connect } from "cloudflare:sockets";
        async function byTcp(port) {
          const socket = connect({ hostname: "127.0.0.1", port });
          await socket.opened;
          const writer = socket.writable.getWriter();
          await writer.write(new TextEncoder().encode(`GET /new HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\n\\r\\n`));
          const { value } = await socket.readable.getReader().read();
          return new TextDecoder().decode(value);
        }
        export default {
          async fetch() {
            const seen = [];
            for (const host of ["127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::1]", "hello.localhost"])
              seen.push((await fetch(`http://${host}:PORT/new`).catch(String)).status ?? 0);
            seen.push((await fetch("https://api.cloudflare.com/new")).status);
            seen.push(await byTcp(PORT).then((text) => text.slice(0, 12)).catch(() => "refused"));
            return Response.json(seen);
          },
        };""".replace("PORT", port)
    )
    dev.until(lambda: dev.get("globex-api").startswith("["))
    *asked, by_name, by_tcp = json.loads(dev.get("globex-api"))
    assert set(asked) <= {0, 502}
    assert by_name == 403
    assert by_tcp == "refused"


def test_a_second_one_is_refused(dev: Dev) -> None:
    second = Dev(dev.root)
    assert second.wait() == 1
    assert "another `reconciler dev` runs for this repository" in second.printed


def test_once_tells_what_came_of_it_and_ends(tmp_path: Path) -> None:
    root = small_platform.write(tmp_path)
    once = Dev(root, "--once")
    assert once.wait() == 0, once.printed
    assert "live: 6 created" in once.printed
    (root / "platform.yaml").write_text("platform: [")
    once = Dev(root, "--once")
    assert once.wait() == 1
    assert "platform.yaml:2:1: error: " in once.printed
    assert "Ctrl-C" not in once.printed


def test_apply_from_another_terminal_reaches_what_runs(tmp_path: Path) -> None:
    dev = Dev(small_platform.write(tmp_path), "--no-watch").ready()
    try:
        assert dev.get("hello") == "hello 1"
        (tmp_path / "customers/initech/hello.mjs").write_text("export default { fetch: () => new Response('2') };\n")
        apply = [sys.executable, "-m", "reconciler", "apply", "--local", "--yes", "-C", str(tmp_path)]
        assert subprocess.run(apply, capture_output=True, check=False).returncode == 0
        assert dev.get("hello") == "2"
    finally:
        assert dev.end(signal.SIGTERM) == 0


def test_reset_and_a_damaged_one_begin_with_an_empty_account(tmp_path: Path) -> None:
    small_platform.write(tmp_path)
    assert "6 created" in _once(tmp_path).printed
    assert "created" not in _once(tmp_path).printed
    again = _once(tmp_path, "--reset").printed
    assert "6 created" in again
    (tmp_path / LOCAL_FOLDER / FILE_NAME).write_bytes(b"no database, but long enough to be looked at" * 200)
    filled = _once(tmp_path).printed
    assert "was damaged, and is made anew from what could be read" in filled
    assert "6 created" in filled


@pytest.mark.deep
def test_an_api_that_misbehaves_is_lived_with(tmp_path: Path) -> None:
    dev = Dev(small_platform.write(tmp_path), "--once", "--fault", "dropped-after")
    assert dev.wait() == 0, dev.printed
    assert "fault: dropped-after" in dev.printed


def test_however_it_ends_no_runtime_is_left(tmp_path: Path) -> None:
    dev = Dev(small_platform.write(tmp_path)).ready()
    runtimes = _children(dev.process.pid)
    assert runtimes
    dev.end(signal.SIGKILL)
    dev.until(lambda: not any(_runs(pid) for pid in runtimes))
    dev = Dev(tmp_path).ready()  # neither the lock nor the account is in the way
    dev.end()


def test_without_a_runtime_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    dev = Dev(small_platform.write(tmp_path), environment={"RECONCILER_WORKERD": str(tmp_path / "nothing")})
    assert dev.wait() == 1
    assert "workerd, the runtime of the embedded platform, was not found" in dev.printed
    assert "npm install --no-save workerd@" in dev.printed
    assert "Traceback" not in dev.printed


def _once(root: Path, *options: str) -> Dev:
    dev = Dev(root, "--once", *options)
    assert dev.wait() == 0, dev.printed
    return dev


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    direct = [int(one) for thread in Path(f"/proc/{pid}/task").iterdir() for one in _numbers(thread / "children")]
    return [*direct, *(inner for one in direct for inner in _children(one))] if found.exists() else direct


def _numbers(file: Path) -> list[str]:
    return file.read_text().split()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
