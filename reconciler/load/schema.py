"""The JSON Schemas of platform.yaml and customer.yaml, from which editors teach the format and the loader checks it.

Law: what the committed files in schemas/ say is what this module says (tests/unit/test_schema.py). To add a key: one
line below; its description is its documentation, and `errorMessage` is the rule as editor and loader tell it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from reconciler.load import egress
from reconciler.load.schema_words import (
    TIER_NAME,
    TIER_RULE,
    boolean,
    date,
    list_of,
    map_of,
    named,
    names_of,
    path,
    text,
    whole,
)
from reconciler.load.schema_worker import TAG, VARIABLE_NAME, VARIABLE_RULE, layer, ordinary, parameters, shared
from reconciler.routing import PAGES

__all__ = [
    "ACCOUNT_ID",
    "PLATFORM_ID",
    "SCRIPT_NAME",
    "TAG",
    "TIER_NAME",
    "VARIABLE_NAME",
    "WORKER_NAME",
    "customer",
    "files",
    "platform",
]

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

PLATFORM_ID = "^(?!protect$)[a-z0-9-]{1,24}$"
ACCOUNT_ID = "^[0-9a-f]{32}$"
SCRIPT_NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"
WORKER_NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"


def files() -> dict[str, str]:
    """The schema files by name, as they are committed."""
    schemas = {"platform.schema.json": platform(), "customer.schema.json": customer()}
    return {name: json.dumps(one, indent=2, ensure_ascii=False) + "\n" for name, one in schemas.items()}


@cache
def platform() -> Schema:
    properties = _platform_properties()
    overlay = _without_required({name: one for name, one in properties.items() if name != "platform"})
    environments = names_of(
        map_of("Keys of this file, with the values that hold in this environment.", overlay),
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
    script = map_of(
        "One script in the namespace.",
        {
            "main": path("The main module, relative to this customer's folder.", "shop.mjs"),
            "modules": list_of(
                text("A path, or a pattern with * and **, relative to this customer's folder.", "lib/**/*.mjs"),
                "Further modules to upload. Their names are relative to the folder of `main`.",
            ),
            "hostnames": list_of(text("A hostname.", "shop.globex.com"), "Hostnames that lead to this script."),
            "protect": boolean("Refuse to delete the live script, also after this file is gone."),
            "assets": _assets(),
            "tests": list_of(
                _test(), "Requests that a preflight makes, and what has to come back. They are not uploaded."
            ),
            "previously": list_of(
                named(SCRIPT_NAME, _SCRIPT_RULE, "A name.", "globex-store"),
                "Names that this script had: the new one is made, routes switch, the old one is deleted.",
            ),
            **layer(),
        },
    )
    properties = {
        "name": text("The customer's name, for people.", "Globex Corporation"),
        "tier": named(TIER_NAME, TIER_RULE, "The customer's tier, one of platform.yaml's `tiers`.", "advanced"),
        "suspended": boolean("The dispatcher answers 403 for this customer; nothing is deleted."),
        **layer(),
        "scripts": names_of(
            script, "The customer's scripts by their names in the namespace.", SCRIPT_NAME, _SCRIPT_RULE
        ),
    }
    description = "One customer: who, on what terms, and which scripts. Its id is the name of its folder."
    return _root("customer.yaml", description, properties, ["scripts"])


_SCRIPT_RULE = "a script's name has 1 to 63 small letters, digits, - and _, and begins with a letter or a digit"
_WORKER_RULE = "a Worker's name has 1 to 63 small letters, digits, - and _, and begins with a letter or a digit"


def _platform_properties() -> Schema:
    return {
        "platform": named(
            PLATFORM_ID,
            "a platform's id has 1 to 24 small letters, digits and -, and is not protect, which is a mark of ours",
            "The platform's id: it marks what is ours in the namespace, so it does not change.",
            "acme",
        ),
        "account_id": named(
            ACCOUNT_ID,
            "an account's id has 32 hexadecimal digits; quote it when they are all decimal",
            "The Cloudflare account. Left out, CLOUDFLARE_ACCOUNT_ID tells it.",
            "0123456789abcdef0123456789abcdef",
        ),
        "namespace": named(
            "^[a-z0-9][a-z0-9_-]{0,62}$",
            _WORKER_RULE.replace("Worker", "namespace"),
            "The dispatch namespace.",
            "acme-production",
        ),
        "trusted": boolean("Trusted mode of the namespace: scripts share a cache and see request.cf."),
        "defaults": map_of("What holds for every script, unless its tier, customer or itself says otherwise.", layer()),
        "platform_modules": names_of(
            path("A file of the platform.", "platform/platform_module.mjs"),
            "Modules that are uploaded with every script, under these names beside its main module.",
            "^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$",
            "a module's name has letters, digits, _ . / and -",
        ),
        "outbound_workers": names_of(
            map_of("An outbound Worker.", {**ordinary(), "parameters": parameters()}, ["main"]),
            "Workers that every fetch of a script on these terms passes through.",
            WORKER_NAME,
            _WORKER_RULE,
        ),
        "egress": egress.SCHEMA,
        "tail_workers": _tail_workers(),
        "tiers": names_of(
            map_of("What holds for the customers of this tier.", layer()),
            "Price levels by name. A tier goes over `defaults`, a customer over its tier.",
            TIER_NAME,
            TIER_RULE,
        ),
        "dispatcher": _dispatcher(),
        "prune": boolean("Delete what left this repository. false: report it and never delete."),
        "safety": _safety(),
        "expected_drift": _expected_drift(),
        "self_service": list_of(
            text("A key of customer.yaml; * stands for any name.", "scripts.*.vars"),
            "What a customer's own people may set; anything else needs an owner of the platform.",
        ),
    }


def _tail_workers() -> Schema:
    return names_of(
        map_of(
            "A tail Worker.",
            {
                **ordinary(),
                "main": path("Its main module; left out, the sample that ships here.", "platform/tail.mjs"),
            },
        ),
        "Workers that get the trace events of the dispatcher and of every script that it calls. The dispatcher "
        "names all of them, unless it has `tail_consumers` of its own.",
        WORKER_NAME,
        _WORKER_RULE,
    )


def _dispatcher() -> Schema:
    route = map_of(
        "A route of a zone.",
        {
            "pattern": text("Its pattern.", "*.acme.app/*"),
            "zone": text("The zone's name.", "acme.app"),
        },
        ["pattern", "zone"],
    )
    pages = {name: path(f"An HTML file instead of the {status} answer.") for name, status in PAGES.items()}
    return map_of(
        "The Worker that leads requests to scripts.",
        {
            "name": named(WORKER_NAME, _WORKER_RULE, "The Worker's name.", "acme-dispatcher"),
            **ordinary(),
            "main": path("Your own dispatcher; left out, the one that ships here.", "platform/dispatcher.mjs"),
            "hostname": text("The hostname of every script, with {script} or {customer} in it.", "{script}.acme.app"),
            "path": text("The path of every script, with {script} or {customer} in it.", "/dispatch/{script}"),
            "routes": list_of(route, "Routes of zones that lead to the dispatcher."),
            "custom_domains": list_of(text("A hostname.", "acme.app"), "Custom domains of the dispatcher."),
            "workers_dev": boolean("Reachable under the account's workers.dev subdomain."),
            "table": {
                "enum": ["bundle", "kv"],
                "description": "Where the routing table lives: kv (Workers KV) is for very many routes.",
            },
            "pages": map_of("Your own pages for the answers that the dispatcher gives by itself.", pages),
        },
        ["name"],
    )


def _safety() -> Schema:
    percent = whole("Percent of our live scripts; at least one script may always go.", 0, 100, 20)
    approval = map_of(
        "Permission to delete by name, past caps and protection.",
        {"delete": list_of(text("A script's name."), "Names of scripts.", minItems=1), **_until()},
        ["delete", "reason", "expires"],
    )
    return map_of(
        "Guards against deleting too much.",
        {
            "max_deletes": map_of(
                "The most that one run may delete; both hold.",
                {"count": whole("Scripts.", 0, 1_000_000, 25), "percent": percent},
            ),
            "max_deletes_per_customer": map_of("The most that one run may delete of a customer.", {"percent": percent}),
            "approvals": list_of(approval, "Named, expiring permission to go past a cap or a protection."),
        },
    )


def _expected_drift() -> Schema:
    return list_of(
        map_of(
            "Drift that is known.",
            {"names": list_of(text("A script's name."), "Names of scripts."), **_until()},
            ["names", "reason", "expires"],
        ),
        "Scripts whose drift is not reported, until a day.",
    )


def _until() -> Schema:
    return {"reason": text("Why.", "customer left, ticket 4711"), "expires": date("The last day that it holds.")}


def _assets() -> Schema:
    return map_of(
        "Static files that are served with the script.",
        {
            "directory": path("Their folder, relative to this customer's.", "public"),
            "binding": named(VARIABLE_NAME, VARIABLE_RULE, "env.NAME for code that serves them itself.", "ASSETS"),
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
                "items": text("A path pattern.", "/api/*"),
                "description": "Whether, or for which paths, the code goes before the files.",
            },
        },
        ["directory"],
    )


def _test() -> Schema:
    header = text("Its value.")
    return map_of(
        "A request, and what has to come back.",
        {
            "request": map_of(
                "What is asked.",
                {
                    "path": named("^/[^\\u0000-\\u0020]*$", _PATH_RULE, "Path and query.", "/cart?items=2"),
                    "method": {
                        "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                        "description": "GET where it is left out.",
                    },
                    "host": text("The host; else the script's first hostname.", "shop.globex.com"),
                    "headers": names_of(header, "Headers.", _HEADER, _HEADER_RULE),
                    "body": {"type": "string", "description": "The body, as text."},
                },
                ["path"],
            ),
            "expect": map_of(
                "What has to come back; the status 200 where nothing is said.",
                {
                    "status": whole("The status.", 200, 599, 200),
                    "headers": names_of(header, "Headers, each with its whole value.", _HEADER, _HEADER_RULE),
                    "body": {"type": "string", "description": "The whole body."},
                    "contains": text("A part of the body.", "Your basket"),
                },
            ),
        },
        ["request"],
    )


_PATH_RULE = "a path begins with / and holds no spaces"
_HEADER = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$"
_HEADER_RULE = "a header's name has letters, digits and -"


def _root(title: str, description: str, properties: Schema, required: list[str]) -> Schema:
    editor = {"type": "string", "description": "This schema, for editors that look for it here."}
    return {
        "$schema": DIALECT,
        "title": title,
        **map_of(description, {"$schema": editor, **properties}, required),
        "patternProperties": {"^x-": {"description": "Anything: a place for values that &anchors share."}},
        "$defs": shared(),
    }


def _without_required(schema: Any) -> Any:
    """A schema for a part of what it describes: an overlay need not say everything again.

    Bindings keep theirs, since an overlay replaces them whole; so do lists' items.
    """
    if not isinstance(schema, dict):
        return schema
    kept = {key: one for key, one in schema.items() if key != "required" or "allOf" in schema}
    return {key: one if key in ("allOf", "items") else _without_required(one) for key, one in kept.items()}
