"""One request to the emulated API, with all that answering it may use, and the endpoints' own type."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from werkzeug.wrappers import Request, Response

from reconciler.local import multipart
from reconciler.local.envelope import no_route, refuse
from reconciler.local.faults import Faults
from reconciler.local.records import ScriptRow, StoredScript
from reconciler.local.store import Store
from reconciler.local.switches import Switches
from reconciler.local.watchers import Watchers

ACTIVE = "active"  # the status of a token that may be used
Check = Callable[[StoredScript], list[str]]  # what is wrong with a script's code, one sentence each


@dataclass(frozen=True)
class Call:
    """A request, the account it is for, and how that account behaves."""

    request: Request
    store: Store
    switches: Switches
    faults: Faults
    watchers: Watchers
    token: str
    check: Check | None
    account: str  # 32 hex; "" where the path names none

    def json(self) -> Any:
        """The JSON body."""
        try:
            return json.loads(self.request.get_data(cache=True))
        except (ValueError, RecursionError) as error:
            raise refuse(10006, why=str(error)) from error

    def object(self) -> dict[str, Any]:
        """The JSON body, which must be an object."""
        body = self.json()
        if not isinstance(body, dict):
            raise refuse(10006, why="an object is expected")
        return body

    def parts(self) -> list[multipart.Part]:
        """The parts of a multipart body."""
        try:
            return multipart.parse(self.request.headers.get("content-type", ""), self.request.get_data())
        except multipart.MalformedError as error:
            raise refuse(10006, why=str(error)) from error

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number from the query."""
        text = self.request.args.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
            raise refuse(10004, why=f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def flag(self, name: str) -> bool:
        """True for true, 1 and a bare name in the query."""
        return self.request.args.get(name, "false").lower() in ("true", "1", "")

    def tag_filter(self) -> dict[str, bool]:
        """`?tags=production:yes,staging:no`: tags that a script must and must not have."""
        wanted = {}
        for pair in filter(None, self.request.args.get("tags", "").split(",")):
            tag, _, answer = pair.rpartition(":")
            if not tag or answer not in ("yes", "no"):
                raise refuse(
                    10004, why=f'"{pair}" is no tag filter: tags=<tag>:yes or tags=<tag>:no, separated by commas'
                )
            wanted[tag] = answer == "yes"
        return wanted

    def ordinary(self, name: str) -> ScriptRow:
        """An ordinary Worker that must be there."""
        row = self.store.row("", name)
        if row is None:
            raise refuse(10007)
        return row

    def changed(self, namespace: str, name: str | None) -> None:
        """Tell the data planes; the reply waits for it. Without a name, everything in the namespace changed."""
        self.watchers.notify(namespace, name)

    def nowhere(self) -> Exception:
        """The answer to an identifier that cannot be one."""
        return no_route(self.request.path)


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One row of the API: `GET /accounts/<account>/…` and what answers it."""

    method: str
    path: str  # after /client/v4; <account> and <zone> are checked before the handler is called
    handler: Callable[..., Response]  # (call, **the other parts of the path)
    defaults: Mapping[str, Any] | None = None  # values for parts that this path does not have
    auth: Literal["token", "assets"] = "token"  # "assets": the bearer is the token of an upload session
    rate_limit_headers: bool = True  # KV and D1 were seen to send none


def encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise refuse(10004, why="cursor is not one that a listing gave") from error
