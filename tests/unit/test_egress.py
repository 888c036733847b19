"""The egress section: its form, what can be wrong with it, and what it says of a host."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import Severity, Where
from reconciler.load import egress
from reconciler.load.egress import Egress, Layer, Verdict
from reconciler.model import SecretReference

SECTION: dict[str, Any] = {
    "allow": ["*.example.com"],
    "deny": ["metadata.example.com"],
    "tiers": {"basic": {"allow": ["api.example.com"]}},
    "customers": {"globex": {"deny": ["Old.Example.com."]}},
    "headers": [
        {"name": "Authorization", "hosts": ["api.example.com"], "secret": "API_TOKEN"},
        {"name": "X-Customer", "hosts": ["*.example.com"], "parameter": "customer"},
    ],
    "secrets": {"API_TOKEN": {"env": "EXAMPLE_TOKEN", "version": 2}},
    "log": "refused",
}


def place(*keys: str | int) -> Where:
    return Where("platform.yaml", 1 + len(keys), 1)


def problems(**changed: Any) -> list[str]:
    section = SECTION | changed
    Draft202012Validator(egress.SCHEMA).validate(section)
    found = egress.check(egress.read(section, place), tiers=["basic"], customers=["globex"])
    assert all(problem.where and problem.why and problem.fix for problem in found)
    return [problem.what for problem in found]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(egress.SCHEMA)


def test_a_sound_section_has_no_problem() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    "pattern", ["", "api.*", "*example.com", "https://a.b", "a.b:80", "a b", "*.*", "bücher.de", "*."]
)
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    assert problems(deny=[pattern]) == [f'"{pattern}" is not a host pattern']


def test_rules_for_the_unknown_are_said_with_what_is_near() -> None:
    section = egress.read({"tiers": {"baisc": {"allow": []}}, "customers": {"hooli": {}}}, place)
    customer, tier = sorted(egress.check(section, tiers=["basic"], customers=["globex"]), key=lambda one: one.what)
    assert (tier.what, tier.fix) == ('egress has rules for an unknown tier "baisc"', 'rename it to "basic"')
    assert (customer.what, customer.fix) == ('egress has rules for an unknown customer "hooli"', "take the rules out")


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ({"name": "Host", "secret": "API_TOKEN"}, 'header "Host" cannot be set'),
        ({"name": "a b", "secret": "API_TOKEN"}, 'header "a b" cannot be set'),
        ({"name": "X"}, "header X has no value"),
        ({"name": "X", "secret": "API_TOKEN", "parameter": "tier"}, "header X has two values"),
        ({"name": "X", "secret": "API_TOKNE"}, 'header X is set from an unknown secret "API_TOKNE"'),
    ],
)
def test_a_header_that_cannot_be_set_is_said(header: dict[str, str], what: str) -> None:
    assert what in problems(headers=[*SECTION["headers"], {"hosts": ["api.example.com"], **header}])


def test_a_secret_for_every_host_is_refused() -> None:
    everywhere = [SECTION["headers"][0] | {"hosts": ["*"]}]
    assert problems(headers=everywhere) == ["header Authorization would give the secret API_TOKEN to every host"]


def test_a_secret_cannot_have_the_name_of_a_parameter() -> None:
    secrets = SECTION["secrets"] | {"tier": {"env": "TIER"}}
    assert problems(secrets=secrets) == ['"tier" cannot be the name of a secret of egress']


def test_a_secret_that_no_header_uses_is_a_warning() -> None:
    section = egress.read(SECTION | {"headers": []}, place)
    (problem,) = egress.check(section, tiers=["basic"], customers=["globex"])
    assert problem.severity is Severity.WARNING
    assert section.secrets == {"API_TOKEN": SecretReference("EXAMPLE_TOKEN", 2)}


def test_the_module_is_the_same_for_the_same_rules_and_holds_no_secret() -> None:
    module = egress.module(egress.read(SECTION, place))
    assert module == egress.module(egress.read(dict(reversed(SECTION.items())), place))
    assert b"EXAMPLE_TOKEN" not in module
    assert b'"from": "API_TOKEN"' in module


@pytest.mark.parametrize(
    ("host", "tier", "customer", "verdict"),
    [
        ("www.example.com", "advanced", "initech", Verdict(True, 'allow "*.example.com" of the platform')),
        ("example.com", "advanced", "initech", Verdict(False, "not in allow of the platform")),
        ("www.example.com", "basic", "initech", Verdict(False, "not in allow of tier basic")),
        ("API.example.com.", "basic", "initech", Verdict(True, 'allow "api.example.com" of tier basic')),
        ("metadata.example.com", "basic", "globex", Verdict(False, 'deny "metadata.example.com" of the platform')),
        ("old.example.com", "advanced", "globex", Verdict(False, 'deny "old.example.com" of customer globex')),
    ],
)
def test_denies_add_up_and_the_most_specific_allow_counts(
    host: str, tier: str, customer: str, verdict: Verdict
) -> None:
    assert egress.decide(egress.read(SECTION, place), host, tier=tier, customer=customer) == verdict


def test_without_any_rule_every_host_is_allowed() -> None:
    assert egress.decide(Egress(), "any.example", tier="basic", customer="globex").allowed
    closed = Egress(Layer(allow=()))
    assert not egress.decide(closed, "any.example", tier="basic", customer="globex").allowed
