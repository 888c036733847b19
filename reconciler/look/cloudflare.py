"""The calls to Cloudflare's API that we make: paths, paging, and what a missing thing means.

Sources: Cloudflare's OpenAPI document and SDK (types of workers_for_platforms and workers), and wrangler for what
those leave out. Requests are sent in exchange.py, and what a reply means is in replies.py. To add a call: one method
on Api; nothing else names a path.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.look.exchange import DEFAULT_BASE_URL as DEFAULT_BASE_URL
from reconciler.look.exchange import Exchange, Part, session_token
from reconciler.look.pages import page_of
from reconciler.look.replies import (
    ApiError,
    Listing,
    Namespace,
    NotFound,
    Row,
    Unreachable,
    cursor_of,
    mapping,
    modules_of,
    one_of,
    row_of,
    sequence,
    total_of,
)
from reconciler.look.transport import Transport
from reconciler.model import Module, Secret

PAGE = 1000  # the most rows that the listing of a namespace gives at once
KV_PAGE = 100  # and that of KV namespaces


def connect(base_url: str, token: Secret | None, account: str, transport: Transport, *, timeout: float = 60.0) -> Api:
    """A connection to one account. Refuses to send a token anywhere but over https, or to this machine."""
    return Api(Exchange(base_url, token, account, transport, timeout=timeout), account)


class Api:
    """Cloudflare's API for one account."""

    def __init__(self, http: Exchange, account: str) -> None:
        self._http, self.account = http, account

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._http.requests

    @property
    def host(self) -> str:
        return self._http.host

    @property
    def ray(self) -> str:
        """Cloudflare's id of the reply that this thread got last."""
        return self._http.ray

    def close(self) -> None:
        self._http.close()

    # The token and the server's clock

    def verify_token(self) -> str:
        """The token's status: "active" is the good one. Account-owned and user tokens are asked about apart."""
        for path in (("accounts", self.account, "tokens", "verify"), ("user", "tokens", "verify")):
            try:
                return str(mapping(self._http.call("GET", *path)).get("status") or "unknown")
            except ApiError as error:
                refused = error
        raise refused

    def server_time(self) -> str:
        """The Date header of a cheap reply; "" when there is none."""
        reply = self._http.send("GET", self._namespaces)
        return reply.headers.get("date", "")

    def account_name(self) -> str:
        found = mapping(self._http.call("GET", "accounts", self.account))
        return str(found.get("name") or "")

    def namespace_names(self) -> tuple[str, ...]:
        found = self._http.list("GET", *self._namespaces)
        return tuple(str(mapping(one).get("namespace_name") or "") for one in found)

    def raw_listing(self, namespace: str, limit: str = "3") -> Mapping[str, Any]:
        """The first page of a listing as it came, to tell which form this account's listing has."""
        query = {"limit": limit} if limit else {}
        return self._http.envelope("GET", *self._namespaces, namespace, "scripts", query=query)

    def missing_script(self, namespace: str, name: str) -> str:
        """How a script is answered that is not there: "null" inside a good reply, or the error's code."""
        try:
            found = mapping(self._http.call("GET", *self._scripts(namespace), name))
        except NotFound as error:
            return ", ".join(str(code) for code in sorted(error.codes)) or str(error.status)
        return "null" if found.get("script") is None else "the script"

    # Dispatch namespaces

    def namespace(self, name: str) -> Namespace | None:
        try:
            found = mapping(self._http.call("GET", *self._namespaces, name))
        except NotFound:
            return None
        count, trusted = found.get("script_count"), found.get("trusted_workers")
        return Namespace(
            str(found.get("namespace_name") or name),
            count if isinstance(count, int) and not isinstance(count, bool) else None,
            trusted if isinstance(trusted, bool) else None,
            str(found.get("modified_on") or ""),
            str(found.get("modified_by") or ""),
        )

    def create_namespace(self, name: str) -> None:
        """Not repeatable: look first. The reply may be a namespace or null, so it is not read."""
        self._http.call("POST", *self._namespaces, body={"name": name})

    def trust_namespace(self, name: str, trusted: bool) -> None:
        self._http.call("PATCH", *self._namespaces, name, body={"trusted_workers": trusted})

    # Scripts: user Workers in a namespace, or ordinary Workers where `namespace` is ""

    def scripts(self, namespace: str, *, progress: Callable[[int], None] | None = None, tags: str = "") -> Listing:
        """Every user Worker of a namespace, page by page. A missing namespace has none.

        Where the cursor sits is not documented for this call; all others of Cloudflare have it in result_info.
        """
        rows: dict[str, Row] = {}
        seen: set[str] = set()
        cursor, pages, total, because = "", 0, 0, ""
        path = (*self._namespaces, namespace, "scripts")
        call = self._http.named("GET", path)
        while True:
            query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {}), **({"tags": tags} if tags else {})}
            try:
                page = page_of(self._http.send("GET", path, query=query), call)
            except NotFound:
                pages += 1
                because = "the namespace disappeared while it was listed" if cursor else ""
                break
            before = len(rows)
            pages, total, cursor = pages + 1, max(total, page.total), page.cursor
            rows |= {row.name: row for row in page.rows}
            if page.nameless:
                because = "the listing holds a row without a name"
            if progress is not None:
                progress(len(rows))
            if not cursor:
                break
            if cursor in seen or len(rows) == before:
                because = "the listing's cursor came round again, so it did not end"
                break
            seen.add(cursor)
        if not because and len(rows) < total:
            because = f"the listing shows {len(rows)} scripts and says that there are {total}"
        return Listing(tuple(map(rows.__getitem__, sorted(rows))), pages, because)

    def workers(self) -> tuple[Row, ...]:
        """The ordinary Workers of the account, in one reply. One that does not show them all is an error: a name that
        it leaves out would be taken for free."""
        path = self._scripts("")
        envelope, call = self._http.envelope("GET", *path), self._http.named("GET", path)
        rows = [row_of(item) for item in sequence(envelope.get("result"), call)]
        named = tuple(row for row in rows if row is not None)
        if len(named) < max(len(rows), total_of(envelope)):
            raise Unreachable(call, 200, [], "", why="the listing does not show every Worker, or one without a name")
        return named

    def upload(self, namespace: str, name: str, metadata: Mapping[str, Any], modules: Sequence[Module]) -> Row:
        """Create or replace a Worker: code, tags, limits and bindings in one request, live at once."""
        parts = [Part("metadata", json.dumps(metadata, sort_keys=True).encode(), "application/json")]
        parts += [Part(module.name, module.content, module.type) for module in modules]
        path = (*self._scripts(namespace), name)
        query = {"excludeScript": "true", "bindings_inherit": "strict"}
        reply = mapping(self._http.call("PUT", *path, query=query, parts=parts))
        return row_of({"id": name, **reply}) or Row(name, None, "", "")

    def delete_script(self, namespace: str, name: str) -> None:
        """Delete a Worker; one that is gone already counts as deleted."""
        try:
            self._http.call("DELETE", *self._scripts(namespace), name)
        except NotFound:
            return

    def script(self, namespace: str, name: str) -> Row | None:
        """A Worker as the listing shows it. For an ordinary one there is no other source than the listing itself."""
        if not namespace:
            return next((row for row in self.workers() if row.name == name), None)
        try:
            found = mapping(self._http.call("GET", *self._scripts(namespace), name))
        except NotFound:
            return None
        missing = "script" in found and found["script"] is None  # a missing script was seen as a success with null
        return None if missing else row_of({"id": name, **found})

    def settings(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Bindings, limits, tags and the other settings: the only place where limits can be read back."""
        path = (*self._scripts(namespace), name, "settings")
        try:
            return one_of(self._http.call("GET", *path), self._http.named("GET", path))
        except NotFound:
            return None

    def patch_settings(self, namespace: str, name: str, settings: Mapping[str, Any]) -> None:
        """Change these settings and leave the others."""
        parts = [Part("settings", json.dumps(settings, sort_keys=True).encode(), "application/json")]
        self._http.call("PATCH", *self._scripts(namespace), name, "settings", parts=parts)

    def content(self, namespace: str, name: str) -> tuple[Module, ...] | None:
        """The modules as they are live: the main one first where the reply names it, else as they come."""
        last = "content" if namespace else "content/v2"
        path = (*self._scripts(namespace), name, *last.split("/"))
        try:
            reply = self._http.send("GET", path)
        except NotFound:
            return None
        return modules_of(reply, self._http.named("GET", path))

    def script_tags(self, namespace: str, name: str) -> tuple[str, ...] | None:
        try:
            found = self._http.list("GET", *self._scripts(namespace), name, "tags")
        except NotFound:
            return None
        return tuple(str(tag) for tag in found)

    def put_tags(self, namespace: str, name: str, tags: Sequence[str]) -> None:
        """All tags anew, and nothing else. Ordinary Workers have them among their settings without a version."""
        if namespace:
            self._http.call("PUT", *self._scripts(namespace), name, "tags", body=list(tags))
        else:
            self._http.call("PATCH", *self._scripts(""), name, "script-settings", body={"tags": list(tags)})

    def secret_names(self, namespace: str, name: str) -> frozenset[str] | None:
        try:
            found = self._http.list("GET", *self._scripts(namespace), name, "secrets")
        except NotFound:
            return None
        return frozenset(str(one["name"]) for one in found if mapping(one).get("name"))

    def put_secrets(self, namespace: str, name: str, values: Mapping[str, Secret | None]) -> None:
        """One call for many: a value sets, None deletes, names that are left out are kept."""
        secrets = {
            key: None if value is None else {"name": key, "type": "secret_text", "text": value.reveal()}
            for key, value in sorted(values.items())
        }
        hidden = [value for value in values.values() if value is not None]
        self._http.call(
            "PATCH", *self._scripts(namespace), name, "secrets-bulk", body={"secrets": secrets}, hidden=hidden
        )

    # Static assets of a Worker

    def asset_session(
        self, namespace: str, name: str, manifest: Mapping[str, tuple[str, int]]
    ) -> tuple[Secret, tuple[tuple[str, ...], ...]]:
        """Declare the files of a Worker (path to hash and size). Returns the session's token and the hashes that are
        missing, in the buckets to upload them by; without buckets the token stands for the complete upload."""
        body = {"manifest": {path: {"hash": digest, "size": size} for path, (digest, size) in manifest.items()}}
        path = (*self._scripts(namespace), name, "assets-upload-session")
        call = self._http.named("POST", path)
        reply = one_of(self._http.call("POST", *path, body=body, repeatable=True), call)
        buckets = sequence(reply.get("buckets") or [], call)
        return session_token(reply.get("jwt"), call), tuple(
            tuple(str(one) for one in sequence(bucket, call)) for bucket in buckets
        )

    def upload_assets(self, session: Secret, files: Sequence[Part]) -> Secret | None:
        """Upload one bucket, base64 in parts named by hash. Returns the completion token with the last bucket."""
        parts = [Part(one.name, base64.b64encode(one.content), one.type) for one in files]
        path = ("accounts", self.account, "workers", "assets", "upload")
        reply = mapping(
            self._http.call("POST", *path, query={"base64": "true"}, parts=parts, repeatable=True, token=session)
        )
        return session_token(reply["jwt"], self._http.named("POST", path)) if reply.get("jwt") else None

    # Where the dispatcher answers: zones, routes, custom domains, workers.dev

    def zone(self, name: str) -> str:
        """The id of a zone, by its name; "" when the account has none of that name."""
        found = self._http.call("GET", "zones", query={"name": name})
        rows = [one for one in sequence(found, self._http.named("GET", ("zones",))) if mapping(one).get("name") == name]
        return str(rows[0].get("id") or "") if rows else ""

    def routes(self, zone: str) -> tuple[Mapping[str, Any], ...]:
        path = ("zones", zone, "workers", "routes")
        return tuple(mapping(one) for one in sequence(self._http.call("GET", *path), self._http.named("GET", path)))

    def put_route(self, zone: str, identity: str, pattern: str, script: str) -> None:
        """Change the route of this id, or make one when `identity` is ""."""
        path, body = ("zones", zone, "workers", "routes"), {"pattern": pattern, "script": script}
        if identity:
            self._http.call("PUT", *path, identity, body=body)
        else:
            self._http.call("POST", *path, body=body)

    def delete_route(self, zone: str, identity: str) -> None:
        self._delete("zones", zone, "workers", "routes", identity)

    def domains(self) -> tuple[Mapping[str, Any], ...]:
        path = ("accounts", self.account, "workers", "domains")
        return tuple(mapping(one) for one in sequence(self._http.call("GET", *path), self._http.named("GET", path)))

    def put_domain(self, hostname: str, service: str, zone: str) -> None:
        body = {"hostname": hostname, "service": service, "zone_id": zone, "environment": "production"}
        self._http.call("PUT", "accounts", self.account, "workers", "domains", body=body)

    def delete_domain(self, identity: str) -> None:
        self._delete("accounts", self.account, "workers", "domains", identity)

    def workers_dev(self, name: str) -> bool | None:
        """Whether an ordinary Worker answers on workers.dev; None when there is no such Worker."""
        try:
            found = mapping(self._http.call("GET", *self._scripts(""), name, "subdomain"))
        except NotFound:
            return None
        return bool(found.get("enabled"))

    def put_workers_dev(self, name: str, enabled: bool) -> None:
        body = {"enabled": enabled, "previews_enabled": False}
        self._http.call("POST", *self._scripts(""), name, "subdomain", body=body, repeatable=True)

    # Workers KV, for a routing table that is too large for the dispatcher's bundle

    def kv_namespace(self, title: str) -> str:
        """The id of a KV namespace, by its title; "" when there is none."""
        page, shown = 1, 0
        while True:
            query = {"page": str(page), "per_page": str(KV_PAGE)}
            envelope = self._http.envelope("GET", *self._kv, query=query)
            rows = sequence(envelope.get("result"), self._http.named("GET", self._kv))
            for one in rows:
                if mapping(one).get("title") == title:
                    return str(mapping(one).get("id") or "")
            page, shown, total = page + 1, shown + len(rows), total_of(envelope)
            ended = shown >= total if total else len(rows) < KV_PAGE
            if not rows or ended:
                return ""

    def create_kv_namespace(self, title: str) -> str:
        call = self._http.named("POST", self._kv)
        made = one_of(self._http.call("POST", *self._kv, body={"title": title}), call)
        if not made.get("id"):
            raise Unreachable(call, 200, [], "", why="the new KV namespace came without an id")
        return str(made["id"])

    def kv_keys(self, namespace: str, prefix: str) -> tuple[str, ...]:
        found: list[str] = []
        seen: set[str] = set()
        cursor, call = "", self._http.named("GET", (*self._kv, "keys"))
        while True:
            query = {"limit": "1000", "prefix": prefix, **({"cursor": cursor} if cursor else {})}
            envelope = self._http.envelope("GET", *self._kv, namespace, "keys", query=query)
            found += [str(one["name"]) for one in sequence(envelope.get("result"), call) if mapping(one).get("name")]
            cursor = cursor_of(envelope)
            if not cursor:
                return tuple(found)
            if cursor in seen:
                raise Unreachable(call, 200, [], "", why="the listing's cursor came round again, so it did not end")
            seen.add(cursor)

    def kv_value(self, namespace: str, key: str) -> bytes | None:
        try:
            return self._http.send("GET", (*self._kv, namespace, "values", key)).content
        except NotFound:
            return None

    def put_kv(self, namespace: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Write at most 10,000 pairs in one call; returns the keys that did not take, which a 200 may hold."""
        body = [{"key": key, "value": value} for key, value in pairs]
        path = (*self._kv, namespace, "bulk")
        reply = mapping(self._http.call("PUT", *path, body=body))
        return tuple(str(key) for key in sequence(reply.get("unsuccessful_keys") or [], self._http.named("PUT", path)))

    def delete_kv(self, namespace: str, keys: Sequence[str]) -> None:
        self._http.call("POST", *self._kv, namespace, "bulk", "delete", body=list(keys), repeatable=True)

    # Plumbing

    @property
    def _kv(self) -> tuple[str, ...]:
        return ("accounts", self.account, "storage", "kv", "namespaces")

    def _delete(self, *path: str) -> None:
        """Delete; what is gone already counts as deleted."""
        try:
            self._http.call("DELETE", *path)
        except NotFound:
            return

    @property
    def _namespaces(self) -> tuple[str, ...]:
        return ("accounts", self.account, "workers", "dispatch", "namespaces")

    def _scripts(self, namespace: str) -> tuple[str, ...]:
        if namespace:
            return (*self._namespaces, namespace, "scripts")
        return ("accounts", self.account, "workers", "scripts")
