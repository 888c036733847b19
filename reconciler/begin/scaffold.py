"""Files for those who begin: a new platform repository, a new customer, a new script.

Law: what is written here validates and plans (tests/cli/test_init.py). Pure: names in, file contents out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from reconciler.errors import ConfigError
from reconciler.load import schema
from reconciler.load.source import Source, parse

_TEMPLATES = resources.files("reconciler").joinpath("templates", "repository")
_SCRIPTS = re.compile(r"scripts:\s*(\{\s*\})?\s*(#.*)?$")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")  # needs no quotes, if it is no word of YAML's
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
NAME = re.compile(r"(?!rcn-)[a-z0-9][a-z0-9-]*")  # its length depends on what it names


def platform(name: str) -> Mapping[str, str]:
    """Every file of a working platform repository, by path, with one sample customer."""
    files = {
        "platform.yaml": _template("platform.yaml").replace("PLATFORM", name),
        "platform/platform_module.mjs": _template("platform_module.mjs").replace("PLATFORM", name),
    }
    example = customer("example", "basic", {"example-hello": "hello.mjs"})
    return {**files, **beside(), **example, "customers/example/hello.mjs": _template("hello.mjs")}


def beside() -> Mapping[str, str]:
    """What stands in every repository of a platform, whatever the platform is."""
    return {
        ".gitignore": ".reconciler/\nnode_modules/\n.env\n",  # what --env-file is given holds secrets
        **{f"schemas/{file}": text for file, text in schema.files().items()},
    }


def customer(identity: str, tier: str, scripts: Mapping[str, str]) -> Mapping[str, str]:
    """A customer's folder, with a script for each name and its main module. The tier is "" where there are none."""
    text = _template("customer.yaml").replace("CUSTOMER", identity).replace("TIER", f"tier: {tier}\n" if tier else "")
    for script, main in scripts.items():
        text = with_script(text, entry(script, main))
    folder = f"customers/{identity}"
    return {f"{folder}/customer.yaml": text, **{f"{folder}/{main}": module() for main in scripts.values()}}


def module() -> str:
    """The main module of a new script, which starts on any platform."""
    return _template("script.mjs")


def entry(script: str, main: str, more: Sequence[str] = ()) -> list[str]:
    """A script as it stands in a customer.yaml, without indentation; `more` are further lines of its settings."""
    return [f"{scalar(script)}:", f"  main: {scalar(main)}", *(f"  {line}" for line in more)]


def scalar(text: str) -> str:
    """Text as a person writes it in YAML: without quotes where it needs none."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def with_script(text: str, lines: Sequence[str]) -> str:
    """A customer.yaml with one more script, an `entry`, behind its scripts. All else stays as it is, to the byte.

    Raises ConfigError for a text that is no YAML, and ValueError for one that has the script, or cannot be added to.
    """
    before = parse("customer.yaml", text.encode())
    wanted: dict[str, Any] = parse("entry.yaml", "\n".join(lines).encode()).data
    data: dict[str, Any] = before.data if isinstance(before.data, dict) else {}
    there: dict[str, Any] = data["scripts"] if isinstance(data.get("scripts"), dict) else {}
    if known := there.keys() & wanted.keys():
        raise ValueError(f"the customer has a script {known.pop()} already")
    node = before.node(("scripts",))
    written = _in_line(before, node, lines) if there and node and node.flow_style else _in_block(before, there, lines)
    try:
        after = parse("customer.yaml", written.encode()).data
    except ConfigError:
        after = None
    if after != {**data, "scripts": {**there, **wanted}}:
        raise ValueError("its scripts are written in a way that nothing can be added to by a program")
    return written


def _in_line(source: Source, scripts: Any, lines: Sequence[str]) -> str:
    """Scripts between braces: the new one stands behind the last."""
    end = scripts.value[-1][1].end_mark
    rows = source.text.split("\n")
    added = f", {lines[0]} {{{', '.join(line.strip() for line in lines[1:])}}}"
    rows[end.line] = rows[end.line][: end.column] + added + rows[end.line][end.column :]
    return "\n".join(rows)


def _in_block(source: Source, there: Mapping[str, Any], lines: Sequence[str]) -> str:
    """Scripts on lines of their own, or none yet. Comments that are indented belong to them."""
    text = source.text
    tail = "\r" if "\r\n" in text else ""
    rows = text.split("\n")
    begins = next((number for number, row in enumerate(rows) if _SCRIPTS.match(row)), None)
    if begins is None:
        rows = [*(row.removesuffix("\r") + tail for row in text.rstrip().split("\n")), tail, f"scripts:{tail}", ""]
        begins = len(rows) - 2
    rows[begins] = re.sub(r"\s*\{\s*\}", "", rows[begins])
    indent = " " * (source.where_key(("scripts", next(iter(there)))).column - 1 if there else 2)
    ends = begins + 1
    for number, row in enumerate(rows[begins + 1 :], begins + 1):
        if row.strip() and row[0].isspace():
            ends = number + 1
        elif row.strip() and not row.startswith("#"):
            break
    added = [indent + line.replace("  ", indent, 1) if line.startswith("  ") else indent + line for line in lines]
    if ends == len(rows):  # the last line had no end
        rows[-1] += tail
    return "\n".join([*rows[:ends], *(f"{line}{tail}" for line in added), *(rows[ends:] or [""])])


def _template(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")
