"""A namespace that the real wrangler or Cloudflare's SDK filled becomes a repository; nothing is written but marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloudflare import Cloudflare

from reconciler.local.api import LOCAL_TOKEN, PREFIX
from reconciler.local.server import Server
from reconciler.local.store import Store
from tests.cli.terminal import Ran, run
from tests.conformance.conftest import ACCOUNT, Run, needs_wrangler, project

NAMESPACE = "production"
ESM = "application/javascript+module"
WASM = b"\0asm\x01\0\0\0"
SHOP = """\
import text from './terms.txt';
import add from './add.wasm';
import { tax } from './lib/tax.mjs';
export default { fetch: () => new Response(text + tax + String(add)) };
"""


class Person:
    """Someone who moves to a repository: types commands in an empty folder."""

    def __init__(self, folder: Path, server: Server, cache: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._variables = {
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_API_BASE_URL": server.url + PREFIX,
            "XDG_CACHE_HOME": str(cache),
        }

    def types(self, *words: str, code: int = 0) -> Ran:
        ran = run(self.folder, *words, variables=self._variables)
        assert ran.code == code, ran.out + ran.err
        return ran

    def text(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")


@pytest.fixture
def person(tmp_path: Path, server: Server) -> Person:
    return Person(tmp_path / "repository", server, tmp_path / "cache")


def moves(person: Person, store: Store, *import_: str) -> Ran:
    """Import, adopt, and find that nothing is left to do: no script was written again, but for its tags."""
    before = {row.name: row.etag for row in store.rows(NAMESPACE)}
    imported = person.types("import", "--namespace", NAMESPACE, "--platform", "acme", *import_)
    person.types("validate")
    assert "0 to" not in person.types("plan", "--adopt", "*").out
    person.types("apply", "--adopt", "*", "--yes")
    assert {row.name: row.etag for row in store.rows(NAMESPACE)} == before
    assert "nothing to do" in person.types("plan", "--verify", "all", "--exit-code").out
    assert person.types("drift", "--verify", "all").out.endswith("Drift: none\n")
    return imported


@needs_wrangler
def test_what_wrangler_deployed(wrangler: Run, store: Store, person: Person, tmp_path: Path) -> None:
    store.create_namespace(NAMESPACE)
    store.kv.ensure_namespace("c" * 32, "cache")
    shop = {
        "name": "globex-shop",
        "main": "src/index.mjs",
        "compatibility_date": "2026-04-01",
        "compatibility_flags": ["nodejs_compat"],
        "vars": {"GREETING": "hello", "CONFIG": {"a": [1, False, None]}, "EMPTY": ""},
        "kv_namespaces": [{"binding": "CACHE", "id": "c" * 32}],
        "observability": {"enabled": True, "head_sampling_rate": 0.5},
        "limits": {"cpu_ms": 50},
        "rules": [{"type": "ESModule", "globs": ["**/*.mjs"]}],
    }
    folder = project(tmp_path / "shop", {**shop, "no_bundle": True, "find_additional_modules": True, "base_dir": "src"})
    for name, content in {"index.mjs": SHOP.encode(), "terms.txt": b"no returns\r\n", "add.wasm": WASM}.items():
        (folder / "src").mkdir(exist_ok=True)
        (folder / "src" / name).write_bytes(content)
    (folder / "src/lib").mkdir()
    (folder / "src/lib/tax.mjs").write_text("export const tax = 0.2;\n")
    wrangler("deploy", "--dispatch-namespace", NAMESPACE, folder=folder)
    bundled = {"main": "index.ts", "compatibility_date": "2026-04-01", "upload_source_maps": True}
    code = "const hello: string = 'up';\nexport default { fetch: () => new Response(hello) };\n"
    folder = project(tmp_path / "status", {"name": "initech-status", **bundled}, **{"index.ts": code})
    wrangler("deploy", "--dispatch-namespace", NAMESPACE, folder=folder)
    imported = moves(person, store, "--customer-name", "([a-z]+)-.*")
    assert "proven: 2 scripts are exactly what is live, but for our tags" in imported.err
    assert (person.folder / "customers/globex/terms.txt").read_bytes() == b"no returns\r\n"
    assert (person.folder / "customers/globex/add.wasm").read_bytes() == WASM
    assert "main: index.mjs" in person.text("customers/globex/customer.yaml")
    assert "CONFIG: {a: [1, false, null]}" in person.text("customers/globex/customer.yaml")
    wrangler("deploy", "--dispatch-namespace", NAMESPACE, folder=folder)  # the same again, from where it always was
    assert "drifted" in person.types("drift", code=4).out
    person.types("apply", "--yes")
    assert person.types("drift", "--verify", "all").out.endswith("Drift: none\n")


def test_what_the_sdk_uploaded(sdk: Cloudflare, store: Store, server: Server, person: Person) -> None:
    sdk.workers_for_platforms.dispatch.namespaces.create(account_id=ACCOUNT, name=NAMESPACE)
    scripts = sdk.workers_for_platforms.dispatch.namespaces.scripts
    platform = ("platform_module.mjs", b"export const platform = 1;\n", ESM)
    for name, customer, tier, cpu in (
        ("a1", "globex", "pro", 50),
        ("a2", "globex", "pro", 50),
        ("b1", "hooli", "free", 10),
    ):
        scripts.update(
            name,
            account_id=ACCOUNT,
            dispatch_namespace=NAMESPACE,
            metadata={
                "main_module": "worker.mjs",
                "compatibility_date": "2026-04-01",
                "tags": [f"customer-{customer}", tier],
                "limits": {"cpu_ms": cpu},
                "bindings": [
                    {"type": "plain_text", "name": "NAME", "text": name},
                    {"type": "secret_text", "name": "KEY", "text": "value-of-the-secret"},
                ],
            },
            files=[
                ("worker.mjs", f"import './platform_module.mjs';\nexport default {{}}; // {name}\n".encode(), ESM),
                platform,
            ],
        )
    scripts.secrets.update(
        "b1",
        account_id=ACCOUNT,
        dispatch_namespace=NAMESPACE,
        name="TOKEN",
        text="value-of-the-token",
        type="secret_text",
    )
    imported = moves(person, store, "--customer-tag", "customer-(.+)")
    assert "4 secrets are declared by name" in imported.err
    assert "platform_modules: {platform_module.mjs: platform/platform_module.mjs}" in person.text("platform.yaml")
    assert sorted(path.name for path in (person.folder / "customers").iterdir()) == ["globex", "hooli"]
    assert "tier: pro" in person.text("customers/globex/customer.yaml")
    written = b"".join(path.read_bytes() for path in person.folder.rglob("*") if path.is_file())
    assert b"value-of-the" not in written
