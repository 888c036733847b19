"""Versions and deployments of ordinary Workers, as far as deploying through them needs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from reconciler.local.database import Database, next_serial
from reconciler.local.records import (
    AssetFile,
    Deployment,
    StoredModule,
    StoredScript,
    Syntax,
    Version,
    new_uuid,
    timestamp,
)

KEPT_VERSIONS = 100  # per Worker; Cloudflare too can only roll back to a hundred


class VersionStore:
    """What an ordinary Worker was at each upload, and which of it was deployed when."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, script: StoredScript, annotations: Mapping[str, str]) -> Version:
        """Remember a Worker under its version id, with the next number; an empty id is replaced by a new one."""
        with self._database.write() as db:
            if not script.version_id:
                script = replace(script, version_id=new_uuid("version", next_serial(db)))
            newest = db.execute("SELECT coalesce(max(number), 0) FROM versions WHERE script = ?", (script.name,))
            number = newest.fetchone()[0] + 1
            version = Version(number, dict(annotations), script)
            row = (script.version_id, script.name, number, timestamp(self._clock()), _dump(version))
            db.execute("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?, ?)", row)
            old = (script.name, number - KEPT_VERSIONS)
            db.execute("DELETE FROM versions WHERE script = ? AND number <= ?", old)
        return version

    def versions(self, script: str) -> list[Version]:
        """Newest first."""
        with self._database.read() as db:
            query = "SELECT content FROM versions WHERE script = ? ORDER BY number DESC"
            return [_load(row[0]) for row in db.execute(query, (script,))]

    def version(self, script: str, identity: str) -> Version | None:
        with self._database.read() as db:
            query = "SELECT content FROM versions WHERE script = ? AND id = ?"
            row = db.execute(query, (script, identity)).fetchone()
        return _load(row[0]) if row else None

    def deploy(
        self,
        script: str,
        versions: Iterable[tuple[str, float]],
        *,
        source: str,
        annotations: Mapping[str, str],
    ) -> Deployment:
        """Record which versions answer from now on. Making them run is the caller's part."""
        with self._database.write() as db:
            serial = next_serial(db)
            deployment = Deployment(
                new_uuid("deployment", serial), timestamp(self._clock()), source, tuple(versions), dict(annotations)
            )
            content = json.dumps(asdict(deployment))
            row = (deployment.id, script, serial, deployment.created_on, content)
            db.execute("INSERT INTO deployments VALUES (?, ?, ?, ?, ?)", row)
        return deployment

    def deployments(self, script: str) -> list[Deployment]:
        """The newest ten, newest first."""
        query = "SELECT content FROM deployments WHERE script = ? ORDER BY serial DESC LIMIT 10"
        with self._database.read() as db:
            return [_deployment(json.loads(row[0])) for row in db.execute(query, (script,))]

    def delete_deployment(self, script: str, identity: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM deployments WHERE script = ? AND id = ?", (script, identity))


def _deployment(content: dict[str, Any]) -> Deployment:
    return Deployment(**{**content, "versions": tuple((one, share) for one, share in content["versions"])})


def _dump(version: Version) -> str:
    content = asdict(version)
    for module in content["script"]["modules"]:
        module["content"] = base64.b64encode(module["content"]).decode()
    return json.dumps(content)


def _load(text: str) -> Version:
    content = json.loads(text)
    script = content["script"]
    fields = {
        **script,
        "syntax": Syntax(script["syntax"]),
        "handlers": tuple(script["handlers"]),
        "tags": None if script["tags"] is None else tuple(script["tags"]),
        "modules": tuple(
            StoredModule(one["name"], one["type"], base64.b64decode(one["content"])) for one in script["modules"]
        ),
        "assets": {path: AssetFile(**one) for path, one in script["assets"].items()},
    }
    return Version(content["number"], content["annotations"], StoredScript(**fields))
