"""Custom hostnames of a zone: the customers' own domains, which the zone's routes answer.

A certificate is issued at once here: every hostname is active from its creation.
"""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from reconciler.local.api_edge import HOSTNAME, found_zone
from reconciler.local.call import Call, Endpoint
from reconciler.local.envelope import paged, refuse, success
from reconciler.local.records import CustomHostname
from reconciler.local.store import ORDINARY

MOST = 50_000  # of a zone


def list_hostnames(call: Call, zone: str) -> Response:
    """Filtered by a hostname or an id."""
    found_zone(call, zone)
    hostname, identity = call.request.args.get("hostname", ""), call.request.args.get("id", "")
    shown = [
        _shown(one)
        for one in call.store.edge.custom_hostnames(zone)
        if hostname in ("", one.hostname) and identity in ("", one.id)
    ]
    page = call.number("page", 1, least=1, most=100_000)
    return paged(shown, page, call.number("per_page", 20, least=5, most=50))


def create_hostname(call: Call, zone: str) -> Response:
    found_zone(call, zone)
    asked = call.object()
    hostname = asked.get("hostname")
    if not isinstance(hostname, str) or not HOSTNAME.fullmatch(hostname):
        raise refuse(1407)
    made = call.store.edge.create_custom_hostname(zone, hostname, _details(asked))
    if made is None:
        raise refuse(1406)
    call.changed(ORDINARY, None)
    return success(_shown(made), status=201)


def get_hostname(call: Call, zone: str, hostname: str) -> Response:
    return success(_shown(_found(call, zone, hostname)))


def change_hostname(call: Call, zone: str, hostname: str) -> Response:
    found = _found(call, zone, hostname)
    details = {**found.details, **_details(call.object())}
    call.store.edge.change_custom_hostname(found.id, details)
    return success(_shown(_found(call, zone, hostname)))


def delete_hostname(call: Call, zone: str, hostname: str) -> Response:
    found = _found(call, zone, hostname)
    call.store.edge.delete_custom_hostname(found.id)
    call.changed(ORDINARY, None)
    return success({"id": found.id})


def get_fallback_origin(call: Call, zone: str) -> Response:
    found_zone(call, zone)
    origin = call.store.value(f"fallback_origin/{zone}")
    if not origin:
        raise refuse(1551)
    return success({"origin": origin, "status": "active", "errors": []})


def put_fallback_origin(call: Call, zone: str) -> Response:
    found = found_zone(call, zone)
    origin = call.object().get("origin")
    if not isinstance(origin, str) or not f".{origin}".endswith(f".{found.name}"):
        raise refuse(1550, zone=found.name)
    call.store.set_value(f"fallback_origin/{zone}", origin)
    return get_fallback_origin(call, zone)


def delete_fallback_origin(call: Call, zone: str) -> Response:
    get_fallback_origin(call, zone)
    call.store.set_value(f"fallback_origin/{zone}", "")
    return success({"origin": "", "status": "pending_deletion", "errors": []})


def get_quota(call: Call, zone: str) -> Response:
    found_zone(call, zone)
    used = len(call.store.edge.custom_hostnames(zone))
    return success({"allocated": MOST, "used": used})


def _found(call: Call, zone: str, identity: str) -> CustomHostname:
    found_zone(call, zone)
    found = next((one for one in call.store.edge.custom_hostnames(zone) if one.id == identity), None)
    if found is None:
        raise refuse(1436)
    return found


def _details(asked: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a request as it was sent."""
    return {
        name: asked[name]
        for name in ("ssl", "custom_metadata", "custom_origin_server", "custom_origin_sni")
        if asked.get(name) is not None
    }


def _shown(one: CustomHostname) -> dict[str, Any]:
    ssl = {"method": "http", "type": "dv", **(one.details.get("ssl") or {})}
    return {
        **one.details,
        "id": one.id,
        "hostname": one.hostname,
        "status": "active",
        "created_at": one.created_on,
        "ssl": {**ssl, "id": one.id, "status": "active", "hosts": [one.hostname]},
    }


_HOSTNAMES = "/zones/<zone>/custom_hostnames"
ENDPOINTS = (
    Endpoint("GET", _HOSTNAMES, list_hostnames),
    Endpoint("POST", _HOSTNAMES, create_hostname),
    Endpoint("GET", f"{_HOSTNAMES}/fallback_origin", get_fallback_origin),
    Endpoint("PUT", f"{_HOSTNAMES}/fallback_origin", put_fallback_origin),
    Endpoint("DELETE", f"{_HOSTNAMES}/fallback_origin", delete_fallback_origin),
    Endpoint("GET", f"{_HOSTNAMES}/quota", get_quota),
    Endpoint("GET", f"{_HOSTNAMES}/<hostname>", get_hostname),
    Endpoint("PATCH", f"{_HOSTNAMES}/<hostname>", change_hostname),
    Endpoint("DELETE", f"{_HOSTNAMES}/<hostname>", delete_hostname),
)
