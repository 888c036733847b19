"""The words that our schemas are made of: maps, lists, texts and names, each with its description."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TIER_NAME = "^(?!rcn-)[a-z0-9][a-z0-9-]{0,47}$"
TIER_RULE = "a name has 1 to 48 small letters, digits and -, begins with a letter or a digit, and not with rcn-"
DATE_RULE = "a date is written as in 2026-11-01"


def map_of(description: str, properties: Schema, required: list[str] | None = None) -> Schema:
    schema = {"type": "object", "description": description, "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def names_of(value: Schema, description: str, pattern: str, rule: str = TIER_RULE, **more: Any) -> Schema:
    names = {"pattern": pattern, "errorMessage": rule}
    return {"type": "object", "description": description, "propertyNames": names, "additionalProperties": value, **more}


def list_of(items: Schema, description: str, **more: Any) -> Schema:
    return {"type": "array", "description": description, "items": items, **more}


def text(description: str, *examples: str) -> Schema:
    schema = {"type": "string", "minLength": 1, "description": description}
    return {**schema, "examples": list(examples)} if examples else schema


def path(description: str, *examples: str) -> Schema:
    return text(description, *examples)


def named(pattern: str, rule: str, description: str, *examples: str) -> Schema:
    return {**text(description, *examples), "pattern": pattern, "errorMessage": rule}


def date(description: str) -> Schema:
    return named("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", DATE_RULE, description, "2026-11-01")


def boolean(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def whole(description: str, minimum: int, maximum: int, example: int) -> Schema:
    return {
        "type": ["integer", "null"],
        "minimum": minimum,
        "maximum": maximum,
        "description": description,
        "examples": [example],
    }


def nullable(schema: Schema) -> Schema:
    """null takes away what a lower layer set."""
    return {**schema, "type": [schema["type"], "null"]}
