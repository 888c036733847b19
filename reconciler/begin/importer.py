"""From live scripts to the files that declare them. Pure: Workers in, file contents out.

Laws (tests/property/test_import.py): loading what is written here gives the Workers that were live, but for our own
marks; no path leads out of the folder; and a script that cannot be said in files is left out whole and named, since
half of it, once adopted, would break it.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.begin import factoring, scaffold
from reconciler.begin.factoring import MISSING
from reconciler.load import files
from reconciler.load.customer_file import CUSTOMER_ID
from reconciler.load.scripts import MODULE_TYPES
from reconciler.load.settings import MARKS, SETTINGS, reserved
from reconciler.load.yaml_text import to_yaml
from reconciler.look import wire
from reconciler.model import PROTECT_TAG, TAGS_PER_SCRIPT, Module, Worker, canonical

NAMED_MODULES = 4
LONGEST_NAME, LONGEST_PATH = 200, 900  # bytes; file systems take 255 of a name

# Of a script's name and tags: what its customer is called, and the tag that told so ("" for none).
Rule = Callable[[str, Sequence[str]], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """One live script, and what its customer is called."""

    script: str
    told: str  # as its tag or name tells it; the id is made of it
    worker: Worker
    told_by: str = ""  # the tag that told it: it names a customer, and so no tier
    owner: str = ""  # the platform whose mark it carries
    has_assets: bool = False
    secrets: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as the API gave them


@dataclass(frozen=True)
class Around:
    """The repository that scripts are written into: what it has, or what a new one is to be called."""

    platform: str
    namespace: str
    account_id: str = ""
    trusted: bool = False
    injected: frozenset[str] = frozenset()  # names of modules that are the platform's, whatever version a script has
    new: bool = True
    modules: Mapping[str, bytes] = field(default_factory=dict)  # the platform modules that it has
    tiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what holds below a customer; "" for none
    customers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Written:
    """Files by path, whose they are, and what they do not say."""

    files: Mapping[str, bytes]
    scripts: Mapping[str, str]  # path of a module -> the script that it is of
    folders: Mapping[str, tuple[str, ...]]  # folder of a customer -> its scripts
    left_out: Mapping[str, tuple[str, ...]]  # scripts that are not declared: nothing of them will be touched
    notes: Mapping[str, tuple[str, ...]]  # scripts that are, and what an apply would change of them


def customer_rule(tag: str = "", name: str = "") -> Rule:
    """Whose a script is: by the first group of a pattern that fits one of its tags, or its name; else its own.

    The patterns must fit whole. Raises re.error for one that is no pattern.
    """
    by_tag, by_name = re.compile(tag) if tag else None, re.compile(name) if name else None

    def rule(script: str, tags: Sequence[str]) -> tuple[str, str]:
        for tag in tags:
            if by_tag and (found := by_tag.fullmatch(tag)) and _told(found):
                return _told(found), tag
        if by_name and (found := by_name.fullmatch(script)) and _told(found):
            return _told(found), ""
        return script, ""

    return rule


def _told(found: re.Match[str]) -> str:
    """The first group, which may have taken no part; the whole of a pattern without groups."""
    return (found[1] if found.re.groups else found[0]) or ""


def write(found: Sequence[Found], around: Around, refused: Mapping[str, tuple[str, ...]] | None = None) -> Written:
    """The files for these scripts. `refused` names those that are to be left out, and why."""
    reasons = {name: list(why) for name, why in (refused or {}).items()}
    notes: dict[str, list[str]] = defaultdict(list)
    placed = [_from_main(one, notes) for one in sorted(found, key=lambda one: one.script)]
    ids = _identities(placed, around)
    for one in placed:
        why = [*_unsayable(one, around), *_taken(one, ids[one.script], around)]
        if why:
            reasons.setdefault(one.script, why)
    draft = _draft([one for one in placed if one.script not in reasons], ids, around, notes)
    crowded = _too_many_tags(draft)
    if crowded:
        return write(found, around, {**(refused or {}), **crowded})
    left_out = {name: tuple(why) for name, why in sorted(reasons.items())}
    return _files(draft, around, left_out, notes)


@dataclass(frozen=True)
class _Draft:
    """The scripts that are written, and what they have in common."""

    found: Sequence[Found]
    ids: Mapping[str, str]  # script -> customer
    said: Mapping[str, factoring.Said]
    terms: factoring.Terms
    modules: Mapping[str, bytes]  # the platform's
    injected: frozenset[str]  # those of them that a script may have in another version

    def is_own(self, module: Module) -> bool:
        """Whether a module is the script's, and not the platform's that every upload gets."""
        if module.name in self.injected and module.name in self.modules:
            return False
        return self.modules.get(module.name) != module.content


def _draft(found: Sequence[Found], ids: Mapping[str, str], around: Around, notes: dict[str, list[str]]) -> _Draft:
    ids = {one.script: ids[one.script] for one in found}
    said = {one.script: _said(one, notes[one.script]) for one in found}
    tags = {one.script: frozenset(one.worker.tags) - {PROTECT_TAG, one.told_by} for one in found}
    if around.new:
        modules = {**_shared_modules(found), **_named_modules(found, around.injected)}
        return _Draft(found, ids, said, factoring.factored(said, ids, tags), modules, around.injected)
    return _Draft(found, ids, said, factoring.chosen(said, ids, tags, around.tiers), around.modules, around.injected)


def _files(
    draft: _Draft, around: Around, left_out: Mapping[str, tuple[str, ...]], notes: Mapping[str, list[str]]
) -> Written:
    contents: dict[str, bytes] = {}
    owners: dict[str, str] = {}
    folders: dict[str, tuple[str, ...]] = {}
    if around.new:
        contents["platform.yaml"] = _platform(around, draft.terms, draft.modules)
        contents |= {f"platform/{name}": content for name, content in draft.modules.items()}
        contents |= {path: text.encode() for path, text in scaffold.beside().items()}
    for customer, scripts in _by_customer(draft).items():
        folder = f"customers/{customer}"
        folders[folder] = tuple(one.script for one in scripts)
        document, code = _customer(customer, scripts, draft)
        contents[f"{folder}/{files.CUSTOMER_FILE}"] = (_CUSTOMER_HEADER + to_yaml(document)).encode()
        for script, path, content in code:
            contents[f"{folder}/{path}"] = content
            owners[f"{folder}/{path}"] = script
    told = {one.script: (*notes[one.script], *_gained(one, draft)) for one in draft.found}
    return Written(contents, owners, folders, left_out, {name: why for name, why in told.items() if why})


def _gained(one: Found, draft: _Draft) -> Iterator[str]:
    carried = {module.name: module.content for module in one.worker.modules}
    for name, content in draft.modules.items():
        if name not in carried:
            yield f"it does not carry the platform module {name}, and will after an apply"
        elif name in draft.injected and carried[name] != content:
            yield f"its platform module {name} is another version than the repository's, which an apply brings"


def differences(one: Found, written: Worker) -> tuple[str, ...]:
    """What an apply of the written files would change of a live script, beside the tags that it adds."""
    live = wire.worker_of(one.settings, one.worker.modules, written)
    before, after = (replace(each, tags=()).spec() for each in (live, written))
    fields = {key for key in {*before, *after} if canonical(before.get(key)) != canonical(after.get(key))}
    lost = {"tags"} if set(live.tags) - set(written.tags) else set()
    return tuple(sorted(fields | lost))


def _identities(found: Sequence[Found], around: Around) -> dict[str, str]:
    """The customer's id of each script.

    An id is the customer's name in small letters, digits and dashes; where two names come to one id, or where it is
    the tag of another's script and would take it in, a few digits of the name's hash tell it apart.
    """
    names = sorted({one.told for one in found})
    carried = defaultdict(set)
    for one in found:
        for tag in one.worker.tags:
            carried[tag].add(one.told)
    plain = {name: _plain_id(name) for name in names}
    counts = Counter(plain.values())
    taken = set(around.tiers)
    ids = {}
    for name, identity in plain.items():
        alone = counts[identity] == 1 or identity == name
        clear = carried.get(identity, {name}) <= {name} and identity not in taken
        digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        ids[name] = identity if alone and clear else f"{identity[:41].rstrip('-')}-{digits}"
    return {one.script: ids[one.told] for one in found}


def _plain_id(name: str) -> str:
    identity = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    if identity and not reserved(identity) and CUSTOMER_ID.fullmatch(identity):
        return identity
    return f"customer-{identity}"[:48].strip("-")


def _taken(one: Found, identity: str, around: Around) -> Iterator[str]:
    """What of the repository that there is stands in the way."""
    if identity in around.customers:
        yield f"the repository has customer {identity} already: declare it in that customer.yaml by hand"
    for tag in sorted(set(one.worker.tags) & around.customers - {identity}):
        yield f"its tag {tag} is another customer's id in the repository"


def _unsayable(one: Found, around: Around) -> Iterator[str]:
    """Why a script cannot be declared here; nothing when it can."""
    worker = one.worker
    if one.owner and one.owner != around.platform:
        yield f"it carries the mark of the platform {one.owner}"
    if one.has_assets:
        yield "it has static assets, which cannot be read back: put them into a folder and name it under `assets`"
    if not worker.main and not one.has_assets:
        yield "it has no code"
    if len(worker.modules) == 1 and worker.modules[0].type == "application/javascript":
        yield "it is a service worker: only modules can be declared; rewrite it to `export default`"
        return
    base = posixpath.dirname(worker.main)
    seen: dict[str, str] = {}
    for module in worker.modules:
        wrong = _name_problem(module, base)
        if wrong:
            yield f"module {module.name!r}: {wrong}"
        alike = unicodedata.normalize("NFC", module.name).casefold()
        if alike in seen:
            yield f"modules {seen[alike]!r} and {module.name!r} are one file where case does not count"
        seen[alike] = module.name
    for name in seen.values():
        above = posixpath.dirname(unicodedata.normalize("NFC", name).casefold())
        if above in seen:
            yield f"module {seen[above]!r} would have to be a file and a folder"


def _name_problem(module: Module, base: str) -> str:
    """What keeps a module from being a file of that name."""
    name = module.name
    wrong = files.path_problem(name, None, "the customer's folder")
    parts = name.split("/")
    if wrong is not None:
        return wrong.why
    if base and not name.startswith(f"{base}/"):
        return f"it lies outside the folder of the main module, {base}"
    if files.is_pattern(name):
        return "* and ? stand for other names in a list of modules"
    if any(part.startswith(".") or part.lower() == "node_modules" for part in parts):
        return "folders and files of this name are not read"
    if any(files.is_misnamed(part) for part in parts):
        return "that name is kept for customers' own files"
    if any(len(part.encode()) > LONGEST_NAME for part in parts) or len(name.encode()) > LONGEST_PATH:
        return "the name is too long for a file"
    ending = posixpath.splitext(name)[1]
    if ending != ending.lower() or MODULE_TYPES.get(ending) != module.type:
        return f"it is {module.type}, which the ending of its name does not say"
    return ""


def _from_main(one: Found, notes: dict[str, list[str]]) -> Found:
    """Modules by their names from the folder of the main one, which is how they are uploaded from here."""
    base = posixpath.dirname(one.worker.main)
    prefix = f"{base}/"
    if not base or not all(module.name.startswith(prefix) for module in one.worker.modules):
        return one
    notes[one.script].append(f"its modules lose the folder {prefix} of their names: names count from main's folder")
    modules = tuple(replace(module, name=module.name.removeprefix(prefix)) for module in one.worker.modules)
    return replace(one, worker=replace(one.worker, main=one.worker.main.removeprefix(prefix), modules=modules))


def _shared_modules(found: Sequence[Found]) -> dict[str, bytes]:
    """Modules beside the main one that every script has, with one content: what a platform injects."""
    with_code = [one for one in found if one.worker.main]
    if len({one.told for one in with_code}) < 2:
        return {}
    counted = Counter(
        (module.name, module.content)
        for one in with_code
        for module in one.worker.modules
        if module.name != one.worker.main and _INJECTABLE.fullmatch(module.name)
    )
    return {name: content for (name, content), times in sorted(counted.items()) if times == len(with_code)}


def _named_modules(found: Sequence[Found], names: frozenset[str]) -> dict[str, bytes]:
    """The version that most scripts have of each; of equals the first in the order of their hashes."""
    modules = {}
    for name in sorted(names):
        counted = Counter(module.content for one in found for module in one.worker.modules if module.name == name)
        if counted:
            most = max(counted.values())
            versions = [content for content, times in counted.items() if times == most]
            modules[name] = min(versions, key=lambda content: hashlib.sha256(content).digest())
    return modules


def _said(one: Found, notes: list[str]) -> dict[str, Any]:
    """Everything of a script that is not code, as if nothing were below it."""
    notes += [
        f"its setting {name} has no place in a customer.yaml"
        for name in sorted(one.worker.settings.keys() - set(SETTINGS))
    ]
    variables: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for binding in one.worker.bindings:
        name, kind = str(binding["name"]), binding.get("type")
        if kind == "plain_text":
            variables[name] = binding.get("text", "")
        elif kind == "json" and not isinstance(binding.get("json"), str | None):
            variables[name] = binding["json"]
        else:
            bindings[name] = {key: value for key, value in binding.items() if key != "name"}
    secrets = {name: {"env": _variable(one.script, name)} for name in sorted(one.secrets)}
    entry = {
        "protect": True if PROTECT_TAG in one.worker.tags else MISSING,
        **{name: one.worker.settings.get(name, MISSING) for name in SETTINGS},
        "vars": variables or MISSING,
        "bindings": bindings or MISSING,
        "secrets": secrets or MISSING,
    }
    return {name: value for name, value in entry.items() if value is not MISSING}


def _too_many_tags(draft: _Draft) -> dict[str, tuple[str, ...]]:
    """Scripts on which there is no room for our marks, the customer and the tier."""
    crowded: dict[str, tuple[str, ...]] = {}
    for one in draft.found:
        customer = draft.ids[one.script]
        tags = {*one.worker.tags, customer, draft.terms.tier_of.get(customer, "")} - {""}
        if len(tags) + MARKS > TAGS_PER_SCRIPT:
            why = (
                f"it has {len(one.worker.tags)} tags, and with customer, tier, owner and digest there would be "
                f"{len(tags) + MARKS}: Cloudflare takes {TAGS_PER_SCRIPT}"
            )
            crowded[one.script] = (why,)
    return crowded


def _by_customer(draft: _Draft) -> dict[str, list[Found]]:
    grouped: dict[str, list[Found]] = defaultdict(list)
    for one in draft.found:
        grouped[draft.ids[one.script]].append(one)
    return dict(sorted(grouped.items()))


def _customer(
    customer: str, scripts: Sequence[Found], draft: _Draft
) -> tuple[dict[str, Any], list[tuple[str, str, bytes]]]:
    """One customer's document, and its modules: in a folder for each script where there are several."""
    tier = draft.terms.tier_of.get(customer, "")
    told = scripts[0].told
    document: dict[str, Any] = {"name": told if told.isprintable() else customer, **({"tier": tier} if tier else {})}
    tags = set.intersection(*(set(one.worker.tags) for one in scripts)) - {customer, tier, PROTECT_TAG}
    if tags:
        document["tags"] = sorted(tags)
    entries: dict[str, dict[str, Any]] = {}
    code: list[tuple[str, str, bytes]] = []
    for one in scripts:
        place = f"{one.script}/" if len(scripts) > 1 else ""
        own = [module for module in one.worker.modules if draft.is_own(module)]
        code += [(one.script, f"{place}{module.name}", module.content) for module in own]
        others = _named([f"{place}{module.name}" for module in own if module.name != one.worker.main], place)
        own_tags = sorted(set(one.worker.tags) - tags - {customer, tier, PROTECT_TAG})
        entries[one.script] = {
            "main": f"{place}{one.worker.main}",
            **({"modules": others} if others else {}),
            **({"tags": own_tags} if own_tags else {}),
            **factoring.over(draft.terms.below.get(customer, {}), draft.said[one.script]),
        }
    document |= factoring.lifted(entries)
    document["scripts"] = entries
    return document, code


