"""A Worker in the form that Cloudflare takes and gives back. Pure, both ways.

Law: what is uploaded and read back has the spec it had before (tests/conformance).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.model import Module, Worker, digest_tag, is_mark, owner_tag

# Values of these never come back, so an upload keeps those that are live; the bulk call sets and removes them.
SECRET_KINDS = ("secret_text", "secret_key")

# Settings that a reply carries and that say nothing of what we manage.
_NOT_SETTINGS = frozenset({"bindings", "tags", "tag", "migrations", "exports", "exports_reconciliation", "usage_model"})


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


def metadata(worker: Worker, owner: str) -> dict[str, Any]:
    """The upload's metadata part: with the owner's mark and the digest, so that code and marks are never apart."""
    settings = {name: value for name, value in worker.settings.items() if value is not None}
    return {
        **settings,
        **({"main_module": worker.main} if worker.main else {}),
        "bindings": [dict(binding) for binding in worker.bindings],
        "tags": marks(worker, owner),
        **({"keep_bindings": list(SECRET_KINDS)} if worker.secrets else {}),
    }


def marks(worker: Worker, owner: str) -> list[str]:
    """Every tag of a Worker's upload, ours first."""
    return [owner_tag(owner), digest_tag(worker.digest), *sorted(worker.tags)]


def worker_of(settings: Mapping[str, Any], modules: Sequence[Module], like: Worker | None = None) -> Worker:
    """A live Worker. `like` is the wanted one: it tells the main module, which no reply names, and the versions of
    secrets, which only our own tags know of."""
    bindings = [one for one in settings.get("bindings") or () if isinstance(one, Mapping) and "name" in one]
    secrets = {str(one["name"]) for one in bindings if one.get("type") in SECRET_KINDS}
    wanted = like.secrets if like is not None else {}
    names = {module.name for module in modules}
    main = like.main if like is not None and like.main in names else modules[0].name if modules else ""
    return Worker(
        main=main,
        modules=tuple(sorted(modules, key=lambda module: module.name)),
        settings=_settings(settings, like),
        bindings=tuple(
            {key: value for key, value in one.items() if value is not None}
            for one in sorted(bindings, key=lambda one: str(one["name"]))
            if one.get("type") not in SECRET_KINDS
        ),
        tags=unmarked(settings.get("tags") or ()),
        secrets={name: one for name, one in wanted.items() if name in secrets},
    )


def unmarked(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without the owner's and the digest's."""
    return tuple(sorted(tag for tag in tags if not is_mark(tag)))


def _settings(live: Mapping[str, Any], like: Worker | None) -> dict[str, Any]:
    """What is managed: the wanted settings, and others that are live and say something."""
    wanted = like.settings if like is not None else {}
    return {
        name: _without_filled_in(value, wanted.get(name), _FILLED_IN.get(name))
        for name, value in live.items()
        if name not in _NOT_SETTINGS and (name in wanted or _says_something(value, _FILLED_IN.get(name)))
    }


def _without_filled_in(value: Any, wanted: Any, filled_in: Any) -> Any:
    """A live value without what Cloudflare filled in beside what was sent."""
    if not isinstance(value, Mapping):
        return value
    inner = wanted if isinstance(wanted, Mapping) else {}
    defaults = filled_in if isinstance(filled_in, Mapping) else {}
    return {
        key: _without_filled_in(one, inner.get(key), defaults.get(key))
        for key, one in value.items()
        if key in inner or _says_something(one, defaults.get(key))
    }


def _says_something(value: Any, filled_in: Any) -> bool:
    """Whether a value that nobody asked for is more than a default."""
    if isinstance(value, Mapping):
        defaults = filled_in if isinstance(filled_in, Mapping) else {}
        return any(_says_something(one, defaults.get(key)) for key, one in value.items())
    if value == filled_in:
        return False
    return value not in (None, False, "", 0) and value != []
