"""What holds for a customer or a script, value by value, and the line that says so."""

from __future__ import annotations

import datetime
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.errors import ConfigError, Problem, UsageProblem, Where
from reconciler.load import customer_file, excerpts, files, layers, platform_file
from reconciler.load.files import CUSTOMER_FILE, Folder
from reconciler.load.repository import Layer
from reconciler.names import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class Value:
    """One resolved value."""

    path: tuple[str, ...]  # ("limits", "cpu_ms"); ("tags", "eu") for each tag
    value: Any
    where: Where
    layer: str  # "defaults", "tier basic", "customer globex", "script globex-shop"


def explain(root: Path, target: str, environment: str = "") -> tuple[Value, ...]:
    """Every value that holds for CUSTOMER or CUSTOMER/SCRIPT, by path.

    Problems elsewhere in the repository do not matter here. Raises ConfigError for those in the files that it reads,
    and UsageProblem for a target that is not there.
    """
    try:
        return _explained(root, target, environment)
    except ConfigError as error:
        raise ConfigError(excerpts.with_lines(root, error.problems)) from None


def _explained(root: Path, target: str, environment: str) -> tuple[Value, ...]:
    customer, _, script = target.partition("/")
    source = platform_file.read_source(root, environment)
    folder = _folder(root, customer)
    own = customer_file.read_source(folder)
    if script and script not in own.data["scripts"]:
        raise UsageProblem([_unknown("script", script, own.data["scripts"], f"customer {customer}")])
    terms = platform_file.terms_of(source, datetime.date.max)
    return tuple(sorted(_values(customer_file.layers_of(own, folder, terms, script)), key=lambda value: value.path))


def _values(found: list[Layer]) -> Iterator[Value]:
    for path, value, layer, place in layers.origins(found):
        yield Value(path, value, layer.source.where(place), layer.label)


def _folder(root: Path, customer: str) -> Folder:
    tree = files.customers(root)
    found = {posixpath.basename(one.path): one for one in tree.customers}
    if customer not in found:
        raise UsageProblem([_unknown("customer", customer, found, "customers/")])
    refused = [one for one in tree.problems if one.where and one.where.file.startswith(f"{found[customer].path}/")]
    if found[customer].is_refused(CUSTOMER_FILE):
        raise ConfigError(refused)
    return found[customer]


def _unknown(noun: str, name: str, known: Any, within: str) -> Problem:
    nearest = did_you_mean(name, known)
    return Problem(
        f'there is no {noun} "{name}"',
        why=f"{within} has no such {noun}",
        fix=f'did you mean "{nearest}"?' if nearest else f"there are {listed(known)}" if known else "",
        code=f"unknown-{noun}",
    )
