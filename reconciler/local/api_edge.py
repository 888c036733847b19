"""Zones, routes and custom domains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import paged, refuse, success
from reconciler.local.records import Domain, Route, Zone
from reconciler.local.store import ORDINARY

HOSTNAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?")
_PATTERN = re.compile(r"(?:https?://)?(\*?[a-z0-9.*-]+)(/.*)?", re.IGNORECASE)


def list_zones(call: Call) -> Response:
    """Zones by name; the local platform declares them."""
    name = call.request.args.get("name", "")
    if name and call.switches.zones_on_demand and HOSTNAME.fullmatch(name):
        call.store.edge.ensure_zone(name)
    zones = [_zone(call, one) for one in call.store.edge.zones() if name in ("", one.name)]
    page = call.number("page", 1, least=1, most=100_000)
    return paged(zones, page, call.number("per_page", 20, least=5, most=50))


def get_zone(call: Call, zone: str) -> Response:
    return success(_zone(call, found_zone(call, zone)))


def list_routes(call: Call, zone: str) -> Response:
    return success([_route(one) for one in call.store.edge.routes(found_zone(call, zone).id)])


def create_route(call: Call, zone: str) -> Response:
    """A route without a script switches Workers off for its pattern."""
    pattern, script = _asked_route(call, found_zone(call, zone))
    made = call.store.edge.create_route(zone, pattern, script)
    if made is None:
        raise refuse(10020)
    call.changed(ORDINARY, script)
    return success(_route(made))


def get_route(call: Call, zone: str, route: str) -> Response:
    return success(_route(_found_route(call, zone, route)))


def put_route(call: Call, zone: str, route: str) -> Response:
    found = _found_route(call, zone, route)
    pattern, script = _asked_route(call, found_zone(call, zone))
    changed = replace(found, pattern=pattern, script=script)
    if not call.store.edge.change_route(changed):
        raise refuse(10020)
    call.changed(ORDINARY, script)
    return success(_route(changed))


def delete_route(call: Call, zone: str, route: str) -> Response:
    found = _found_route(call, zone, route)
    call.store.edge.delete_route(found.id)
    call.changed(ORDINARY, found.script)
    return success({"id": found.id})


def put_script_routes(call: Call, name: str) -> Response:
    """Make these the routes of a Worker, and no others; this is how wrangler does it."""
    call.ordinary(name)
    asked = call.json()
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise refuse(10006, why="a list of routes is expected")
    wanted = []
    for one in asked:
        pattern = str(one.get("pattern") or "")
        zone = _zone_for(call, one, _host_of(pattern))
        wanted.append((zone.id, _checked_pattern(pattern, zone)))
    routes = call.store.edge.replace_routes(name, wanted)
    call.changed(ORDINARY, name)
    return success([_route(one) for one in routes])


def get_script_routes(call: Call, name: str) -> Response:
    call.ordinary(name)
    return success([_route(one) for one in call.store.edge.routes() if one.script == name])


def list_domains(call: Call) -> Response:
    """Custom domains, filtered by any of their fields."""
    wanted = {name: call.request.args[name] for name in _FILTERS if name in call.request.args}
    shown = [_domain(one) for one in call.store.edge.domains()]
    return success([one for one in shown if all(one[name] == value for name, value in wanted.items())])


def get_domain(call: Call, domain: str) -> Response:
    return success(_domain(_found_domain(call, domain)))


def put_domain(call: Call) -> Response:
    """Make a Worker answer a hostname."""
    asked = call.object()
    hostname, service = asked.get("hostname"), asked.get("service")
    if not isinstance(hostname, str) or not HOSTNAME.fullmatch(hostname):
        raise refuse(10021, why="hostname must be a hostname")
    if not isinstance(service, str):
        raise refuse(10021, why="service must name a Worker")
    call.ordinary(service)
    zone = _zone_for(call, asked, hostname)
    if not f".{hostname}".endswith(f".{zone.name}"):
        raise refuse(10021, why=f"{hostname} is not in the zone {zone.name}")
    made = call.store.edge.put_domain(hostname, service, str(asked.get("environment") or "production"), zone.id)
    call.changed(ORDINARY, service)
    return success(_domain(made))


def put_script_domains(call: Call, name: str) -> Response:
    """Custom domains of a Worker, as wrangler publishes them; those that are not named stay."""
    call.ordinary(name)
    origins = call.object().get("origins")
    if not isinstance(origins, list) or not all(isinstance(one, dict) for one in origins):
        raise refuse(10021, why="origins must be a list of objects with a hostname")
    made = []
    for one in origins:
        hostname = str(one.get("hostname"))
        made.append(call.store.edge.put_domain(hostname, name, "production", _zone_for(call, one, hostname).id))
    call.changed(ORDINARY, name)
    return success([_domain(one) for one in made])


def changed_domains(call: Call, name: str) -> Response:
    """What publishing these domains would change; wrangler asks before it does."""
    asked = call.json()
    hostnames = (
        {str(one.get("hostname")) for one in asked if isinstance(one, dict)} if isinstance(asked, list) else set()
    )
    live = {one.hostname: one for one in call.store.edge.domains()}
    result = {
        "added": [{"hostname": one} for one in sorted(hostnames - set(live))],
        "removed": [],
        "updated": [
            {**_domain(live[one]), "modified": True}
            for one in sorted(hostnames & set(live))
            if live[one].service != name
        ],
        "conflicting": [],
    }
    return success(result)


def delete_domain(call: Call, domain: str) -> Response:
    found = _found_domain(call, domain)
    call.store.edge.delete_domain(found.id)
    call.changed(ORDINARY, found.service)
    return success(None)


def found_zone(call: Call, identity: str) -> Zone:
    zone = call.store.edge.zone(identity)
    if zone is None:
        raise call.nowhere()
    return zone


def _found_route(call: Call, zone: str, identity: str) -> Route:
    for route in call.store.edge.routes(found_zone(call, zone).id):
        if route.id == identity:
            return route
    raise refuse(10009, what="route")


def _found_domain(call: Call, identity: str) -> Domain:
    for domain in call.store.edge.domains():
        if domain.id == identity:
            return domain
    raise refuse(10009, what="domain")


def _zone_for(call: Call, asked: Mapping[str, Any], hostname: str) -> Zone:
    """The zone that a request names by id or name, or that holds the hostname."""
    edge = call.store.edge
    if asked.get("zone_id"):
        zone = edge.zone(str(asked["zone_id"]))
    elif asked.get("zone_name"):
        zone = next((one for one in edge.zones() if one.name == asked["zone_name"]), None)
    else:
        zone = edge.zone_of(hostname)
    if zone is None:
        raise refuse(10021, why=f"the account has no zone for {hostname}")
    return zone


def _asked_route(call: Call, zone: Zone) -> tuple[str, str | None]:
    asked = call.object()
    script = asked.get("script") or None
    if script is not None:
        call.ordinary(str(script))
    return _checked_pattern(asked.get("pattern"), zone), script


def _checked_pattern(pattern: Any, zone: Zone) -> str:
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise refuse(10022, why="it is a hostname and a path, such as *.example.com/*")
    host = _host_of(pattern)
    if host not in ("", zone.name) and not host.endswith(f".{zone.name}"):
        raise refuse(10022, why=f"{host} is not in the zone {zone.name}")
    if "*" in host:
        raise refuse(10022, why="a * may stand only at the beginning of the hostname")
    return pattern


def _host_of(pattern: str) -> str:
    """The hostname of a pattern without the wildcard at its beginning; "" for a pattern of every hostname."""
    found = _PATTERN.fullmatch(pattern)
    host = found.group(1).lower() if found else ""
    return host[1:].removeprefix(".") if host.startswith("*") else host


def _zone(call: Call, zone: Zone) -> dict[str, Any]:
    return {
        "id": zone.id,
        "name": zone.name,
        "status": "active",
        "paused": False,
        "type": "full",
        "created_on": zone.created_on,
        "modified_on": zone.created_on,
        "account": {"id": call.account, "name": "local"},
        "permissions": ["#worker:read", "#worker:edit", "#zone:read"],
    }


def _route(route: Route) -> dict[str, Any]:
    shown = {"id": route.id, "pattern": route.pattern}
    return {**shown, "script": route.script} if route.script else shown


def _domain(domain: Domain) -> dict[str, str]:
    return {
        "id": domain.id,
        "hostname": domain.hostname,
        "service": domain.service,
        "environment": domain.environment,
        "zone_id": domain.zone_id,
        "zone_name": domain.zone_name,
        "cert_id": domain.cert_id,
    }


_FILTERS = ("environment", "hostname", "service", "zone_id", "zone_name")
_ROUTES = "/zones/<zone>/workers/routes"
_DOMAINS = "/accounts/<account>/workers/domains"
_SCRIPT = "/accounts/<account>/workers/scripts/<name>"
ENDPOINTS = (
    Endpoint("GET", "/zones", list_zones),
    Endpoint("GET", "/zones/<zone>", get_zone),
    Endpoint("GET", _ROUTES, list_routes),
    Endpoint("POST", _ROUTES, create_route),
    Endpoint("GET", f"{_ROUTES}/<route>", get_route),
    Endpoint("PUT", f"{_ROUTES}/<route>", put_route),
    Endpoint("DELETE", f"{_ROUTES}/<route>", delete_route),
    Endpoint("GET", f"{_SCRIPT}/routes", get_script_routes),
    Endpoint("PUT", f"{_SCRIPT}/routes", put_script_routes),
    Endpoint("GET", _DOMAINS, list_domains),
    Endpoint("PUT", _DOMAINS, put_domain),
    Endpoint("GET", f"{_DOMAINS}/<domain>", get_domain),
    Endpoint("DELETE", f"{_DOMAINS}/<domain>", delete_domain),
    Endpoint("PUT", f"{_SCRIPT}/domains/records", put_script_domains),
    Endpoint("POST", f"{_SCRIPT}/domains/changeset", changed_domains),
)
