"""What the pages show, as values: made from the files, the last rounds and one look at the account. Writes nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconciler.dev.entries import clock
from reconciler.dev.rounds import Round
from reconciler.dev.urls import Address
from reconciler.errors import Problem, ReconcilerError
from reconciler.load import config, customer_file
from reconciler.load.files import CUSTOMER_FILE, Folder
from reconciler.load.repository import Customer, Repository, Script
from reconciler.model import PROTECT_TAG, Module, Worker
from reconciler.plan import ABSENT, Plan
from reconciler.run import Outlook
from reconciler.show import words
from reconciler.status import Standing, standings

if TYPE_CHECKING:
    from reconciler.dev.dashboard import Site

SHORT = 8  # hex digits of a digest on a page
MOST_CUSTOMERS = 100  # on one page; the search finds the others
EDITABLE = (".mjs", ".js", ".cjs", ".json", ".txt", ".html", ".css", ".sql", ".md", ".py")


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page."""

    platform: str
    namespace: str
    environment: str
    role: str  # "good", "warning", "error"
    status: str  # in words


@dataclass(frozen=True, slots=True)
class ScriptRow:
    """A script in a list."""

    name: str
    tags: tuple[str, ...]  # its own, beside customer and tier
    cpu_ms: int | None
    subrequests: int | None
    outbound: str
    hostnames: tuple[str, ...]
    protect: bool
    standing: str
    digest: str
    url: str


@dataclass(frozen=True, slots=True)
class CustomerCard:
    id: str
    name: str
    tier: str
    suspended: bool
    scripts: tuple[ScriptRow, ...]
    folder: str = ""
    source: str = ""  # the text of customer.yaml, where it is shown
    all_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    customers: tuple[CustomerCard, ...]
    others: tuple[Standing, ...]  # live, and not in the files
    modules: tuple[tuple[str, str], ...]  # the platform's: name, digest
    outbound: tuple[tuple[str, str], ...]  # name, its parameters
    dispatcher: str
    all_tags: tuple[str, ...]
    last: Round | None
    scripts: int
    found: int  # customers that the filter lets through, shown or not


@dataclass(frozen=True, slots=True)
class ModuleTab:
    name: str
    size: int
    digest: str
    injected: bool
    file: str  # in the repository; "" where it is not the customer's
    text: str | None  # None for what is no text
    chosen: bool


@dataclass(frozen=True, slots=True)
class ScriptPage:
    row: ScriptRow
    customer: CustomerCard
    address: Address | None
    settings: tuple[tuple[str, str], ...]
    bindings: tuple[tuple[str, str, str], ...]  # name, type, the rest
    secrets: tuple[tuple[str, int, str], ...]  # name, version, variable
    tabs: tuple[ModuleTab, ...]
    where: str
    platform_modules: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PlanPage:
    last: Round | None
    pending: Plan | None
    problems: tuple[Problem, ...]  # why there is no plan
    history: tuple[Round, ...]  # the newest first, without those that did nothing


@dataclass(frozen=True, slots=True)
class Choices:
    customers: tuple[str, ...]
    tiers: tuple[str, ...]
    outbound: tuple[str, ...]


def frame(site: Site) -> Frame:
    repository = site.rounds.repository
    role, status = _status(site)
    if repository is None:
        return Frame(site.rounds.root.name, "", "", role, status)
    platform = repository.platform
    return Frame(platform.name, platform.namespace, platform.environment, role, status)


def overview(site: Site, tag: str, search: str) -> Overview | None:
    """The customers whose name, id or scripts hold the text, with those of their scripts that have the tag."""
    repository = site.rounds.repository
    if repository is None:
        return None
    live, urls = _standings(site), _urls(site)
    held = [one for one in repository.customers.values() if _holds(one, search.lower())]
    kept = [one for one in held if not tag or any(tag in script.tags for script in one.scripts)]
    cards = [_card(one, live, urls, tag) for one in kept[:MOST_CUSTOMERS]]
    dispatcher = repository.platform.dispatcher
    return Overview(
        customers=tuple(cards),
        others=tuple(one for name, one in live.items() if not _has(repository, name))[:MOST_CUSTOMERS],
        modules=_platform_modules(repository),
        outbound=tuple(
            (name, ", ".join(one.parameters)) for name, one in sorted(repository.platform.outbound_workers.items())
        ),
        dispatcher=dispatcher.name if dispatcher else "",
        all_tags=_tags(repository.scripts()),
        last=site.rounds.last,
        scripts=sum(not tag or tag in script.tags for one in kept for script in one.scripts),
        found=len(kept),
    )


