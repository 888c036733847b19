"""The live namespace as rows for people: whose each script is, and how it stands to the repository. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reconciler.look import wire
from reconciler.look.ledger import Entry
from reconciler.look.replies import Row
from reconciler.model import PROTECT_TAG, Key, State
from reconciler.plan.guards import USER_WORKER

CURRENT, EDITED, DRIFTED, ORPHAN, UNMANAGED, MISSING = "current", "edited", "drifted", "orphan", "unmanaged", "missing"


@dataclass(frozen=True, slots=True)
class Standing:
    """One script, and how it stands to the repository."""

    customer: str
    script: str
    standing: str
    tags: tuple[str, ...]
    digest: str
    modified_on: str
    writer: str  # what deployed it last, as far as the API tells
    protected: bool = False
    platform_modules: str = ""  # the digest of those that it runs; "" where it has none, or where that is not known


def standings(
    desired: State,
    live: State,
    rows: Mapping[str, Row],
    owner: str,
    injected: Mapping[str, Entry] = MappingProxyType({}),
    own: str = "",
) -> Iterator[Standing]:
    """Every user Worker that is live or wanted, by customer and name; those of nobody last.

    `injected` is what our ledger knows of the platform modules of each upload, `own` the digest of the repository's.

    standing    wanted   live
    ---------   ------   --------------------------------------
    current     yes      ours, same digest, not altered
    edited      yes      ours, another digest: the repository is ahead
    drifted     yes      ours, written by someone else
    missing     yes      no
    orphan      no       ours
    unmanaged   any      not ours
    """
    keys = {key for state in (desired, live) for key in state.resources if key.kind == USER_WORKER}
    customers = {key: _customer(desired, live, key) for key in keys}
    for key in sorted(keys, key=lambda one: (customers[one] or "\uffff", one.name)):
        want, have, row = desired.resources.get(key), live.resources.get(key), rows.get(key.name)
        tags = tuple(tag for tag in wire.unmarked((row.tags or ()) if row else ()) if tag != PROTECT_TAG)
        if have is None:
            standing = MISSING
        elif have.owner != owner and not have.claimed:
            standing = UNMANAGED
        elif want is None:
            standing = ORPHAN
        elif have.altered or have.claimed:
            standing = DRIFTED
        else:
            standing = CURRENT if want.digest == have.digest else EDITED
        yield Standing(
            customers[key],
            key.name,
            standing,
            tags,
            have.digest if have else "",
            row.modified_on if row else "",
            row.last_deployed_from if row else "",
            have.protected if have else False,
            own if standing == CURRENT else _injected(row, injected.get(key.name)),
        )


def _injected(row: Row | None, entry: Entry | None) -> str:
    """Nobody has written it since the upload that our ledger knows."""
    if row is None or entry is None or not (row.etag or row.modified_on):
        return ""
    return entry.digest if (row.etag, row.modified_on) == (entry.etag, entry.modified_on) else ""


def _customer(desired: State, live: State, key: Key) -> str:
    found = (state.resources[key].customer for state in (desired, live) if key in state.resources)
    return next((customer for customer in found if customer), "")
