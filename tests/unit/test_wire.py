"""A Worker survives the way to Cloudflare and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.look.wire import SECRET_KINDS, marks, metadata, unmarked, worker_of
from reconciler.model import PROTECT_TAG, Assets, Module, SecretReference, Worker

names = st.sampled_from(["A", "B", "CACHE", "API_KEY", "x-y"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10) | st.sampled_from(["", "a", "0", "false"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
bindings = st.one_of(
    st.fixed_dictionaries({"type": st.just("plain_text"), "text": st.sampled_from(["", "hello"])}),
    st.fixed_dictionaries({"type": st.just("json"), "json": values}),
    st.fixed_dictionaries({"type": st.just("kv_namespace"), "namespace_id": st.sampled_from(["1", "2"])}),
    st.fixed_dictionaries({"type": st.just("service"), "service": st.just("s"), "environment": st.just("production")}),
)
observability = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "head_sampling_rate": st.sampled_from([0.5, 1]),
        "logs": st.fixed_dictionaries({"enabled": st.booleans()}),
    },
)
managed = st.fixed_dictionaries(
    {},
    optional={
        "compatibility_date": st.just("2026-11-01"),
        "compatibility_flags": st.lists(st.sampled_from(["nodejs_compat", "x"]), max_size=2),
        "limits": st.dictionaries(st.sampled_from(["cpu_ms", "subrequests"]), st.integers(1, 50), max_size=2),
        "logpush": st.booleans() | st.none(),
        "placement": st.just({"mode": "smart"}) | st.just({}),
        "observability": observability,
        "tail_consumers": st.lists(st.just({"service": "tail"}), max_size=1),
    },
)


@st.composite
def workers(draw: st.DrawFn) -> Worker:
    modules = draw(st.lists(st.sampled_from(["main.mjs", "lib/a.mjs", "b.wasm"]), unique=True, min_size=1))
    bound = draw(st.dictionaries(names, bindings, max_size=3))
    secret = draw(st.sets(names, max_size=2)) - bound.keys()
    has_assets = draw(st.booleans())
    return Worker(
        main=modules[0],
        modules=tuple(Module(name, "application/javascript+module", name.encode()) for name in sorted(modules)),
        settings=draw(managed),
        bindings=tuple({"name": name, **one} for name, one in sorted(bound.items())),
        tags=tuple(draw(st.sets(st.sampled_from(["globex", "advanced", "eu", PROTECT_TAG])))),
        secrets={name: SecretReference(name, draw(st.integers(1, 3))) for name in sorted(secret)},
        assets=Assets({"/index.html": ("0" * 32, 5)}, "public", {"html_handling": "none"}) if has_assets else None,
    )


def settings_reply(sent: dict[str, Any], secrets: list[str], fills: dict[str, Any], drops: bool) -> dict[str, Any]:
    """What `settings` answers after an upload: JSON with fields of Cloudflare's own, defaults filled in or left out."""
    reply = {name: value for name, value in sent.items() if name not in ("main_module", "keep_bindings", "assets")}
    reply["bindings"] = [*reply["bindings"], *({"name": name, "type": SECRET_KINDS[0]} for name in secrets)]
    if drops:
        reply = {name: value for name, value in reply.items() if value not in (None, False, [], {})}
    if "observability" in reply:
        reply["observability"] = {**fills["observability"], **reply["observability"]}
    found: dict[str, Any] = json.loads(json.dumps({**fills, **reply, "usage_model": "standard", "migrations": None}))
    return found


FILLS = {
    "observability": {
        "enabled": False,
        "head_sampling_rate": 1,
        "redact_query_string": False,
        "traces": {"enabled": False, "head_sampling_rate": 1, "persist": True},
    },
    "logpush": False,
    "tail_consumers": None,
    "placement": {},
    "placement_mode": None,
    "limits": {},
    "compatibility_flags": [],
}


