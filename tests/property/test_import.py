"""Round trip: whatever repository is applied, an import into an empty folder declares the same scripts.

And whatever a namespace holds, an import writes inside its folder only, and what it wrote loads.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler import run
from reconciler.begin import factoring, importer, importing
from reconciler.begin.importer import Found
from reconciler.errors import Where
from reconciler.kinds.connection import Connection
from reconciler.load import config, layers
from reconciler.load.repository import Platform, Repository
from reconciler.load.source import parse
from reconciler.load.yaml_text import to_yaml
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.store import Store
from reconciler.look import cloudflare, transport
from reconciler.look.ledger import Ledger
from reconciler.model import Module, Secret, Worker
from reconciler.plan import Cause, Plan
from reconciler.plan.results import Outcome
from tests.scenarios.platform import ACCOUNT, TODAY

NAMESPACE = "acme-production"
ESM = "application/javascript+module"
CODE = "export default { fetch: () => new Response('%s') };\n"


@dataclass
class Account:
    """An account in process, and runs against it from any folder."""

    store: Store
    folder: Path
    sent: int = 0

    def connection(self, repository: Repository, ledger: str = "ledger") -> Connection:
        through = transport.Polite(transport.in_process(create_app(self.store)), transport.Unlimited())
        api = cloudflare.connect("http://127.0.0.1/client/v4", Secret(LOCAL_TOKEN), ACCOUNT, through)
        names = [f"{script.name}_{name}" for script in repository.scripts() for name, _ in script.secrets]
        variables = {name.upper().replace("-", "_"): "value" for name in ["SECRET_A", *names]}
        return Connection(repository, api, Ledger(self.folder / ledger, "test"), variables)

    def apply(self, root: Path, **wishes: Any) -> None:
        connection = self.connection(load(root), root.name)
        asked = run.Wishes(TODAY, requests_per_window=0, **wishes)
        run.check_secrets(connection, asked)
        outlook = run.look_and_plan(connection, asked)
        results = list(run.carry_out(outlook, outlook.plan.changes))
        assert [one.problem for one in results if one.outcome is not Outcome.APPLIED] == []

    def plan(self, root: Path, **wishes: Any) -> Plan:
        connection = self.connection(load(root), root.name)
        outlook = run.look_and_plan(connection, run.Wishes(TODAY, requests_per_window=0, **wishes))
        return run.explained(outlook)

    def import_into(self, root: Path, rule: importer.Rule, injected: frozenset[str] = frozenset()) -> importing.Staged:
        repository = Repository(root, Platform("acme", NAMESPACE, Where("platform.yaml")), {})
        connection = self.connection(repository)
        live = importing.namespace(connection)
        found = importing.read(connection, root, rule, progress=lambda done, total: None)
        around = importing.around(repository, new=True, trusted=bool(live.trusted), injected=injected)
        staged = importing.stage(root, found, around, repository)
        importing.place(root, staged.written)
        importing.forget(root)
        return staged

    def upload(self, name: str, metadata: Mapping[str, Any], modules: Sequence[tuple[str, str, bytes]]) -> None:
        """As someone else does it."""
        files = {"metadata": ("metadata", json.dumps(metadata).encode(), "application/json")}
        files |= {f"part-{number}": (name, content, kind) for number, (name, kind, content) in enumerate(modules)}
        self.call("PUT", f"scripts/{name}", files=files)

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        inside = f"accounts/{ACCOUNT}/workers/dispatch/namespaces/{NAMESPACE}/{path}".rstrip("/")
        with httpx.Client(transport=transport.in_process(create_app(self.store))) as client:
            url, headers = f"http://127.0.0.1/client/v4/{inside}", {"authorization": f"Bearer {LOCAL_TOKEN}"}
            response = client.request(method, url, headers=headers, **body)
        assert response.is_success, response.text
        return response


@contextmanager
def accounts() -> Iterator[Account]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "account")
        store.create_namespace(NAMESPACE)
        try:
            yield Account(store, Path(folder))
        finally:
            store.close()


@pytest.fixture
def account() -> Iterator[Account]:
    with accounts() as one:
        yield one


def load(root: Path) -> Repository:
    return config.load(root, variables={}, today=TODAY)


def written(root: Path, files: Mapping[str, Any]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content if isinstance(content, str) else to_yaml(content), encoding="utf-8")
    return root


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
JSON: st.SearchStrategy[Any] = TEXTS | st.integers(-9, 9) | st.booleans() | st.lists(st.integers(0, 9), max_size=2)
JSON |= st.dictionaries(st.sampled_from("pq"), st.integers(0, 9) | st.none(), max_size=2)
LIMITS = st.sampled_from([{"cpu_ms": 10}, {"cpu_ms": 50, "subrequests": 50}, {"subrequests": 7}, {"cpu_ms": 80}])
TERMS: Mapping[str, st.SearchStrategy[Any]] = {
    "limits": LIMITS,
    "tags": st.lists(st.sampled_from(["eu", "us"]), max_size=2, unique=True),
    "vars": st.dictionaries(st.sampled_from(["A", "B", "on"]), JSON, max_size=2),
    "secrets": st.dictionaries(st.sampled_from(["S", "T"]), st.just({"env": "SECRET_A"}), max_size=2),
    "bindings": st.sampled_from([{"VERSION": {"type": "version_metadata"}}, {"J": {"type": "json", "json": None}}]),
    "compatibility_flags": st.lists(st.sampled_from(["nodejs_compat", "global_navigator"]), max_size=2, unique=True),
    "observability": st.sampled_from([{"enabled": True}, {"enabled": True, "head_sampling_rate": 0.5}]),
    "protect": st.booleans(),
    "modules": st.just(["lib/*.mjs", "*.txt"]),
}


@st.composite
def repositories(draw: st.DrawFn) -> Mapping[str, Any]:
    """One to three customers with one to three scripts, on tiers or none."""
    tiers = draw(
        st.dictionaries(st.sampled_from(["basic", "advanced"]), st.just({}) | LIMITS.map(lambda one: {"limits": one}))
    )
    shared = draw(st.booleans())
    files: dict[str, Any] = {
        "platform.yaml": {
            "platform": "acme",
            "namespace": NAMESPACE,
            "defaults": {"compatibility_date": "2026-10-01"},
            **({"platform_modules": {"platform_module.mjs": "platform/p.mjs"}} if shared else {}),
            **({"tiers": tiers} if tiers else {}),
            "prune": True,
        },
        "platform/p.mjs": "export const platform = 1;\n",
    }
    for customer in draw(st.lists(st.sampled_from(["globex", "initech", "hooli"]), min_size=1, unique=True)):
        scripts = {}
        for number in range(draw(st.integers(1, 3))):
            terms = draw(st.fixed_dictionaries({}, optional=dict(TERMS)))
            scripts[f"{customer}-{number}"] = {"main": "main.mjs", **terms}
        tier = {"tier": draw(st.sampled_from(sorted(tiers)))} if tiers else {}
        files[f"customers/{customer}/customer.yaml"] = {**tier, "scripts": scripts}
        files[f"customers/{customer}/main.mjs"] = CODE % customer
        files[f"customers/{customer}/lib/one.mjs"] = f"export const one = '{customer}';\n"
        files[f"customers/{customer}/note.txt"] = "text\r\n"
    return files


BY_NAME = importer.customer_rule(name="([a-z]+)-[0-9]+")


@settings(max_examples=8, deadline=None)
@given(repositories(), st.booleans())
def test_what_was_applied_is_imported_and_the_plan_after_adoption_is_empty(
    files: Mapping[str, Any], ours: bool
) -> None:
    """Under another platform's name everything is foreign but its owner, so that it has to be taken over by name."""
    with accounts() as account:
        account.apply(written(account.folder / "before", files))
        if not ours:
            for row in account.store.rows(NAMESPACE):
                tags = [tag for tag in row.tags or () if not tag.startswith("rcn-") or tag == "rcn-protect"]
                account.call("PUT", f"scripts/{row.name}/tags", json=tags)
        after = account.folder / "after"
        staged = account.import_into(after, BY_NAME)
        assert (staged.differing, staged.written.left_out) == ({}, {})
        plan = account.plan(after, adopt=frozenset("*"))
        assert {change.cause for change in plan.changes} <= {Cause.EDITED if ours else Cause.ADOPTED}
        differing = {one.path[0] for change in plan.changes for one in change.explanation.fields}  # type: ignore[union-attr]  # every change is explained
        assert differing <= {"tags"}
        assert not any(change.explanation.code for change in plan.changes if change.explanation)
        etags = {row.name: row.etag for row in account.store.rows(NAMESPACE)}
        account.apply(after, adopt=frozenset("*"))
        assert {row.name: row.etag for row in account.store.rows(NAMESPACE)} == etags
        assert not account.plan(after)


