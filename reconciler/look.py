"""What is live, read once: one paged listing and a constant number of calls, never one per script.

The kinds turn what was seen into resources (`live`); they make no calls for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.cloudflare import Api
from reconciler.replies import Listing, Namespace, Row


@dataclass(frozen=True)
class Seen:
    """The live side of one account and namespace, as the API showed it."""

    namespace: Namespace | None
    scripts: Listing
    workers: Mapping[str, Row]
    zones: Mapping[str, str] = field(default_factory=dict)  # name to id, of the zones that the platform names
    routes: tuple[Mapping[str, Any], ...] = ()
    domains: tuple[Mapping[str, Any], ...] = ()

    @property
    def incomplete_because(self) -> str:
        """Why the listing is not proven to be whole; "" when it is.

        The namespace's own count of its scripts is a second witness. It is asked for before the listing, so a
        script that was made in between shows as one too many, which harms nothing: only too few rows do.
        """
        if self.scripts.incomplete_because:
            return self.scripts.incomplete_because
        count = self.namespace.script_count if self.namespace is not None else None
        if count is not None and len(self.scripts.rows) < count:
            return f"the listing shows {len(self.scripts.rows)} scripts and the namespace counts {count}"
        return ""


def look(api: Api, namespace: str, *, progress: Callable[[int], None] | None = None) -> Seen:
    """Read the live side. Raises ApiError; a listing that cannot be read is never taken for an empty one."""
    found = api.namespace(namespace)
    scripts = api.scripts(namespace, progress=progress) if found is not None else Listing((), 0)
    return Seen(found, scripts, {row.name: row for row in api.workers()})