@settings(max_examples=1_000, deadline=None)
@given(workers(), st.booleans(), st.booleans())
def test_what_is_uploaded_and_read_back_has_the_spec_it_had(worker: Worker, fills: bool, drops: bool) -> None:
    sent = metadata(worker, marks(worker, "acme"))
    reply = settings_reply(sent, list(worker.secrets), FILLS if fills else {"observability": {}}, drops)
    there = worker_of(reply, worker.modules[::-1], worker)
    assert there.spec() == worker.spec()
    assert there.digest == worker.digest


@settings(max_examples=300, deadline=None)
@given(workers())
def test_the_marks_are_in_the_upload_and_not_in_the_spec(worker: Worker) -> None:
    tags = metadata(worker, marks(worker, "acme"))["tags"]
    assert tags[:2] == ["rcn-acme", f"rcn-d-{worker.digest}"]
    assert unmarked(tags) == tuple(sorted(worker.tags))


WORKER = Worker(
    "main.mjs",
    (Module("main.mjs", "text/plain", b"1"),),
    settings={"limits": {"cpu_ms": 50}},
    bindings=({"name": "CONFIG", "type": "json", "json": {"a": 1}},),
    tags=("globex",),
    secrets={"KEY": SecretReference("KEY", 2)},
)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"type": "d1", "database_id": "7"}, {"type": "d1", "database_id": "7", "id": "7"}),
        ({"type": "service", "service": "s"}, {"type": "service", "service": "s", "environment": "production"}),
        (
            {"type": "durable_object_namespace", "class_name": "Room"},
            {"type": "durable_object_namespace", "class_name": "Room", "namespace_id": "7"},
        ),
    ],
)
def test_what_is_added_to_a_binding_is_no_difference(sent: dict[str, Any], shown: dict[str, Any]) -> None:
    """Neither to the one who sent it, nor to an import that finds it."""
    worker = Worker("", (), bindings=({"name": "B", **sent},))
    reply = {"bindings": [{"name": "B", **shown}]}
    assert worker_of(reply, (), worker).spec()["bindings"] == worker.spec()["bindings"]
    assert worker_of(reply, ()).spec()["bindings"] == worker.spec()["bindings"]


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: reply["limits"].update(cpu_ms=80),
        lambda reply: reply["limits"].update(subrequests=5),
        lambda reply: reply.pop("limits"),
        lambda reply: reply.update(logpush=True),
        lambda reply: reply.update(observability={"enabled": True}),
        lambda reply: reply.update(compatibility_flags=["nodejs_compat"]),
        lambda reply: reply["bindings"][0]["json"].update(c=False),
        lambda reply: reply["bindings"][0].update(type="plain_text"),
        lambda reply: reply["bindings"].pop(0),
        lambda reply: reply["bindings"].append({"name": "NEW", "type": "plain_text", "text": ""}),
        lambda reply: reply["bindings"].append({"name": "EXTRA", "type": "secret_text"}),
        lambda reply: reply["bindings"].pop(1),
        lambda reply: reply["tags"].append("more"),
        lambda reply: reply["tags"].remove("globex"),
    ],
)
def test_what_someone_else_changed_is_seen(change: Any) -> None:
    reply = settings_reply(metadata(WORKER, marks(WORKER, "acme")), ["KEY"], {}, False)
    assert worker_of(reply, WORKER.modules, WORKER).spec() == WORKER.spec()
    change(reply)
    assert worker_of(reply, WORKER.modules, WORKER).spec() != WORKER.spec()


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(["bindings", "tags", "limits", "observability", "assets", "x"]), values))
def test_no_settings_make_it_stumble(reply: dict[str, Any]) -> None:
    worker_of(reply, WORKER.modules, WORKER).digest  # noqa: B018 - that it can be made is all that is asked
    worker_of(reply, (), None).digest  # noqa: B018 - the same


def test_an_upload_keeps_live_secrets_only_where_there_are_some() -> None:
    assert metadata(WORKER, [])["keep_bindings"] == ["secret_text", "secret_key"]
    assert "keep_bindings" not in metadata(Worker("m", ()), [])
    assert "main_module" not in metadata(Worker("", ()), [])
