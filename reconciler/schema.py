"""The JSON Schemas of platform.yaml and customer.yaml, from which editors teach the format and the loader checks it.

Law: what the committed files in schemas/ say is what this module says (tests/unit/test_schema.py). To add a key: one
line below; its description is its documentation, and `errorMessage` is the rule as editor and loader tell it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from reconciler import egress
from reconciler.bindings import KINDS
from reconciler.routing import PAGES, PARAMETERS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCRIPT_NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"
WORKER_NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"
TIER_NAME = "^(?!rcn-)[a-z0-9][a-z0-9-]{0,47}$"
VARIABLE_NAME = "^[A-Za-z_$][A-Za-z0-9_$]{0,127}$"
TAG = "^(?!rcn-)[^,&:\\u0000-\\u0020\\u007f]{1,63}$"


def files() -> dict[str, str]:
    """The schema files by name, as they are committed."""
    schemas = {"platform.schema.json": platform(), "customer.schema.json": customer()}
    return {name: json.dumps(one, indent=2, ensure_ascii=False) + "\n" for name, one in schemas.items()}


@cache
def platform() -> Schema:
    properties = _platform_properties()
    overlay = _without_required({name: one for name, one in properties.items() if name != "platform"})
    environments = _names(
        _object("Keys of this file, with the values that hold in this environment.", overlay),
        "Environments, chosen with --env. Each overlays any key above: maps merge, lists replace, null takes away.",
        TIER_NAME,
        examples=[{"staging": {"namespace": "acme-staging"}}],
    )
    return _root(
        "platform.yaml",
        "A platform on Cloudflare Workers for Platforms: its namespace, its terms, and what stands around the code.",
        {**properties, "environments": environments},
        ["platform", "namespace", "prune"],
    )


@cache
def customer() -> Schema:
    script = _object(
        "One script in the namespace.",
        {
            "main": _path("The main module, relative to this customer's folder.", "shop.mjs"),
            "modules": _list(
                _text("A path, or a pattern with * and **, relative to this customer's folder.", "lib/**/*.mjs"),
                "Further modules to upload. Their names are relative to the folder of `main`.",
            ),
            "hostnames": _list(_text("A hostname.", "shop.globex.com"), "Hostnames that lead to this script."),
            "protect": _boolean("Refuse to delete the live script, also after this file is gone."),
            "assets": _assets(),
            "previously": _list(
                _named(SCRIPT_NAME, _SCRIPT_RULE, "A name.", "globex-store"),
                "Names that this script had: the new one is made, routes switch, the old one is deleted.",
            ),
            **_layer(),
        },
    )
    properties = {
        "name": _text("The customer's name, for people.", "Globex Corporation"),
        "tier": _named(TIER_NAME, _TIER_RULE, "The customer's tier, one of platform.yaml's `tiers`.", "advanced"),
        "suspended": _boolean("The dispatcher answers 403 for this customer; nothing is deleted."),
        **_layer(),
        "scripts": _names(script, "The customer's scripts by their names in the namespace.", SCRIPT_NAME, _SCRIPT_RULE),
    }
    description = "One customer: who, on what terms, and which scripts. Its id is the name of its folder."
    return _root("customer.yaml", description, properties, ["scripts"])


_SCRIPT_RULE = "a script's name has 1 to 63 small letters, digits, - and _, and begins with a letter or a digit"
_WORKER_RULE = "a Worker's name has 1 to 63 small letters, digits, - and _, and begins with a letter or a digit"
_TIER_RULE = "a name has 1 to 48 small letters, digits and -, begins with a letter or a digit, and not with rcn-"
_VARIABLE_RULE = "the code finds it as env.NAME: 1 to 128 letters, digits, _ and $, the first no digit"
_TAG_RULE = "a tag has 1 to 63 characters without spaces, commas, & and :, and does not begin with rcn-"
_DATE_RULE = "a date is written as in 2026-11-01"


def _platform_properties() -> Schema:
    return {
        "platform": _named(
            "^(?!protect$)[a-z0-9-]{1,24}$",
            "a platform's id has 1 to 24 small letters, digits and -, and is not protect, which is a mark of ours",
            "The platform's id: it marks what is ours in the namespace, so it does not change.",
            "acme",
        ),
        "account_id": _named(
            "^[0-9a-f]{32}$",
            "an account's id has 32 hexadecimal digits; quote it when they are all decimal",
            "The Cloudflare account. Left out, CLOUDFLARE_ACCOUNT_ID tells it.",
            "0123456789abcdef0123456789abcdef",
        ),
        "namespace": _named(
            "^[a-z0-9][a-z0-9_-]{0,62}$",
            _WORKER_RULE.replace("Worker", "namespace"),
            "The dispatch namespace.",
            "acme-production",
        ),
        "trusted": _boolean("Trusted mode of the namespace: scripts share a cache and see request.cf."),
        "defaults": _object(
            "What holds for every script, unless its tier, customer or itself says otherwise.", _layer()
        ),
        "platform_modules": _names(
            _path("A file of the platform.", "platform/platform_module.mjs"),
            "Modules that are uploaded with every script, under these names beside its main module.",
            "^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$",
            "a module's name has letters, digits, _ . / and -",
        ),
        "outbound_workers": _names(
            _object("An outbound Worker.", {**_ordinary(), "parameters": _parameters()}, ["main"]),
            "Workers that every fetch of a script on these terms passes through.",
            WORKER_NAME,
            _WORKER_RULE,
        ),
        "egress": egress.SCHEMA,
        "tail_workers": _names(
            _object("A tail Worker.", _ordinary(), ["main"]),
            "Workers that get the trace events of the dispatcher and of every script.",
            WORKER_NAME,
            _WORKER_RULE,
        ),
        "tiers": _names(
            _object("What holds for the customers of this tier.", _layer()),
            "Price levels by name. A tier goes over `defaults`, a customer over its tier.",
            TIER_NAME,
            _TIER_RULE,
        ),
        "dispatcher": _dispatcher(),
        "prune": _boolean("Delete what left this repository. false: report it and never delete."),
        "safety": _safety(),
        "expected_drift": _list(
            _object(
                "Drift that is known.",
                {"names": _list(_text("A script's name."), "Names of scripts."), **_until()},
                ["names", "reason", "expires"],
            ),
            "Scripts whose drift is not reported, until a day.",
        ),
        "self_service": _list(
            _text("A key of customer.yaml; * stands for any name.", "scripts.*.vars"),
            "What a customer's own people may set; anything else needs an owner of the platform.",
        ),
    }


def _shared() -> Schema:
    """What several sections hold, defined once."""
    return {**_settings(), "binding": _binding(), **_kinds()}


def _kinds() -> Schema:
    return {f"binding_{kind}": {"type": "object", **KINDS[kind].schema()} for kind in sorted(KINDS)}


def _references(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/$defs/{name}"} for name in names}


def _layer() -> Schema:
    """The keys that may stand at any layer: defaults, tier, customer, script."""
    return {
        **_references(_settings()),
        "tags": _list(
            _named(TAG, _TAG_RULE, "A tag.", "eu"),
            "Tags, added to those of the layers below. Cloudflare takes eight a script, and three to five are ours.",
            uniqueItems=True,
        ),
        "outbound_worker": {
            "type": ["string", "null"],
            "description": "The outbound Worker that every fetch passes through; null for none.",
            "examples": ["egress-guard"],
        },
        "usage_model": {"enum": ["standard", "bundled", "unbound"], "description": "How usage is billed."},
    }


def _settings() -> Schema:
    """The keys of every Worker, user Worker or ordinary."""
    return {
        "compatibility_date": _date("The runtime's behaviour is that of this day."),
        "compatibility_flags": _list(_text("A flag.", "nodejs_compat"), "Compatibility flags.", uniqueItems=True),
        "limits": _nullable(
            _object(
                "The most that one request may take. null lifts a limit that a lower layer set.",
                {
                    "cpu_ms": _whole("Milliseconds of CPU time.", 1, 900_000, 50),
                    "subrequests": _whole("Fetches and calls to other services.", 0, 10_000_000, 50),
                },
            )
        ),
        "observability": _nullable(_observability()),
        "logpush": _nullable(_boolean("Send trace events to the account's Logpush jobs.")),
        "tail_consumers": _list(
            _object(
                "A Worker that gets trace events.",
                {
                    "service": _text("Its name."),
                    "environment": _text("Its environment."),
                    "namespace": _text("The dispatch namespace that it is in."),
                },
                ["service"],
            ),
            "Tail Workers.",
        ),
        "placement": _nullable(_placement()),
        "cache_options": _nullable(
            _object(
                "Caching in front of the Worker.",
                {
                    "enabled": _boolean("Whether it is on."),
                    "cross_version_cache": _boolean("Whether versions share their cache."),
                },
            )
        ),
        "vars": _nullable(
            _names(
                {"description": "Text, or any JSON value, which the code gets as it is."},
                "Variables: env.NAME in the code. Not for secrets.",
                VARIABLE_NAME,
                _VARIABLE_RULE,
                examples=[{"GREETING": "hello", "LIMITS": {"items": 20}}],
            )
        ),
        "secrets": _nullable(
            _names(
                _secret(),
                "Secrets: references to values, never values.",
                VARIABLE_NAME,
                _VARIABLE_RULE,
                examples=[{"API_KEY": {"env": "GLOBEX_API_KEY", "version": 2}}],
            )
        ),
        "bindings": _nullable(
            _names(
                {"$ref": "#/$defs/binding"},
                "Bindings to Cloudflare's resources: env.NAME in the code.",
                VARIABLE_NAME,
                _VARIABLE_RULE,
                examples=[{"CACHE": {"type": "kv_namespace", "namespace_id": "0f2ac74b"}}],
            )
        ),
    }


def _ordinary() -> Schema:
    """The keys of a Worker that the platform itself runs."""
    return {
        "main": _path("The main module, relative to the repository.", "platform/egress-guard.mjs"),
        "modules": _list(_text("A path, or a pattern with * and **.", "platform/lib/*.mjs"), "Further modules."),
        **_references(_settings()),
    }


def _parameters() -> Schema:
    one = {"enum": list(PARAMETERS), "description": "What the dispatcher tells it about a request."}
    return _list(one, "Told by the dispatcher at each request; the Worker sees env.<name>.", uniqueItems=True)


def _dispatcher() -> Schema:
    route = _object(
        "A route of a zone.",
        {
            "pattern": _text("Its pattern.", "*.acme.app/*"),
            "zone": _text("The zone's name.", "acme.app"),
        },
        ["pattern", "zone"],
    )
    pages = {name: _path(f"An HTML file instead of the {status} answer.") for name, status in PAGES.items()}
    return _object(
        "The Worker that leads requests to scripts.",
        {
            "name": _named(WORKER_NAME, _WORKER_RULE, "The Worker's name.", "acme-dispatcher"),
            **_ordinary(),
            "main": _path("Your own dispatcher; left out, the one that ships here.", "platform/dispatcher.mjs"),
            "hostname": _text("The hostname of every script, with {script} or {customer} in it.", "{script}.acme.app"),
            "path": _text("The path of every script, with {script} or {customer} in it.", "/dispatch/{script}"),
            "routes": _list(route, "Routes of zones that lead to the dispatcher."),
            "custom_domains": _list(_text("A hostname.", "acme.app"), "Custom domains of the dispatcher."),
            "workers_dev": _boolean("Reachable under the account's workers.dev subdomain."),
            "table": {
                "enum": ["bundle", "kv"],
                "description": "Where the routing table lives: kv (Workers KV) is for very many routes.",
            },
            "pages": _object("Your own pages for the answers that the dispatcher gives by itself.", pages),
        },
        ["name"],
    )


def _safety() -> Schema:
    percent = _whole("Percent of our live scripts; at least one script may always go.", 0, 100, 20)
    approval = _object(
        "Permission to delete by name, past caps and protection.",
        {"delete": _list(_text("A script's name."), "Names of scripts.", minItems=1), **_until()},
        ["delete", "reason", "expires"],
    )
    return _object(
        "Guards against deleting too much.",
        {
            "max_deletes": _object(
                "The most that one run may delete; both hold.",
                {"count": _whole("Scripts.", 0, 1_000_000, 25), "percent": percent},
            ),
            "max_deletes_per_customer": _object(
                "The most that one run may delete of a customer.", {"percent": percent}
            ),
            "approvals": _list(approval, "Named, expiring permission to go past a cap or a protection."),
        },
    )


def _until() -> Schema:
    return {"reason": _text("Why.", "customer left, ticket 4711"), "expires": _date("The last day that it holds.")}


def _assets() -> Schema:
    return _object(
        "Static files that are served with the script.",
        {
            "directory": _path("Their folder, relative to this customer's.", "public"),
            "binding": _named(VARIABLE_NAME, _VARIABLE_RULE, "env.NAME for code that serves them itself.", "ASSETS"),
            "html_handling": {
                "enum": ["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"],
                "description": "How paths without .html find their file.",
            },
            "not_found_handling": {
                "enum": ["none", "404-page", "single-page-application"],
                "description": "What a path without a file is answered with.",
            },
            "run_worker_first": {
                "type": ["boolean", "array"],
                "items": _text("A path pattern.", "/api/*"),
                "description": "Whether, or for which paths, the code goes before the files.",
            },
        },
        ["directory"],
    )


def _secret() -> Schema:
    return _object(
        "Where a secret's value is found when it is sent.",
        {
            "env": _named(
                "^[A-Za-z_][A-Za-z0-9_]*$",
                "an environment variable's name has letters, digits and _",
                "The environment variable that holds the value.",
                "GLOBEX_API_KEY",
            ),
            "version": _whole("Raise it to send the value anew.", 1, 1_000_000_000, 2),
        },
        ["env"],
    )


def _binding() -> Schema:
    return {
        "type": "object",
        "description": "A binding; its `type` says which fields it has.",
        "properties": {"type": {"enum": sorted(KINDS), "description": "The kind of binding."}},
        "required": ["type"],
        "allOf": [
            {
                "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
                "then": {"$ref": f"#/$defs/binding_{kind}"},
            }
            for kind in sorted(KINDS)
        ],
    }


def _observability() -> Schema:
    sampling = {"type": "number", "minimum": 0, "maximum": 1, "description": "The share of requests that is kept."}
    shared = {
        "enabled": _boolean("Whether it is on."),
        "head_sampling_rate": sampling,
        "persist": _boolean("Keep them in Cloudflare's own store."),
        "destinations": _list(_text("A destination's name."), "Where else they go."),
    }
    return _object(
        "Logs and traces of Workers Observability.",
        {
            "enabled": _boolean("Whether it is on."),
            "head_sampling_rate": sampling,
            "logs": _object("Logs.", {**shared, "invocation_logs": _boolean("A line for every request.")}),
            "traces": _object("Traces.", {**shared, "propagation_policy": _text("How trace headers travel.")}),
            "issues": _object("Issues.", {"enabled": _boolean("Whether it is on.")}),
            "redact_query_string": _boolean("Leave query strings out."),
        },
    )


def _placement() -> Schema:
    return _object(
        "Where the Worker runs.",
        {
            "mode": {"enum": ["smart", "targeted"], "description": "Smart, or near a target."},
            "region": _text("Near a cloud region.", "aws:eu-central-1"),
            "hostname": _text("Near a host."),
            "host": _text("Near a host and port."),
            "target": _list(
                _object(
                    "A target.",
                    {
                        "region": _text("A cloud region."),
                        "hostname": _text("A host."),
                        "host": _text("A host and port."),
                    },
                ),
                "Near any of these.",
            ),
        },
        ["mode"],
    )


def _root(title: str, description: str, properties: Schema, required: list[str]) -> Schema:
    editor = {"type": "string", "description": "This schema, for editors that look for it here."}
    return {
        "$schema": DIALECT,
        "title": title,
        **_object(description, {"$schema": editor, **properties}, required),
        "patternProperties": {"^x-": {"description": "Anything: a place for values that &anchors share."}},
        "$defs": _shared(),
    }


def _object(description: str, properties: Schema, required: list[str] | None = None) -> Schema:
    schema = {"type": "object", "description": description, "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _names(value: Schema, description: str, pattern: str, rule: str = _TIER_RULE, **more: Any) -> Schema:
    names = {"pattern": pattern, "errorMessage": rule}
    return {"type": "object", "description": description, "propertyNames": names, "additionalProperties": value, **more}


def _list(items: Schema, description: str, **more: Any) -> Schema:
    return {"type": "array", "description": description, "items": items, **more}


def _text(description: str, *examples: str) -> Schema:
    schema = {"type": "string", "minLength": 1, "description": description}
    return {**schema, "examples": list(examples)} if examples else schema


def _path(description: str, *examples: str) -> Schema:
    return _text(description, *examples)


def _named(pattern: str, rule: str, description: str, *examples: str) -> Schema:
    return {**_text(description, *examples), "pattern": pattern, "errorMessage": rule}


def _date(description: str) -> Schema:
    return _named("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", _DATE_RULE, description, "2026-11-01")


def _boolean(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _whole(description: str, minimum: int, maximum: int, example: int) -> Schema:
    return {
        "type": ["integer", "null"],
        "minimum": minimum,
        "maximum": maximum,
        "description": description,
        "examples": [example],
    }


def _nullable(schema: Schema) -> Schema:
    """null takes away what a lower layer set."""
    return {**schema, "type": [schema["type"], "null"]}


def _without_required(schema: Any) -> Any:
    """A schema for a part of what it describes: an overlay need not say everything again.

    Bindings keep theirs, since an overlay replaces them whole; so do lists' items.
    """
    if not isinstance(schema, dict):
        return schema
    kept = {key: one for key, one in schema.items() if key != "required" or "allOf" in schema}
    return {key: one if key in ("allOf", "items") else _without_required(one) for key, one in kept.items()}
