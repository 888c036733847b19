"""Zones, routes and custom domains of the emulated account: which ordinary Worker answers which address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.local.database import Database, next_serial
from reconciler.local.records import CustomHostname, Domain, Route, Zone, new_id, new_uuid, timestamp

_DOMAINS = (
    "SELECT domains.id, hostname, service, environment, zone_id, zones.name, cert_id"
    " FROM domains JOIN zones ON zones.id = zone_id"
)


class EdgeStore:
    """A zone is declared by the local platform; routes and domains belong to a zone."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def ensure_zone(self, name: str) -> Zone:
        """The zone of this name; made when the account has none. The same name has the same id in every account."""
        with self._database.write() as db:
            row = (new_id(f"zone:{name}", 0), name, timestamp(self._clock()))
            db.execute("INSERT OR IGNORE INTO zones VALUES (?, ?, ?)", row)
            return Zone(*db.execute("SELECT id, name, created_on FROM zones WHERE name = ?", (name,)).fetchone())

    def zones(self) -> list[Zone]:
        with self._database.read() as db:
            return [Zone(*row) for row in db.execute("SELECT id, name, created_on FROM zones ORDER BY name")]

    def zone(self, identity: str) -> Zone | None:
        return next((zone for zone in self.zones() if zone.id == identity), None)

    def zone_of(self, hostname: str) -> Zone | None:
        """The zone that a hostname is in: the longest one that it ends with."""
        held = [zone for zone in self.zones() if f".{hostname}".endswith(f".{zone.name}")]
        return max(held, key=lambda zone: len(zone.name), default=None)

    def routes(self, zone_id: str | None = None) -> list[Route]:
        """The routes of one zone, or of all."""
        query = "SELECT id, zone_id, pattern, script FROM routes WHERE ?1 IS NULL OR zone_id = ?1 ORDER BY pattern, id"
        with self._database.read() as db:
            return [Route(*row) for row in db.execute(query, (zone_id,))]

    def create_route(self, zone_id: str, pattern: str, script: str | None) -> Route | None:
        """None when the zone has this pattern already."""
        with self._database.write() as db:
            row = (new_id("route", next_serial(db)), zone_id, pattern, script)
            if db.execute("INSERT OR IGNORE INTO routes VALUES (?, ?, ?, ?)", row).rowcount == 0:
                return None
        return Route(*row)

    def change_route(self, route: Route) -> bool:
        """Write the pattern and script of a route. False when another route of the zone has the pattern."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE OR IGNORE routes SET pattern = ?, script = ? WHERE id = ?",
                (route.pattern, route.script, route.id),
            )
            return changed.rowcount > 0

    def delete_route(self, identity: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM routes WHERE id = ?", (identity,))

    def replace_routes(self, script: str, wanted: Iterable[tuple[str, str]]) -> list[Route]:
        """Make (zone id, pattern) the only routes of a Worker. A pattern that another Worker had is taken over."""
        with self._database.write() as db:
            old = {
                (row[1], row[2]): row[0]
                for row in db.execute("SELECT id, zone_id, pattern FROM routes WHERE script = ?", (script,)).fetchall()
            }
            db.execute("DELETE FROM routes WHERE script = ?", (script,))
            for zone_id, pattern in dict.fromkeys(wanted):
                identity = old.get((zone_id, pattern)) or new_id("route", next_serial(db))
                db.execute("INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?)", (identity, zone_id, pattern, script))
        return [route for route in self.routes() if route.script == script]

    def domains(self) -> list[Domain]:
        with self._database.read() as db:
            return [Domain(*row) for row in db.execute(f"{_DOMAINS} ORDER BY hostname")]

    def put_domain(self, hostname: str, service: str, environment: str, zone_id: str) -> Domain:
        """Make a Worker answer a hostname; one that another Worker had is taken over, with its id."""
        with self._database.write() as db:
            serial = next_serial(db)
            row = (new_id("domain", serial), hostname, service, environment, zone_id, new_uuid("cert", serial))
            db.execute(
                "INSERT INTO domains VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hostname) DO UPDATE SET"
                " service = excluded.service, environment = excluded.environment, zone_id = excluded.zone_id",
                row,
            )
            return Domain(*db.execute(f"{_DOMAINS} WHERE hostname = ?", (hostname,)).fetchone())

    def delete_domain(self, identity: str) -> bool:
        with self._database.write() as db:
            return db.execute("DELETE FROM domains WHERE id = ?", (identity,)).rowcount > 0

    def custom_hostnames(self, zone_id: str | None = None) -> list[CustomHostname]:
        """The custom hostnames of one zone, or of all."""
        query = (
            "SELECT id, zone_id, hostname, created_on, details FROM custom_hostnames"
            " WHERE ?1 IS NULL OR zone_id = ?1 ORDER BY hostname"
        )
        with self._database.read() as db:
            rows = db.execute(query, (zone_id,)).fetchall()
        return [
            CustomHostname(identity, zone, hostname, created_on, json.loads(details))
            for identity, zone, hostname, created_on, details in rows
        ]

    def create_custom_hostname(self, zone_id: str, hostname: str, details: Mapping[str, Any]) -> CustomHostname | None:
        """None when some zone has it already."""
        with self._database.write() as db:
            made = CustomHostname(
                new_uuid("hostname", next_serial(db)), zone_id, hostname, timestamp(self._clock()), details
            )
            row = (made.id, zone_id, hostname, made.created_on, json.dumps(details))
            if db.execute("INSERT OR IGNORE INTO custom_hostnames VALUES (?, ?, ?, ?, ?)", row).rowcount == 0:
                return None
        return made

    def change_custom_hostname(self, identity: str, details: Mapping[str, Any]) -> None:
        with self._database.write() as db:
            db.execute("UPDATE custom_hostnames SET details = ? WHERE id = ?", (json.dumps(details), identity))

    def delete_custom_hostname(self, identity: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM custom_hostnames WHERE id = ?", (identity,))
