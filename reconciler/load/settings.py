"""From resolved values to what an upload sends: settings, bindings, secrets and tags; and what is wrong with them.

`layer_problems` looks at one layer by itself, once; `worker_problems` at what the layers make together.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from reconciler import bindings
from reconciler.errors import Problem, Severity, Where
from reconciler.load.repository import DEFAULT_OUTBOUND, Layer
from reconciler.load.source import Source, looks_secret
from reconciler.model import PROTECT_TAG, RESERVED_PREFIX, TAGS_PER_SCRIPT, SecretReference
from reconciler.names import did_you_mean, listed

SETTINGS = (
    "compatibility_date", "compatibility_flags", "limits", "observability", "logpush", "tail_consumers", "placement",
    "cache_options", "usage_model",
)  # fmt: skip

MAX_VARIABLES = 128  # of a Worker, secrets included
MAX_VARIABLE_BYTES = 5 * 1024
MARKS = 2  # the owner's tag and the digest's

Data = Mapping[str, Any]
At = Callable[..., Where]


def settings_of(resolved: Data) -> dict[str, Any]:
    return {name: resolved[name] for name in SETTINGS if resolved.get(name) not in (None, {}, [])}


def bindings_of(resolved: Data, assets: str = "") -> tuple[Mapping[str, Any], ...]:
    """Variables and bindings in wire form, by name. `assets` is the name that the code finds its static files under."""
    found = [_variable(name, value) for name, value in resolved.get("vars", {}).items()]
    found += [
        bindings.wire(name, one)
        for name, one in resolved.get("bindings", {}).items()
        if not bindings.KINDS[one["type"]].refused  # which is a problem by itself
    ]
    found += [bindings.Assets(assets).wire()] if assets else []
    return tuple(sorted(found, key=lambda one: str(one["name"])))


def secrets_of(resolved: Data) -> dict[str, SecretReference]:
    return {
        name: SecretReference(one["env"], one.get("version") or 1)
        for name, one in sorted(resolved.get("secrets", {}).items())
    }


def tags_of(resolved: Data, customer: str, tier: str) -> tuple[str, ...]:
    protect = (PROTECT_TAG,) if resolved.get("protect") else ()
    return tuple(sorted({*filter(None, (customer, tier)), *resolved.get("tags", ()), *protect}))


def layer_problems(layer: Layer, outbound_workers: Collection[str], today: datetime.date) -> Iterator[Problem]:
    """What is wrong with a layer's own values."""
    data, source = layer.data, layer.source

    def at(*path: str | int) -> Where:
        return source.where((*layer.path, *path))

    yield from _date_problems(data, at, today)
    yield from _outbound_problems(data, outbound_workers, at)
    for name, value in (data.get("vars") or {}).items():
        yield from _variable_problems(name, value, layer)
    for name, one in (data.get("bindings") or {}).items():
        if one is not None and bindings.KINDS[one["type"]].refused:
            yield Problem(
                f"binding {name} would hold a secret's value",
                at("bindings", name, "type"),
                why="values of secrets do not belong into a repository",
                fix=f"use {bindings.KINDS[one['type']].refused}",
                code="secret-inline",
            )


def worker_problems(what: str, resolved: Data, at: At) -> Iterator[Problem]:
    """What is wrong with the values that the layers of one Worker make together."""
    variables, secrets, bound = (resolved.get(key, {}) for key in ("vars", "secrets", "bindings"))
    for one, other, names in (
        ("vars", "secrets", variables.keys() & secrets.keys()),
        ("vars", "bindings", variables.keys() & bound.keys()),
        ("secrets", "bindings", secrets.keys() & bound.keys()),
    ):
        for name in sorted(names):
            why = f"the code has one env.{name}; the other stands at {at(one, name)}"
            fix = "rename one of the two"
            yield Problem(
                f"{name} of {what} is both in {one} and in {other}", at(other, name), why, fix, "binding-twice"
            )
    count = len(variables) + len(secrets)
    if count > MAX_VARIABLES:
        why = f"Cloudflare takes {MAX_VARIABLES} a Worker, secrets included"
        fix = "put several values into one JSON variable"
        yield Problem(f"{what} has {count} variables", at("vars"), why, fix, "variable-count")
    outbound = resolved.get("outbound_worker")
    if outbound:
        yield from _bypasses(bound, outbound, at)


def part_problems(resolved: Data, modules: Collection[str], at: At) -> Iterator[Problem]:
    """Bindings that refer to a module of the upload."""
    for name, one in resolved.get("bindings", {}).items():
        part = one.get("part")
        if part is not None and part not in modules:
            nearest = did_you_mean(part, modules)
            fix = f'write "{nearest}"' if nearest else "add it to `modules`"
            why = f"modules of this upload: {listed(modules)}"
            yield Problem(f'binding {name} names no module "{part}"', at("bindings", name), why, fix, "binding-part")


