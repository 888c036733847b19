"""docs/reference/configuration.md, from the schemas that the loader checks with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.bindings import KINDS
from reconciler.load import schema, schema_worker

Schema = Mapping[str, Any]

_HEAD = """\
# Configuration

<!-- Made from the code: `python -m tests.documents.pages` writes it. -->

Two kinds of files, both YAML 1.2. Their JSON Schemas lie in `schemas/`; with the first line that `init` writes, an
editor completes and checks them as you type. `reconciler validate` tells every problem with its line, and
`reconciler explain CUSTOMER/SCRIPT` every resolved value with the line that set it.

**What holds for a script** is laid together from `defaults`, its tier, its customer and itself, each over the one
before: maps merge, lists replace, `tags` add up, and null takes away what a lower layer set. An environment that is
chosen with `--env` is laid over `platform.yaml` first.

Keys that begin with `x-` are yours: a place for values that YAML `&anchors` share.
"""


def page() -> str:
    platform, customer = schema.platform(), schema.customer()
    sections = [
        _HEAD,
        "## platform.yaml\n",
        f"{platform['description']}\n",
        *_table(_rows("", platform)),
        "\n## customer.yaml\n",
        f"{customer['description']}\n",
        *_table(_rows("", customer)),
        "\n## Settings\n",
        "Keys that may stand in `defaults`, in a tier, in a customer and in a script.\n",
        *_table(_settings()),
        "\n## Bindings\n",
        "Fields in bold are required. A script finds the binding as `env.NAME`.\n",
        *_bindings(),
    ]
    return "\n".join(sections) + "\n"


def _table(rows: Iterator[tuple[str, Schema]]) -> Iterator[str]:
    yield "| key | takes | what it is |"
    yield "|-|-|-|"
    for key, one in rows:
        yield f"| `{key}` | {_takes(one)} | {_told(one)} |"


def _rows(above: str, section: Schema) -> Iterator[tuple[str, Schema]]:
    """Every key below a section, dotted; settings that several sections take are one row that leads to them."""
    keys = section.get("properties", {})
    shared, told = next(((names, text) for names, text in _SHARED if names <= keys.keys()), (frozenset[str](), ""))
    for name, given in keys.items():
        if name == "$schema" or name in shared:
            continue
        one = _resolved(given)
        yield f"{above}{name}", {**one, "required here": name in section.get("required", ())}
        if name != "environments":  # which would say everything again
            yield from _below(f"{above}{name}", one)
    if told:
        yield f"{above}…", {"description": told}


def _settings() -> Iterator[tuple[str, Schema]]:
    for name, given in schema_worker.layer().items():
        one = _resolved(given)
        yield name, one
        yield from _below(name, one)


def _below(key: str, one: Schema) -> Iterator[tuple[str, Schema]]:
    if one.get("properties"):
        yield from _rows(f"{key}.", one)
    named = _resolved(one.get("additionalProperties") or {})
    if named.get("properties") and "allOf" not in named:
        yield from _rows(f"{key}.NAME.", named)
    items = _resolved(one.get("items") or {})
    if items.get("properties"):
        yield from _rows(f"{key}[].", items)


_SHARED = (
    (schema_worker.layer().keys(), "Every key of [Settings](#settings)."),
    (
        schema_worker.layer().keys() - {"tags", "outbound_worker", "usage_model"},
        "The keys of [Settings](#settings) but `tags`, `outbound_worker` and `usage_model`.",
    ),
)


def _resolved(one: Any) -> Schema:
    if not isinstance(one, Mapping):
        return {}
    reference = one.get("$ref", "")
    return schema.customer()["$defs"][reference.rpartition("/")[2]] if reference else one


def _takes(one: Schema) -> str:
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    kinds = one.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_kind(kind, one) for kind in kinds)


def _kind(kind: str, one: Schema) -> str:
    match kind:
        case "integer" | "number":
            least, most = one.get("minimum"), one.get("maximum")
            return f"{least:,} to {most:,}" if least is not None and most is not None else "number"
        case "array":
            items = _resolved(one.get("items") or {})
            return f"list of {_takes(items)}" if items.get("enum") else "list"
        case "object":
            return "map" if one.get("properties") else "map by name"
        case "string":
            return "text"
        case "boolean":
            return "`true`, `false`"
    return kind


def _told(one: Schema) -> str:
    parts = ["**Required.**" if one.get("required here") else "", one.get("description", "")]
    if rule := one.get("errorMessage") or one.get("propertyNames", {}).get("errorMessage"):
        parts.append(f"{rule[0].upper()}{rule[1:]}.")
    example = _example(one)
    if example:
        parts.append(f"Such as `{example}`.")
    return _cell(" ".join(part for part in parts if part))


def _example(one: Schema) -> str:
    found = one.get("examples") or _resolved(one.get("items") or {}).get("examples")
    if not found:
        return ""
    value = [found[0]] if one.get("type") == "array" and "examples" not in one else found[0]
    return _yaml(value)


def _yaml(value: Any) -> str:
    """A short value as it stands within a line of YAML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_yaml(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(_yaml(one) for one in value) + "]"
    return str(value)


def _bindings() -> Iterator[str]:
    yield "| type | fields | what it is |"
    yield "|-|-|-|"
    for kind in sorted(KINDS):
        told = KINDS[kind].schema()
        required = set(told.get("required", ()))
        fields = [f"**{name}**" if name in required else name for name in told["properties"] if name != "type"]
        more = [told["description"]]
        if KINDS[kind].refused:
            more.append(f"Refused: {KINDS[kind].refused}.")
        if KINDS[kind].egress_bypass:
            more.append(f"Goes around an outbound Worker: {KINDS[kind].egress_bypass}.")
        yield f"| `{kind}` | {', '.join(fields)} | {_cell(' '.join(more))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
