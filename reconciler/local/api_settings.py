"""What a script has besides its code: settings, tags, bindings, secrets. Of user Workers and of ordinary ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import unquote

from werkzeug.wrappers import Response

from reconciler.local import binding_kinds, metadata, script_replies, upload
from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import refuse, success
from reconciler.local.records import StoredScript
from reconciler.local.script_changes import (
    changed_script,
    check_references,
    record_version,
    resolved_bindings,
    stored,
)
from reconciler.local.store import ORDINARY

_WITHOUT_VERSION = ("logpush", "observability", "tags", "tail_consumers")  # settings that are no part of a version


def get_settings(call: Call, namespace: str, name: str) -> Response:
    return success(script_replies.settings(stored(call, namespace, name)))


def patch_settings(call: Call, namespace: str, name: str) -> Response:
    """Change what is named; a null takes a setting away. `bindings` replaces them all: `inherit` keeps one."""
    part = next((part for part in call.parts() if part.name == "settings"), None)
    if part is None:
        raise refuse(10021, why="the form has no part named settings")
    try:
        asked = metadata.checked(json.loads(part.content), settings=True)
    except (ValueError, RecursionError) as error:
        raise refuse(10006, why=f"settings is not JSON: {error}") from error
    bindings = binding_kinds.checked(asked["bindings"]) if asked.get("bindings") is not None else None
    if bindings is not None:
        upload.check_variables(bindings, upload.VARIABLES_LIMIT[upload.PAID if call.switches.paid else upload.FREE])
        check_references(call, bindings)

    def change(old: StoredScript) -> StoredScript:
        new = _with_settings(call, old, asked)
        if bindings is None:
            return replace(new, version_id="")
        plain, secrets = resolved_bindings(old, bindings, keep=set(asked.get("keep_bindings") or ()), strict=True)
        return replace(new, metadata={**new.metadata, "bindings": plain}, secrets=secrets, version_id="")

    new = changed_script(call, namespace, name, change)
    if namespace == ORDINARY:
        record_version(call, new, trigger="settings")
    call.changed(namespace, name)
    return success(script_replies.settings(new))


def get_script_settings(call: Call, name: str) -> Response:
    return success(script_replies.script_settings(call.ordinary(name)))


def patch_script_settings(call: Call, name: str) -> Response:
    """The settings that are no part of a version, as JSON."""
    asked = metadata.checked(call.object(), settings=True)
    if unknown := sorted(set(asked) - set(_WITHOUT_VERSION)):
        raise refuse(10021, why=f"script settings have no field `{unknown[0]}`")
    new = changed_script(call, ORDINARY, name, lambda old: _with_settings(call, old, asked))
    call.changed(ORDINARY, name)
    return success(script_replies.script_settings(new))


def get_tags(call: Call, namespace: str, name: str) -> Response:
    """The tags; with a filter, whether the script passes it."""
    tags = stored(call, namespace, name).tags or ()
    if "tags" in call.request.args:
        return success(all((tag in tags) is yes for tag, yes in call.tag_filter().items()))
    return success(list(tags))


def put_tags(call: Call, namespace: str, name: str) -> Response:
    """Replace all tags; null is none."""
    tags = call.json()
    if tags is not None and (why := metadata.tags_problem(tags)):
        raise refuse(10021, why=f"the list of tags {why}")
    new = _set_tags(call, namespace, name, lambda _: tuple(tags or ()))
    return success(list(new.tags or ()))


def put_tag(call: Call, namespace: str, name: str, tag: str) -> Response:
    def add(old: tuple[str, ...]) -> tuple[str, ...]:
        if why := metadata.tags_problem([*old, tag]):
            raise refuse(10021, why=f"the list of tags {why}")
        return (*old, tag)

    _set_tags(call, namespace, name, add)
    return success(None)


def delete_tag(call: Call, namespace: str, name: str, tag: str) -> Response:
    _set_tags(call, namespace, name, lambda old: tuple(one for one in old if one != tag))
    return success(None)


def get_bindings(call: Call, namespace: str, name: str) -> Response:
    return success(script_replies.bindings(stored(call, namespace, name)))


def list_secrets(call: Call, namespace: str, name: str) -> Response:
    return success(script_replies.secrets(stored(call, namespace, name)))


def get_secret(call: Call, namespace: str, name: str, secret: str) -> Response:
    secret = _secret_name(call, secret)
    found = stored(call, namespace, name).secrets.get(secret)
    if found is None:
        raise refuse(10056, name=secret)
    return success(script_replies.secret(secret, found))


def put_secret(call: Call, namespace: str, name: str) -> Response:
    """Set one secret."""
    asked = call.object()
    new = _set_secrets(call, namespace, name, {str(asked.get("name") or ""): asked})
    return success(script_replies.secret(asked["name"], new.secrets[asked["name"]]))


def delete_secret(call: Call, namespace: str, name: str, secret: str) -> Response:
    secret = _secret_name(call, secret)
    if secret not in stored(call, namespace, name).secrets:
        raise refuse(10056, name=secret)
    _set_secrets(call, namespace, name, {secret: None})
    return success(None)


def patch_secrets(call: Call, namespace: str, name: str) -> Response:
    """Set and delete several at once: an object sets, null deletes, what is not named is kept."""
    asked = call.object().get("secrets")
    if not isinstance(asked, dict):
        raise refuse(10021, why="secrets must be an object")
    new = _set_secrets(call, namespace, name, asked)
    return success({one["name"]: one for one in script_replies.secrets(new)})


def _with_settings(call: Call, old: StoredScript, asked: Mapping[str, Any]) -> StoredScript:
    kept = dict(old.metadata)
    for key in metadata.KEPT:
        if key in asked and asked[key] is None:
            kept.pop(key, None)
        elif key in asked:
            kept[key] = asked[key]
    tags = old.tags if "tags" not in asked else tuple(dict.fromkeys(asked["tags"] or ()))
    return _touched(call, replace(old, metadata=kept, tags=tags), "settings")


def _set_tags(call: Call, namespace: str, name: str, change: Any) -> StoredScript:
    def apply(old: StoredScript) -> StoredScript:
        return _touched(call, replace(old, tags=tuple(dict.fromkeys(change(old.tags or ())))), "tags")

    new = changed_script(call, namespace, name, apply)
    call.changed(namespace, name)
    return new


def _set_secrets(call: Call, namespace: str, name: str, asked: Mapping[str, Any]) -> StoredScript:
    given = [{**one, "name": key} for key, one in asked.items() if isinstance(one, dict)]
    if any(one is not None and not isinstance(one, dict) for one in asked.values()):
        raise refuse(10021, why="a secret is an object with type and text, or null")
    for number, one in enumerate(binding_kinds.checked(given), start=1):
        if one["type"] not in binding_kinds.SECRET_KINDS:
            raise refuse(10021, why=f"secret number {number} must have the type secret_text or secret_key")
    most = upload.VARIABLES_LIMIT[upload.PAID if call.switches.paid else upload.FREE]

    def apply(old: StoredScript) -> StoredScript:
        taken = next((one for one in old.bindings if asked.get(one["name"]) is not None), None)
        if taken is not None:
            raise refuse(10053, name=taken["name"])
        secrets = {key: one for key, one in old.secrets.items() if key not in asked}
        secrets |= {one["name"]: {key: value for key, value in one.items() if key != "name"} for one in given}
        upload.check_variables([*old.bindings, *({**one, "name": key} for key, one in secrets.items())], most)
        return _touched(call, replace(old, secrets=dict(sorted(secrets.items())), version_id=""), "secrets")

    new = changed_script(call, namespace, name, apply)
    if namespace == ORDINARY:
        record_version(call, new, trigger="secret")
    call.changed(namespace, name)
    return new


def _touched(call: Call, script: StoredScript, by: Literal["settings", "tags", "secrets"]) -> StoredScript:
    moves = by in call.switches.modified_on_moved_by
    return replace(script, modified_on=call.store.now()) if moves else script


def _secret_name(call: Call, name: str) -> str:
    """With url_encoded=true the name in the path was encoded once more."""
    return unquote(name) if call.flag("url_encoded") else name


def _endpoints() -> tuple[Endpoint, ...]:
    namespaced = "/accounts/<account>/workers/dispatch/namespaces/<namespace>/scripts/<name>"
    ordinary = "/accounts/<account>/workers/scripts/<name>"
    both = (
        ("GET", "settings", get_settings),
        ("PATCH", "settings", patch_settings),
        ("GET", "secrets", list_secrets),
        ("PUT", "secrets", put_secret),
        ("GET", "secrets/<path:secret>", get_secret),
        ("DELETE", "secrets/<path:secret>", delete_secret),
        ("PATCH", "secrets-bulk", patch_secrets),
    )
    of_namespaces = (
        ("GET", "bindings", get_bindings),
        ("GET", "tags", get_tags),
        ("PUT", "tags", put_tags),
        ("PUT", "tags/<path:tag>", put_tag),
        ("DELETE", "tags/<path:tag>", delete_tag),
    )
    return (
        *(Endpoint(method, f"{namespaced}/{path}", handler) for method, path, handler in (*both, *of_namespaces)),
        *(Endpoint(method, f"{ordinary}/{path}", handler, {"namespace": ORDINARY}) for method, path, handler in both),
        Endpoint("GET", f"{ordinary}/script-settings", get_script_settings),
        Endpoint("PATCH", f"{ordinary}/script-settings", patch_script_settings),
    )


ENDPOINTS = _endpoints()
