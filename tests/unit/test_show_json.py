"""The plan as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.errors import ConfigError, NotReviewed, Where
from reconciler.model import Secret
from reconciler.plan import ABSENT, FieldChange
from reconciler.show import plan_json
from reconciler.show.json_position import position
from tests import plans

SAMPLES = [plans.nothing, plans.small, plans.middling, plans.hostile]


@pytest.mark.parametrize("sample", [*SAMPLES, plans.alike])
def test_a_plan_comes_back_as_it_was(sample: plans.Sample) -> None:
    assert plan_json.read(plan_json.render(sample())) == sample()


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_is_written_is_what_the_schema_says(sample: plans.Sample) -> None:
    schema = plan_json.plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(plan_json.render(sample())), schema)


def test_the_schema_describes_every_field_and_allows_no_other() -> None:
    schema = plan_json.plan_schema()
    document = json.loads(plan_json.render(plans.middling()))
    assert set(schema["properties"]) == set(document) == set(schema["required"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "extra": 1}, schema)


def test_the_committed_schema_is_the_one_that_the_code_gives() -> None:
    file = Path(__file__).parents[2] / "schemas" / "plan.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == plan_json.plan_schema(), "if meant: python -m tests.goldens"


def test_the_text_is_ascii_and_the_same_each_time() -> None:
    text = plan_json.render(plans.hostile())
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text == plan_json.render(plans.hostile())


def test_each_change_is_one_line() -> None:
    lines = plan_json.render(plans.small()).splitlines()
    assert sum('"action": ' in line for line in lines) == 3


def test_a_field_without_a_value_is_left_out_and_null_is_not() -> None:
    encoded = plan_json._encode(FieldChange(("a",), None, ABSENT))
    assert encoded == {"path": ["a"], "before": None}


def test_a_secret_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        json.dumps(plan_json._encode(FieldChange(("a",), Secret("hunter2"), None)))


def test_the_summary_stands_in_the_file() -> None:
    summary = json.loads(plan_json.render(plans.small()))["summary"]
    assert summary == {
        "text": "1 to create, 1 to update, 1 to delete · globex, initech · 9 requests, 2 s",
        "create": 1,
        "update": 1,
        "delete": 1,
        "withheld": 0,
        "blocked": 0,
    }


def _edited(change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(plan_json.render(plans.small()))
    change(document)
    return json.dumps(document, indent=2)


@pytest.mark.parametrize(
    ("text", "what", "line", "column"),
    [
        ("", "this is not JSON: Expecting value", 1, 1),
        ('{\n  "a": tru\n}', "this is not JSON: Expecting value", 2, 8),
        ('{"a": NaN}', "this is not JSON that a plan could be", 1, 1),
        ("[" * 100_000, "this is not JSON that a plan could be", 1, 1),
        ('{"a": ' + "9" * 5_000 + "}", "this is not JSON that a plan could be", 1, 1),
        ("[]", "[] is not an object", 1, 1),
        ("3", "3 is not an object", 1, 1),
        ("{}", "this is no plan of format 1", 1, 1),
        ('{\n  "format_version": 2\n}', "this is no plan of format 1", 2, 21),
        ('{"format_version": 1}', "the field platform is missing", 1, 1),
        (_edited(lambda plan: plan.pop("digest")), "the field digest is missing", 1, 1),
        (_edited(lambda plan: plan.update(unchanged=True)), "true is not a whole number", 0, 16),
        (_edited(lambda plan: plan.update(changes={})), "{} is not a list", 0, 14),
        (
            _edited(lambda plan: plan["changes"][0].update(action="destroy")),
            '"destroy" is none of create, update, delete',
            0,
            17,
        ),
        (_edited(lambda plan: plan["changes"][1].pop("key")), "the field key is missing", 0, 5),
        (_edited(lambda plan: plan["changes"][1]["key"].update(name=None)), "null is not a string", 0, 17),
    ],
)
def test_a_file_that_is_no_plan_is_told_by_line_and_column(text: str, what: str, line: int, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_json.read(text, "saved.json")
    (problem,) = caught.value.problems
    assert problem.what == what
    assert problem.where is not None
    assert (problem.where.file, problem.where.column) == ("saved.json", column)
    if line:
        assert problem.where.line == line
    else:
        assert text.splitlines()[problem.where.line - 1][column - 1 :]


def test_a_plan_that_was_edited_is_not_the_reviewed_one() -> None:
    text = _edited(lambda plan: plan["changes"].pop())
    with pytest.raises(NotReviewed) as caught:
        plan_json.read(text)
    where = caught.value.problems[0].where
    assert where is not None
    assert text.splitlines()[where.line - 1].startswith('  "digest": "')


def test_a_place_is_found_by_its_path() -> None:
    text = '{\n "a": {"b": [1, {"c": "x"}]},\n "d": []\n}'
    assert position(text, ("a", "b", 1, "c"), "f") == Where("f", 2, 23)
    assert position(text, ("a", "b", 7, "c"), "f") == Where("f", 2, 13)
    assert position(text, ("d", 0), "f") == Where("f", 3, 7)
    assert position(text, ("none",), "f") == Where("f", 1, 1)


@pytest.mark.deep
def test_ten_thousand_changes_are_written_and_read_in_seconds() -> None:
    plan = plans.alike(10_000)
    assert plan_json.read(plan_json.render(plan)).digest == plan.digest