def stand_in_problem(name: str, where: Where) -> Problem:
    """The warning of a binding that the embedded platform has nothing for. Told once, whoever shares it."""
    return Problem(
        f"binding {name} has no stand-in on the embedded platform",
        where,
        why="nothing of that type runs there: code that uses it gets an error that says so",
        fix="let the code do without it where it throws, or try that part on a real account",
        code="no-stand-in",
        severity=Severity.WARNING,
    )


def tag_problems(script: str, tags: Sequence[str], at: At) -> Iterator[Problem]:
    room = TAGS_PER_SCRIPT - MARKS
    if len(tags) > room:
        yield Problem(
            f"script {script} has {len(tags)} tags, and there is room for {room}",
            at("tags"),
            why=f"Cloudflare takes {TAGS_PER_SCRIPT} a script; owner and digest take {MARKS}, and then there are "
            f"{', '.join(tags)}",
            fix=f"remove {len(tags) - room} of your own",
            code="tag-count",
        )


def real_date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def date_problem(text: str, where: Where) -> Problem:
    return Problem(f'"{text}" is not a day', where, "the calendar has no such day", "correct it", "date")


def _date_problems(data: Data, at: At, today: datetime.date) -> Iterator[Problem]:
    text = data.get("compatibility_date")
    if text is None:
        return
    day = real_date(text)
    if day is None:
        yield date_problem(text, at("compatibility_date"))
    elif day > today:
        why = f"Cloudflare takes days up to today, {today.isoformat()}"
        where = at("compatibility_date")
        yield Problem(f"the compatibility date {text} is in the future", where, why, "write an earlier day", "date")


def _outbound_problems(data: Data, outbound_workers: Collection[str], at: At) -> Iterator[Problem]:
    name = data.get("outbound_worker")
    if name is None or name in outbound_workers:
        return
    nearest = did_you_mean(name, outbound_workers)
    known = listed(outbound_workers)
    fix = f'write "{nearest}"' if nearest else "declare it under `outbound_workers` in platform.yaml"
    if name == DEFAULT_OUTBOUND:
        fix = "add an `egress` section to platform.yaml, which configures the one that ships with the reconciler"
    yield Problem(
        f'there is no outbound Worker "{name}"',
        at("outbound_worker"),
        why=f"platform.yaml declares {known}" if known else "platform.yaml declares none",
        fix=fix,
        code="unknown-outbound-worker",
    )


def _variable(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        return bindings.wire(name, {"type": bindings.PlainText.kind, "text": value})
    return bindings.wire(name, {"type": bindings.Json.kind, "json": value})


def _variable_problems(name: str, value: Any, layer: Layer) -> Iterator[Problem]:
    """Places are looked up only for what is wrong: with a million variables they would take most of the time."""
    path = (*layer.path, "vars", name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_problems(name, value, layer.source, path)
        return
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) * 4 <= MAX_VARIABLE_BYTES and not looks_secret(text):
        return
    where = layer.source.where(path)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_VARIABLE_BYTES:
        why = f"Cloudflare takes {MAX_VARIABLE_BYTES:,} bytes each"
        yield Problem(
            f"variable {name} has {size:,} bytes", where, why, "put it into a module, KV or R2", "variable-size"
        )
    if looks_secret(text):
        why = "it has the form of a credential, and what stands in a repository is no secret any more"
        fix = f"revoke it, and refer to its successor: `secrets: {{{name}: {{env: {name}}}}}`"
        yield Problem(f"variable {name} holds a secret", where, why, fix, "secret-inline")


def _number_problems(name: str, value: int | float, source: Source, path: tuple[str, ...]) -> Iterator[Problem]:
    """Text that lost its form by being read as a number, such as 01 or 1.10."""
    written = source.scalar(path)
    if written is not None and _changes(value, written):
        why = f"it is read as the number {json.dumps(_in_javascript(value))}, and the code will see that"
        fix = f'quote it if it is text: "{written}"'
        what = f"variable {name} is not the text {written}"
        yield Problem(what, source.where(path), why, fix, "number-text", Severity.WARNING)


def _changes(value: int | float, written: str) -> bool:
    """Whether a number reads otherwise than it was written, here or in JavaScript, which has 53 bits for it."""
    return repr(value) != written or (isinstance(value, int) and abs(value) > 2**53)


def _in_javascript(value: int | float) -> int | float:
    return int(float(value)) if isinstance(value, int) and 2**53 < abs(value) < 2**1000 else value


def _bypasses(bound: Data, outbound: str, at: At) -> Iterator[Problem]:
    for name, one in bound.items():
        how = bindings.KINDS[one["type"]].egress_bypass
        if how:
            yield Problem(
                f"binding {name} goes past the outbound Worker {outbound}",
                at("bindings", name),
                why=how,
                fix="give it only to code that you trust; `outbound_worker: null` says that nothing is guarded",
                code="egress-bypass",
                severity=Severity.WARNING,
            )


def reserved(name: str) -> bool:
    """Tags, ids and tiers of this form are the reconciler's own."""
    return name.startswith(RESERVED_PREFIX)