def _holds(one: Customer, text: str) -> bool:
    return any(text in held for held in (one.id, one.name.lower(), *(script.name for script in one.scripts)))


def customer(site: Site, name: str, tag: str) -> CustomerCard | None:
    repository = site.rounds.repository
    if repository is None or name not in repository.customers:
        return None
    one = repository.customers[name]
    source = (repository.root / one.folder / CUSTOMER_FILE).read_text(encoding="utf-8", errors="replace")
    return _card(one, _standings(site), _urls(site), tag, source)


def script(site: Site, name: str, module: str) -> ScriptPage | None:
    """Raises ConfigError when the files have become wrong since the last good load."""
    repository = site.rounds.repository
    if repository is None or not _has(repository, name):
        return None
    row = repository.script(name)
    owner = repository.customers[row.customer]
    worker = config.read_worker(repository, name)
    live, urls = _standings(site), _urls(site)
    return ScriptPage(
        row=_row(row, live, urls),
        customer=_card(owner, live, urls, ""),
        address=next((one for one in site.addresses() if one.script == name), None),
        settings=tuple((words_of(key), _value(value)) for key, value in sorted(worker.settings.items()) if value),
        bindings=tuple(_binding(one) for one in worker.bindings),
        secrets=tuple((key, one.version, one.variable) for key, one in sorted(worker.secrets.items())),
        tabs=_tabs(worker, _code_folder(repository, owner, name), module),
        where=str(row.where),
        platform_modules=_platform_modules(repository),
    )


def plan(site: Site) -> PlanPage:
    problems: tuple[Problem, ...] = ()
    last = site.rounds.last
    try:
        found = site.rounds.outlook()
    except ReconcilerError as error:
        found, problems = None, error.problems
    if last is not None and last.problems:
        problems = last.problems
    history = tuple(one for one in reversed(site.rounds.history) if not one.quiet)
    return PlanPage(last, found.plan if found else None, problems, history)


def choices(site: Site) -> Choices:
    repository = site.rounds.repository
    if repository is None:
        return Choices((), (), ())
    platform = repository.platform
    return Choices(tuple(repository.customers), platform.tiers, tuple(sorted(platform.outbound_workers)))


def back(site: Site, file: str, script: str) -> str:
    """The page that a file is edited from."""
    repository = site.rounds.repository
    if repository is None:
        return "/"
    if script and _has(repository, script):
        return f"/scripts/{quote(script)}"
    owners = [one for one in repository.customers.values() if file.startswith(f"{one.folder}/")]
    owner = max(owners, key=lambda one: len(one.folder), default=None)
    return f"/customers/{quote(owner.id)}" if owner else "/"


def words_of(key: str) -> str:
    return key.replace("_", " ")


def _status(site: Site) -> tuple[str, str]:
    last = site.rounds.last
    if last is None:
        return "warning", "starting"
    if last.problems:
        return "error", words.many(len(last.problems), "problem", "problems")
    if last.failed:
        return "error", words.many(len(last.failed), "change failed", "changes failed")
    found = _outlook(site)
    if found is None:
        return "error", "the account cannot be read"
    if found.plan.withheld:
        return "warning", words.many(len(found.plan.withheld), "delete withheld", "deletes withheld")
    if found.plan.changes or found.plan.blocked or found.plan.problems:
        count = len(found.plan.changes) + len(found.plan.blocked) + len(found.plan.problems)
        return "warning", f"{words.number(count)} pending"
    return "good", "in step"


def _outlook(site: Site) -> Outlook | None:
    try:
        return site.rounds.outlook()
    except ReconcilerError:
        return None  # the plan's page tells why


