"""Tags for the rows of a listing that shows none, at a bounded number of calls.

The API's filter by tag works whatever rows look like, so that one listing tells whose a script is, and one which are
protected. What else a script of ours carries is what our ledger says of its etag and time of change; of the rest the
tags are read, one call a script, once: the ledger then has them.

Law: a run costs two filtered listings, and one call for each script of ours that changed since the last run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler.look.cloudflare import Api
from reconciler.look.ledger import Entry
from reconciler.look.replies import Listing, Row
from reconciler.model import PROTECT_TAG, digest_in, owner_tag

READERS = 8


def complete(
    api: Api, namespace: str, owner: str, listing: Listing, known: Iterable[Mapping[str, Entry]]
) -> tuple[Listing, Mapping[str, Entry]]:
    """The listing with tags in every row, and what had to be read for it, to be remembered.

    A row that does not pass the filter for our mark is someone else's: what tags it has is not asked.
    """
    silent = [row for row in listing.rows if row.tags is None]
    if not silent:
        return listing, {}
    known = tuple(known)
    ours = api.scripts(namespace, tags=f"{owner_tag(owner)}:yes")
    protected = api.scripts(namespace, tags=f"{PROTECT_TAG}:yes")
    names = frozenset(row.name for row in ours.rows)
    kept = frozenset(row.name for row in protected.rows)
    tags: dict[str, tuple[str, ...]] = {row.name: () for row in silent if row.name not in names}
    for row in silent:
        entry = next((each[row.name] for each in known if _stands_for(each.get(row.name), row)), None)
        if row.name in names and entry is not None:
            tags[row.name] = _as_protected(tuple(json.loads(entry.tags)), row.name in kept)
    read = _read(api, namespace, [row.name for row in silent if row.name not in tags])
    tags |= read
    rows = [row if row.tags is not None else row._replace(tags=tags[row.name]) for row in listing.rows]
    because = listing.incomplete_because or ours.incomplete_because or protected.incomplete_because
    fresh = {
        row.name: Entry(digest_in(row.tags or ()), row.etag, row.modified_on, tags=json.dumps(sorted(row.tags or ())))
        for row in rows
        if row.name in read
    }
    return replace(listing, rows=tuple(rows), incomplete_because=because), fresh


def _stands_for(entry: Entry | None, row: Row) -> bool:
    """Whether nobody wrote the script since the entry was made, as far as its row tells."""
    if entry is None or not entry.tags or not (row.etag or row.modified_on):
        return False
    return row.etag in ("", entry.etag) and row.modified_on in ("", entry.modified_on)


def _as_protected(tags: tuple[str, ...], protected: bool) -> tuple[str, ...]:
    rest = tuple(tag for tag in tags if tag != PROTECT_TAG)
    return (*rest, PROTECT_TAG) if protected else rest


def _read(api: Api, namespace: str, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """A script that is gone by now has none."""
    names = list(names)
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="tags") as pool:
        found = pool.map(lambda name: api.script_tags(namespace, name) or (), names)
        return dict(zip(names, found, strict=True))
