"""What `reconciler dev` prints: where everything is, what each save did, and what went wrong, in place."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from reconciler.dev.rounds import Round
from reconciler.dev.urls import Address
from reconciler.errors import Problem
from reconciler.load.repository import Repository
from reconciler.local.api import LOCAL_TOKEN, PREFIX
from reconciler.plan import Action, Plan
from reconciler.plan.results import Outcome, Result
from reconciler.show import results_text
from reconciler.show.style import Style, pad, shown

MOST_ADDRESSES = 40  # more are on the dashboard
MOST_RESULTS = 12  # of one round; beyond, only what failed
_DONE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}


class Terminal(Protocol):
    """Data to one stream, talk to another; the command line's terminal is one."""

    @property
    def style(self) -> Style: ...
    @property
    def talk_style(self) -> Style: ...
    def data(self, text: str) -> None: ...
    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def problems(self, problems: Iterable[Problem]) -> None: ...
    def progress(self, text: str) -> None: ...
    def waiting(self, seconds: float, why: str) -> None: ...
    def finish(self) -> None: ...


def heading(root: Path, repository: Repository | None, style: Style) -> str:
    """`acme · acme-production · 5 customers · 7 scripts`."""
    if repository is None:
        return style.paint("heading", shown(root.name))
    platform = repository.platform
    parts = [platform.namespace, _many(len(repository.customers), "customer")]
    parts += [_many(len(repository.facts.digests), "script")]
    if platform.environment:
        parts.insert(0, platform.environment)
    return style.paint("heading", shown(platform.name)) + style.paint("faint", f" · {shown(' · '.join(parts))}")


def places(addresses: Sequence[Address], api_url: str, style: Style) -> Iterator[str]:
    """Every script's addresses, the dashboard's and the API's."""
    shown_ones = addresses[:MOST_ADDRESSES]
    wide = max([len(one.script) for one in shown_ones] + [len("dashboard")])
    host = max([len(one.by_host) for one in shown_ones] + [0])
    path = max([len(one.by_path) for one in shown_ones] + [0])
    both = 2 + wide + 2 + host + 2 + path <= style.width  # side by side, or only the first
    for one in shown_ones:
        urls = f"{pad(one.by_host, host)}  {one.by_path}" if one.by_host and both else one.url
        yield f"  {pad(one.script, wide)}  {style.paint('place', urls.strip()) or _by_hostname(one, style)}"
    if host and path and not both:
        first = shown_ones[0]
        yield style.paint("faint", f"  by path too, as in {first.by_path}")
    if len(addresses) > MOST_ADDRESSES:
        yield style.paint("faint", f"  … and {len(addresses) - MOST_ADDRESSES:,} more on the dashboard")
    yield ""
    yield f"  {pad('dashboard', wide)}  {style.paint('place', f'{api_url}/')}"
    yield f"  {pad('API', wide)}  {style.paint('place', f'{api_url}{PREFIX}')}"


def for_other_tools(api_url: str, account: str) -> Iterator[str]:
    """What wrangler and Cloudflare's SDKs are told of the local account, to be copied into another terminal.

    The token opens accounts on this machine only. The SDKs read the last variable, wrangler the one before.
    """
    told = {"CLOUDFLARE_ACCOUNT_ID": account, "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN}
    told |= dict.fromkeys(("CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_BASE_URL"), api_url + PREFIX)
    yield "  for wrangler and SDKs:"
    yield f"  export {' '.join(f'{name}={shlex.quote(value)}' for name, value in told.items())}"


def round_lines(done: Round, before: Round | None, style: Style) -> Iterator[str]:
    """What a save did; nothing for one that changed nothing, and where only the same is withheld as before."""
    if done.quiet or _repeats(done, before):
        return
    clock = style.paint("faint", time.strftime("%H:%M:%S", time.localtime(done.at)))
    yield f"{clock}  {shown(done.cause)}"
    results: Sequence[Result] = done.results if len(done.results) <= MOST_RESULTS else done.failed
    for result in results[:MOST_RESULTS]:
        for line in results_text.result_line(result, style).split("\n"):
            yield f"          {line.rstrip()}"
    if not done.problems:
        yield f"          {_outcome(done, style)}"


def problems(done: Round, before: Round | None) -> list[Problem]:
    """What is wrong in the files; else warnings and what the guards refuse, what the round before told left out."""
    if done.plan is None:
        return list(done.problems)
    told = _told(before.plan) if before is not None and before.plan is not None else []
    known = {(one.where, one.what) for one in told}
    return [one for one in _told(done.plan) if (one.where, one.what) not in known]


def advice(done: Round, before: Round | None, *, had: bool) -> str:
    """What a round means for what runs; "" where that goes without saying."""
    if done.problems:
        return "nothing was sent: what was live stays live" if had else "nothing runs yet: save a file to try again"
    if done.plan is not None and done.plan.withheld and not _repeats(done, before):
        return "the guards are those of production; `reconciler apply --local --allow-deletes N` lets these go here"
    if done.quiet and before is not None and before.short_of_it:
        return "mended: what is live is what the files say"
    return ""


def _told(plan: Plan) -> list[Problem]:
    return [*plan.warnings, *plan.problems, *plan.refusals]


def _repeats(done: Round, before: Round | None) -> bool:
    """Whether nothing came of it, and what stands in the way is what stood there already."""
    if done.plan is None or done.results or before is None or before.plan is None:
        return False
    return _told(done.plan) == _told(before.plan) and done.plan.withheld == before.plan.withheld


def _outcome(done: Round, style: Style) -> str:
    took = f"{done.seconds * 1000:.0f} ms" if done.seconds < 1 else f"{done.seconds:.1f} s"
    parts = [_counted(done.results)] if done.results else []
    if done.failed:
        parts.append(f"{_many(len(done.failed), 'change')} did not take: what was live stays live")
    if done.plan is not None and done.plan.withheld:
        parts.append(f"{_many(len(done.plan.withheld), 'delete')} withheld by the guards")
    if done.plan is not None and done.plan.problems:
        parts.append(f"{_many(len(done.plan.problems), 'foreign name')} in the way")
    role = "warning" if len(parts) > 1 or not done.results else "good"
    return style.paint(role, " · ".join(parts)) + style.paint("faint", f" · {took}")


def _counted(results: Sequence[Result]) -> str:
    """`live: 2 created, 1 updated`."""
    applied = [one.action for one in results if one.outcome is Outcome.APPLIED]
    told = [f"{applied.count(action):,} {word}" for action, word in _DONE.items() if action in applied]
    return f"live: {', '.join(told)}" if told else "nothing is new"


def _by_hostname(address: Address, style: Style) -> str:
    if not address.hostnames:
        return style.paint("faint", "no address: the dispatcher has no pattern, and the script no hostname")
    return style.paint("faint", f"Host: {', '.join(address.hostnames)}")


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