def _standings(site: Site) -> dict[str, Standing]:
    found = _outlook(site)
    if found is None:
        return {}
    rows = {row.name: row for row in found.seen.scripts.rows}
    owner = found.connection.owner
    return {one.script: one for one in standings(found.desired, found.live, rows, owner)}


def _urls(site: Site) -> dict[str, str]:
    return {one.script: one.url for one in site.addresses()}


def _card(
    one: Customer,
    live: Mapping[str, Standing],
    urls: Mapping[str, str],
    tag: str,
    source: str = "",
) -> CustomerCard:
    rows = tuple(_row(script, live, urls) for script in one.scripts if not tag or tag in script.tags)
    tags = tuple(_tags(one.scripts))
    return CustomerCard(one.id, one.name, one.tier, one.suspended, rows, one.folder, source, tags)


def _row(one: Script, live: Mapping[str, Standing], urls: Mapping[str, str]) -> ScriptRow:
    standing = live.get(one.name)
    return ScriptRow(
        name=one.name,
        tags=_own_tags(one),
        cpu_ms=one.cpu_ms,
        subrequests=one.subrequests,
        outbound=one.outbound_worker,
        hostnames=tuple(each.name for each in one.hostnames),
        protect=one.protect,
        standing=standing.standing if standing else "missing",
        digest=(standing.digest if standing else "")[:SHORT],
        url=urls.get(one.name, ""),
    )


def _own_tags(one: Script) -> tuple[str, ...]:
    return tuple(tag for tag in one.tags if tag not in (one.customer, one.tier, PROTECT_TAG))


def _tags(scripts: Iterable[Script]) -> tuple[str, ...]:
    return tuple(sorted({tag for one in scripts for tag in _own_tags(one)}))


def _has(repository: Repository, name: str) -> bool:
    try:
        return bool(repository.script(name))
    except KeyError:
        return False


def _platform_modules(repository: Repository) -> tuple[tuple[str, str], ...]:
    modules = repository.terms.modules if repository.terms else ()
    return tuple((one.name, one.sha256[:SHORT]) for one in modules)


def _code_folder(repository: Repository, owner: Customer, name: str) -> str:
    """Where the modules of a script are: the folder of its main module."""
    source = customer_file.read_source(Folder(repository.root, owner.folder, ()))
    return posixpath.join(owner.folder, posixpath.dirname(str(source.data["scripts"][name].get("main", ""))))


def _tabs(worker: Worker, folder: str, module: str) -> tuple[ModuleTab, ...]:
    names = [one.name for one in worker.modules]
    chosen = module if module in names else worker.main
    return tuple(_tab(one, folder, chosen=one.name == chosen) for one in worker.modules)


def _tab(one: Module, folder: str, *, chosen: bool) -> ModuleTab:
    editable = not one.injected and one.name.endswith(EDITABLE)
    return ModuleTab(
        name=one.name,
        size=len(one.content),
        digest=one.sha256[:SHORT],
        injected=one.injected,
        file=posixpath.normpath(posixpath.join(folder, one.name)) if editable else "",
        text=_text(one.content) if chosen else None,
        chosen=chosen,
    )


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _binding(one: Mapping[str, Any]) -> tuple[str, str, str]:
    rest = {key: value for key, value in one.items() if key not in ("name", "type")}
    told = _value(next(iter(rest.values()))) if len(rest) == 1 else _value(rest)
    return str(one["name"]), str(one["type"]).replace("_", " "), told


def _value(value: Any) -> str:
    return words.value(value) if value is not ABSENT else "–"


def _diff_role(line: str) -> str:
    return {"+": "create", "-": "delete", "@": "hunk"}.get(line[:1], "")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "clock": clock,
    "size": words.size,
    "cause": words.cause,
    "fields": words.fields,
    "path": words.path,
    "sides": words.sides,
    "code_gist": words.code_gist,
    "diff_role": _diff_role,
    "title": words.title,
    "value": _value,
    "many": words.many,
    "milliseconds": lambda seconds: f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s",
}
