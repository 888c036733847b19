"""Scripts: list, upload, read, delete, and their code. One set of functions for user Workers and ordinary ones.

The `namespace` of an ordinary Worker is "".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from werkzeug.wrappers import Response

from reconciler.local import multipart, script_replies, upload
from reconciler.local.api_assets import completed_manifest
from reconciler.local.call import Call, Endpoint, decode_cursor, encode_cursor
from reconciler.local.envelope import ApiFailure, refuse, success
from reconciler.local.records import AssetFile, ScriptRow, StoredScript, Syntax
from reconciler.local.script_changes import (
    changed_script,
    check_references,
    kept_metadata,
    record_version,
    resolved_bindings,
    stored,
)
from reconciler.local.store import ORDINARY

MOST_ROWS = 1000  # in one reply of a listing


def list_user_workers(call: Call, namespace: str) -> Response:
    """Flat or nested rows, by name, with a cursor in result_info while there are more."""
    switches = call.switches
    size = call.number("limit", switches.page_size, least=1, most=MOST_ROWS)
    size = size if switches.honours_limit else switches.page_size
    after = decode_cursor(call.request.args.get("cursor", "")) if switches.pages else ""
    rows = _rows(call, namespace, after, size + 1 if switches.pages else -1)
    if not switches.pages:
        return success([script_replies.listed(row, switches) for row in rows])
    shown = [script_replies.listed(row, switches) for row in rows[:size]]
    cursor = encode_cursor(rows[size - 1].name) if len(rows) > size else ""
    return success(shown, info={"count": len(shown), "cursor": cursor, "per_page": size})


def delete_user_workers(call: Call, namespace: str) -> Response:
    """Delete what the filter finds, so many at a time. Without a filter: everything in the namespace."""
    limit = call.number("limit", call.switches.page_size, least=1, most=MOST_ROWS)
    rows = call.store.rows(namespace, tags=call.tag_filter(), limit=limit + 1)
    for row in rows[:limit]:
        call.faults.remember(call.store.clock(), namespace, row.name, row)
    deleted = call.store.delete_scripts(namespace, [row.name for row in rows[:limit]])
    call.changed(namespace, None)
    result = {
        "deleted": [{"id": name} for name in deleted],
        "deleted_count": len(deleted),
        "has_more": len(rows) > limit,
    }
    return success(result)


def list_workers(call: Call) -> Response:
    """Ordinary Workers, all in one reply without result_info."""
    return success([script_replies.flat(row) for row in call.store.rows(ORDINARY, tags=call.tag_filter())])


def search_workers(call: Call) -> Response:
    """Ordinary Workers by a part of their name or by their id."""
    name, identity = call.request.args.get("name", ""), call.request.args.get("id", "")
    page = call.number("page", 1, least=1, most=100_000)
    size = call.number("per_page", 10, least=1, most=100)
    rows = [row for row in call.store.rows(ORDINARY) if name in row.name and identity in ("", row.id)]
    shown = [
        {
            "id": row.id,
            "script_name": row.name,
            "service_name": row.name,
            "environment_name": "production",
            "environment_is_default": True,
            "created_on": row.created_on,
            "modified_on": row.modified_on,
        }
        for row in rows[(page - 1) * size : page * size]
    ]
    info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(rows)}
    return success(shown, info=info)


def get_user_worker(call: Call, namespace: str, name: str) -> Response:
    row = call.store.row(namespace, name)
    if row is not None:
        return success(script_replies.nested(row))
    if call.switches.missing_script == "null":
        return success({"dispatch_namespace": namespace, "created_on": None, "modified_on": None, "script": None})
    raise refuse(int(call.switches.missing_script))


def get_content(call: Call, namespace: str, name: str) -> Response:
    """The code: one form part for each module, or the bare script of a service worker."""
    script = stored(call, namespace, name)
    headers = {"etag": script.etag}
    if script.syntax is Syntax.SERVICE_WORKER and len(script.modules) == 1:
        return Response(script.modules[0].content, headers=headers, mimetype="application/javascript")
    parts = [multipart.Part(one.name, one.name, one.type, one.content) for one in script.modules]
    content_type, body = multipart.serialize(parts)
    response = Response(body, headers=headers, content_type=content_type)
    if script.main:
        response.headers["cf-entrypoint"] = quote(script.main, safe="/")
    return response


def put_script(call: Call, namespace: str, name: str) -> Response:
    """Create or replace a script; it runs when the reply is sent."""
    upload.check_name(name, ordinary=namespace == ORDINARY)
    new = write_upload(call, namespace, name)
    if namespace == ORDINARY:
        record_version(call, new, trigger="upload")
    call.changed(namespace, name)
    return success(script_replies.uploaded(new))


def write_upload(call: Call, namespace: str, name: str) -> StoredScript:
    """Make the uploaded script the stored one."""
    asked = upload.read(call)
    manifest = asset_files(call, namespace, name, asked.metadata)
    check_references(call, asked.bindings)
    if call.check is not None:
        check_start(call, draft(call, call.store.script(namespace, name), asked, manifest, namespace, name))

    def change(old: StoredScript | None) -> StoredScript:
        call.faults.remember(call.store.clock(), namespace, name, old)
        return draft(call, old, asked, manifest, namespace, name)

    return call.store.change_script(namespace, name, change)


def draft(
    call: Call,
    old: StoredScript | None,
    asked: upload.Upload,
    manifest: Mapping[str, AssetFile] | None,
    namespace: str,
    name: str,
) -> StoredScript:
    """The script as the upload makes it. What it does not name is gone, unless it says that it is kept."""
    given = asked.metadata
    keep = set(given.get("keep_bindings") or ())
    if call.switches.secrets_without_keep == "kept":
        keep |= {"secret_text", "secret_key"}
    bindings, secrets = resolved_bindings(
        old, asked.bindings, keep=keep, strict=call.request.args.get("bindings_inherit") == "strict"
    )
    metadata = {**kept_metadata(given), "bindings": bindings}
    files, config = _assets(old, given, manifest)
    if files or config is not None:
        metadata["assets"] = {"config": config or {}}
    if migration_tag := _migration_tag(old, given):
        metadata["migration_tag"] = migration_tag
    tags = given.get("tags")
    if tags is None and old is not None and call.switches.omitted_tags == "kept":
        tags = old.tags
    now = call.store.now()
    new = StoredScript(
        namespace=namespace,
        name=name,
        id="",
        etag="",
        revision=0,
        created_on=old.created_on if old else now,
        modified_on=now,
        main=asked.code.main,
        syntax=asked.code.syntax,
        version_id="",
        deployed_from=_deployed_from(call),
        handlers=asked.code.handlers,
        has_assets=bool(files),
        tags=None if tags is None else tuple(dict.fromkeys(tags)),
        metadata=metadata,
        subdomain=old.subdomain if old else False,
        previews=old.previews if old else False,
        modules=asked.code.modules,
        secrets=secrets,
        assets=files,
    )
    return replace(new, etag=script_replies.etag_of(new, call.switches))


def put_content(call: Call, namespace: str, name: str) -> Response:
    """Replace the code and nothing else."""
    code = upload.read_code(call)

    def change(old: StoredScript) -> StoredScript:
        return replace(
            old,
            main=code.main,
            syntax=code.syntax,
            modules=code.modules,
            handlers=code.handlers,
            deployed_from=_deployed_from(call),
            modified_on=call.store.now(),
            version_id="",
        )

    check_start(call, change(stored(call, namespace, name)))
    new = changed_script(call, namespace, name, change)
    if namespace == ORDINARY:
        record_version(call, new, trigger="upload")
    call.changed(namespace, name)
    return success(script_replies.uploaded(new))


def delete_script(call: Call, namespace: str, name: str) -> Response:
    """Delete a script. An ordinary Worker that others call is deleted with force=true only; they then dangle."""
    if namespace == ORDINARY and not call.flag("force") and (users := call.store.referrers(name)):
        raise refuse(10064, names=", ".join("/".join(filter(None, one)) for one in users))
    before = call.store.row(namespace, name)
    if before is None or not call.store.delete_script(namespace, name):
        raise refuse(10007 if namespace == ORDINARY else _missing(call))
    call.faults.remember(call.store.clock(), namespace, name, before)
    call.changed(namespace, name)
    return success(None)


def check_start(call: Call, script: StoredScript) -> None:
    """Refuse code that the injected check finds not to start."""
    if call.check is None or script.syntax is Syntax.ASSETS:
        return
    if problems := call.check(script):
        raise ApiFailure(400, [(10021, problem) for problem in problems])


def asset_files(call: Call, namespace: str, name: str, given: Mapping[str, Any]) -> Mapping[str, AssetFile] | None:
    """The manifest that the upload's token stands for; None for an upload without assets."""
    token = (given.get("assets") or {}).get("jwt")
    return None if token is None else completed_manifest(call, namespace, name, token)


