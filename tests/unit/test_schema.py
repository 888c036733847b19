"""The JSON Schemas that editors read are those that the loader checks by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.load import schema, source
from reconciler.load.checker import checker

ROOT = Path(__file__).parents[2]
SCHEMAS = {"platform.schema.json": schema.platform, "customer.schema.json": schema.customer}


def test_the_committed_schemas_are_fresh() -> None:
    for name, text in schema.files().items():
        assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == text, "run `reconciler schema`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_of_2020_12(name: str) -> None:
    document = json.loads(schema.files()[name])
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_described(name: str) -> None:
    for path, one in keys(SCHEMAS[name](), ()):
        assert one.get("description") or "$ref" in one or "const" in one, path


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_pattern_tells_its_rule(name: str) -> None:
    for path, one in parts(SCHEMAS[name](), ()):
        assert not isinstance(one.get("pattern"), str) or one.get("errorMessage"), path


def test_the_sample_platform_is_good() -> None:
    files = {ROOT / "platform.yaml": schema.platform}
    files |= dict.fromkeys(ROOT.glob("customers/**/customer.yaml"), schema.customer)
    for file, document in files.items():
        read = source.parse(file.name, file.read_bytes())
        assert checker(document)(read.data), file
        jsonschema.Draft202012Validator(document()).validate(read.data)


def test_an_environment_need_not_repeat_what_is_required() -> None:
    platform = {"platform": "acme", "namespace": "acme", "prune": True}
    staging = {"dispatcher": {"hostname": "{script}.x.app"}, "safety": {"max_deletes": {"count": 1}}}
    assert checker(schema.platform)({**platform, "environments": {"staging": staging}})


def parts(one: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(one, dict):
        yield path, one
        for key, value in one.items():
            if key not in ("examples", "const", "enum"):
                yield from parts(value, (*path, key))
    elif isinstance(one, list):
        for number, value in enumerate(one):
            yield from parts(value, (*path, str(number)))


def keys(one: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for place, part in parts(one, path):
        if place and place[-1] == "properties" and (len(place) < 3 or place[-2] not in ("if", "properties")):
            for key, value in part.items():
                if isinstance(value, dict):
                    yield (*place, key), value
