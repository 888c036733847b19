"""A real browser over its debugging pipe: open a page, run JavaScript in it, read what it complained about."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these it looks up hosts of its maker at every start.
_QUIET = "--disable-background-networking --disable-component-update --disable-sync --disable-quic --no-first-run"

_KEYS = {
    "/": (191, "/"), "Tab": (9, ""), "Enter": (13, "\r"), "End": (35, ""), "Escape": (27, ""), "ArrowDown": (40, ""),
}  # fmt: skip


# What is said to an expression that a navigation came in between of: there is no answer, and asking again is right.
_GONE = (
    "Inspected target navigated or closed",
    "Execution context was destroyed.",
    "Cannot find default execution context",
)


class LeftThePageError(Exception):
    """The page went while it was asked."""


class Page:
    """One tab. Every call waits for its reply; complaints of the page are kept."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._write, self._read = to_browser, from_browser
        self._pending = b""
        self._count = 0
        self._session = ""
        self._loaded = False
        self.complaints: list[str] = []  # what the console shows: errors, refusals of the content security policy
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._loaded = False
        self._call("Page.navigate", url=url)
        while not self._loaded:
            self._event(self._message())

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        reply = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def size(self, width: int, height: int) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def dark(self) -> None:
        self._scheme("dark")

    def light(self) -> None:
        self._scheme("light")

    def press(self, key: str) -> None:
        """One key, pressed and let go: a name of _KEYS."""
        code, text = _KEYS[key]
        told: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
        self._call("Input.dispatchKeyEvent", type="keyUp", **told)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self._call("Input.insertText", text=text)

    def picture(self, file: Path, *, tallest: int = 3000) -> None:
        """The whole page as a PNG file."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], tallest), "scale": 1}
        found = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(found["data"]))

    def _scheme(self, name: str) -> None:
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._message()
            if reply.get("id") == self._count:
                if "error" in reply and reply["error"]["message"] in _GONE:
                    raise LeftThePageError(reply["error"]["message"])
                assert "error" not in reply, reply["error"]
                result: dict[str, Any] = reply["result"]
                return result
            self._event(reply)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            received = os.read(self._read, 1 << 16)
            assert received, "the browser has gone"
            self._pending += received
        first, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def _event(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        if method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        if method == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])


@contextmanager
def browser() -> Iterator[Page]:
    """A browser of its own, gone at the end. It must be installed: see EXECUTABLE."""
    assert EXECUTABLE
    to_browser, write = _pipe()
    read, from_browser = _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            EXECUTABLE,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            *_QUIET.split(),
            "--remote-debugging-pipe",
        ]
        process = subprocess.Popen(
            [
                "bash",  # dash knows no descriptor above 9
                "-c",
                f'exec "$@" 3<&{to_browser} 4>&{from_browser}',
                "bash",
                *arguments,
                f"--user-data-dir={profile}",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(profile),
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Page(write, read)
        finally:
            process.terminate()
            process.wait()
            os.close(write)
            os.close(read)


def _pipe() -> tuple[int, int]:
    """With high numbers, so that the browser's 3 and 4 cannot be among them."""
    ends = os.pipe()
    high = fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 50), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 50)
    for end in ends:
        os.close(end)
    return high