def _rows(call: Call, namespace: str, after: str, limit: int) -> Sequence[ScriptRow]:
    wanted = call.tag_filter()
    if not call.faults.lag:
        return call.store.rows(namespace, tags=wanted, after=after, limit=limit)
    rows = call.faults.as_listed(call.store.clock(), namespace, call.store.rows(namespace))
    held = [row for row in rows if all((tag in (row.tags or ())) is yes for tag, yes in wanted.items())]
    later = [row for row in held if row.name > after]
    return later if limit < 0 else later[:limit]


def _missing(call: Call) -> int:
    """The code for a script that a namespace does not have; the GET's null is for GET alone."""
    return 10007 if call.switches.missing_script == "null" else int(call.switches.missing_script)


def _deployed_from(call: Call) -> str:
    return "wrangler" if call.request.headers.get("user-agent", "").startswith("wrangler") else "api"


def _assets(
    old: StoredScript | None, given: Mapping[str, Any], manifest: Mapping[str, AssetFile] | None
) -> tuple[Mapping[str, AssetFile], Mapping[str, Any] | None]:
    """The files, and how they are served; kept when the upload says keep_assets."""
    config = (given.get("assets") or {}).get("config")
    if manifest is not None:
        return manifest, config or {}
    if old is not None and given.get("keep_assets"):
        return old.assets, config if config is not None else (old.metadata.get("assets") or {}).get("config")
    return {}, None