def _named(paths: Sequence[str], place: str) -> list[str]:
    """Modules by name, or many of them by a pattern for each ending: nothing else stands in their folder."""
    if len(paths) <= NAMED_MODULES:
        return sorted(paths)
    return sorted({f"{place}**/*{posixpath.splitext(path)[1]}" for path in paths})


def _platform(around: Around, terms: factoring.Terms, modules: Mapping[str, bytes]) -> bytes:
    document: dict[str, Any] = {
        "platform": around.platform,
        **({"account_id": around.account_id} if around.account_id else {}),
        "namespace": around.namespace,
        **({"trusted": True} if around.trusted else {}),
        **({"defaults": dict(terms.defaults)} if terms.defaults else {}),
        **({"platform_modules": {name: f"platform/{name}" for name in sorted(modules)}} if modules else {}),
        **({"tiers": dict(terms.tiers)} if terms.tiers else {}),
        "prune": False,
    }
    return (_PLATFORM_HEADER + to_yaml(document)).encode()


def _variable(script: str, secret: str) -> str:
    """What the environment variable of a secret is called: GLOBEX_SHOP_API_KEY."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", f"{script}_{secret}").upper().strip("_")
    return name if name[:1].isalpha() else f"SECRET_{name}"


_INJECTABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_CUSTOMER_HEADER = "# yaml-language-server: $schema=../../schemas/customer.schema.json\n"
_PLATFORM_HEADER = """\
# yaml-language-server: $schema=schemas/platform.schema.json
#
# Imported from what was live. `prune: false` reports what this repository does not name and never deletes it;
# set it to true once the first plans look right.
"""
