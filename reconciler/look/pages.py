"""A page of the listing of scripts: what one reply of it says.

A full page is 700 kB of which we want a third. Where it is as plain as every client reads it, a typed decoder takes
that and passes over the rest (plain_pages.py, a sixth of the time); any other page is read with patience.

Law: both ways say the same of a page (tests/property/test_pages.py).
"""

from __future__ import annotations

from reconciler.look.replies import Page, Reply, cursor_of, row_of, sequence, success, total_of

LARGE = 50_000  # bytes, about 70 rows; below, to load the decoder takes longer than it saves


def page_of(reply: Reply, call: str) -> Page:
    """Raises ApiError for a reply that holds no page: an unreadable listing must never pass for an empty one."""
    if len(reply.content) >= LARGE:
        from reconciler.look import plain_pages  # its decoder takes 15 ms to load

        plain = plain_pages.decoded(reply.content)
        if plain is not None:
            return plain
    return patient(reply, call)


def patient(reply: Reply, call: str) -> Page:
    """Any form that a page may have: rows may be nested, and hold whatever they like."""
    envelope = success(reply, call)
    rows = [row_of(item) for item in sequence(envelope.get("result"), call)]
    named = tuple(row for row in rows if row is not None)
    return Page(named, cursor_of(envelope), total_of(envelope), len(named) < len(rows))