def _migration_tag(old: StoredScript | None, given: Mapping[str, Any]) -> str | None:
    steps = given.get("migrations") or {}
    tag = steps.get("new_tag") or (old.metadata.get("migration_tag") if old else None)
    return str(tag) if tag else None


_OF_NAMESPACE = "/accounts/<account>/workers/dispatch/namespaces/<namespace>/scripts"
_ORDINARY = "/accounts/<account>/workers/scripts"
_NONE = {"namespace": ORDINARY}
ENDPOINTS = (
    Endpoint("GET", _OF_NAMESPACE, list_user_workers),
    Endpoint("DELETE", _OF_NAMESPACE, delete_user_workers),
    Endpoint("GET", f"{_OF_NAMESPACE}/<name>", get_user_worker),
    Endpoint("PUT", f"{_OF_NAMESPACE}/<name>", put_script),
    Endpoint("DELETE", f"{_OF_NAMESPACE}/<name>", delete_script),
    Endpoint("GET", f"{_OF_NAMESPACE}/<name>/content", get_content),
    Endpoint("PUT", f"{_OF_NAMESPACE}/<name>/content", put_content),
    Endpoint("GET", _ORDINARY, list_workers),
    Endpoint("GET", "/accounts/<account>/workers/scripts-search", search_workers),
    Endpoint("GET", f"{_ORDINARY}/<name>", get_content, _NONE),
    Endpoint("PUT", f"{_ORDINARY}/<name>", put_script, _NONE),
    Endpoint("DELETE", f"{_ORDINARY}/<name>", delete_script, _NONE),
    Endpoint("GET", f"{_ORDINARY}/<name>/content/v2", get_content, _NONE),
    Endpoint("PUT", f"{_ORDINARY}/<name>/content", put_content, _NONE),
)
