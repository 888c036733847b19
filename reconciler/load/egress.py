"""The `egress` section of platform.yaml: which hosts user Workers may fetch from, and with which headers.

It configures the outbound Worker that ships with the reconciler (workers/egress.mjs), which imports the rules as a
module compiled here. Denies of all layers add up and win; of allows, those of the most specific layer that states
any count: customer, then tier, then platform.

Law: `decide` answers as the Worker does (tests/e2e/test_egress.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.errors import Problem, Severity, Where
from reconciler.model import SecretReference
from reconciler.names import did_you_mean

MODULE_NAME = "egress_rules.mjs"
PARAMETERS = ("customer", "tier", "script", "trace")  # what the dispatcher tells it of each request

_HOST = {
    "type": "string",
    "description": 'A host: "api.example.com", "*.example.com" for every host below it, or "*" for all.',
}
_LAYER: dict[str, Any] = {
    "allow": {
        "type": "array",
        "items": _HOST,
        "description": "Hosts that may be fetched from. Replaces the allow of the less specific layers.",
    },
    "deny": {
        "type": "array",
        "items": _HOST,
        "description": "Hosts that are refused, whatever any layer allows.",
    },
}
_LAYERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "object", "properties": _LAYER, "additionalProperties": False},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Rules of the default outbound Worker, which `outbound_worker: default` selects.",
    "properties": {
        **_LAYER,
        "tiers": {**_LAYERS, "description": "Rules by tier."},
        "customers": {**_LAYERS, "description": "Rules by customer id."},
        "headers": {
            "type": "array",
            "description": "Headers that the platform sets on requests to some hosts, over https only.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "The header's name. It replaces what a script set."},
                    "hosts": {
                        "type": "array",
                        "items": _HOST,
                        "minItems": 1,
                        "description": 'The hosts that get it; "*" is refused.',
                    },
                    "secret": {"type": "string", "description": "A name of `secrets`: the value of the header."},
                    "parameter": {
                        "enum": list(PARAMETERS),
                        "description": "Instead of a secret: what is known of the calling script.",
                    },
                },
                "required": ["name", "hosts"],
                "additionalProperties": False,
            },
        },
        "secrets": {
            "type": "object",
            "description": "Secrets of the outbound Worker. User Workers never see them.",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "env": {"type": "string", "description": "The environment variable that holds the value."},
                    "version": {"type": "integer", "minimum": 1, "description": "Bump it to send the value anew."},
                },
                "required": ["env"],
                "additionalProperties": False,
            },
        },
        "log": {
            "enum": ["all", "refused", "none"],
            "description": "Which requests are logged, one JSON line each. By default all.",
        },
    },
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Layer:
    """The rules of the platform, of a tier or of a customer."""

    allow: tuple[str, ...] | None = None  # None: says nothing, the next layer does
    deny: tuple[str, ...] = ()
    allow_where: Where | None = None
    deny_where: Where | None = None


@dataclass(frozen=True)
class Header:
    """A header that is set on requests to some hosts: a secret, or a parameter of the request."""

    name: str
    hosts: tuple[str, ...]
    secret: str = ""
    parameter: str = ""
    where: Where | None = None


@dataclass(frozen=True)
class Egress:
    """The section as values."""

    platform: Layer = Layer()
    tiers: Mapping[str, Layer] = field(default_factory=dict)
    customers: Mapping[str, Layer] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    log: str = "all"
    where: Where | None = None
    places: Mapping[str, Where | None] = field(default_factory=dict)  # of the secrets


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a host may be fetched from, and the rule that says so."""

    allowed: bool
    rule: str


Place = Callable[..., Where | None]  # the keys and indexes below `egress` -> where that stands


def read(section: Mapping[str, Any], place: Place) -> Egress:
    """The section as values. It must have passed SCHEMA."""
    return Egress(
        _layer(section, place),
        {name: _layer(one, place, "tiers", name) for name, one in section.get("tiers", {}).items()},
        {name: _layer(one, place, "customers", name) for name, one in section.get("customers", {}).items()},
        tuple(
            Header(
                one["name"],
                tuple(one["hosts"]),
                one.get("secret", ""),
                one.get("parameter", ""),
                place("headers", position),
            )
            for position, one in enumerate(section.get("headers", []))
        ),
        {name: SecretReference(one["env"], one.get("version", 1)) for name, one in section.get("secrets", {}).items()},
        section.get("log", "all"),
        place(),
        {name: place("secrets", name) for name in section.get("secrets", {})},
    )


def check(egress: Egress, *, tiers: Collection[str], customers: Collection[str]) -> list[Problem]:
    """What is wrong with the rules beyond their form."""
    problems = [
        *_pattern_problems(egress),
        *_unknown("tier", egress.tiers, tiers, egress.where),
        *_unknown("customer", egress.customers, customers, egress.where),
        *(problem for header in egress.headers for problem in _header_problems(header, egress)),
        *_secret_problems(egress),
    ]
    return sorted(problems, key=lambda problem: problem.order)


def module(egress: Egress) -> bytes:
    """The ES module that the outbound Worker imports. Secrets stand in it by name."""
    rules = {
        "log": egress.log,
        "platform": {"allow": ["*"], **_rules(egress.platform)},
        "tiers": {name: _rules(layer) for name, layer in egress.tiers.items()},
        "customers": {name: _rules(layer) for name, layer in egress.customers.items()},
        "headers": [
            {"name": one.name.lower(), "hosts": list(_normal(one.hosts)), "from": one.secret or one.parameter}
            for one in egress.headers
        ],
    }
    return f"export default {json.dumps(rules, sort_keys=True, indent=1)};\n".encode()


