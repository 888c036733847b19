"""From the options of a command to a loaded repository and a connection to an account."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.options import Options
from reconciler.errors import LocalError, Problem, UsageProblem
from reconciler.kinds.connection import Connection
from reconciler.load import config, git
from reconciler.load.repository import Repository
from reconciler.look import cloudflare, transport
from reconciler.look.ledger import Ledger
from reconciler.model import Secret

if TYPE_CHECKING:
    from reconciler.local.store import Store

LOCAL_ACCOUNT = "0" * 32
LOCAL_FOLDER = Path(".reconciler/local")
OWN = Path(".reconciler")  # what is kept beside the repository
COMPILED = Path(".reconciler/compiled.sqlite3")
LEDGER = Path(".reconciler/ledger.sqlite3")

Waiting = Callable[[float, str], None]  # seconds, and why
Through = Callable[[transport.Transport], transport.Transport]


def _untouched(way: transport.Transport) -> transport.Transport:
    return way


def load(options: Options) -> Repository:
    """Find and load the repository; its warnings are shown with the plan."""
    root = repository_root(options.folder)
    repository = config.load(root, options.environment, variables=variables(options), kept=kept(root, COMPILED))
    return config.with_stand_in_warnings(repository) if options.local else repository


@contextmanager
def loaded(options: Options, at: str = "") -> Iterator[Repository]:
    """The repository as it is, or as it was at a commit: then from git's objects, beside the work tree."""
    if at:
        with _at_commit(options, at) as repository:
            yield repository
    else:
        yield load(options)


@contextmanager
def loaded_to_write(options: Options, at: str = "") -> Iterator[Repository]:
    """The same, with every file read: nothing is written on the word of a cache, which may be anyone's."""
    if at:
        with _at_commit(options, at) as repository:
            yield repository
    else:
        yield config.load(repository_root(options.folder), options.environment, variables=variables(options))


@contextmanager
def _at_commit(options: Options, at: str) -> Iterator[Repository]:
    root = repository_root(options.folder)
    commit = git.commit(root, at)
    with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
        git.write_tree(root, commit, Path(folder))
        if not (Path(folder) / "platform.yaml").is_file():
            raise UsageProblem([Problem(f"commit {commit.id[:12]} holds no platform.yaml", code="no-repository")])
        yield config.load(Path(folder), options.environment, variables=variables(options))


def is_repository(folder: Path) -> bool:
    """Whether there is a platform.yaml here or above."""
    start = folder.resolve()
    return any((one / "platform.yaml").is_file() for one in (start, *start.parents))


def repository_root(folder: Path) -> Path:
    """The nearest folder upwards that holds platform.yaml."""
    start = folder.resolve()
    for one in (start, *start.parents):
        if (one / "platform.yaml").is_file():
            return one
    raise UsageProblem(
        [
            Problem(
                f"there is no platform.yaml in {folder} or above it",
                why="a platform's repository is known by that file",
                fix="change to the repository, name it with -C DIR, or make one with `reconciler init`",
                code="no-repository",
            )
        ]
    )


def variables(options: Options) -> Mapping[str, str]:
    """The environment, over what --env-file sets."""
    found = dict(_env_file(options.env_file)) if options.env_file is not None else {}
    return {**found, **os.environ}


@contextmanager
def connected(
    options: Options, repository: Repository, *, waiting: Waiting | None = None, through: Through = _untouched
) -> Iterator[Connection]:
    """A connection to the embedded platform (--local) or to Cloudflare. `through` wraps the way there."""
    opened = _local(options, repository, through) if options.local else _remote(options, repository, waiting, through)
    with opened as connection:
        try:
            yield connection
        finally:
            connection.api.close()
            if connection.ledger.lost:
                options.terminal.say(
                    options.terminal.printable(
                        f"the ledger was of no use ({connection.ledger.lost}): this costs calls, and nothing else"
                    )
                )


def looking(options: Options, repository: Repository, *, waiting: Waiting) -> AbstractContextManager[Connection]:
    """A connection on which nothing but GET goes: for every command that only looks."""
    return connected(options, repository, waiting=waiting, through=transport.ReadOnly)


