"""What Cloudflare's documents leave open, as switches: a client must work with every setting of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Switches:
    """How the emulated account behaves. The defaults are what is most likely, or what a client saw live."""

    # Listing of a namespace. Every known client reads flat rows; the OpenAPI document of 2026 has nested ones.
    rows: Literal["flat", "nested"] = "flat"
    tags_in_rows: bool = True
    etag_in_rows: bool = True
    page_size: int = 1000  # when `limit` is left out
    honours_limit: bool = True  # False: page_size whatever the client asks for
    pages: bool = True  # False: one reply with everything, and no cursor

    # GET of a script that is not there. wrangler from 4.100 on deploys only after 10092; a null was seen live too.
    missing_script: Literal["10092", "10007", "null"] = "10092"
    create_reply: Literal["namespace", "null"] = "namespace"
    script_count: bool = True  # shown by the namespace's GET

    # What moves a script's etag besides its code, and its modified_on besides an upload.
    etag_moved_by: frozenset[Literal["metadata", "tags", "secrets"]] = frozenset()
    modified_on_moved_by: frozenset[Literal["settings", "tags", "secrets"]] = frozenset(("settings", "tags", "secrets"))

    omitted_tags: Literal["cleared", "kept"] = "cleared"  # by an upload without `tags`
    secrets_without_keep: Literal["dropped", "kept"] = "dropped"  # by an upload without keep_bindings

    # The account.
    dispatch_namespaces: bool = True  # False: the account lacks the Workers for Platforms add-on
    paid: bool = True  # the limits of the paid plan
    subdomain: str = "local"  # of workers.dev, until one is set; "" for an account that has none
    zones_on_demand: bool = False  # True: looking for a zone by name makes it
    # True: an upload makes the KV namespaces, D1 databases and R2 buckets that it binds; service bindings may dangle.
    bindings_on_demand: bool = False


# An account on a laptop, where nobody has made a zone, a namespace or a bucket before.
LAPTOP = Switches(zones_on_demand=True, bindings_on_demand=True)