PARTS = [
    "a",
    "b",
    ".",
    "/",
    "\\",
    "\0",
    "*",
    "?",
    ":",
    " ",
    "A",
    "é",
    "\u202e",
    "~",
    "..",
    ".git",
    "../",
    "customer.yaml",
]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join)
SUFFIXES = st.sampled_from(["", ".mjs", ".MJS", ".wasm", ".txt", ".json", ".yaml", ".exe"])
TYPES = st.sampled_from([ESM, "text/plain", "application/wasm", "application/octet-stream", "application/javascript"])


@st.composite
def strangers(draw: st.DrawFn) -> Found:
    """A script with names that no one should have given to anything."""
    names = draw(st.lists(st.tuples(NAMES, SUFFIXES).map("".join), min_size=1, max_size=3, unique=True))
    modules = tuple(Module(name, draw(TYPES), b"export {};") for name in names)
    told = draw(NAMES)
    return Found(
        draw(st.from_regex(r"[a-z][a-z0-9-]{0,3}", fullmatch=True)),
        told,
        Worker(draw(st.sampled_from(names)), modules, tags=tuple(draw(st.lists(NAMES, max_size=7, unique=True)))),
        owner=draw(st.sampled_from(["", "acme", "other"])),
        has_assets=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(strangers(), min_size=1, max_size=4, unique_by=lambda one: one.script))
