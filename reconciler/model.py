"""The values that everything is made of: resources, states, Workers, and their digests.

Law: two specs have the same canonical JSON if and only if there is nothing to explain between them
(tests/property/test_laws.py). Nothing here reads a file, a clock or the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from reconciler import names
from reconciler.errors import Where

Spec = Mapping[str, Any]  # JSON: what a resource is, in the form that is compared and shown

DIGEST_LENGTH = 32  # hex digits: 128 bits, and short enough for a tag


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The identity of a resource: its kind and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def told(self) -> str:
        """As messages call it: `script globex-shop`."""
        return f"{names.kind_words(self.kind)[0]} {self.name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing on the platform, wanted or live. Small: its full spec is made when it is shown or sent."""

    key: Key
    digest: str = ""  # 32 hex; "" where a live resource does not tell
    owner: str = ""  # the platform that owns it; "" for one that carries no owner mark
    customer: str = ""
    needs: frozenset[Key] = frozenset()
    where: Where | None = None  # wanted only: the line that declares it
    protected: bool = False
    previously: tuple[str, ...] = ()  # wanted only: names that this one replaces
    etag: str = ""  # live only, from here on
    modified_on: str = ""
    altered: bool = False  # someone else wrote it since our own upload
    claimed: bool = False  # its owner mark is gone, and our ledger knows that we made it
    verified: bool = True  # its content is known to be what its digest says
    writer: str = ""  # who or what wrote it last, as far as the API tells
    note: str = ""  # what there is to say of one that has no spec: "points at another-worker"


@dataclass(frozen=True)
class State:
    """Resources by key, sorted, and what is known of the listing behind them."""

    resources: Mapping[Key, Resource] = field(default_factory=dict)
    incomplete_because: str = ""  # why the listing is not proven to be whole; "" when it is
    vanished: frozenset[Key] = frozenset()  # live only: what our ledger remembers and the listing does not show
    settled: int = 0  # live only: user Workers that are left out here, since they are as they are wanted

    @classmethod
    def of(
        cls,
        resources: Iterable[Resource],
        *,
        incomplete_because: str = "",
        vanished: Iterable[Key] = (),
        settled: int = 0,
    ) -> State:
        ordered = sorted(resources, key=lambda resource: (resource.key.kind, resource.key.name))
        return cls({one.key: one for one in ordered}, incomplete_because, frozenset(vanished), settled)


@dataclass(frozen=True, slots=True)
class Module:
    """One part of a Worker's upload."""

    name: str  # path relative to the folder of the main module
    type: str  # MIME type, as the upload names it
    content: bytes = field(repr=False)
    injected: bool = False  # a platform module, not the customer's own

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret's value will be found, and which version of it is meant. Never the value."""

    variable: str  # the environment variable that holds the value
    version: int = 1


