"""The emulated account: dispatch namespaces, scripts with all that runs, and the stores for everything beside them.

Written by the API, read by the data plane. Safe with several threads and processes; a process killed at any moment
leaves whole writes only. KV is at `store.kv`, D1 at `store.d1`, R2 at `store.r2`, zones, routes and domains at
`store.edge`, versions of ordinary Workers at `store.versions`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.local import salvage
from reconciler.local.database import BAD_ROW, next_serial
from reconciler.local.records import (
    Asset,
    AssetFile,
    Namespace,
    ScriptRow,
    StoredModule,
    StoredScript,
    Syntax,
    Watcher,
    new_uuid,
    timestamp,
)
from reconciler.local.script_replies import etag_of
from reconciler.local.store_edge import EdgeStore
from reconciler.local.store_r2 import R2Store
from reconciler.local.store_storage import D1Store, KvStore
from reconciler.local.store_versions import VersionStore
from reconciler.local.switches import Switches

DEFAULT_FOLDER = Path(".reconciler/local")
ORDINARY = ""  # the "namespace" of ordinary Workers

_ROW = (
    "namespace, name, id, etag, revision, created_on, modified_on, main, syntax, version_id, deployed_from, handlers,"
    " has_assets, tags, metadata, subdomain, previews"
)
_ROW_MARKS = ", ".join("?" * len(_ROW.split(",")))
_MODULES = "SELECT name, type, content FROM modules WHERE namespace = ? AND script = ? ORDER BY position"
_SECRETS = "SELECT name, binding FROM secrets WHERE namespace = ? AND script = ? ORDER BY name"
_SCRIPT_PARTS = ("modules", "secrets", "manifests")  # tables keyed by (namespace, script)


class Store:
    """One account in one folder. `clock` gives seconds from 1970; every time in the account comes from it."""

    def __init__(self, folder: Path = DEFAULT_FOLDER, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self._lock = salvage.Lock(folder)
        # A warning when the account was damaged and is made anew; None when it was not.
        self._database, self.made_anew = salvage.opened(folder, self._lock, _is_whole)
        self.kv = KvStore(self._database, clock)
        self.d1 = D1Store(self._database, clock, folder / "d1")
        self.r2 = R2Store(self._database, clock)
        self.edge = EdgeStore(self._database, clock)
        self.versions = VersionStore(self._database, clock)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
        self._lock.close()

    def now(self) -> str:
        """The time in Cloudflare's form, with microseconds."""
        return timestamp(self.clock())

    # Data planes

    def watchers(self) -> list[Watcher]:
        """The data planes that are to be told of every change."""
        with self._database.read() as db:
            return [Watcher(*row) for row in db.execute("SELECT url, token FROM watchers ORDER BY url")]

    def register_watcher(self, url: str, token: str) -> None:
        """From now on the API tells this admin URL of every change before it answers. The URL is on loopback."""
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO watchers VALUES (?, ?)", (url, token))

    def unregister_watcher(self, url: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM watchers WHERE url = ?", (url,))

    # Settings of the account

    def value(self, name: str) -> str:
        """A named value of the account, such as its workers.dev subdomain; "" when it was never set."""
        with self._database.read() as db:
            row = db.execute("SELECT value FROM values_by_name WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def set_value(self, name: str, value: str) -> None:
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO values_by_name VALUES (?, ?)", (name, value))

    def value_or_set(self, name: str, make: Callable[[], str]) -> str:
        """The named value; the first process that asks for it makes it."""
        if found := self.value(name):
            return found
        with self._database.write() as db:
            db.execute("INSERT OR IGNORE INTO values_by_name VALUES (?, ?)", (name, make()))
        return self.value(name)

    def token(self, sha256: str) -> tuple[str, str] | None:
        """(id, status) of an API token that was added to this account, by the SHA-256 of its value."""
        with self._database.read() as db:
            row = db.execute("SELECT id, status FROM tokens WHERE sha256 = ?", (sha256,)).fetchone()
        return (row[0], row[1]) if row else None

    def put_token(self, sha256: str, status: str) -> None:
        """Add a token, or change its status: active, disabled or expired."""
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", (sha256, sha256[:32], status))

    # Dispatch namespaces

    def namespaces(self) -> list[Namespace]:
        with self._database.read() as db:
            return [_namespace(row) for row in db.execute(f"{_NAMESPACES} ORDER BY name")]

    def namespace(self, name: str) -> Namespace | None:
        with self._database.read() as db:
            row = db.execute(f"{_NAMESPACES} WHERE name = ?", (name,)).fetchone()
        return _namespace(row) if row else None

    def has_namespace(self, name: str) -> bool:
        """Cheaper than reading it: no scripts are counted."""
        with self._database.read() as db:
            return db.execute("SELECT 1 FROM namespaces WHERE name = ?", (name,)).fetchone() is not None

    def create_namespace(self, name: str) -> Namespace | None:
        """None when the name is taken."""
        with self._database.write() as db:
            now = self.now()
            row = (name, new_uuid("namespace", next_serial(db)), 0, now, now)
            if db.execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?, ?, ?, ?)", row).rowcount == 0:
                return None
            return _namespace((*row, 0))

    def change_namespace(self, name: str, *, new_name: str, trusted: bool) -> Namespace | None:
        """Rename it with all that is in it, and set its trust mode. None when the new name is taken."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE OR IGNORE namespaces SET name = ?, trusted = ?, modified_on = ? WHERE name = ?",
                (new_name, int(trusted), self.now(), name),
            )
            if changed.rowcount == 0:
                return None
            if new_name != name:
                for table in ("scripts", *_SCRIPT_PARTS, "asset_scopes", "asset_sessions"):
                    db.execute(f"UPDATE {table} SET namespace = ? WHERE namespace = ?", (new_name, name))  # noqa: S608  # names of our own tables
            return _namespace(db.execute(f"{_NAMESPACES} WHERE name = ?", (new_name,)).fetchone())

    def delete_namespace(self, name: str) -> bool:
        """Delete it and every script in it. False when there is none."""
        with self._database.write() as db:
            for table in ("scripts", *_SCRIPT_PARTS, "asset_scopes", "asset_sessions"):
                db.execute(f"DELETE FROM {table} WHERE namespace = ?", (name,))  # noqa: S608  # names of our own tables
            next_serial(db)
            return db.execute("DELETE FROM namespaces WHERE name = ?", (name,)).rowcount > 0

    # Scripts

    def rows(
        self,
        namespace: str,
        *,
        tags: Mapping[str, bool] | None = None,
        after: str = "",
        limit: int = -1,
    ) -> list[ScriptRow]:
        """Scripts by name, beginning after the name `after`, with (True) or without (False) each of the tags."""
        where, values = ["namespace = ?", "name > ?"], [namespace, after]
        for tag, wanted in (tags or {}).items():
            held = "EXISTS (SELECT 1 FROM json_each(coalesce(scripts.tags, '[]')) WHERE value = ?)"
            where.append(held if wanted else f"NOT {held}")
            values.append(tag)
        query = f"SELECT {_ROW} FROM scripts WHERE {' AND '.join(where)} ORDER BY name LIMIT ?"  # noqa: S608  # every value is a parameter
        with self._database.read() as db:
            return [ScriptRow(**_row(row)) for row in db.execute(query, (*values, limit))]

    def row(self, namespace: str, name: str) -> ScriptRow | None:
        """A script as listings show it, without its code."""
        with self._database.read() as db:
            found = _find(db, namespace, name)
        return ScriptRow(**found) if found else None

    def script(self, namespace: str, name: str) -> StoredScript | None:
        """A script with everything that is needed to run it. An ordinary Worker has the namespace ""."""
        with self._database.read() as db:
            return _load(db, namespace, name)

    def change_script(
        self, namespace: str, name: str, change: Callable[[StoredScript | None], StoredScript]
    ) -> StoredScript:
        """Read, change and write one script in a single transaction; an exception from `change` leaves it as it was.

        `change` gets what is stored, None for a new script. The store sets the revision, for a new script the immutable
        id, and a new version id where `change` leaves it empty; everything else is as `change` returns it.
        """
        with self._database.write() as db:
            old = _load(db, namespace, name)
            changed = change(old)
            serial = next_serial(db)
            identity = old.id if old else new_uuid("script", serial).replace("-", "")
            version = changed.version_id or new_uuid("version", serial)
            new = replace(changed, namespace=namespace, name=name, id=identity, revision=serial, version_id=version)
            _save(db, old, new)
        return new

    def delete_script(self, namespace: str, name: str) -> bool:
        """Delete one script with its secrets and manifest; an ordinary Worker with its versions, routes and domains."""
        return bool(self.delete_scripts(namespace, [name]))

    def delete_scripts(self, namespace: str, names: Iterable[str]) -> list[str]:
        """Delete scripts by name in one transaction; gives the names of those that were there."""
        deleted = []
        with self._database.write() as db:
            for name in names:
                if not db.execute("DELETE FROM scripts WHERE namespace = ? AND name = ?", (namespace, name)).rowcount:
                    continue
                deleted.append(name)
                for table in _SCRIPT_PARTS:
                    db.execute(f"DELETE FROM {table} WHERE namespace = ? AND script = ?", (namespace, name))  # noqa: S608  # names of our own tables
                if namespace == ORDINARY:
                    db.execute("DELETE FROM versions WHERE script = ?", (name,))
                    db.execute("DELETE FROM deployments WHERE script = ?", (name,))
                    db.execute("DELETE FROM routes WHERE script = ?", (name,))
                    db.execute("DELETE FROM domains WHERE service = ?", (name,))
            next_serial(db)
        return deleted

    def referrers(self, service: str) -> list[tuple[str, str]]:
        """(namespace, name) of the scripts that call this ordinary Worker: as a service, or as outbound Worker."""
        query = (
            "SELECT DISTINCT namespace, name FROM scripts, json_each(scripts.metadata, '$.bindings') AS binding"
            " WHERE (namespace, name) IS NOT ('', ?1) AND (json_extract(binding.value, '$.service') = ?1"
            " OR json_extract(binding.value, '$.outbound.worker.service') = ?1) ORDER BY namespace, name"
        )
        with self._database.read() as db:
            return db.execute(query, (service,)).fetchall()

    # Static assets

    def asset(self, hash: str) -> Asset | None:  # noqa: A002  # Cloudflare's own word for it
        """The bytes that were uploaded under this hash."""
        with self._database.read() as db:
            row = db.execute("SELECT type, content FROM assets WHERE hash = ?", (hash,)).fetchone()
        return Asset(row[0], row[1]) if row else None

    def known_assets(self, namespace: str, hashes: Collection[str]) -> set[str]:
        """Those of the hashes that were uploaded to this namespace before. Hashes are shared by its scripts."""
        query = "SELECT hash FROM asset_scopes WHERE namespace = ? AND hash IN (SELECT value FROM json_each(?))"
        with self._database.read() as db:
            return {row[0] for row in db.execute(query, (namespace, json.dumps(sorted(hashes))))}

    def put_assets(self, namespace: str, assets: Mapping[str, Asset]) -> None:
        """Store bytes by hash, and make the hashes known in the namespace."""
        with self._database.write() as db:
            for name, asset in assets.items():
                db.execute("INSERT OR REPLACE INTO assets VALUES (?, ?, ?)", (name, asset.type, asset.content))
                db.execute("INSERT OR IGNORE INTO asset_scopes VALUES (?, ?)", (namespace, name))

    def start_asset_session(
        self, namespace: str, script: str, manifest: Mapping[str, AssetFile], expires: float
    ) -> str:
        """Remember a manifest until its files are uploaded; gives the id of the session."""
        with self._database.write() as db:
            db.execute("DELETE FROM asset_sessions WHERE expires < ?", (self.clock(),))
            identity = new_uuid("asset-session", next_serial(db))
            row = (identity, namespace, script, _dump_files(manifest), expires)
            db.execute("INSERT INTO asset_sessions VALUES (?, ?, ?, ?, ?)", row)
        return identity

    def asset_session(self, identity: str) -> tuple[str, str, dict[str, AssetFile]] | None:
        """(namespace, script, manifest) of a session that has not expired."""
        with self._database.read() as db:
            row = db.execute(
                "SELECT namespace, script, manifest FROM asset_sessions WHERE id = ? AND expires >= ?",
                (identity, self.clock()),
            ).fetchone()
        return (row[0], row[1], _load_files(row[2])) if row else None


_NAMESPACES = (
    "SELECT name, id, trusted, created_on, modified_on,"
    " (SELECT count(*) FROM scripts WHERE scripts.namespace = namespaces.name) FROM namespaces"
)


def _namespace(row: tuple[Any, ...]) -> Namespace:
    name, identity, trusted, created_on, modified_on, script_count = row
    return Namespace(name, identity, bool(trusted), created_on, modified_on, script_count)


def _find(db: sqlite3.Connection, namespace: str, name: str) -> dict[str, Any] | None:
    query = f"SELECT {_ROW} FROM scripts WHERE namespace = ? AND name = ?"  # noqa: S608  # every value is a parameter
    found = db.execute(query, (namespace, name)).fetchone()
    return _row(found) if found else None


def _row(row: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of a ScriptRow from the columns of _ROW."""
    (namespace, name, identity, etag, revision, created_on, modified_on, main, syntax) = row[:9]
    (version_id, deployed_from, handlers, has_assets, tags, metadata, subdomain, previews) = row[9:]
    return {
        "namespace": namespace,
        "name": name,
        "id": identity,
        "etag": etag,
        "revision": revision,
        "created_on": created_on,
        "modified_on": modified_on,
        "main": main,
        "syntax": Syntax(syntax),
        "version_id": version_id,
        "deployed_from": deployed_from,
        "handlers": tuple(handlers.split()),
        "has_assets": bool(has_assets),
        "tags": None if tags is None else tuple(json.loads(tags)),
        "metadata": json.loads(metadata),
        "subdomain": bool(subdomain),
        "previews": bool(previews),
    }


def _load(db: sqlite3.Connection, namespace: str, name: str) -> StoredScript | None:
    found = _find(db, namespace, name)
    if found is None:
        return None
    of_script = (namespace, name)
    modules = db.execute(_MODULES, of_script)
    secrets = db.execute(_SECRETS, of_script)
    files = db.execute("SELECT files FROM manifests WHERE namespace = ? AND script = ?", of_script).fetchone()
    return StoredScript(
        **found,
        modules=tuple(StoredModule(*module) for module in modules.fetchall()),
        secrets={secret: json.loads(binding) for secret, binding in secrets.fetchall()},
        assets=_load_files(files[0]) if files else {},
    )


def _save(db: sqlite3.Connection, old: StoredScript | None, new: StoredScript) -> None:
    """Write a script, and those of its parts that are not the very same as before."""
    row = (
        new.namespace, new.name, new.id, new.etag, new.revision, new.created_on, new.modified_on, new.main,
        new.syntax.value, new.version_id, new.deployed_from, " ".join(new.handlers), int(new.has_assets),
        None if new.tags is None else json.dumps(new.tags), json.dumps(new.metadata), int(new.subdomain),
        int(new.previews),
    )  # fmt: skip
    db.execute(f"INSERT OR REPLACE INTO scripts ({_ROW}) VALUES ({_ROW_MARKS})", row)  # noqa: S608  # constants
    of_script = (new.namespace, new.name)
    if new.modules != (old.modules if old else ()):
        db.execute("DELETE FROM modules WHERE namespace = ? AND script = ?", of_script)
        rows = [(*of_script, n, one.name, one.type, one.content) for n, one in enumerate(new.modules)]
        db.executemany("INSERT INTO modules VALUES (?, ?, ?, ?, ?, ?)", rows)
    if new.secrets != (old.secrets if old else {}):
        db.execute("DELETE FROM secrets WHERE namespace = ? AND script = ?", of_script)
        secrets = [(*of_script, name, json.dumps(binding)) for name, binding in sorted(new.secrets.items())]
        db.executemany("INSERT INTO secrets VALUES (?, ?, ?, ?)", secrets)
    if new.assets != (old.assets if old else {}):
        db.execute("INSERT OR REPLACE INTO manifests VALUES (?, ?, ?)", (*of_script, _dump_files(new.assets)))


def _is_whole(db: sqlite3.Connection, namespace: str, name: str) -> bool:
    """Whether a script is what was uploaded: its etag is of its code and of its files' names and hashes."""
    try:
        found = _load(db, namespace, name)
    except BAD_ROW:
        return False
    if found is None or etag_of(found, Switches()) != found.etag:
        return False
    hashes = sorted({one.hash for one in found.assets.values()})
    query = "SELECT count(*) FROM assets WHERE hash IN (SELECT value FROM json_each(?))"
    there: int = db.execute(query, (json.dumps(hashes),)).fetchone()[0]
    return there == len(hashes)


def _dump_files(files: Mapping[str, AssetFile]) -> str:
    return json.dumps({path: [one.hash, one.size] for path, one in sorted(files.items())})


def _load_files(text: str) -> dict[str, AssetFile]:
    return {path: AssetFile(*one) for path, one in json.loads(text).items()}
