"""The reconciler as people install it, an account to meet, and a home without anything in it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from werkzeug.test import Client, EnvironBuilder

from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.documents.session import Ran, shell

ROOT = Path(__file__).parents[2]
ACCOUNT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, *words, str(ROOT)], check=True)
    (made,) = folder.glob("wfp_reconciler-*.whl")
    return made


@dataclass(frozen=True)
class Home:
    """A user's home folder, and what is in their environment."""

    folder: Path
    account: Store
    url: str
    python: Path  # of the environment that the reconciler is installed in

    def type(self, *lines: str, folder: Path | None = None) -> Ran:
        return shell(lines, folder=folder or self.folder, variables=self.variables)

    @property
    def variables(self) -> Mapping[str, str]:
        """No token yet; the address of the embedded API stands where Cloudflare's own would."""
        who = {f"GIT_{role}_{what}": "someone@example.com" for role in ("AUTHOR", "COMMITTER") for what in _WHO}
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        base_url = f"{self.url}/client/v4"
        return {"HOME": str(self.folder), "PATH": path, "CLOUDFLARE_API_BASE_URL": base_url, **who}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    return environment(tmp_path_factory.mktemp("environment"), wheel)


def environment(folder: Path, wheel: Path, *, without: frozenset[str] = frozenset()) -> Path:
    """The wheel in an environment of its own; its Python. What it depends on is lent by the tests' environment, but for
    the packages of these names: nothing is downloaded."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    words = ("-m", "pip", "--quiet", "--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index")
    subprocess.run([sys.executable, *words, str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    lent = folder / "lent"
    lent.mkdir()
    for one in Path(sysconfig.get_path("purelib")).iterdir():
        if one.suffix != ".pth" and not one.name.startswith("wfp_reconciler-") and one.name not in without:
            (lent / one.name).symlink_to(one)
    (packages / "lent.pth").write_text(str(lent), encoding="utf-8")
    return folder / "bin/python"


@pytest.fixture
def home(tmp_path: Path, python: Path) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    store = Store(tmp_path / "account")
    with contextlib.closing(store), Server(create_app(store)) as server:
        yield Home(folder, store, server.url, python)


@dataclass(frozen=True)
class Upload:
    """A script as another tool uploads it: its modules, the main one first, and what else its metadata says."""

    name: str
    modules: Mapping[str, str]
    metadata: Mapping[str, object]


def fill(store: Store, namespace: str, uploads: Sequence[Upload]) -> None:
    """A namespace that other tools have filled."""
    client = Client(create_app(store))
    headers = [("authorization", f"Bearer {LOCAL_TOKEN}")]
    base = f"/client/v4/accounts/{ACCOUNT}/workers/dispatch/namespaces"
    assert client.post(base, json={"name": namespace}, headers=headers).status_code == 200
    for one in uploads:
        builder = EnvironBuilder(f"{base}/{namespace}/scripts/{one.name}", method="PUT", headers=headers)
        builder.form["metadata"] = json.dumps({"main_module": next(iter(one.modules)), **one.metadata})
        for name, code in one.modules.items():
            builder.files.add_file(name, io.BytesIO(code.encode()), name, "application/javascript+module")
        reply = client.open(builder)
        assert reply.status_code == 200, reply.get_data(as_text=True)


_WHO = ("NAME", "EMAIL")
