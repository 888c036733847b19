"""Values that the schema of a binding takes, made from the schema itself."""

from __future__ import annotations

from typing import Any


def smallest(schema: dict[str, Any]) -> Any:
    """The smallest value that a schema takes, with every required field."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object" or "properties" in schema:
        return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
    if schema.get("type") == "array":
        return [smallest(schema["items"])]
    return {"integer": schema.get("minimum", 1), "string": "x"}.get(schema.get("type", ""), {"any": [1]})


def full(schema: dict[str, Any]) -> Any:
    """A value with every field."""
    return {name: smallest(one) for name, one in schema["properties"].items()}
