"""Cloudflare's own Python SDK over what stands beside scripts: custom hostnames, and R2."""

from __future__ import annotations

from typing import Any

import cloudflare
import pytest
from cloudflare import Cloudflare

from reconciler.local.store import Store
from tests.conformance.conftest import ACCOUNT, Running


def test_custom_hostnames_are_created_listed_changed_and_deleted(sdk: Cloudflare, store: Store) -> None:
    zone = store.edge.ensure_zone("acme.app").id
    hostnames = sdk.custom_hostnames
    made: Any = hostnames.create(
        zone_id=zone,
        hostname="shop.globex.com",
        ssl={"method": "txt", "type": "dv"},
        custom_metadata={"script": "shop"},
    )
    assert (made.hostname, made.status, made.ssl.method) == ("shop.globex.com", "active", "txt")
    hostnames.create(zone_id=zone, hostname="www.hooli.com", ssl={"method": "http", "type": "dv"})
    assert [one.hostname for one in hostnames.list(zone_id=zone)] == ["shop.globex.com", "www.hooli.com"]
    with pytest.raises(cloudflare.ConflictError) as refused:
        hostnames.create(zone_id=zone, hostname="shop.globex.com", ssl={"method": "http", "type": "dv"})
    assert [error.code for error in refused.value.errors] == [1406]
    hostnames.edit(made.id, zone_id=zone, custom_metadata={"script": "other"})
    found: Any = hostnames.get(made.id, zone_id=zone)
    assert (found.custom_metadata, found.ssl.method) == ({"script": "other"}, "txt")
    hostnames.delete(made.id, zone_id=zone)
    assert [one.hostname for one in hostnames.list(zone_id=zone)] == ["www.hooli.com"]


def test_a_fallback_origin_is_a_hostname_of_its_zone(sdk: Cloudflare, store: Store) -> None:
    zone = store.edge.ensure_zone("acme.app").id
    origin = sdk.custom_hostnames.fallback_origin
    with pytest.raises(cloudflare.NotFoundError):
        origin.get(zone_id=zone)
    with pytest.raises(cloudflare.BadRequestError):
        origin.update(zone_id=zone, origin="elsewhere.example")
    origin.update(zone_id=zone, origin="proxy.acme.app")
    found: Any = origin.get(zone_id=zone)
    assert (found.origin, found.status) == ("proxy.acme.app", "active")
    origin.delete(zone_id=zone)
    with pytest.raises(cloudflare.NotFoundError):
        origin.get(zone_id=zone)


def test_a_custom_hostname_is_answered_by_the_routes_of_its_zone(
    sdk: Cloudflare, store: Store, running: Running
) -> None:
    zone = store.edge.ensure_zone("acme.app").id
    running.upload("scripts/dispatcher", "export default { fetch: (r) => new Response(new URL(r.url).hostname) };")
    sdk.workers.routes.create(zone_id=zone, pattern="*/*", script="dispatcher")
    asked = running.get("localhost", Host="shop.globex.com")
    sdk.custom_hostnames.create(zone_id=zone, hostname="shop.globex.com", ssl={"method": "http", "type": "dv"})
    answered = running.get("shop.globex.com", Host="shop.globex.com")
    assert (asked.status_code, answered.text) == (403, "shop.globex.com")


def test_buckets_are_created_listed_and_deleted_when_they_are_empty(sdk: Cloudflare, store: Store) -> None:
    buckets = sdk.r2.buckets
    made = buckets.create(account_id=ACCOUNT, name="uploads")
    assert made.name == "uploads"
    listed = buckets.list(account_id=ACCOUNT).buckets
    assert listed is not None and [one.name for one in listed] == ["uploads"]
    assert buckets.get("uploads", account_id=ACCOUNT).name == "uploads"
    with pytest.raises(cloudflare.ConflictError):
        buckets.create(account_id=ACCOUNT, name="uploads")
    with pytest.raises(cloudflare.BadRequestError):
        buckets.create(account_id=ACCOUNT, name="No!")
    path = f"/accounts/{ACCOUNT}/r2/buckets/uploads/objects/a/b.txt"
    sdk.put(path, cast_to=object, content=b"hello", options={"headers": {"Content-Type": "text/plain"}})
    found = store.r2.get("uploads", "a/b.txt")
    assert found is not None
    assert (found[0].metadata["httpMetadata"], found[1]) == ({"contentType": "text/plain"}, b"hello")
    with pytest.raises(cloudflare.ConflictError):
        buckets.delete("uploads", account_id=ACCOUNT)
    sdk.delete(path, cast_to=object)
    buckets.delete("uploads", account_id=ACCOUNT)
    with pytest.raises(cloudflare.NotFoundError):
        buckets.get("uploads", account_id=ACCOUNT)