def decide(egress: Egress, host: str, *, tier: str, customer: str) -> Verdict:
    """What becomes of a fetch. The same as the outbound Worker, for `explain` and for tests."""
    host = host.lower().rstrip(".")
    layers = [
        (f"customer {customer}", egress.customers.get(customer, Layer())),
        (f"tier {tier}", egress.tiers.get(tier, Layer())),
        ("the platform", egress.platform),
    ]
    for whose, layer in layers:
        for pattern in _normal(layer.deny):
            if fits(pattern, host):
                return Verdict(False, f'deny "{pattern}" of {whose}')
    stated = [(whose, layer.allow) for whose, layer in layers if layer.allow is not None]
    whose, allow = stated[0] if stated else ("the platform", ("*",))
    for pattern in _normal(allow):
        if fits(pattern, host):
            return Verdict(True, f'allow "{pattern}" of {whose}')
    return Verdict(False, f"not in allow of {whose}")


def fits(pattern: str, host: str) -> bool:
    """`*.example.com` stands for every host below example.com, and not for example.com itself."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern in ("*", host)


_PATTERN = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_BINDING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The runtime sets these itself, or they say where the message ends.
_REFUSED_HEADERS = {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}


def _layer(section: Mapping[str, Any], place: Place, *keys: str) -> Layer:
    allow = section.get("allow")
    return Layer(
        None if allow is None else tuple(allow),
        tuple(section.get("deny", ())),
        place(*keys, "allow"),
        place(*keys, "deny"),
    )


def _rules(layer: Layer) -> dict[str, list[str]]:
    allow = {} if layer.allow is None else {"allow": list(_normal(layer.allow))}
    return allow | ({"deny": list(_normal(layer.deny))} if layer.deny else {})


def _normal(patterns: tuple[str, ...]) -> Iterator[str]:
    """As hosts come: in small letters, with no dot at the end."""
    return (pattern.lower().removesuffix(".") for pattern in patterns)


def _pattern_problems(egress: Egress) -> Iterator[Problem]:
    layers = [egress.platform, *egress.tiers.values(), *egress.customers.values()]
    lists = [(layer.allow or (), layer.allow_where) for layer in layers]
    lists += [(layer.deny, layer.deny_where) for layer in layers]
    lists += [(header.hosts, header.where) for header in egress.headers]
    for patterns, where in lists:
        for pattern in patterns:
            if not _PATTERN.fullmatch(pattern.lower()):
                yield Problem(
                    f'"{pattern}" is not a host pattern',
                    where,
                    why='a pattern is a host in ASCII, "*." and a host, or "*"; no port, scheme or path',
                    fix='write it as in "api.example.com" or "*.example.com"',
                    code="egress-pattern",
                )


def _unknown(kind: str, named: Mapping[str, Layer], known: Collection[str], where: Where | None) -> Iterator[Problem]:
    for name, layer in named.items():
        if name in known:
            continue
        near = did_you_mean(name, known)
        yield Problem(
            f'egress has rules for an unknown {kind} "{name}"',
            layer.allow_where or layer.deny_where or where,
            why=f"no {kind} has this name, so the rules would never be used",
            fix=f'rename it to "{near}"' if near else "take the rules out",
            code=f"egress-{kind}",
        )


def _header_problems(header: Header, egress: Egress) -> Iterator[Problem]:
    name = header.name.lower()
    if not _HEADER_NAME.fullmatch(name) or name in _REFUSED_HEADERS:
        yield Problem(
            f'header "{header.name}" cannot be set',
            header.where,
            why="a header's name has letters, digits and hyphens, and headers of the connection belong to the runtime",
            fix="name another header",
            code="egress-header",
        )
    if bool(header.secret) == bool(header.parameter):
        yield Problem(
            f"header {header.name} has {'two values' if header.secret else 'no value'}",
            header.where,
            why="a header is set from a secret or from a parameter of the request",
            fix="state one of `secret` and `parameter`",
            code="egress-header",
        )
    if header.secret and header.secret not in egress.secrets:
        near = did_you_mean(header.secret, egress.secrets)
        yield Problem(
            f'header {header.name} is set from an unknown secret "{header.secret}"',
            header.where,
            why="the secrets of egress are declared under `egress.secrets`",
            fix=f'rename it to "{near}"' if near else "declare it there, as {env: NAME_OF_VARIABLE}",
            code="egress-secret",
        )
    if header.secret and "*" in header.hosts:
        yield Problem(
            f"header {header.name} would give the secret {header.secret} to every host",
            header.where,
            why="a script chooses the hosts it fetches from, its own included",
            fix="name the hosts that the secret is for",
            code="egress-header",
        )


def _secret_problems(egress: Egress) -> Iterator[Problem]:
    used = {header.secret for header in egress.headers}
    for name in egress.secrets:
        if not _BINDING_NAME.fullmatch(name) or name in PARAMETERS:
            yield Problem(
                f'"{name}" cannot be the name of a secret of egress',
                egress.places.get(name, egress.where),
                why=f"it has letters, digits and _, and is none of {', '.join(PARAMETERS)}",
                fix="rename it",
                code="egress-secret",
            )
        elif name not in used:
            yield Problem(
                f"secret {name} of egress is used by no header",
                egress.places.get(name, egress.where),
                why="it would be sent to Cloudflare for nothing",
                fix="take it out, or name it in a header",
                code="egress-secret",
                severity=Severity.WARNING,
            )
