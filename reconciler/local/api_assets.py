"""Static assets: a session tells which files are missing, they are sent in buckets, and a token completes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import refuse, success
from reconciler.local.records import Asset, AssetFile
from reconciler.local.store import ORDINARY

SESSION_SECONDS = 3600
LARGEST_FILE = 25 * 1024 * 1024
MOST_FILES = {True: 100_000, False: 20_000}  # by whether the account is paid
BUCKET_FILES, BUCKET_BYTES = 100, 40 * 1024 * 1024
_HASH = re.compile(r"[0-9a-f]{32}")


def start_session(call: Call, namespace: str, name: str) -> Response:
    """Which files of the manifest the account does not have yet, in buckets to be uploaded together."""
    manifest = _manifest(call)
    identity = call.store.start_asset_session(namespace, name, manifest, call.store.clock() + SESSION_SECONDS)
    missing = _missing(call, namespace, manifest)
    if not missing:
        return success({"jwt": _token(call, identity, complete=True), "buckets": []})
    buckets = _buckets([one for one in _unique(manifest) if one.hash in missing])
    return success({"jwt": _token(call, identity, complete=False), "buckets": buckets})


def upload_bucket(call: Call) -> Response:
    """Files by hash, as base64. 201 with the completing token when none is missing any more, else 202."""
    session = _session(call, call.token)
    if not call.flag("base64"):
        raise refuse(10004, why="base64=true is required")
    namespace, _, manifest, identity = session
    sizes = {one.hash: one.size for one in manifest.values()}
    assets = {}
    for part in call.parts():
        if part.name not in sizes:
            raise refuse(10021, why=f"{part.name} is no hash of the upload's manifest")
        try:
            content = base64.b64decode(part.content, validate=True)
        except binascii.Error as error:
            raise refuse(10021, why=f"{part.name} is not base64: {error}") from error
        if len(content) != sizes[part.name]:
            raise refuse(10021, why=f"{part.name} has {len(content)} bytes, the manifest says {sizes[part.name]}")
        # wrangler writes this type for files that shall have none
        assets[part.name] = Asset("" if part.type == "application/null" else part.type, content)
    call.store.put_assets(namespace, assets)
    return _after_upload(call, namespace, manifest, identity)


def upload_one(call: Call, hash: str) -> Response:  # noqa: A002  # Cloudflare's own word for it
    """One file of a session, as its bare bytes: the newer way, which no token of ours asks for."""
    namespace, _, manifest, identity = _session(call, call.token)
    size = next((one.size for one in manifest.values() if one.hash == hash), None)
    content = call.request.get_data()
    if size is None:
        raise refuse(10021, why=f"{hash} is no hash of the upload's manifest")
    if len(content) != size:
        raise refuse(10021, why=f"{hash} has {len(content)} bytes, the manifest says {size}")
    call.store.put_assets(namespace, {hash: Asset(call.request.mimetype, content)})
    return _after_upload(call, namespace, manifest, identity)


def _after_upload(call: Call, namespace: str, manifest: Mapping[str, AssetFile], identity: str) -> Response:
    if _missing(call, namespace, manifest):
        return success({}, status=202)
    return success({"jwt": _token(call, identity, complete=True)}, status=201)


def completed_manifest(call: Call, namespace: str, name: str, token: str) -> Mapping[str, AssetFile]:
    """The files that a completing token stands for; refuses one that is not for this script, or not complete."""
    where, script, manifest, _ = _session(call, token)
    if (where, script) != (namespace, name):
        raise refuse(10021, why="assets.jwt belongs to the upload session of another script")
    if _missing(call, namespace, manifest):
        raise refuse(10021, why="assets.jwt is of an upload session that is not complete")
    return manifest


def _manifest(call: Call) -> dict[str, AssetFile]:
    given = call.object().get("manifest")
    if not isinstance(given, dict):
        raise refuse(10021, why="manifest must be an object")
    if len(given) > MOST_FILES[call.switches.paid]:
        raise refuse(10021, why=f"the manifest has {len(given)} files, {MOST_FILES[call.switches.paid]} are allowed")
    files = {}
    for path, one in given.items():
        if not path.startswith("/"):
            raise refuse(10021, why=f'the path "{path}" of the manifest must begin with /')
        if not isinstance(one, dict) or not _HASH.fullmatch(str(one.get("hash"))):
            raise refuse(10021, why=f'the hash of "{path}" must be 32 lowercase hex digits')
        size = one.get("size")
        if type(size) is not int or not 0 <= size <= LARGEST_FILE:
            raise refuse(10021, why=f'the size of "{path}" must be a number of bytes up to {LARGEST_FILE}')
        files[path] = AssetFile(one["hash"], size)
    return files


def _unique(manifest: Mapping[str, AssetFile]) -> list[AssetFile]:
    return list({one.hash: one for one in manifest.values()}.values())


def _missing(call: Call, namespace: str, manifest: Mapping[str, AssetFile]) -> set[str]:
    hashes = {one.hash for one in manifest.values()}
    return hashes - call.store.known_assets(namespace, hashes)


def _buckets(files: list[AssetFile]) -> list[list[str]]:
    buckets: list[list[str]] = []
    room = 0
    for one in files:
        if not buckets or len(buckets[-1]) == BUCKET_FILES or one.size > room:
            buckets.append([])
            room = BUCKET_BYTES
        buckets[-1].append(one.hash)
        room -= one.size
    return buckets


def _session(call: Call, token: str) -> tuple[str, str, dict[str, AssetFile], str]:
    """(namespace, script, manifest, id) of the session that a token is for."""
    claims = _claims(call, token)
    found = call.store.asset_session(claims.get("session", "")) if claims else None
    if found is None:
        raise refuse(10000, status=401)
    return (*found, claims["session"])


def _token(call: Call, session: str, *, complete: bool) -> str:
    """A JSON web token, as clients expect; only this account can make it."""
    now = int(call.store.clock())
    claims = {"session": session, "complete": complete, "iat": now, "exp": now + SESSION_SECONDS}
    head = _base64({"alg": "HS256", "typ": "JWT"})
    return f"{head}.{_base64(claims)}.{_signature(call, f'{head}.{_base64(claims)}')}"


def _claims(call: Call, token: str) -> dict[str, Any]:
    """What a token says; {} for one that this account did not make."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(call, signed).encode()):
        return {}
    payload = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _signature(call: Call, signed: str) -> str:
    key = call.store.value_or_set("signing_key", lambda: secrets.token_hex(32))
    return hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _base64(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


_SCRIPT = "/accounts/<account>/workers/dispatch/namespaces/<namespace>/scripts/<name>"
ENDPOINTS = (
    Endpoint("POST", f"{_SCRIPT}/assets-upload-session", start_session),
    Endpoint(
        "POST",
        "/accounts/<account>/workers/scripts/<name>/assets-upload-session",
        start_session,
        {"namespace": ORDINARY},
    ),
    Endpoint("POST", "/accounts/<account>/workers/assets/upload", upload_bucket, auth="assets"),
    Endpoint("POST", "/accounts/<account>/workers/assets/upload/<hash>", upload_one, auth="assets"),
)
