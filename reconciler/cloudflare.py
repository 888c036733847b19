"""The calls to Cloudflare's API that we make: paths, paging, the envelope, and its errors.

Sources: Cloudflare's OpenAPI document and SDK (types of workers_for_platforms and workers), and wrangler for what
those leave out. What a reply means is in replies.py. To add a call: one method on Api; nothing else builds a URL.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from reconciler.errors import Problem, UsageProblem
from reconciler.model import Module, Secret
from reconciler.replies import (
    ApiError,
    Listing,
    Namespace,
    NotFound,
    Reply,
    Row,
    Unreachable,
    cursor_of,
    mapping,
    modules_of,
    refusal,
    row_of,
    sequence,
    success,
)
from reconciler.transport import REPEATABLE, Polite

DEFAULT_BASE_URL = "https://api.cloudflare.com/client/v4"
PAGE = 1000  # the most rows that the listing of a namespace gives at once


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body."""

    name: str
    content: bytes
    type: str


def connect(
    base_url: str, token: Secret | None, account: str, transport: httpx.BaseTransport, *, timeout: float = 60.0
) -> Api:
    """A connection to one account. Refuses to send a token anywhere but over https, or to this machine."""
    _refuse_unsafe(base_url)
    headers = {"user-agent": "reconciler", "accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token.reveal()}"
    client = httpx.Client(
        base_url=base_url.rstrip("/") + "/",
        headers=headers,
        transport=transport,
        timeout=timeout,
        follow_redirects=False,  # a redirect would carry the token to another host
        trust_env=False,
    )
    return Api(client, account, transport)


class Api:
    """Cloudflare's API for one account."""

    def __init__(self, client: httpx.Client, account: str, transport: httpx.BaseTransport) -> None:
        self._client, self.account, self._transport = client, account, transport

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._transport.sent if isinstance(self._transport, Polite) else 0

    @property
    def host(self) -> str:
        return self._client.base_url.host

    def close(self) -> None:
        self._client.close()

    # The token and the server's clock

    def verify_token(self) -> str:
        """The token's status: "active" is the good one. Account-owned and user tokens are asked about apart."""
        for path in (("accounts", self.account, "tokens", "verify"), ("user", "tokens", "verify")):
            try:
                return str(mapping(self._call("GET", *path)).get("status") or "unknown")
            except ApiError as error:
                refused = error
        raise refused

    def server_time(self) -> str:
        """The Date header of a cheap reply; "" when there is none."""
        reply = self._send("GET", (*self._namespaces,))
        return reply.headers.get("date", "")

    def raw_listing(self, namespace: str) -> Mapping[str, Any]:
        """The first page of a listing as it came, to tell which form this account's listing has."""
        return self._envelope("GET", *self._namespaces, namespace, "scripts", query={"limit": "3"})

    # Dispatch namespaces

    def namespace(self, name: str) -> Namespace | None:
        try:
            found = mapping(self._call("GET", *self._namespaces, name))
        except NotFound:
            return None
        count, trusted = found.get("script_count"), found.get("trusted_workers")
        return Namespace(
            str(found.get("namespace_name") or name),
            count if isinstance(count, int) and not isinstance(count, bool) else None,
            trusted if isinstance(trusted, bool) else None,
        )

    def create_namespace(self, name: str) -> None:
        """Not repeatable: look first. The reply may be a namespace or null, so it is not read."""
        self._call("POST", *self._namespaces, body={"name": name})

    def trust_namespace(self, name: str, trusted: bool) -> None:
        self._call("PATCH", *self._namespaces, name, body={"trusted_workers": trusted})

    # Scripts: user Workers in a namespace, or ordinary Workers where `namespace` is ""

    def scripts(self, namespace: str, *, progress: Callable[[int], None] | None = None, tags: str = "") -> Listing:
        """Every user Worker of a namespace, page by page. A missing namespace has none.

        Where the cursor sits is not documented for this call; all others of Cloudflare have it in result_info.
        """
        rows: dict[str, Row] = {}
        seen: set[str] = set()
        cursor, pages, because = "", 0, ""
        while True:
            query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {}), **({"tags": tags} if tags else {})}
            try:
                envelope = self._envelope("GET", *self._namespaces, namespace, "scripts", query=query)
            except NotFound:
                gone = "the namespace disappeared while it was listed" if pages else ""
                return Listing((), pages + 1, gone)
            pages += 1
            for item in sequence(envelope.get("result"), self._named("GET", (*self._namespaces, namespace, "scripts"))):
                row = row_of(item)
                if row is None:
                    because = "the listing holds a row without a name"
                    continue
                rows[row.name] = row
            if progress is not None:
                progress(len(rows))
            cursor = cursor_of(envelope)
            if not cursor:
                break
            if cursor in seen:
                because = "the listing's cursor came round again, so it did not end"
                break
            seen.add(cursor)
        return Listing(tuple(rows[name] for name in sorted(rows)), pages, because)

    def workers(self) -> tuple[Row, ...]:
        """The ordinary Workers of the account, in one reply."""
        path = self._scripts("")
        rows = (row_of(item) for item in sequence(self._call("GET", *path), self._named("GET", path)))
        return tuple(row for row in rows if row is not None)

    def upload(self, namespace: str, name: str, metadata: Mapping[str, Any], modules: Sequence[Module]) -> Row:
        """Create or replace a Worker: code, tags, limits and bindings in one request, live at once."""
        parts = [Part("metadata", json.dumps(metadata, sort_keys=True).encode(), "application/json")]
        parts += [Part(module.name, module.content, module.type) for module in modules]
        path = (*self._scripts(namespace), name)
        query = {"excludeScript": "true", "bindings_inherit": "strict"}
        reply = mapping(self._call("PUT", *path, query=query, parts=parts))
        return row_of({"id": name, **reply}) or Row(name, None, "", "")

    def delete_script(self, namespace: str, name: str) -> None:
        """Delete a Worker; one that is gone already counts as deleted."""
        try:
            self._call("DELETE", *self._scripts(namespace), name)
        except NotFound:
            return

    def script(self, namespace: str, name: str) -> Row | None:
        """A Worker as the listing shows it. For an ordinary one there is no other source than the listing itself."""
        if not namespace:
            return next((row for row in self.workers() if row.name == name), None)
        try:
            found = mapping(self._call("GET", *self._scripts(namespace), name))
        except NotFound:
            return None
        missing = "script" in found and found["script"] is None  # a missing script was seen as a success with null
        return None if missing else row_of({"id": name, **found})

    def settings(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Bindings, limits, tags and the other settings: the only place where limits can be read back."""
        try:
            return mapping(self._call("GET", *self._scripts(namespace), name, "settings"))
        except NotFound:
            return None

    def content(self, namespace: str, name: str) -> tuple[Module, ...] | None:
        """The modules as they are live; their order is the reply's."""
        last = "content" if namespace else "content/v2"
        try:
            reply = self._send("GET", (*self._scripts(namespace), name, *last.split("/")))
        except NotFound:
            return None
        return modules_of(reply)

    def script_tags(self, namespace: str, name: str) -> tuple[str, ...] | None:
        try:
            found = self._call("GET", *self._scripts(namespace), name, "tags")
        except NotFound:
            return None
        return tuple(str(tag) for tag in found or ())

    def put_tags(self, namespace: str, name: str, tags: Sequence[str]) -> None:
        self._call("PUT", *self._scripts(namespace), name, "tags", body=list(tags))

    def secret_names(self, namespace: str, name: str) -> frozenset[str] | None:
        try:
            found = self._call("GET", *self._scripts(namespace), name, "secrets")
        except NotFound:
            return None
        return frozenset(str(one.get("name")) for one in found or () if isinstance(one, Mapping))

    def put_secrets(self, namespace: str, name: str, values: Mapping[str, Secret | None]) -> None:
        """One call for many: a value sets, None deletes, names that are left out are kept."""
        secrets = {
            key: None if value is None else {"name": key, "type": "secret_text", "text": value.reveal()}
            for key, value in sorted(values.items())
        }
        self._call("PATCH", *self._scripts(namespace), name, "secrets-bulk", body={"secrets": secrets})

    # Static assets of a Worker

    def asset_session(
        self, namespace: str, name: str, manifest: Mapping[str, tuple[str, int]]
    ) -> tuple[Secret, tuple[tuple[str, ...], ...]]:
        """Declare the files of a Worker (path to hash and size). Returns the session's token and the hashes that are
        missing, in the buckets to upload them by; without buckets the token stands for the complete upload."""
        body = {"manifest": {path: {"hash": digest, "size": size} for path, (digest, size) in manifest.items()}}
        path = (*self._scripts(namespace), name, "assets-upload-session")
        reply = mapping(self._call("POST", *path, body=body, repeatable=True))
        buckets = tuple(tuple(str(one) for one in bucket) for bucket in reply.get("buckets") or ())
        return Secret(str(reply.get("jwt") or "")), buckets

    def upload_assets(self, session: Secret, files: Sequence[Part]) -> Secret | None:
        """Upload one bucket, base64 in parts named by hash. Returns the completion token with the last bucket."""
        parts = [Part(one.name, base64.b64encode(one.content), one.type) for one in files]
        path = ("accounts", self.account, "workers", "assets", "upload")
        reply = mapping(
            self._call("POST", *path, query={"base64": "true"}, parts=parts, repeatable=True, token=session)
        )
        return Secret(str(reply["jwt"])) if reply.get("jwt") else None

    # Where the dispatcher answers: zones, routes, custom domains, workers.dev

    def zone(self, name: str) -> str:
        """The id of a zone, by its name; "" when the account has none of that name."""
        found = self._call("GET", "zones", query={"name": name})
        rows = [one for one in sequence(found, self._named("GET", ("zones",))) if mapping(one).get("name") == name]
        return str(rows[0]["id"]) if rows else ""

    def routes(self, zone: str) -> tuple[Mapping[str, Any], ...]:
        path = ("zones", zone, "workers", "routes")
        return tuple(mapping(one) for one in sequence(self._call("GET", *path), self._named("GET", path)))

    def put_route(self, zone: str, identity: str, pattern: str, script: str) -> None:
        """Change the route of this id, or make one when `identity` is ""."""
        path, body = ("zones", zone, "workers", "routes"), {"pattern": pattern, "script": script}
        if identity:
            self._call("PUT", *path, identity, body=body)
        else:
            self._call("POST", *path, body=body)

    def delete_route(self, zone: str, identity: str) -> None:
        self._delete("zones", zone, "workers", "routes", identity)

    def domains(self) -> tuple[Mapping[str, Any], ...]:
        path = ("accounts", self.account, "workers", "domains")
        return tuple(mapping(one) for one in sequence(self._call("GET", *path), self._named("GET", path)))

    def put_domain(self, hostname: str, service: str, zone: str) -> None:
        body = {"hostname": hostname, "service": service, "zone_id": zone, "environment": "production"}
        self._call("PUT", "accounts", self.account, "workers", "domains", body=body)

    def delete_domain(self, identity: str) -> None:
        self._delete("accounts", self.account, "workers", "domains", identity)

    def workers_dev(self, name: str) -> bool | None:
        """Whether an ordinary Worker answers on workers.dev; None when there is no such Worker."""
        try:
            found = mapping(self._call("GET", *self._scripts(""), name, "subdomain"))
        except NotFound:
            return None
        return bool(found.get("enabled"))

    def put_workers_dev(self, name: str, enabled: bool) -> None:
        body = {"enabled": enabled, "previews_enabled": False}
        self._call("POST", *self._scripts(""), name, "subdomain", body=body, repeatable=True)

    # Workers KV, for a routing table that is too large for the dispatcher's bundle

    def kv_namespace(self, title: str) -> str:
        """The id of a KV namespace, by its title; "" when there is none."""
        page = 1
        while True:
            query = {"page": str(page), "per_page": "100"}
            rows = sequence(self._call("GET", *self._kv, query=query), self._named("GET", self._kv))
            for one in rows:
                if mapping(one).get("title") == title:
                    return str(mapping(one).get("id"))
            if len(rows) < 100:
                return ""
            page += 1

    def create_kv_namespace(self, title: str) -> str:
        return str(mapping(self._call("POST", *self._kv, body={"title": title})).get("id"))

    def kv_keys(self, namespace: str, prefix: str) -> tuple[str, ...]:
        found: list[str] = []
        cursor = ""
        while True:
            query = {"limit": "1000", "prefix": prefix, **({"cursor": cursor} if cursor else {})}
            envelope = self._envelope("GET", *self._kv, namespace, "keys", query=query)
            rows = sequence(envelope.get("result"), self._named("GET", (*self._kv, "keys")))
            found += [str(mapping(one).get("name")) for one in rows]
            following = cursor_of(envelope)
            if not following or following == cursor:
                return tuple(found)
            cursor = following

    def kv_value(self, namespace: str, key: str) -> bytes | None:
        try:
            return self._send("GET", (*self._kv, namespace, "values", key)).content
        except NotFound:
            return None

    def put_kv(self, namespace: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Write at most 10,000 pairs in one call; returns the keys that did not take, which a 200 may hold."""
        body = [{"key": key, "value": value} for key, value in pairs]
        reply = mapping(self._call("PUT", *self._kv, namespace, "bulk", body=body))
        return tuple(str(key) for key in reply.get("unsuccessful_keys") or ())

    def delete_kv(self, namespace: str, keys: Sequence[str]) -> None:
        self._call("POST", *self._kv, namespace, "bulk", "delete", body=list(keys), repeatable=True)

    # Plumbing

    @property
    def _kv(self) -> tuple[str, ...]:
        return ("accounts", self.account, "storage", "kv", "namespaces")

    def _delete(self, *path: str) -> None:
        """Delete; what is gone already counts as deleted."""
        try:
            self._call("DELETE", *path)
        except NotFound:
            return

    @property
    def _namespaces(self) -> tuple[str, ...]:
        return ("accounts", self.account, "workers", "dispatch", "namespaces")

    def _scripts(self, namespace: str) -> tuple[str, ...]:
        if namespace:
            return (*self._namespaces, namespace, "scripts")
        return ("accounts", self.account, "workers", "scripts")

    def _call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
    ) -> Any:
        envelope = self._envelope(
            method, *path, query=query, body=body, parts=parts, repeatable=repeatable, token=token
        )
        return envelope.get("result")

    def _envelope(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
    ) -> Mapping[str, Any]:
        reply = self._send(method, path, query=query, body=body, parts=parts, repeatable=repeatable, token=token)
        return success(reply, self._named(method, path))

    def _send(
        self,
        method: str,
        path: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        parts: Sequence[Part] = (),
        repeatable: bool = False,
        token: Secret | None = None,
    ) -> Reply:
        """One request, answered well. Raises ApiError for everything else."""
        content: dict[str, Any] = {}
        if token is not None:  # an upload session's own, instead of the account's
            content["headers"] = {"authorization": f"Bearer {token.reveal()}"}
        if parts:
            # Cloudflare keys modules by file name, older clients by part name: both are the module's name.
            content["files"] = [(one.name, (one.name, one.content, one.type)) for one in parts]
        elif body is not None:
            content["json"] = body
        request = self._client.build_request(
            method,
            "/".join(_segment(one) for one in path),
            params=dict(query or {}),
            extensions={REPEATABLE: repeatable},
            **content,
        )
        if request.url.host != self._client.base_url.host:
            raise Unreachable(self._named(method, path), 0, [], "", why="the path leads to another host")
        try:
            response = self._client.send(request)
        except httpx.TransportError as error:
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            fix = "check the network and run again: what was done is live, and the next plan goes on from there"
            raise Unreachable(self._named(method, path), 0, [], "", why=why, fix=fix) from None
        reply = Reply(response.status_code, dict(response.headers), response.content)
        if response.is_success:
            return reply
        raise refusal(reply, self._named(method, path))

    def _named(self, method: str, path: Sequence[str]) -> str:
        """The call in words that fit a message: no account id, no query."""
        shown = [one for one in path if one not in ("accounts", self.account)]
        return f"{method} {'/'.join(shown)}"


def _segment(text: str) -> str:
    """One path segment. A name that would climb in the path is a bug here or a lie in a reply: never sent."""
    if text in ("", ".", ".."):
        raise UsageProblem([Problem(f'"{text}" cannot be the name of anything at Cloudflare', code="bad-name")])
    return quote(text, safe="")


def _refuse_unsafe(base_url: str) -> None:
    url = httpx.URL(base_url)
    if url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host)):
        return
    raise UsageProblem(
        [
            Problem(
                f"the API's address {base_url} is neither https nor on this machine",
                why="the token would travel in the clear",
                fix="set CLOUDFLARE_API_BASE_URL to an https address",
                code="unsafe-base-url",
            )
        ]
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
