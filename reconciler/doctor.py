"""Looks at everything a run depends on, and says of each what to do when it is not well. Reads only."""

from __future__ import annotations

import datetime
import email.utils
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.errors import LocalError, Problem, ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.kinds.routing_kv import title
from reconciler.look import answers
from reconciler.look.cloudflare import Api
from reconciler.look.replies import NO_ADD_ON, Unauthorized, cursor_of

CLOCK_TOLERANCE = 60.0  # seconds; more than that confuses approvals and the age of what was verified


class Health(StrEnum):
    WELL = "well"
    NOTE = "note"  # worth knowing, stops nothing
    ILL = "ill"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    health: Health
    told: str
    fix: str = ""


Looks = tuple[tuple[str, Callable[[Connection, datetime.datetime], Check]], ...]


def machine() -> Iterator[Check]:
    """What this machine has."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Check("python", Health.WELL, version)
    if shutil.which("git"):
        found = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=False, env={"PATH": os.environ.get("PATH", "")}
        )
        yield Check("git", Health.WELL, found.stdout.strip().removeprefix("git version "))
    else:
        yield Check("git", Health.NOTE, "not installed: --base, --changed-since and --at need it", "install git")


def account(connection: Connection, now: datetime.datetime) -> Iterator[Check]:
    """What the token can see of the account."""
    return _looked(_LOOKS, connection, now)


def platform(connection: Connection, now: datetime.datetime) -> Iterator[Check]:
    """What the token can see of the platform that the repository declares."""
    return _looked(_LOOKS_OF_A_PLATFORM, connection, now)


def _looked(looks: Looks, connection: Connection, now: datetime.datetime) -> Iterator[Check]:
    """In the order in which one thing rests on the other; stops at the first that cannot be looked at."""
    for name, look in looks:
        try:
            check = look(connection, now)
        except ReconcilerError as error:
            problem = error.problems[0]
            yield Check(
                name, Health.ILL, f"{problem.what}: {problem.why}" if problem.why else problem.what, problem.fix
            )
            return
        yield check
        if check.health is Health.ILL:
            return


def _token(connection: Connection, now: datetime.datetime) -> Check:
    del now
    status = connection.api.verify_token()
    if status == "active":
        return Check("token", Health.WELL, "active")
    return Check("token", Health.ILL, f"its status is {status}", "make a new token in Cloudflare's dashboard")


def _account(connection: Connection, now: datetime.datetime) -> Check:
    """Its name is for people only, and many tokens may not read it."""
    del now
    account = connection.api.account
    try:
        name = connection.api.account_name()
    except Unauthorized:
        return Check("account", Health.WELL, f"{account}; its name is not this token's to read, which stops nothing")
    return Check("account", Health.WELL, f"{account} {name}".rstrip())


def _add_on(connection: Connection, now: datetime.datetime) -> Check:
    del now
    try:
        names = connection.api.namespace_names()
    except Unauthorized as error:
        if NO_ADD_ON not in error.codes:
            raise
        told = f"this account has no Workers for Platforms (Cloudflare's error {NO_ADD_ON})"
        return Check("add-on", Health.ILL, told, "add it in Cloudflare's dashboard, or set another account_id")
    count = "1 dispatch namespace" if len(names) == 1 else f"{len(names)} dispatch namespaces"
    shown = f": {', '.join(sorted(names)[:5])}{', …' if len(names) > 5 else ''}" if names else ""
    return Check("add-on", Health.WELL, f"Workers for Platforms is there, with {count}{shown}")


def _clock(connection: Connection, now: datetime.datetime) -> Check:
    there = moment_of(connection.api.server_time())
    if there is None:
        return Check("clock", Health.NOTE, "the API's replies carry no date to compare with")
    away = abs((there - now).total_seconds())
    if away <= CLOCK_TOLERANCE:
        return Check("clock", Health.WELL, f"within {CLOCK_TOLERANCE:.0f} s of the API's")
    return Check("clock", Health.NOTE, f"{away:.0f} s away from the API's", "set this machine's clock")


def moment_of(date: str) -> datetime.datetime | None:
    """What a Date header says, which is UTC by its definition; None for one that says nothing."""
    try:
        return email.utils.parsedate_to_datetime(date).replace(tzinfo=datetime.UTC)
    except (ValueError, TypeError):
        return None


def _namespace(connection: Connection, now: datetime.datetime) -> Check:
    del now
    found = connection.api.namespace(connection.namespace)
    if found is None:
        return Check("namespace", Health.NOTE, f"{connection.namespace} does not exist; the next apply makes it")
    count = found.script_count
    told = "an unknown number of scripts" if count is None else f"{count:,} script{'' if count == 1 else 's'}"
    return Check("namespace", Health.WELL, f"{found.name} with {told}")


def _listing(connection: Connection, now: datetime.datetime) -> Check:
    del now
    if connection.api.namespace(connection.namespace) is None:
        return Check("listing", Health.NOTE, "there is nothing to list yet")
    form = form_of(connection.api.raw_listing(connection.namespace))
    told = ", ".join(f"{name}: {value}" for name, value in form.items())
    if form.get("tags") == "no":
        return Check(
            "listing", Health.NOTE, told, "rows carry no tags: ownership is asked for by filter, at more calls"
        )
    return Check("listing", Health.WELL, told)


def form_of(envelope: Mapping[str, Any]) -> dict[str, str]:
    """Which of the forms that a listing may take this one has."""
    rows = envelope.get("result")
    if not isinstance(rows, list) or not rows:
        return {"rows": "none yet"}
    first = rows[0] if isinstance(rows[0], Mapping) else {}
    script = first.get("script")
    row = script if isinstance(script, Mapping) else first
    information = envelope.get("result_info")
    return {
        "rows": "nested" if isinstance(script, Mapping) else "flat",
        "tags": "yes" if isinstance(row.get("tags"), list) else "no",
        "etag": "yes" if row.get("etag") else "no",
        "paging": "cursor" if isinstance(information, Mapping) and "cursor" in information else "none seen",
        "limit": "not honoured" if len(rows) > 3 else "honoured" if cursor_of(envelope) else "not seen, with so few",
    }


def _permissions(connection: Connection, now: datetime.datetime) -> Check:
    """Every reading that a plan of this repository makes. Writing is not tried: --probe does."""
    del now
    lacking = []
    for permission, read in _readings(connection):
        try:
            read()
        except Unauthorized:
            lacking.append(permission)
    if lacking:
        named = ", ".join(dict.fromkeys(lacking))
        fix = f"add {named} to the token, for this account and its zones"
        return Check("permissions", Health.ILL, f"the token lacks {named}", fix)
    told = "all that plan and drift read can be read; apply needs Workers Scripts Write beside it"
    return Check("permissions", Health.WELL, told)


def _readings(connection: Connection) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Permissions as Cloudflare's dashboard names them, and a call that needs each."""
    api, settings = connection.api, connection.repository.platform.dispatcher
    yield "Workers Scripts Read", api.workers
    if settings is None:
        return
    for zone in sorted({one.zone for one in settings.routes}):
        yield "Workers Routes Read", functools.partial(_routes_of, api, zone)
    if settings.custom_domains:
        yield "Workers Scripts Read", api.domains
    if settings.table == "kv":
        yield "Workers KV Storage Read", functools.partial(api.kv_namespace, title(connection.repository.platform))


