"""`make demo`: the main job from an empty namespace to a clean one, on the embedded platform, in well under a minute.

It works on a copy of the sample repository in a temporary folder, runs the real command line, sends real requests
through the real dispatcher in workerd, and exits 1 at the first step that is not as told.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from reconciler.local.runtime import Runtime
from reconciler.local.store import Store

ROOT = Path(__file__).parent.parent
COPIED = ("platform.yaml", "platform", "customers", "schemas")
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class NotAsToldError(Exception):
    """A step of the story did not happen."""


def main() -> int:
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as folder:
            story(Path(folder))
    except NotAsToldError as error:
        print(f"\n{bold('not as told:', '31')} {error}")
        return 1
    print(f"\n{bold('That was the whole job', '32')}, in {time.monotonic() - began:.1f} s. Nothing is left running.")
    print("Next: `reconciler dev` runs the platform here, with a dashboard; README.md leads to a real account.")
    return 0


def story(folder: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    store = Store(folder / ".reconciler/local")
    with (
        weather_service() as weather,
        Runtime(store, root=ROOT, default_worker="acme-dispatcher", hosts=weather) as runtime,
    ):
        first_plan_and_apply(folder)
        requests(runtime.url)
        an_edit(folder, runtime.url)
        someone_else(folder, store)
        a_customer_leaves(folder, runtime.url)
        chapter("At rest: what is live is what the repository says")
        run(folder, ["plan", "--local", "--exit-code"], expect=0)
    store.close()


def first_plan_and_apply(folder: Path) -> None:
    chapter("Five customers, seven scripts, one namespace that does not exist yet")
    run(folder, ["validate"], expect=0)
    run(folder, ["plan", "--local", "--exit-code"], expect=3, lines=26)
    chapter("Apply: in a safe order, dispatcher last")
    run(folder, ["apply", "--local", "--yes"], expect=0)


def requests(url: str) -> None:
    chapter("Requests through the dispatcher, each script in the real workerd")
    ask(url, "hello-world.acme.app", "/", status=200)
    ask(url, "globex-reports.acme.app", "/", status=200)
    ask(url, "shop.globex.com", "/", status=200, note="its own hostname")
    ask(url, "acme.app", "/dispatch/initech-status", status=200, note="by path")
    weather = ask(
        url, "umbrella-weather.acme.app", "/?host=weather.example.com", status=200, note="its fetch is let out"
    )
    refused = ask(url, "umbrella-weather.acme.app", "/?host=evil.example.net", status=200, note="this one is not")
    if '"status":200' not in weather or '"status":403' not in refused:
        raise NotAsToldError("the outbound Worker did not let out the one and refuse the other")
    ask(url, "hooli-primes.acme.app", "/", status=200, note="within its limits")
    ask(url, "hooli-primes.acme.app", "/?fetches=10", status=503, note="over its three subrequests")
    ask(url, "hooli-primes.acme.app", "/?below=3000000", status=429, note="over its 40 ms of CPU")
    ask(url, "vandelay-imports.acme.app", "/", status=403, note="suspended")
    ask(url, "nobody.acme.app", "/", status=404)


def an_edit(folder: Path, url: str) -> None:
    chapter("An edit: one line of a customer's script")
    script = folder / "customers/initech/hello.mjs"
    before = script.read_text(encoding="utf-8")
    after = before.replace("Hello", "Good morning")
    if before == after:
        raise NotAsToldError("hello.mjs of the sample no longer says Hello")
    script.write_text(after, encoding="utf-8")
    run(folder, ["plan", "--local", "--exit-code"], expect=3)
    run(folder, ["apply", "--local", "--yes"], expect=0)
    answer = ask(url, "hello-world.acme.app", "/", status=200, note="the first request after apply")
    if "Good morning" not in answer:
        raise NotAsToldError("the first request after apply still saw the old script")


def someone_else(folder: Path, store: Store) -> None:
    chapter("Someone uploads by hand, behind the repository's back")
    say("an upload through the API, with every tag in place, from somewhere else")
    upload_by_hand(store, "globex-reports")
    run(folder, ["drift", "--local"], expect=4)
    say("the next apply repairs it")
    run(folder, ["apply", "--local", "--yes"], expect=0)
    run(folder, ["drift", "--local"], expect=0)


def a_customer_leaves(folder: Path, url: str) -> None:
    chapter("A whole customer disappears from the repository")
    shutil.rmtree(folder / "customers/initech")
    say("two of seven scripts would go; the limit of platform.yaml is 20 %, so nothing is deleted without a word")
    run(folder, ["apply", "--local", "--yes"], expect=5)
    ask(url, "hello-world.acme.app", "/", status=200, note="what may not be deleted is not cut off, either")
    run(folder, ["apply", "--local", "--yes", "--allow-deletes", "2"], expect=0)


def run(folder: Path, words: Sequence[str], *, expect: int, lines: int = 60) -> None:
    """Run the command line as a user would, show what it printed, and hold it to its exit code."""
    print(f"\n{faint('$')} {bold('reconciler ' + ' '.join(words))}")
    environment = {**os.environ, **({"FORCE_COLOR": "1"} if COLOUR else {"NO_COLOR": "1"}), "COLUMNS": "100"}
    environment.pop("CI", None)
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *words, "-C", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    printed = (done.stdout + done.stderr).rstrip().splitlines()
    for line in printed[:lines]:
        print(f"  {line}")
    if len(printed) > lines:
        print(faint(f"  … {len(printed) - lines} more lines"))
    if done.returncode != expect:
        raise NotAsToldError(f"`reconciler {' '.join(words)}` exited {done.returncode}, not {expect}")


def ask(url: str, host: str, path: str, *, status: int, note: str = "") -> str:
    """Send a request through the dispatcher and show the answer's first line."""
    request = urllib.request.Request(f"{url}{path}", headers={"x-reconciler-host": host, "accept": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            got, body = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            got, body = error.code, error.read().decode()
    shown = " ".join(body.split())
    if body.startswith("{"):
        with contextlib.suppress(ValueError, KeyError):
            shown = json.loads(body)["detail"]
    mark = bold(str(got), "32" if got < 300 else "33")
    aside = faint(f"  ({note})") if note else ""
    print(f"  {mark}  {host}{path}{aside}\n       {faint(shown[:100] + ('…' if len(shown) > 100 else ''))}")
    if got != status:
        raise NotAsToldError(f"{host}{path} answered {got}, not {status}: {shown[:300]}")
    return str(body)


def upload_by_hand(store: Store, name: str) -> None:
    """What a dashboard or another tool does: new code under the same tags, past the reconciler."""
    from werkzeug.test import Client, EnvironBuilder  # the embedded API without a socket

    from reconciler.local.api import LOCAL_TOKEN, create_app

    live = store.script("acme-production", name)
    if live is None:
        raise NotAsToldError(f"{name} is not there")
    path = f"/client/v4/accounts/{'0' * 32}/workers/dispatch/namespaces/acme-production/scripts/{name}"
    metadata = {"main_module": "main.mjs", "tags": list(live.tags or ()), "compatibility_date": "2026-10-01"}
    code = b"export default { fetch: () => new Response('changed by hand') };\n"
    builder = EnvironBuilder(path, method="PUT", headers=[("authorization", f"Bearer {LOCAL_TOKEN}")])
    builder.form["metadata"] = json.dumps(metadata)
    builder.files.add_file("main.mjs", io.BytesIO(code), "main.mjs", "application/javascript+module")
    response = Client(create_app(store)).open(builder)
    if response.status_code != 200:
        raise NotAsToldError(f"the upload by hand was refused: {response.get_data(as_text=True)}")


@contextlib.contextmanager
def weather_service() -> Iterator[dict[str, str]]:
    """Stands in for weather.example.com, so that nothing leaves this machine."""

    class Weather(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"city": "Raccoon City", "sky": "clear", "celsius": 21}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name for it
            """Quiet: the demo prints its own lines."""

    server = HTTPServer(("127.0.0.1", 0), Weather)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"weather.example.com": f"http://127.0.0.1:{server.server_address[1]}"}
    finally:
        server.shutdown()
        server.server_close()


def chapter(title: str) -> None:
    print(f"\n{bold('━━ ' + title + ' ', '36')}{faint('━' * max(2, 92 - len(title)))}", flush=True)


def say(text: str) -> None:
    print(f"  {text}")


def bold(text: str, colour: str = "1") -> str:
    return f"\x1b[1;{colour}m{text}\x1b[0m" if COLOUR else text


def faint(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if COLOUR else text


if __name__ == "__main__":
    sys.exit(main())