@example([Found("a", "a", Worker("main.mjs", (Module("main.mjs", ESM, b""), Module("../../../x.mjs", ESM, b""))))])
@example([Found("a", "..", Worker("/etc/main.mjs", (Module("/etc/main.mjs", ESM, b""),)))])
@example([Found("a", "a", Worker("x.mjs", (Module("x.mjs", ESM, b""), Module("x.mjs/y.mjs", ESM, b""))))])
@example([Found("a", "a", Worker("x.mjs", (Module("x.mjs", ESM, b""), Module("X.mjs", ESM, b""))))])
@example([Found("a", "a", Worker("x.mjs", (Module("x.mjs", ESM, b""), Module(f"{'x' * 300}.mjs", ESM, b""))))])
@example([Found("a", "Shop", Worker("x.mjs", (Module("x.mjs", ESM, b""),))), Found("b", "shop", Worker("x.mjs", ()))])
def test_nothing_is_written_outside_and_every_script_is_declared_or_named(found: list[Found]) -> None:
    with tempfile.TemporaryDirectory() as outside:
        root = Path(outside) / "a/b/c/repository"
        root.mkdir(parents=True)
        repository = Repository(root, Platform("acme", NAMESPACE, Where("platform.yaml")), {})
        staged = importing.stage(root, found, importing.around(repository, new=True), repository)
        importing.place(root, staged.written)
        importing.forget(root)
        assert files_below(Path(outside)) == {f"a/b/c/repository/{path}" for path in staged.written.files}
        declared = {script.name for script in load(root).scripts()}
        assert declared | staged.written.left_out.keys() == {one.script for one in found}
        assert not declared & staged.written.left_out.keys()


DATA = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, DATA, min_size=1, max_size=4))
@example({"a": "0o7", "b": "1e3", "c": "2026-10-01", "d": "no", "e": "<<", "f": "a: b # c", "g": "\u2028"})
@example({"a": 1e20, "b": -0.0, "c": 1e-7})
def test_data_written_as_yaml_is_read_as_the_same_data(data: dict[str, Any]) -> None:
    assert parse("x.yaml", to_yaml(data).encode()).data == data


SAID = st.fixed_dictionaries(
    {},
    optional={
        "limits": LIMITS,
        "vars": st.dictionaries(st.sampled_from("AB"), JSON, min_size=1, max_size=2),
        "compatibility_flags": st.lists(st.sampled_from("ab"), min_size=1, max_size=2),
        "observability": st.dictionaries(st.sampled_from("pq"), st.booleans(), min_size=1),
    },
)


@given(SAID, SAID)
def test_what_is_said_over_what_is_below_gives_back_what_was_meant(below: dict[str, Any], said: dict[str, Any]) -> None:
    found = layers.merge(below, factoring.over(below, said))
    assert {name: value for name, value in found.items() if value not in ({}, [])} == said
