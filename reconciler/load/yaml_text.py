"""Data as the YAML that a person would write: sections in blocks, short maps and lists within a line. Pure.

Law (tests/property/test_import.py): what is written here is read back by source.parse as the same data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

WIDTH, MEMBERS = 100, 4  # what would be longer in one line gets a line for each member

_CORE_NUMBER = re.compile(r"(?:[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+)\Z")


def to_yaml(document: Mapping[str, Any]) -> str:
    """The sections of a document, with an empty line around each that has more than one line."""
    parts: list[str] = []
    before = 1
    for key, value in document.items():
        lines = list(_lines(key, value, 0))
        parts += ["", *lines] if parts and max(before, len(lines)) > 1 else lines
        before = len(lines)
    return "\n".join(parts) + "\n"


def _lines(key: str, value: Any, depth: int) -> Iterator[str]:
    name, indent = _in_one_line(key), "  " * depth
    flow = f"{indent}{name}: {_in_one_line(value)}"
    if not isinstance(value, Mapping | list) or not value or (len(flow) <= WIDTH and _is_short(value)):
        yield flow
        return
    yield f"{indent}{name}:"
    if isinstance(value, list):
        yield from (f"{indent}  - {_in_one_line(one)}" for one in value)
        return
    for inner, one in value.items():
        yield from _lines(str(inner), one, depth + 1)


def _is_short(value: Mapping[str, Any] | list[Any]) -> bool:
    """Whether it reads well within a line: a list, or a few members of which none is a map."""
    if isinstance(value, list):
        return True
    return len(value) <= MEMBERS and not any(isinstance(one, Mapping) and one for one in value.values())


def _in_one_line(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return str(text).removesuffix("...\n").strip()


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 reads as a number, which PyYAML's own 1.1 rules would leave plain (0e1, 0o7), and leaves
    days plain, which are text there."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own, of that type
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        """A value that is meant twice is written twice: anchors are nothing that people want to read."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'  # stays on its line
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    """As JSON has it: PyYAML's own 1e+20 has a dot too many or too few for YAML 1.2."""
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _float)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _CORE_NUMBER, list("-+.0123456789"))
