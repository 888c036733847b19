"""Files for those who begin: a new platform repository, a new customer, a new script.

Law: what is written here validates and plans (tests/cli/test_init.py). Pure: names in, file contents out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

from reconciler.load import schema

_TEMPLATES = resources.files("reconciler").joinpath("templates", "repository")
_TOP_LEVEL = re.compile(r"^[A-Za-z_\"']")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


def platform(name: str) -> Mapping[str, str]:
    """Every file of a working platform repository, by path, with one sample customer."""
    files = {
        "platform.yaml": _template("platform.yaml").replace("PLATFORM", name),
        "platform/platform_module.mjs": _template("platform_module.mjs").replace("PLATFORM", name),
    }
    return {**files, **beside(), **customer("example", {"example-hello": "hello.mjs"})}


def beside() -> Mapping[str, str]:
    """What stands in every repository of a platform, whatever the platform is."""
    return {
        ".gitignore": ".reconciler/\nnode_modules/\n",
        **{f"schemas/{file}": text for file, text in schema.files().items()},
    }


def customer(identity: str, scripts: Mapping[str, str]) -> Mapping[str, str]:
    """A customer's folder, with a script for each name and its main module."""
    text = _template("customer.yaml").replace("CUSTOMER", identity)
    for script, main in scripts.items():
        text = with_script(text, script, main)
    folder = f"customers/{identity}"
    return {f"{folder}/customer.yaml": text, **{f"{folder}/{main}": module() for main in scripts.values()}}


def module() -> str:
    """The main module of a new script."""
    return _template("script.mjs")


def with_script(text: str, script: str, main: str) -> str:
    """A customer.yaml with one more script, at the end of its scripts; comments and all else stay as they are."""
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
