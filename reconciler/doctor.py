"""Looks at everything a run depends on, and says of each what to do when it is not well. Reads only."""

from __future__ import annotations

import datetime
import email.utils
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.kinds.connection import Connection

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
    """What the token can see, in the order in which one thing rests on the other; stops at the first that is ill."""
    for name, look in _LOOKS:
        try:
            check = look(connection, now)
        except ReconcilerError as error:
            problem = error.problems[0]
            yield Check(
                name, Health.ILL, f"{problem.what}: {problem.why}" if problem.why else problem.what, problem.fix
            )
            return
        yield check


def _token(connection: Connection, now: datetime.datetime) -> Check:
    del now
    status = connection.api.verify_token()
    if status == "active":
        return Check("token", Health.WELL, "active")
    return Check("token", Health.ILL, f"its status is {status}", "make a new token in Cloudflare's dashboard")


def _clock(connection: Connection, now: datetime.datetime) -> Check:
    stamp = connection.api.server_time()
    if not stamp:
        return Check("clock", Health.NOTE, "the API's replies carry no date to compare with")
    away = abs((email.utils.parsedate_to_datetime(stamp) - now).total_seconds())
    if away <= CLOCK_TOLERANCE:
        return Check("clock", Health.WELL, f"within {CLOCK_TOLERANCE:.0f} s of the API's")
    return Check("clock", Health.NOTE, f"{away:.0f} s away from the API's", "set this machine's clock")


def _namespace(connection: Connection, now: datetime.datetime) -> Check:
    del now
    found = connection.api.namespace(connection.namespace)
    if found is None:
        return Check("namespace", Health.NOTE, f"{connection.namespace} does not exist; the next apply makes it")
    count = "an unknown number of" if found.script_count is None else f"{found.script_count:,}"
    return Check("namespace", Health.WELL, f"{found.name} with {count} scripts")


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
        "limit": "honoured" if len(rows) <= 3 else "not honoured",
    }


def _ledger(connection: Connection, now: datetime.datetime) -> Check:
    del now
    known = sum(len(connection.remembered(kind)) for kind in ("user_worker", "outbound_worker", "dispatcher"))
    if connection.ledger.lost:
        return Check("ledger", Health.NOTE, f"began anew ({connection.ledger.lost})", "nothing: it is only a cache")
    return Check("ledger", Health.WELL, f"remembers {known:,} uploads")


_LOOKS: tuple[tuple[str, Callable[[Connection, datetime.datetime], Check]], ...] = (
    ("token", _token),
    ("clock", _clock),
    ("namespace", _namespace),
    ("listing", _listing),
    ("ledger", _ledger),
)
