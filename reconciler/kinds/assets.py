"""The static files of a Worker: declared by a manifest, and only what the account does not hold is sent."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reconciler.errors import Problem, ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.look.exchange import Part
from reconciler.model import Assets, Resource, Secret

UPLOADERS = 3  # buckets of one Worker at a time, as wrangler has it; each may hold 40 MB


def send(connection: Connection, namespace: str, resource: Resource, assets: Assets) -> Mapping[str, Any]:
    """Upload what is missing; returns the `assets` field of the upload's metadata."""
    api, name = connection.api, resource.key.name
    token, buckets = api.asset_session(namespace, name, assets.files)
    paths = {digest: path for path, (digest, _) in sorted(assets.files.items())}

    def upload(bucket: tuple[str, ...]) -> Secret | None:
        return api.upload_assets(token, list(_parts(connection, assets, paths, bucket)))

    with ThreadPoolExecutor(max_workers=UPLOADERS, thread_name_prefix="assets") as pool:
        tokens = [one for one in pool.map(upload, buckets) if one is not None]  # with the bucket that came last
    complete = tokens[-1] if tokens else None if buckets else token
    if complete is None:
        raise ReconcilerError(
            [
                Problem(
                    f"the upload of {name}'s assets did not end",
                    resource.where,
                    why="Cloudflare took every file and gave no completion token",
                    fix="run again: what was uploaded is not sent a second time",
                    code="assets-incomplete",
                )
            ]
        )
    return {"jwt": complete.reveal(), "config": dict(assets.config)}


def _parts(connection: Connection, assets: Assets, paths: Mapping[str, str], bucket: tuple[str, ...]) -> Iterator[Part]:
    for digest in bucket:
        path = paths.get(digest)
        if path is None:  # a session asks for what the manifest did not hold: not ours to answer
            continue
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        yield Part(digest, config.read_asset(connection.repository, assets, path), kind)