def check_extra() -> None:
    """The embedded platform's own dependencies, which plan and apply do without."""
    missing = [name for name in ("werkzeug", "watchfiles") if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalError(
            [
                Problem(
                    f"the embedded platform needs {' and '.join(missing)}",
                    why="the reconciler was installed without its extra `local`",
                    fix=f"install it with the extra, or run `pip install {' '.join(missing)}`",
                    code="local-extra",
                )
            ]
        )


def requests_per_window(options: Options) -> int:
    return 0 if options.local else max(1, transport.REQUESTS_PER_WINDOW * options.budget_share // 100)


@contextmanager
def _local(options: Options, repository: Repository, through: Through) -> Iterator[Connection]:
    check_extra()
    from reconciler.local.api import LOCAL_TOKEN, create_app
    from reconciler.local.store import Store
    from reconciler.local.switches import LAPTOP

    with closing(Store(kept(_home(options, repository), LOCAL_FOLDER))) as store:
        if store.made_anew is not None:
            options.terminal.problems([store.made_anew])
        declare_zones(store, repository)
        app = create_app(store, switches=LAPTOP)
        polite = transport.Polite(through(transport.in_process(app)), transport.Unlimited())
        account = repository.platform.account_id or LOCAL_ACCOUNT
        api = cloudflare.connect("http://127.0.0.1/client/v4", Secret(LOCAL_TOKEN), account, polite)
        ledger = Ledger(
            kept(_home(options, repository), LEDGER),
            f"local/{account}/{repository.platform.namespace}/{repository.platform.name}",
        )
        yield Connection(repository, api, ledger, variables(options))


def kept(root: Path, path: Path) -> Path:
    """A place below .reconciler/. Raises UsageProblem where a link stands there: it came with a commit, and a database
    would be written to wherever it leads."""
    for folder in (OWN, LOCAL_FOLDER):
        links = [root / folder, *((root / folder).iterdir() if (root / folder).is_dir() else ())]
        for link in links:
            if link.is_symlink():
                what = f"{link.relative_to(root)} is a symbolic link: nothing is kept there"
                why = "databases are written in that folder, and a link would lead them elsewhere"
                raise UsageProblem(
                    [Problem(what, why=why, fix="remove it, and keep .reconciler out of git", code="symlink")]
                )
    return root / path


def _home(options: Options, repository: Repository) -> Path:
    """Where ledger and embedded account are kept: in the repository, whichever commit of it is looked at; in the
    folder itself where an import is about to make it one."""
    if (repository.root / "platform.yaml").is_file():
        return repository_root(options.folder)
    return repository.root


def declare_zones(store: Store, repository: Repository) -> None:
    """The embedded account has the zones that the repository names: there is no one to buy a domain from."""
    settings = repository.platform.dispatcher
    if settings is None:
        return
    for route in settings.routes:
        store.edge.ensure_zone(route.zone)
    for domain in settings.custom_domains:
        if store.edge.zone_of(domain.name) is None:
            store.edge.ensure_zone(".".join(domain.name.split(".")[-2:]))


@contextmanager
def _remote(
    options: Options, repository: Repository, waiting: Waiting | None, through: Through
) -> Iterator[Connection]:
    found = variables(options)
    token = found.get("CLOUDFLARE_API_TOKEN", "")
    account = repository.platform.account_id or found.get("CLOUDFLARE_ACCOUNT_ID", "")
    missing = [
        name for name, value in (("CLOUDFLARE_API_TOKEN", token), ("CLOUDFLARE_ACCOUNT_ID", account)) if not value
    ]
    if missing:
        raise LocalError([_unset(name) for name in missing])
    addresses = [one for name in ("CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_BASE_URL") if (one := found.get(name))]
    if len(set(addresses)) > 1:
        options.terminal.warn("warning: CLOUDFLARE_API_BASE_URL and CLOUDFLARE_BASE_URL differ; the first is used")
    base_url = addresses[0] if addresses else cloudflare.DEFAULT_BASE_URL
    budget = transport.SharedBudget(_budget_file(found, account), size=requests_per_window(options))
    network = transport.over_network(base_url, found.get(transport.PROXY, ""))
    polite = transport.Polite(through(network), budget, waiting=waiting)
    api = cloudflare.connect(base_url, Secret(token), account, polite)
    scope = f"{api.host}/{account}/{repository.platform.namespace}/{repository.platform.name}"
    yield Connection(repository, api, Ledger(kept(_home(options, repository), LEDGER), scope), found)
    if budget.unshared:
        options.terminal.say(f"no other process knows what this one asked for: {budget.unshared}")


def _budget_file(found: Mapping[str, str], account: str) -> Path:
    """One budget for an account and a user of this machine, whatever repository they work in."""
    cache = Path(found.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    safe = "".join(one if one.isalnum() else "-" for one in account)[:64]
    return cache / "reconciler" / f"budget-{safe}"


def _unset(name: str) -> Problem:
    fixes = {
        "CLOUDFLARE_API_TOKEN": "make a token with Workers Scripts Read (plan, drift) or Write (apply) and export it",
        "CLOUDFLARE_ACCOUNT_ID": "export it, or set account_id in platform.yaml",
    }
    return Problem(
        f"{name} is not set",
        why="the live namespace cannot be read without it",
        fix=f"{fixes[name]}; --local needs none",
        code="not-connected",
    )


def _env_file(path: Path) -> Iterator[tuple[str, str]]:
    """NAME=value lines; quotes around a value are taken off, # begins a comment line, `export ` is let be."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem([Problem(f"--env-file {path} cannot be read", why=str(error), code="env-file")]) from None
    for line in text.splitlines():
        name, mark, value = line.strip().removeprefix("export ").partition("=")
        if not mark or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        yield name.strip(), value
