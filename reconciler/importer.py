"""From live scripts to the files that declare them. Pure: Workers in, file contents out.

Law (tests/property/test_import.py): loading what is written here gives the Workers that were live, but for our own
marks; what could not be said in files is named. Values that all scripts share go to the platform's defaults, limits
that customers share become tiers, and modules that all scripts carry become platform modules.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from reconciler.model import PROTECT_TAG, Module, Worker, canonical
from reconciler.scripts import MODULE_TYPES

CUSTOMER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
SETTINGS = (
    "compatibility_date",
    "compatibility_flags",
    "limits",
    "observability",
    "logpush",
    "tail_consumers",
    "placement",
    "cache_options",
    "usage_model",
)
SHARED = ("compatibility_date", "compatibility_flags", "observability", "logpush", "usage_model", "cache_options")
_CORE_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Found:
    """One live script, and whose it is."""

    script: str
    customer: str
    worker: Worker
    has_assets: bool = False
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """Files by path, and what they could not say: script to reasons."""

    files: Mapping[str, bytes]
    unsaid: Mapping[str, tuple[str, ...]]


def customer_rule(tag: str = "", name: str = "") -> Callable[[str, Sequence[str]], str]:
    """Whose a script is: by the first group of a pattern that fits one of its tags, or its name; else its own.

    The patterns must fit whole. Raises re.error for one that is no pattern.
    """
    by_tag, by_name = re.compile(tag) if tag else None, re.compile(name) if name else None

    def rule(script: str, tags: Sequence[str]) -> str:
        fits = [found for one in tags if by_tag and (found := by_tag.fullmatch(one))]
        if not fits and by_name and (found := by_name.fullmatch(script)):
            fits = [found]
        told = (fits[0][1] if fits[0].re.groups else fits[0][0]) if fits else script
        identity = re.sub(r"[^a-z0-9-]+", "-", told.lower()).strip("-")[:48]
        return identity if CUSTOMER_ID.fullmatch(identity) else f"customer-{identity}".strip("-")

    return rule


def write(found: Sequence[Found], *, platform: str, namespace: str, own_modules: Mapping[str, bytes] | None) -> Written:
    """The repository for these scripts. `own_modules` are the platform modules of a repository that exists already,
    whose platform.yaml is then left alone; None writes a new one."""
    unsaid: dict[str, list[str]] = defaultdict(list)
    files: dict[str, bytes] = {}
    shared: Mapping[str, bytes] = _shared_modules(found) if own_modules is None else own_modules
    for one in found:
        for name in shared:
            if not any(module.name == name for module in one.worker.modules):
                unsaid[one.script].append(f"it does not carry the platform module {name}, and will after an apply")
    defaults: dict[str, Any] = {}
    tiers: dict[str, Any] = {}
    tier_of: dict[str, str] = {}
    if own_modules is None:
        defaults = _defaults(found)
        tiers, tier_of = _tiers(found)
        files["platform.yaml"] = _platform(platform, namespace, defaults, tiers, shared)
        files |= {f"platform/{name}": content for name, content in shared.items()}
    by_customer: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_customer[one.customer].append(one)
    for customer, scripts in sorted(by_customer.items()):
        below = {**defaults, **tiers.get(tier_of.get(customer, ""), {})}
        files |= _customer(customer, scripts, tier_of.get(customer, ""), below, shared, unsaid)
    return Written(files, {script: tuple(reasons) for script, reasons in sorted(unsaid.items())})


def differences(live: Worker, written: Worker) -> tuple[str, ...]:
    """What an apply of the written files would change of a live script, our marks left aside."""
    before, after = (replace(one, tags=(), secrets={}).spec() for one in (live, written))
    return tuple(sorted(key for key in {*before, *after} if canonical(before.get(key)) != canonical(after.get(key))))


def _customer(
    customer: str,
    scripts: Sequence[Found],
    tier: str,
    below: Mapping[str, Any],
    shared: Mapping[str, bytes],
    unsaid: dict[str, list[str]],
) -> dict[str, bytes]:
    """One customer's folder: modules in a folder for each script where there are several."""
    folder = f"customers/{customer}"
    files: dict[str, bytes] = {}
    document: dict[str, Any] = {"name": customer, **({"tier": tier} if tier else {})}
    tags = set.intersection(*(set(one.worker.tags) for one in scripts)) - {customer, tier, PROTECT_TAG}
    if tags:
        document["tags"] = sorted(tags)
    document["scripts"] = {}
    for one in sorted(scripts, key=lambda one: one.script):
        place = f"{one.script}/" if len(scripts) > 1 else ""
        own = [module for module in one.worker.modules if shared.get(module.name) != module.content]
        entry, modules = _code(one, own, place, unsaid[one.script])
        files |= {f"{folder}/{path}": content for path, content in modules.items()}
        entry |= _terms(one, below, tags | {customer, tier}, unsaid[one.script])
        document["scripts"][one.script] = entry
        if not unsaid[one.script]:
            del unsaid[one.script]
    header = "# yaml-language-server: $schema=../../schemas/customer.schema.json\n"
    files[f"{folder}/customer.yaml"] = (header + to_yaml(document)).encode()
    return files


