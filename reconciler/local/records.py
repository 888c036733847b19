"""What the emulated account holds, as values: scripts with all that runs, and the rows beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Syntax(StrEnum):
    """How a script's code is written."""

    MODULES = "modules"  # ES modules; `main` names the one with the handlers
    SERVICE_WORKER = "service-worker"  # addEventListener("fetch", …); `main` names its only part
    ASSETS = "assets"  # no code at all


@dataclass(frozen=True, slots=True)
class StoredModule:
    """One part of an upload."""

    name: str
    type: str  # MIME type without parameters
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AssetFile:
    """One static file of a script. `Store.asset(hash)` gives its bytes."""

    hash: str
    size: int


@dataclass(frozen=True, slots=True)
class Asset:
    """The bytes of a static file, with the content type that they were uploaded with ("" for none)."""

    type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class ScriptRow:
    """A script as listings show it. An ordinary Worker has the namespace ""."""

    namespace: str
    name: str
    id: str  # immutable: kept over uploads (the API calls it "tag")
    etag: str  # what the API shows; a switch says whether settings move it
    revision: int  # moves with every change of what runs, in this account's order: key loaded code by it
    created_on: str
    modified_on: str
    main: str  # name of the main module; "" for assets alone
    syntax: Syntax
    version_id: str  # a UUID, new with each upload
    deployed_from: str  # "api", "wrangler", …
    handlers: tuple[str, ...]
    has_assets: bool
    tags: tuple[str, ...] | None  # None: never set
    metadata: Mapping[str, Any] = field(repr=False)  # as uploaded, with "bindings", without secrets and tags
    subdomain: bool = False  # answers on workers.dev
    previews: bool = False

    @property
    def bindings(self) -> tuple[Mapping[str, Any], ...]:
        """Wire form; secrets are not among them."""
        return tuple(self.metadata.get("bindings", ()))


@dataclass(frozen=True)
class StoredScript(ScriptRow):
    """A script with everything that is needed to run it."""

    modules: tuple[StoredModule, ...] = ()
    # Name to wire form: {"type": "secret_text", "text": …} or {"type": "secret_key", …}. The API never returns them.
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    assets: Mapping[str, AssetFile] = field(default_factory=dict, repr=False)  # by path: "/index.html"

    @property
    def main_module(self) -> StoredModule | None:
        return next((module for module in self.modules if module.name == self.main), None)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A dispatch namespace."""

    name: str
    id: str
    trusted: bool
    created_on: str
    modified_on: str
    script_count: int = 0


@dataclass(frozen=True, slots=True)
class Watcher:
    """A data plane that is told of every change before the API answers."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Zone:
    id: str
    name: str
    created_on: str


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern of a zone, and the ordinary Worker that answers it; none switches Workers off there."""

    id: str
    zone_id: str
    pattern: str
    script: str | None


@dataclass(frozen=True, slots=True)
class Domain:
    """A custom domain: a whole hostname answered by one ordinary Worker."""

    id: str
    hostname: str
    service: str
    environment: str
    zone_id: str
    zone_name: str
    cert_id: str


@dataclass(frozen=True, slots=True)
class CustomHostname:
    """A customer's own domain, which the routes of a zone answer."""

    id: str
    zone_id: str
    hostname: str
    created_on: str
    details: Mapping[str, Any]  # as they were sent: ssl, custom_metadata, …


@dataclass(frozen=True, slots=True)
class Version:
    """An uploaded version of an ordinary Worker, deployed or not."""

    number: int
    annotations: Mapping[str, str]
    script: StoredScript  # the Worker as it is when this version runs


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which version of an ordinary Worker answers which share of its requests."""

    id: str
    created_on: str
    source: str
    versions: tuple[tuple[str, float], ...]  # (version id, percentage)
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KvNamespace:
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class KvPair:
    """One pair of a KV namespace. `expires` counts seconds from 1970."""

    key: str
    value: bytes = field(repr=False)
    metadata: Any = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class KvKey:
    """A pair as key listings show it."""

    name: str
    metadata: Any = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class D1Database:
    id: str
    name: str
    created_on: str


@dataclass(frozen=True, slots=True)
class R2Bucket:
    name: str
    created_on: str


@dataclass(frozen=True, slots=True)
class R2Object:
    """An object of a bucket, without its bytes. `uploaded` counts seconds from 1970."""

    key: str
    version: str
    size: int
    etag: str  # of an upload in parts it is no MD5
    md5: str  # hex; "" where it is not known
    uploaded: float
    metadata: Mapping[str, Any]  # httpMetadata, customMetadata, storageClass


def timestamp(seconds: float) -> str:
    """Cloudflare's form, with microseconds: 2026-11-24T03:32:08.123456Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id(kind: str, serial: int) -> str:
    """32 hex digits from the account's own counter: the same calls in the same order give the same ids."""
    return hashlib.sha256(f"{kind}:{serial}".encode()).hexdigest()[:32]


def new_uuid(kind: str, serial: int) -> str:
    """An id in the form of a UUID, from the account's own counter."""
    digits = new_id(kind, serial)
    return "-".join((digits[:8], digits[8:12], f"4{digits[13:16]}", f"8{digits[17:20]}", digits[20:]))
