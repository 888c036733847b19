"""A Worker in the form that Cloudflare takes and gives back. Pure, both ways.

Law: what is uploaded and read back has the spec it had before (tests/unit/test_wire.py, tests/conformance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.bindings import Inherit
from reconciler.model import Module, SecretReference, Worker, digest_tag, is_mark, owner_tag

# Values of these never come back, so an upload keeps those that are live; the bulk call sets and removes them.
SECRET_KINDS = ("secret_text", "secret_key")

# Settings that a reply carries and that say nothing of what we manage.
_NOT_SETTINGS = frozenset(
    {"assets", "bindings", "tags", "tag", "migrations", "exports", "exports_reconciliation", "usage_model"}
)


# Fields that Cloudflare adds to a binding: an id that follows from a name, or the only value that there is.
_FILLED_IN_BINDINGS: Mapping[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "d1": lambda live: ["id"] if live.get("id") == live.get("database_id") else [],
    "durable_object_namespace": lambda live: ["namespace_id"] if live.get("class_name") else [],
    "service": lambda live: ["environment"] if live.get("environment") == "production" else [],
}

# What Cloudflare fills in beside what was sent (recorded replies of ordinary Workers; the namespace's are alike).
_FILLED_IN: Mapping[str, Any] = {
    "observability": {
        "enabled": False,
        "head_sampling_rate": 1,
        "redact_query_string": False,
        "issues": {"enabled": False},
        "logs": {"enabled": True, "head_sampling_rate": 1, "invocation_logs": True, "persist": True},
        "traces": {"enabled": False, "head_sampling_rate": 1, "persist": True},
    },
}


def metadata(worker: Worker, tags: Sequence[str]) -> dict[str, Any]:
    """The upload's metadata part: tags go with the code (`marks`), so that code and marks are never apart."""
    settings = {name: value for name, value in worker.settings.items() if value is not None}
    return {
        **settings,
        **({"main_module": worker.main} if worker.main else {}),
        "bindings": [dict(binding) for binding in worker.bindings],
        "tags": list(tags),
        **({"keep_bindings": list(SECRET_KINDS)} if worker.secrets else {}),
    }


def marks(worker: Worker, owner: str) -> list[str]:
    """Every tag of a Worker's upload, ours first."""
    return [owner_tag(owner), digest_tag(worker.digest), *sorted(worker.tags)]


def worker_of(settings: Mapping[str, Any], modules: Sequence[Module], like: Worker | None = None) -> Worker:
    """A live Worker. `like` is the wanted one: it tells what no reply does, which is the main module, the static
    assets, and the versions of secrets. A secret that is live and not wanted has version 0."""
    bindings = [one for one in _list(settings.get("bindings")) if isinstance(one, Mapping) and "name" in one]
    wanted = {one["name"]: one for one in like.bindings} if like is not None else {}
    inherited = inherited_names(like) if like is not None else frozenset()
    secrets = {str(one["name"]) for one in bindings if one.get("type") in SECRET_KINDS} - inherited
    names = {module.name for module in modules}
    main = like.main if like is not None and like.main in names else modules[0].name if modules else ""
    return Worker(
        main=main,
        modules=tuple(sorted(modules, key=lambda module: module.name)),
        settings=_settings(settings, like.settings if like is not None else {}),
        bindings=tuple(
            _binding(one, wanted.get(one["name"], {}))
            for one in sorted(bindings, key=lambda one: str(one["name"]))
            if one["name"] in inherited or one.get("type") not in SECRET_KINDS
        ),
        tags=unmarked(tag for tag in _list(settings.get("tags")) if isinstance(tag, str)),
        secrets={name: like.secrets.get(name, _UNWANTED) for name in sorted(secrets)} if like is not None else {},
        assets=like.assets if like is not None else None,
    )


_UNWANTED = SecretReference("", version=0)


def inherited_names(worker: Worker) -> frozenset[str]:
    """The bindings that are kept as they are live, secrets perhaps among them."""
    return frozenset(str(one["name"]) for one in worker.bindings if one.get("type") == Inherit.kind)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def unmarked(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without the owner's and the digest's."""
    return tuple(sorted(tag for tag in tags if not is_mark(tag)))


def _settings(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is managed: the wanted settings, and others that are live and say something."""
    wanted = {name: value for name, value in wanted.items() if value is not None}
    managed = {
        name: _without_filled_in(value, wanted.get(name), _FILLED_IN.get(name))
        for name, value in live.items()
        if name in wanted or (name not in _NOT_SETTINGS and _says_something(value, _FILLED_IN.get(name)))
    }
    return {**managed, **_left_unsaid(live, wanted)}


def _binding(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Only the fields around a value are looked at: inside it, false and empty are the customer's own.

    What `inherit` asks for is there as soon as something of that name is, whatever it turned out to be.
    """
    if wanted.get("type") == Inherit.kind:
        return wanted
    filled_in = frozenset(_FILLED_IN_BINDINGS.get(str(live.get("type")), _nothing)(live)) - wanted.keys()
    said = {
        name: value
        for name, value in live.items()
        if name in wanted or (name not in filled_in and _says_something(value, None))
    }
    return {**{name: value for name, value in said.items() if value is not None}, **_left_unsaid(live, wanted)}


def _nothing(live: Mapping[str, Any]) -> Iterable[str]:
    del live
    return ()


def _without_filled_in(value: Any, wanted: Any, filled_in: Any) -> Any:
    """A live value without what Cloudflare filled in beside what was sent."""
    if not isinstance(value, Mapping):
        return value
    inner = wanted if isinstance(wanted, Mapping) else {}
    defaults = filled_in if isinstance(filled_in, Mapping) else {}
    said = {
        key: _without_filled_in(one, inner.get(key), defaults.get(key))
        for key, one in value.items()
        if key in inner or _says_something(one, defaults.get(key))
    }
    return {**said, **_left_unsaid(value, inner)}


def _left_unsaid(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, says nothing (false, empty, null), and stands in the reply as null or not at all."""
    return {
        name: value for name, value in wanted.items() if live.get(name) is None and not _says_something(value, None)
    }


def _says_something(value: Any, filled_in: Any) -> bool:
    """Whether a value that nobody asked for is more than a default."""
    if isinstance(value, Mapping):
        defaults = filled_in if isinstance(filled_in, Mapping) else {}
        return any(_says_something(one, defaults.get(key)) for key, one in value.items())
    if value == filled_in:
        return False
    return value not in (None, False, "", 0) and value != []