def _code(one: Found, own: Sequence[Module], place: str, unsaid: list[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """`main` and `modules` of a script, and its files. A module's name is its path from the folder of main."""
    main = one.worker.main
    base = PurePosixPath(main).parent
    files: dict[str, bytes] = {}
    others = []
    for module in own:
        path = PurePosixPath(module.name)
        if path.is_absolute() or ".." in path.parts or not path.is_relative_to(base):
            unsaid.append(f"module {module.name} lies outside the folder of the main module {main}")
            continue
        if MODULE_TYPES.get(path.suffix) != module.type:
            unsaid.append(f"module {module.name} is {module.type}, which its ending does not say")
        if base != PurePosixPath("."):
            unsaid.append(
                f"module {module.name} gets the name {path.relative_to(base)}: names count from main's folder"
            )
        written = f"{place}{path.relative_to(base)}"
        files[written] = module.content
        if module.name != main:
            others.append(written)
    if one.has_assets:
        unsaid.append("its static assets cannot be read back; put them into a folder and name it under `assets`")
    if not main:
        unsaid.append("it has no code of its own")
        return {}, files
    entry: dict[str, Any] = {"main": f"{place}{PurePosixPath(main).name}"}
    if others:
        entry["modules"] = sorted(others)
    return entry, files


def _terms(one: Found, below: Mapping[str, Any], known: set[str], unsaid: list[str]) -> dict[str, Any]:
    """Everything of a script that is not code, as far as the layers below do not say it."""
    entry: dict[str, Any] = {}
    tags = sorted(set(one.worker.tags) - known - {PROTECT_TAG})
    if tags:
        entry["tags"] = tags
    if PROTECT_TAG in one.worker.tags:
        entry["protect"] = True
    for name in SETTINGS:
        value = _over(below.get(name, _MISSING), one.worker.settings.get(name, _MISSING))
        if value is not _MISSING:
            entry[name] = value
    for name in sorted(one.worker.settings.keys() - set(SETTINGS)):
        unsaid.append(f"its setting {name} has no place in a customer.yaml")
    variables: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for binding in one.worker.bindings:
        name, kind = str(binding["name"]), binding.get("type")
        if kind == "plain_text":
            variables[name] = binding.get("text", "")
        elif kind == "json" and not isinstance(binding.get("json"), str | type(None)):
            variables[name] = binding.get("json")
        else:
            bindings[name] = {key: value for key, value in binding.items() if key != "name"}
    for key, value in (("vars", variables), ("bindings", bindings)):
        if value:
            entry[key] = value
    if one.secrets:
        entry["secrets"] = {name: {"env": _variable(one.script, name)} for name in sorted(one.secrets)}
    return entry


def _over(below: Any, value: Any) -> Any:
    """What a layer has to say so that `value` holds over what is below; null takes away. _MISSING: nothing."""
    if value is _MISSING:
        return None if below is not _MISSING else _MISSING
    if below is _MISSING or canonical(below) == canonical(value):
        return value if below is _MISSING else _MISSING
    if isinstance(below, Mapping) and isinstance(value, Mapping):
        keys = sorted({*below, *value})
        said = {key: _over(below.get(key, _MISSING), value.get(key, _MISSING)) for key in keys}
        return {key: one for key, one in said.items() if one is not _MISSING}
    return value


def _defaults(found: Sequence[Found]) -> dict[str, Any]:
    """For each setting that every script has: its most common value."""
    defaults = {}
    for name in SHARED:
        values = [one.worker.settings.get(name, _MISSING) for one in found]
        if found and all(value is not _MISSING for value in values):
            defaults[name] = _most_common(values)
    return defaults


def _tiers(found: Sequence[Found]) -> tuple[dict[str, Any], dict[str, str]]:
    """A tier for each set of limits that all scripts of at least one customer have; named by a tag that tells them
    apart, else by its CPU limit."""
    limits: dict[str, set[str]] = defaultdict(set)
    for one in found:
        limits[one.customer].add(canonical(one.worker.settings.get("limits")))
    values = {canonical(one.worker.settings.get("limits")): one.worker.settings.get("limits") for one in found}
    tiers: dict[str, Any] = {}
    tier_of: dict[str, str] = {}
    for text, value in sorted(values.items()):
        customers = sorted(customer for customer, several in limits.items() if several == {text})
        if not value or not customers:
            continue
        name = _tier_name(text, value, found, tiers)
        tiers[name] = {"limits": value}
        tier_of |= dict.fromkeys(customers, name)
    return tiers, tier_of


def _tier_name(text: str, limits: Mapping[str, Any], found: Sequence[Found], taken: Mapping[str, Any]) -> str:
    these = [one for one in found if canonical(one.worker.settings.get("limits")) == text]
    others = [one for one in found if canonical(one.worker.settings.get("limits")) != text]
    common = set.intersection(*(set(one.worker.tags) for one in these))
    common -= {tag for one in others for tag in one.worker.tags} | {one.customer for one in found}
    for tag in sorted(common):
        if CUSTOMER_ID.fullmatch(tag) and not tag.startswith("rcn-") and tag not in taken:
            return tag
    return next(name for name in _numbered(f"cpu-{limits.get('cpu_ms', 'free')}") if name not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _shared_modules(found: Sequence[Found]) -> dict[str, bytes]:
    """Modules beside the main one that every script has, with one content: what a platform injects."""
    if len(found) < 2:
        return {}
    counted = Counter(
        (module.name, module.content)
        for one in found
        for module in one.worker.modules
        if module.name != one.worker.main and PurePosixPath(module.name).name == module.name
    )
    return {name: content for (name, content), times in sorted(counted.items()) if times == len(found)}


def _platform(
    platform: str, namespace: str, defaults: Mapping[str, Any], tiers: Mapping[str, Any], shared: Iterable[str]
) -> bytes:
    document: dict[str, Any] = {"platform": platform, "namespace": namespace}
    if defaults:
        document["defaults"] = dict(defaults)
    if modules := {name: f"platform/{name}" for name in sorted(shared)}:
        document["platform_modules"] = modules
    if tiers:
        document["tiers"] = dict(tiers)
    document["prune"] = False
    header = (
        "# yaml-language-server: $schema=schemas/platform.schema.json\n"
        "#\n# Imported from what was live. `prune: false` reports what the repository does not name and never deletes\n"
        "# it; set it to true once the first plans look right.\n"
    )
    return (header + to_yaml(document)).encode()


def to_yaml(document: Mapping[str, Any]) -> str:
    """YAML as a person writes it: sections, customers and scripts in lines, short maps and lists within one."""
    parts: list[str] = []
    for key, value in document.items():
        lines = list(_yaml_lines(key, value, 0))
        parts += ["", *lines] if parts and len(lines) > 1 else lines
    return "\n".join(parts) + "\n"


def _yaml_lines(key: str, value: Any, depth: int) -> Iterator[str]:
    flow, name = _in_one_line(value), _in_one_line(key)
    indent = "  " * depth
    nested = isinstance(value, Mapping) and bool(value)
    deep = nested and any(isinstance(one, Mapping) and one for one in value.values())
    if not nested or (depth > 1 and not deep):
        yield f"{indent}{name}: {flow}"
        return
    yield f"{indent}{name}:"
    for inner, one in value.items():
        yield from _yaml_lines(str(inner), one, depth + 1)


def _in_one_line(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what YAML 1.2 reads as a number, which PyYAML's own 1.1 rules would leave plain (0e1, 0o7)."""

    def text_of(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
        style = '"' if any(not one.isprintable() for one in text) else None  # stays on its line
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, text_of)
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _CORE_NUMBER, list("-+.0123456789"))
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _most_common(values: Sequence[Any]) -> Any:
    texts = [canonical(value) for value in values]
    best = min(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))[0]
    return values[texts.index(best)]


def _variable(script: str, name: str) -> str:
    return f"{script.upper().replace('-', '_')}_{name.upper()}"
