"""Names in messages: the one that was probably meant, and lists of what there is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_NAMES, MAX_NAME_LENGTH = 2_000, 100  # looking for a near name takes time for each
MAX_LISTED = 20

# Kinds as people call them, one and many; a kind that is not here is called by its own name.
KINDS = {
    "user_worker": ("script", "scripts"),
    "outbound_worker": ("outbound Worker", "outbound Workers"),
    "tail_worker": ("tail Worker", "tail Workers"),
}


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The nearest of the names, or "" when none is near."""
    known = sorted(names)[:MAX_NAMES]
    if len(name) > MAX_NAME_LENGTH:
        return ""
    alike = [one for one in known if _bare(one) == _bare(name)]
    close = alike or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return (close or [one for one in known if len(name) > 1 and one.startswith(name)] or [""])[0]


def listed(names: Iterable[str]) -> str:
    """The names in order, cut where they are too many to read."""
    known = sorted(names)
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return ", ".join(known[:MAX_LISTED]) + more


def kind_words(name: str) -> tuple[str, str]:
    """A kind of resource as people call it: one of it, and many."""
    plain = name.replace("_", " ")
    return KINDS.get(name, (plain, f"{plain}s"))


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
