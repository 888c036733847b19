"""Each message that the validator can give stands in an expected.txt, so that we see it before users do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.load import schema
from tests.cases.messages import messages

TOLD = "\n".join(file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*/expected.txt")))

# No repository that a case can hold brings these about.
NOT_OF_A_CASE = {
    "script … is not there any more": "the files change between planning and sending",
    "… has changed since the plan was made": "the same; tests/scenarios/test_changes.py has it",
    "what would be sent now is not what the plan shows": "the same",
    "run again: the next plan shows it as it is": "the same",
    "the folder cannot be read": "the tests may run as root, whom no folder refuses",
    "the system refuses it": "the same",
    "script … would be refused: …": "the API refuses nothing that the validator lets through, as far as we know",
    "there are … assets": "100,001 files take longer to make than all other cases together",
    "name a smaller folder, or leave some out in …": "the same",
    "it is required": "every field of ours has a description, and that is told instead",
    "outbound Worker … has an unknown parameter \"…\"": "the schema says it before",
    "the dispatcher can tell: …": "the same",
    "the dispatcher has no page \"…\"": "the same",
    "the pages are: …": "the same",
    "name one of these": "the same",
}  # fmt: skip


def test_every_message_stands_in_a_case() -> None:
    found = list(messages())
    assert len(found) > 300  # the syntax is still read
    missing = [f"{one.module}: {one.part}: {one.text}" for one in found if not one.line.search(TOLD)]
    assert [one for one in missing if one.split(": ", 2)[2] not in NOT_OF_A_CASE] == []


def test_no_exception_has_become_needless() -> None:
    missing = {one.text for one in messages() if not one.line.search(TOLD)}
    assert NOT_OF_A_CASE.keys() <= missing


def test_every_rule_of_the_schemas_stands_in_a_case() -> None:
    rules = {*_rules(schema.platform()), *_rules(schema.customer())}
    assert sorted(rule for rule in rules if rule not in TOLD) == []


def _rules(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "errorMessage" in value:
            yield value["errorMessage"]
        for one in value.values():
            yield from _rules(one)
    elif isinstance(value, list):
        for one in value:
            yield from _rules(one)