class Secret:
    """A value that must not be seen: its text in every message, log and repr is ***."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Assets:
    """The static files of a Worker: path to (hash, size), and how they are served."""

    files: Mapping[str, tuple[str, int]]  # "/index.html" -> (32 hex, salted per customer; bytes)
    folder: str  # relative to the repository
    config: Mapping[str, Any] = field(default_factory=dict)
    customer: str = ""  # the salt of their hashes


@dataclass(frozen=True, slots=True)
class Worker:
    """All that an upload of one Worker sends, user Worker or ordinary."""

    main: str  # "" for an assets-only Worker
    modules: tuple[Module, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # metadata in wire form: limits, compatibility, ...
    bindings: tuple[Mapping[str, Any], ...] = ()  # wire form, by name; never secrets
    tags: tuple[str, ...] = ()  # without the owner's and the digest's
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    assets: Assets | None = None

    def spec(self) -> Spec:
        """What is compared and shown. Module contents stand in it as hashes, secrets as versions."""
        spec: dict[str, Any] = {
            "main": self.main,
            "modules": {one.name: {"type": one.type, "sha256": one.sha256} for one in self.modules},
            "tags": sorted(self.tags),
            "bindings": {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in self.bindings},
            "secrets": {name: one.version for name, one in self.secrets.items()},
            **{name: value for name, value in self.settings.items() if value is not None},
        }
        if self.assets is not None:
            files = {path: digest for path, (digest, _) in self.assets.files.items()}
            spec["assets"] = {"files": files, "config": dict(self.assets.config)}
        return spec

    @property
    def digest(self) -> str:
        return digest(self.spec())


def modules_digest(modules: Iterable[Module]) -> str:
    """What names a set of platform modules; "" for none."""
    hashes = {one.name: one.sha256 for one in modules}
    return digest(hashes) if hashes else ""


def canonical(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, whole floats as integers (1.0 is 1, -0.0 is 0)."""
    return _canonical(value).decode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, shortened to 32 hex digits."""
    return hashlib.sha256(_canonical(value)).hexdigest()[:DIGEST_LENGTH]


def _canonical(value: Any) -> bytes:
    """Two encoders that say the same (tests/unit/test_model.py): one in an eighth of the time, and one that takes
    floats, half characters and mappings of every kind."""
    if not _holds_floats((value,)):
        try:
            return _encode_quickly(value)
        except (TypeError, UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
            return _encode(value).encode("utf-8", "surrogatepass")
    return _encode(_whole(value)).encode("utf-8", "surrogatepass")


_encode_quickly = msgspec.json.Encoder(order="sorted").encode
# Made once: json.dumps makes an encoder for each call, which takes longer than most values.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=lambda value: _plain(value)
).encode


def _plain(value: Any) -> Any:
    """A mapping that is no dict, for the encoder."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _holds_floats(values: Iterable[Any]) -> bool:
    """Whether there may be one: most specs hold none, and are encoded as they are."""
    for one in values:
        kind = type(one)
        if kind is str or kind is int or kind is bool or one is None:
            continue
        if kind is dict:
            if _holds_floats(one.values()):
                return True
        elif kind is not list or _holds_floats(one):
            return True
    return False


def _whole(value: Any) -> Any:
    """YAML and Cloudflare's replies write the same number as 1 and as 1.0; both mean 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(one) for one in value]
    return value


# Owner, digest and protection travel as tags in the same upload as the code (Cloudflare takes eight tags a script).
TAGS_PER_SCRIPT = 8
RESERVED_PREFIX = "rcn-"
PROTECT_TAG = "rcn-protect"
_DIGEST_PREFIX = "rcn-d-"


def owner_tag(platform: str) -> str:
    return f"{RESERVED_PREFIX}{platform}"


def digest_tag(digest: str) -> str:
    return f"{_DIGEST_PREFIX}{digest}"


def digest_in(tags: Iterable[str]) -> str:
    """The digest that a live script carries; "" when it carries none, or not exactly one."""
    found = [tag.removeprefix(_DIGEST_PREFIX) for tag in tags if _is_digest(tag)]
    return found[0] if len(found) == 1 else ""


def owner_in(tags: Iterable[str]) -> str:
    """The platform whose mark a live resource carries; "" for none, or for marks of several."""
    marks = [tag for tag in tags if tag.startswith(RESERVED_PREFIX) and tag != PROTECT_TAG and not _is_digest(tag)]
    return marks[0].removeprefix(RESERVED_PREFIX) if len(marks) == 1 else ""


def is_mark(tag: str) -> bool:
    """Whether a tag is the owner's or the digest's. Protection is the user's own word, and is none."""
    return tag.startswith(RESERVED_PREFIX) and tag != PROTECT_TAG


def _is_digest(tag: str) -> bool:
    """A platform's id has 24 characters at most, so that no owner's tag can be taken for a digest's."""
    return tag.startswith(_DIGEST_PREFIX) and len(tag) == len(_DIGEST_PREFIX) + DIGEST_LENGTH