def _routes_of(api: Api, zone: str) -> None:
    identity = api.zone(zone)
    if not identity:
        fix = "add the domain to the account, or give the token Zone Read for it"
        raise LocalError([Problem(f"no zone {zone} is to be seen", fix=fix, code="unknown-zone")])
    api.routes(identity)


def _ledger(connection: Connection, now: datetime.datetime) -> Check:
    """Whether it can be read, and written."""
    connection.ledger.learn({"looked_at": now.isoformat(timespec="seconds")})
    known = sum(len(connection.remembered(kind)) for kind in ("user_worker", "outbound_worker", "dispatcher"))
    if connection.ledger.lost:
        told = f"{connection.ledger.lost}; without it, runs trust tags and cost more calls"
        return Check("ledger", Health.NOTE, told, "make .reconciler/ writable; it is only a cache and may be deleted")
    return Check("ledger", Health.WELL, f"remembers {known:,} uploads")


def probed(known: Mapping[str, str]) -> Iterator[Check]:
    """What is known of this account that no document tells."""
    on = known.get(answers.PROBED_ON)
    if not on:
        fix = "`reconciler doctor --probe` writes and removes one scratch script to learn it"
        yield Check("probe", Health.NOTE, "what this account's listing shows of changes by hand is not known", fix)
        return
    yield Check("probe", Health.WELL, f"on {on}")
    for sentence in answers.told(known):
        yield Check("", Health.WELL, sentence)
    for problem in answers.blind_spots(known, tags_in_rows=True):
        yield Check("", Health.NOTE, problem.what, problem.fix)


_LOOKS: Looks = (
    ("token", _token),
    ("account", _account),
    ("add-on", _add_on),
    ("clock", _clock),
)
_LOOKS_OF_A_PLATFORM: Looks = (
    ("namespace", _namespace),
    ("listing", _listing),
    ("permissions", _permissions),
    ("ledger", _ledger),
)
