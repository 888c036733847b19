"""From the options of a command to a connection between a repository and an account."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli import loading
from reconciler.cli.options import Options
from reconciler.errors import LocalError, Problem, ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Platform, Repository
from reconciler.load.schema import ACCOUNT_ID
from reconciler.look import cloudflare, transport
from reconciler.look.ahead import Ahead
from reconciler.look.ledger import Ledger
from reconciler.model import Secret

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.local.store import Store

LOCAL_ACCOUNT = "0" * 32

Waiting = Callable[[float, str], None]  # seconds, and why
Through = Callable[[transport.Transport], transport.Transport]


def _untouched(way: transport.Transport) -> transport.Transport:
    return way


@contextmanager
def connected(
    options: Options, repository: Repository, *, waiting: Waiting | None = None, through: Through = _untouched
) -> Iterator[Connection]:
    """A connection to the embedded platform (--local) or to Cloudflare. `through` wraps the way there."""
    if options.local:
        with _local(options, repository, through) as connection, _telling(options, connection):
            yield connection
        return
    with (
        _remote(options, repository.platform, waiting, through) as line,
        _telling(options, _over(line, options, repository)) as connection,
    ):
        yield connection


def reached(options: Options, at: str = "") -> AbstractContextManager[Connection]:
    """A connection to what the repository is about, for a command that only looks: nothing but GET goes."""
    return _reached(options, functools.partial(loading.loaded, options, at), transport.ReadOnly)


def reached_to_write(options: Options, at: str = "") -> AbstractContextManager[Connection]:
    """The same for one that writes: with every file read, since what a cache says may be anyone's."""
    return _reached(options, functools.partial(loading.loaded_to_write, options, at), _untouched)


def progress(terminal: Terminal) -> Callable[[int], None]:
    """A progress line for a long listing."""
    return lambda rows: terminal.progress(f"reading the namespace: {rows:,} scripts")


@contextmanager
def _reached(
    options: Options, loaded: Callable[[loading.Begun], AbstractContextManager[Repository]], through: Through
) -> Iterator[Connection]:
    """The namespace is listed while the customers are read. What is wrong with the files is told before anything that
    is wrong with the account. The embedded platform's listing stands in a file: nothing is gained by beginning early.
    """
    with ExitStack() as stack:
        lines: list[_Line] = []

        def begin(platform: Platform) -> None:
            if options.local:
                return
            with suppress(ReconcilerError):  # it comes again below, once the files are known to be right
                line = stack.enter_context(_remote(options, platform, options.terminal.waiting, through))
                ahead = Ahead(line.api, platform.namespace, progress(options.terminal))
                stack.callback(ahead.stop)
                lines.append(replace(line, ahead=ahead))

        repository = stack.enter_context(loaded(begin))
        if lines:
            yield stack.enter_context(_telling(options, _over(lines[0], options, repository)))
        else:
            waiting = options.terminal.waiting
            yield stack.enter_context(connected(options, repository, waiting=waiting, through=through))


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

    with closing(Store(loading.kept(_home(options, repository), loading.LOCAL_FOLDER))) as store:
        if store.made_anew is not None:
            options.terminal.problems([store.made_anew])
        declare_zones(store, repository)
        app = create_app(store, switches=LAPTOP)
        polite = transport.Polite(through(transport.in_process(app)), transport.Unlimited())
        account = repository.platform.account_id or LOCAL_ACCOUNT
        api = cloudflare.connect("http://127.0.0.1/client/v4", Secret(LOCAL_TOKEN), account, polite)
        ledger = Ledger(
            loading.kept(_home(options, repository), loading.LEDGER),
            f"local/{account}/{repository.platform.namespace}/{repository.platform.name}",
        )
        # One at a time: all is work of this process, and threads that take turns at it take a fifth longer.
        yield Connection(repository, api, ledger, loading.variables(options), at_once=1)


def _home(options: Options, repository: Repository) -> Path:
    """Where ledger and embedded account are kept: in the repository, whichever commit of it is looked at; in the
    folder itself where an import is about to make it one."""
    if (repository.root / "platform.yaml").is_file():
        return loading.repository_root(options.folder)
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


@dataclass(frozen=True)
class _Line:
    """The way to an account, before there is a repository at this end."""

    api: cloudflare.Api
    scope: str  # of the ledger
    variables: Mapping[str, str] = field(repr=False)
    ahead: Ahead | None = None


@contextmanager
def _remote(options: Options, platform: Platform, waiting: Waiting | None, through: Through) -> Iterator[_Line]:
    found = loading.variables(options)
    token = found.get("CLOUDFLARE_API_TOKEN", "")
    account = platform.account_id or found.get("CLOUDFLARE_ACCOUNT_ID", "")
    missing = [
        name for name, value in (("CLOUDFLARE_API_TOKEN", token), ("CLOUDFLARE_ACCOUNT_ID", account)) if not value
    ]
    wrong = [_unset(name) for name in missing]
    wrong += [_NO_ACCOUNT] if account and not re.fullmatch(ACCOUNT_ID, account) else []
    if wrong:
        raise LocalError(wrong)
    addresses = [one for name in ("CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_BASE_URL") if (one := found.get(name))]
    if len(set(addresses)) > 1:
        options.terminal.warn("warning: CLOUDFLARE_API_BASE_URL and CLOUDFLARE_BASE_URL differ; the first is used")
    base_url = addresses[0] if addresses else cloudflare.DEFAULT_BASE_URL
    budget = transport.SharedBudget(budget_file(found, account), size=requests_per_window(options))
    network = transport.over_network(base_url, found.get(transport.PROXY, ""))
    polite = transport.Polite(through(network), budget, waiting=waiting)
    api = cloudflare.connect(base_url, Secret(token), account, polite)
    try:
        yield _Line(api, f"{api.host}/{account}/{platform.namespace}/{platform.name}", found)
    finally:
        api.close()
    if budget.unshared:
        options.terminal.say(f"no other process knows what this one asked for: {budget.unshared}")


def _over(line: _Line, options: Options, repository: Repository) -> Connection:
    ledger = Ledger(loading.kept(_home(options, repository), loading.LEDGER), line.scope)
    return Connection(repository, line.api, ledger, line.variables, line.ahead)


@contextmanager
def _telling(options: Options, connection: Connection) -> Iterator[Connection]:
    """Tells at the end of a ledger that was of no use."""
    try:
        yield connection
    finally:
        connection.ledger.close()
        lost = connection.ledger.lost
        if lost:
            told = f"the ledger was of no use ({lost}): this costs calls, and nothing else"
            options.terminal.say(options.terminal.printable(told))


def budget_file(found: Mapping[str, str], account: str) -> Path:
    """One budget for an account and a user of this machine, whatever repository they work in."""
    cache = Path(found.get("XDG_CACHE_HOME") or _home_of_the_user() / ".cache")
    safe = "".join(one if one.isalnum() else "-" for one in account)[:64]
    return cache / "reconciler" / f"budget-{safe}"


def _home_of_the_user() -> Path:
    """A container may run as a user that it has no entry for; whose home is then what container runtimes say it is."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


_NO_ACCOUNT = Problem(  # without what it holds: that may be a token
    "CLOUDFLARE_ACCOUNT_ID is no account's id",
    why="an account's id has 32 hexadecimal digits, in small letters, and nothing around them",
    fix="copy it from Cloudflare's dashboard, where it stands in the address: dash.cloudflare.com/<account id>",
    code="not-connected",
)


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
