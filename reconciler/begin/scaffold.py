"""Files for those who begin: a new platform repository, a new customer, a new script.

Law: what is written here validates and plans (tests/cli/test_init.py). Pure: names in, file contents out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

from reconciler.errors import ConfigError
from reconciler.load import schema
from reconciler.load.source import Source, parse

_TEMPLATES = resources.files("reconciler").joinpath("templates", "repository")
_TOP_LEVEL = re.compile(r"^[A-Za-z_\"']")
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
        text = with_script(text, script, main)
    folder = f"customers/{identity}"
    return {f"{folder}/customer.yaml": text, **{f"{folder}/{main}": module() for main in scripts.values()}}


def module() -> str:
    """The main module of a new script, which starts on any platform."""
    return _template("script.mjs")


def with_script(text: str, script: str, main: str) -> str:
    """A customer.yaml with one more script, at the end of its scripts; comments and all else stay as they are.

    Raises ConfigError for a text that is no YAML, and ValueError for one that has the script, or cannot be added to.
    """
    before = parse("customer.yaml", text.encode())
    there = before.data.get("scripts") if isinstance(before.data, dict) else None
    if isinstance(there, dict) and script in there:
        raise ValueError(f"the customer has a script {script} already")
    written = _in_line(before, script, main) if there else ""
    written = written or _in_block(text, script, main)
    try:
        after = parse("customer.yaml", written.encode()).data
    except ConfigError:
        after = None
    if after != {**before.data, "scripts": {**(there or {}), script: {"main": main}}}:
        raise ValueError("its scripts are written in a way that nothing can be added to by a program")
    return written


def _in_line(source: Source, script: str, main: str) -> str:
    """Scripts between braces: the new one stands behind the last. "" where they stand in a block."""
    scripts = source.node(("scripts",))
    if scripts is None or not scripts.flow_style:
        return ""
    end = scripts.value[-1][1].end_mark
    lines = source.text.split("\n")
    lines[end.line] = f"{lines[end.line][: end.column]}, {script}: {{main: {main}}}{lines[end.line][end.column :]}"
    return "\n".join(lines)


def _in_block(text: str, script: str, main: str) -> str:
    lines = text.rstrip("\n").split("\n")
    entry = [f"  {script}:", f"    main: {main}"]
    start = next(
        (number for number, line in enumerate(lines) if re.match(r"scripts:\s*(\{\s*\})?\s*(#.*)?$", line)), None
    )
    if start is None:
        return "\n".join([*lines, "", "scripts:", *entry, ""])
    lines[start] = re.sub(r"\{\s*\}", "", lines[start]).rstrip()
    end = next((number for number in range(start + 1, len(lines)) if _TOP_LEVEL.match(lines[number])), len(lines))
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    indent = next((re.match(r" +", line) for line in lines[start + 1 : end] if line.startswith(" ")), None)
    width = len(indent[0]) if indent else 2
    return "\n".join([*lines[:end], *(line.replace("  ", " " * width) for line in entry), *lines[end:], ""])


def _template(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")
