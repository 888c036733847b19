"""Each kind of binding, from its configuration to the wire."""

from __future__ import annotations

import json

import jsonschema
import pytest

from reconciler import bindings
from reconciler.bindings import KINDS
from tests.binding_examples import full, smallest

# The kinds that the upload call of a namespace script takes (38).
API_KINDS = """
    ai ai_search ai_search_namespace analytics_engine artifacts assets browser d1 data_blob dispatch_namespace
    durable_object_namespace flagship hyperdrive images inherit json k2 kv_namespace media messaging mtls_certificate
    pipelines plain_text queue r2_bucket ratelimit secret_key secret_text secrets_store_secret send_email service
    text_blob vectorize version_metadata vpc_network vpc_service wasm_module workflow
""".split()  # noqa: SIM905 - one word a kind reads better than forty quotes


def test_every_kind_of_the_api_has_a_class() -> None:
    assert sorted(KINDS) == sorted(API_KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_the_schema_takes_goes_onto_the_wire_whole(kind: str) -> None:
    schema = KINDS[kind].schema()
    for config in (smallest({"type": "object", "required": ["type"], **schema}), full(schema)):
        jsonschema.validate(config, schema)
        wire = bindings.read("NAME", config).wire()
        assert wire == {"name": "NAME", **config}
        json.dumps(wire)


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if not KINDS[kind].refused))
def test_an_unknown_field_is_refused(kind: str) -> None:
    schema = KINDS[kind].schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**full(schema), "extra": 1}, schema)


def test_nested_fields_become_values_of_their_own() -> None:
    config = {
        "type": "dispatch_namespace",
        "namespace": "acme",
        "outbound": {"worker": {"service": "guard"}, "params": [{"name": "customer"}, {"name": "tier"}]},
    }
    read = bindings.read("DISPATCH", config)
    assert isinstance(read, bindings.DispatchNamespace)
    assert read.outbound is not None
    assert read.outbound.params == (bindings.DispatchParameter("customer"), bindings.DispatchParameter("tier"))
    assert read.wire() == {"name": "DISPATCH", **config}


def test_what_is_not_set_is_left_out() -> None:
    assert bindings.R2Bucket("FILES", "files").wire() == {"name": "FILES", "type": "r2_bucket", "bucket_name": "files"}


def test_kinds_that_go_past_an_outbound_worker_say_how() -> None:
    assert sorted(kind for kind in KINDS if KINDS[kind].egress_bypass) == [
        "durable_object_namespace", "mtls_certificate", "service",
    ]  # fmt: skip


def test_kinds_that_hold_secrets_are_refused_with_what_to_use() -> None:
    assert sorted(kind for kind in KINDS if KINDS[kind].refused) == ["secret_key", "secret_text"]


def test_every_kind_and_field_is_described() -> None:
    for kind, cls in KINDS.items():
        schema = cls.schema()
        assert schema["description"], kind
        assert all(one.get("description") for name, one in schema["properties"].items() if name != "type"), kind
