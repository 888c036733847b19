"""The schema of a Worker's settings, which layers and the platform's own Workers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.bindings import KINDS
from reconciler.load.schema_words import boolean, date, list_of, map_of, named, names_of, nullable, path, text, whole
from reconciler.routing import PARAMETERS

Schema = dict[str, Any]

VARIABLE_NAME = "^[A-Za-z_$][A-Za-z0-9_$]{0,127}$"
TAG = "^(?!rcn-)[^,&:\\u0000-\\u0020\\u007f]{1,63}$"

VARIABLE_RULE = "the code finds it as env.NAME: 1 to 128 letters, digits, _ and $, the first no digit"
TAG_RULE = "a tag has 1 to 63 characters without spaces, commas, & and :, and does not begin with rcn-"


def shared() -> Schema:
    """What several sections hold, defined once."""
    return {**_settings(), "binding": _binding(), **_kinds()}


def _kinds() -> Schema:
    return {f"binding_{kind}": {"type": "object", **KINDS[kind].schema()} for kind in sorted(KINDS)}


def _references(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/$defs/{name}"} for name in names}


def layer() -> Schema:
    """The keys that may stand at any layer: defaults, tier, customer, script."""
    return {
        **_references(_settings()),
        "tags": list_of(
            named(TAG, TAG_RULE, "A tag.", "eu"),
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
        "compatibility_date": date("The runtime's behaviour is that of this day."),
        "compatibility_flags": list_of(text("A flag.", "nodejs_compat"), "Compatibility flags.", uniqueItems=True),
        "limits": nullable(
            map_of(
                "The most that one request may take. null lifts a limit that a lower layer set.",
                {
                    "cpu_ms": whole("Milliseconds of CPU time.", 1, 900_000, 50),
                    "subrequests": whole("Fetches and calls to other services.", 0, 10_000_000, 50),
                },
            )
        ),
        "observability": nullable(_observability()),
        "logpush": nullable(boolean("Send trace events to the account's Logpush jobs.")),
        "tail_consumers": _tail_consumers(),
        "placement": nullable(_placement()),
        "cache_options": nullable(
            map_of(
                "Caching in front of the Worker.",
                {
                    "enabled": boolean("Whether it is on."),
                    "cross_version_cache": boolean("Whether versions share their cache."),
                },
            )
        ),
        "vars": nullable(
            names_of(
                {"description": "Text, or any JSON value, which the code gets as it is."},
                "Variables: env.NAME in the code. Not for secrets.",
                VARIABLE_NAME,
                VARIABLE_RULE,
                examples=[{"GREETING": "hello", "LIMITS": {"items": 20}}],
            )
        ),
        "secrets": nullable(
            names_of(
                _secret(),
                "Secrets: references to values, never values.",
                VARIABLE_NAME,
                VARIABLE_RULE,
                examples=[{"API_KEY": {"env": "GLOBEX_API_KEY", "version": 2}}],
            )
        ),
        "bindings": nullable(
            names_of(
                {"$ref": "#/$defs/binding"},
                "Bindings to Cloudflare's resources: env.NAME in the code.",
                VARIABLE_NAME,
                VARIABLE_RULE,
                examples=[{"CACHE": {"type": "kv_namespace", "namespace_id": "0f2ac74b"}}],
            )
        ),
    }


def _tail_consumers() -> Schema:
    return list_of(
        map_of(
            "A Worker that gets trace events.",
            {
                "service": text("Its name."),
                "environment": text("Its environment."),
                "namespace": text("The dispatch namespace that it is in."),
            },
            ["service"],
        ),
        "Tail Workers.",
    )


def ordinary() -> Schema:
    """The keys of a Worker that the platform itself runs."""
    return {
        "main": path("The main module, relative to the repository.", "platform/egress-guard.mjs"),
        "modules": list_of(text("A path, or a pattern with * and **.", "platform/lib/*.mjs"), "Further modules."),
        **_references(_settings()),
    }


def parameters() -> Schema:
    one = {"enum": list(PARAMETERS), "description": "What the dispatcher tells it about a request."}
    return list_of(one, "Told by the dispatcher at each request; the Worker sees env.<name>.", uniqueItems=True)


# A customer's script that could name the token of the run would be sent it.
_VARIABLE = "^(?!(CLOUDFLARE_|CF_API_|GITHUB_|ACTIONS_|RECONCILER_)|GH_TOKEN$)[A-Za-z_][A-Za-z0-9_]*$"


def _secret() -> Schema:
    return map_of(
        "Where a secret's value is found when it is sent.",
        {
            "env": named(
                _VARIABLE,
                "an environment variable's name has letters, digits and _; those of the run itself, such as its "
                "CLOUDFLARE_API_TOKEN, are not for Workers",
                "The environment variable that holds the value.",
                "GLOBEX_API_KEY",
            ),
            "version": whole("Raise it to send the value anew.", 1, 1_000_000_000, 2),
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
        "enabled": boolean("Whether it is on."),
        "head_sampling_rate": sampling,
        "persist": boolean("Keep them in Cloudflare's own store."),
        "destinations": list_of(text("A destination's name."), "Where else they go."),
    }
    return map_of(
        "Logs and traces of Workers Observability.",
        {
            "enabled": boolean("Whether it is on."),
            "head_sampling_rate": sampling,
            "logs": map_of("Logs.", {**shared, "invocation_logs": boolean("A line for every request.")}),
            "traces": map_of("Traces.", {**shared, "propagation_policy": text("How trace headers travel.")}),
            "issues": map_of("Issues.", {"enabled": boolean("Whether it is on.")}),
            "redact_query_string": boolean("Leave query strings out."),
        },
    )


def _placement() -> Schema:
    return map_of(
        "Where the Worker runs.",
        {
            "mode": {"enum": ["smart", "targeted"], "description": "Smart, or near a target."},
            "region": text("Near a cloud region.", "aws:eu-central-1"),
            "hostname": text("Near a host."),
            "host": text("Near a host and port."),
            "target": list_of(
                map_of(
                    "A target.",
                    {
                        "region": text("A cloud region."),
                        "hostname": text("A host."),
                        "host": text("A host and port."),
                    },
                ),
                "Near any of these.",
            ),
        },
        ["mode"],
    )
