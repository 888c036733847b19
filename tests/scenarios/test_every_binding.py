"""One script with every kind of binding at once: sent, read back, compared, imported, and nothing differs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from reconciler import run
from reconciler.begin import importer, importing
from reconciler.bindings import KINDS
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.look.ledger import Ledger
from tests.binding_examples import full
from tests.scenarios.platform import ACCOUNT, MODULE, TODAY, Platform

NAMESPACE_ID, DATABASE_ID = "0f2ac74b498b48028cb68387c421e279", "a1b2c3d4-0000-4000-8000-123456789abc"
# What the emulated account must have: it refuses bindings to what is not there.
THERE: dict[str, dict[str, Any]] = {
    "kv_namespace": {"namespace_id": NAMESPACE_ID},
    "d1": {"database_id": DATABASE_ID},
    "service": {"service": "neighbour"},
    "dispatch_namespace": {"namespace": "acme-production", "outbound": {"worker": {"service": "neighbour"}}},
    "data_blob": {"part": "data.bin"},
    "text_blob": {"part": "note.txt"},
    "r2_bucket": {"bucket_name": "files"},
    "wasm_module": {"part": "sum.wasm"},
}
BY_OTHER_WAYS = {"inherit", "secret_text", "secret_key"}  # told below: they stand for what is live
BOUND = sorted(KINDS.keys() - BY_OTHER_WAYS)


@pytest.fixture
def bound(platform: Platform) -> Platform:
    """A platform whose script `everything` has a binding of each kind, named after it."""
    platform.apply()
    platform.store.kv.ensure_namespace(NAMESPACE_ID, "cache")
    platform.store.d1.ensure_database(DATABASE_ID, "orders")
    platform.store.r2.create_bucket("files")
    platform.upload_elsewhere("neighbour", namespace="")
    write(platform, {kind: example(kind) for kind in BOUND})
    platform.write(
        {
            "customers/globex/all/main.mjs": MODULE,
            "customers/globex/all/data.bin": "data",
            "customers/globex/all/note.txt": "note",
            "customers/globex/all/sum.wasm": "\0asm\1\0\0\0",
        }
    )
    platform.variables = {"KEY": "value"}
    return platform


def example(kind: str) -> dict[str, Any]:
    """A binding with every field; of a Durable Object's, those that name it by its class, from which its id follows."""
    binding = {**full(KINDS[kind].schema()), **THERE.get(kind, {})}
    return {name: one for name, one in binding.items() if (kind, name) != ("durable_object_namespace", "namespace_id")}


def write(platform: Platform, bindings: dict[str, dict[str, Any]]) -> None:
    script = {
        "main": "all/main.mjs",
        "modules": ["all/data.bin", "all/note.txt", "all/sum.wasm"],
        "bindings": bindings,
        "vars": {"TEXT": "hello", "VALUE": {"deep": [False, None, 0, ""]}},
        "secrets": {"KEY": {"env": "KEY"}},
    }
    # JSON is YAML, so that no value has to be quoted by hand.
    customer = {"tier": "advanced", "scripts": {"everything": script}}
    platform.write({"customers/globex/customer.yaml": json.dumps(customer)})


def live(platform: Platform) -> dict[str, str]:
    """Kinds by name, of the script as it is stored."""
    stored = platform.store.script("acme-production", "everything")
    assert stored is not None
    secrets = [{"name": name, **one} for name, one in stored.secrets.items()]
    return {one["name"]: one["type"] for one in (*stored.bindings, *secrets)}


def test_every_kind_is_sent_and_read_back_as_it_was(bound: Platform) -> None:
    bound.apply()
    others = {"TEXT": "plain_text", "VALUE": "json", "KEY": "secret_text"}
    assert live(bound) == {**{kind: kind for kind in BOUND}, **others}
    assert bound.drift(verify=None) == {}


def test_a_change_of_any_kind_by_hand_is_told_by_its_name(bound: Platform) -> None:
    bound.apply()
    stored = bound.store.script("acme-production", "everything")
    assert stored is not None
    kept = [{**one, "index_name": "other"} if one["name"] == "vectorize" else one for one in stored.bindings]
    settings = json.dumps({"bindings": [*kept, {"type": "inherit", "name": "KEY"}]})
    bound.elsewhere("PATCH", bound.script("everything") + "/settings", files={"settings": ("settings", settings)})
    outlook = bound.look(verify=None)
    (change,) = run.explained(outlook).changes
    assert change.explanation is not None
    assert [(".".join(one.path), one.before, one.after) for one in change.explanation.fields] == [
        ("bindings.vectorize.index_name", "other", "x")
    ]
    bound.apply(verify=None)


def test_what_is_inherited_is_kept_as_it_is_and_is_no_drift(bound: Platform) -> None:
    bound.apply()
    before = live(bound)
    by_hand = {"name": "BY_HAND", "type": "secret_text", "text": "x"}
    bound.elsewhere("PUT", bound.script("everything") + "/secrets", json=by_hand)
    write(bound, {kind: {"type": "inherit"} for kind in [*BOUND, "BY_HAND"]})
    bound.apply()
    assert live(bound) == {**before, "BY_HAND": "secret_text"}
    assert bound.drift(verify=None) == {}


def test_every_kind_is_imported_as_it_is_live(bound: Platform, tmp_path: Path) -> None:
    """Less static files, which no call gives back: a script that has some is left out, and says so."""
    without_files = [kind for kind in BOUND if kind != "assets"]
    write(bound, {kind: example(kind) for kind in without_files})
    bound.apply()
    imported = tmp_path / "imported"
    imported.mkdir()
    connection = bound.connection()
    empty = dataclasses.replace(connection.repository, root=imported, customers={}, terms=None)
    into = dataclasses.replace(connection, repository=empty)
    rule = importer.customer_rule(tag="globex|initech")
    found = importing.read(into, imported, rule, progress=lambda done, all_: None)
    staged = importing.stage(imported, found, importing.around(empty, new=True, account_id=ACCOUNT), empty)
    assert (staged.written.left_out, staged.differing) == ({}, {})
    importing.place(imported, staged.written)

    repository = config.load(imported, variables={}, today=TODAY)
    ledger = Ledger(tmp_path / "imported.sqlite3", f"{ACCOUNT}/acme-production/acme")
    outlook = run.look_and_plan(
        Connection(repository, connection.api, ledger), run.Wishes(TODAY, verify=None, requests_per_window=0)
    )
    changes = {str(one.key): one.cause for one in outlook.plan.changes}
    assert "user_worker/everything" not in changes
    assert outlook.plan.coverage is not None
    assert outlook.plan.coverage.altered == 0
