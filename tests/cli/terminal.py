"""The command line as a user meets it, in this process: words in; exit code, stdout and stderr out."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from werkzeug.test import Client, EnvironBuilder

from reconciler.cli import main
from reconciler.cli.loading import LOCAL_FOLDER
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.store import Store
from tests.scenarios.platform import ACCOUNT, FILES

# What a machine's own environment says must not show in what a test sees.
HIDDEN = ("CI", "NO_COLOR", "FORCE_COLOR", "TERM", "RECONCILER_ENV", "GITHUB_", "CLOUDFLARE_", "XDG_")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def run(folder: Path, *words: str, variables: Mapping[str, str] | None = None) -> Ran:
    """`reconciler WORDS -C folder`, with no terminal to ask on."""
    out, err = io.StringIO(), io.StringIO()
    with _environment({"COLUMNS": "100", **(variables or {})}), redirected(out, err):
        try:
            main([*words, "-C", str(folder)])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def redirected(out: io.StringIO, err: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def repository(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write the sample of the scenarios."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def edit(folder: Path, file: str, before: str, after: str) -> None:
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert before in text, f"{file} does not hold {before!r}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def upload(folder: Path, path: str, code: str = "export default {};\n") -> None:
    """What someone else does to the embedded account: an upload that knows none of our tags."""
    builder = _call(path, "PUT")
    builder.form["metadata"] = json.dumps({"main_module": "worker.mjs", "compatibility_date": "2026-10-01"})
    builder.files.add_file("worker.mjs", io.BytesIO(code.encode()), "worker.mjs", "application/javascript+module")
    _send(folder, builder)


def delete(folder: Path, path: str) -> None:
    """Or a delete by hand."""
    _send(folder, _call(path, "DELETE"))


def _call(path: str, method: str) -> EnvironBuilder:
    address = f"/client/v4/accounts/{ACCOUNT}/workers/{path}"
    return EnvironBuilder(address, method=method, headers=[("authorization", f"Bearer {LOCAL_TOKEN}")])


def _send(folder: Path, builder: EnvironBuilder) -> None:
    store = Store(folder / LOCAL_FOLDER)
    response = Client(create_app(store)).open(builder)
    store.close()
    assert response.status_code == 200, response.get_data(as_text=True)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in before:
        if name.startswith(HIDDEN):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
