"""What Cloudflare leaves open and what can go wrong, as switches and faults of the emulated API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.local.faults import NAMED, Dropped, Fault, Faults, Kind, RateLimit
from reconciler.local.server import Server
from reconciler.local.store import Store
from reconciler.local.switches import Switches

ACCOUNT = "a" * 32
NAMESPACES = f"/accounts/{ACCOUNT}/workers/dispatch/namespaces"
LISTING = f"{NAMESPACES}/production/scripts"
CODE = b"export default {}"


class Clock:
    """Time that moves only when it is told to, and by sleeping."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    store = Store(tmp_path, clock=clock)
    store.create_namespace("production")
    return store


@pytest.fixture
def connect(store: Store, clock: Clock) -> Iterator[Callable[..., httpx.Client]]:
    clients: list[httpx.Client] = []

    def connect(**options: Any) -> httpx.Client:
        transport = httpx.WSGITransport(create_app(store, sleep=clock.sleep, **options))
        headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
        url = f"http://cloudflare.invalid{PREFIX}"
        clients.append(httpx.Client(transport=transport, base_url=url, headers=headers))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


Connect = Callable[..., httpx.Client]


def upload(client: httpx.Client, name: str = "shop", code: bytes = CODE, **metadata: Any) -> Any:
    files: Any = [
        ("metadata", (None, json.dumps({"main_module": "main.mjs", **metadata}))),
        ("main.mjs", ("main.mjs", code, "application/javascript+module")),
    ]
    return client.put(f"{LISTING}/{name}", files=files).json()["result"]


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [(row.get("script") or row)["id"] for row in client.get(LISTING, params=query).json()["result"]]


@pytest.mark.parametrize("rows", ["flat", "nested"])
@pytest.mark.parametrize("shown", [True, False])
def test_rows_come_flat_or_nested_with_or_without_tags_and_etag(connect: Connect, rows: Any, shown: bool) -> None:
    client = connect(switches=Switches(rows=rows, tags_in_rows=shown, etag_in_rows=shown))
    upload(client, tags=["eu"])
    (row,) = client.get(LISTING).json()["result"]
    assert ("script" in row) == (rows == "nested")
    inner = row.get("script") or row
    assert (("tags" in inner), ("etag" in inner)) == (shown, shown)


def test_a_listing_may_ignore_the_limit_or_have_no_pages(connect: Connect) -> None:
    deaf, endless = (
        connect(switches=Switches(honours_limit=False, page_size=3)),
        connect(switches=Switches(pages=False)),
    )
    for number in range(5):
        upload(deaf, f"s{number}")
    assert (len(names(deaf, limit=1)), len(names(endless, limit=1))) == (3, 5)
    assert "result_info" not in endless.get(LISTING).json()


@pytest.mark.parametrize(
    ("missing", "status", "code"), [("10092", 404, 10092), ("10007", 404, 10007), ("null", 200, None)]
)
def test_a_missing_script_is_told_in_three_ways(connect: Connect, missing: Any, status: int, code: int | None) -> None:
    response = connect(switches=Switches(missing_script=missing)).get(f"{LISTING}/nobody")
    errors = response.json()["errors"]
    assert (response.status_code, errors[0]["code"] if errors else None) == (status, code)
    if code is None:
        assert response.json()["result"]["script"] is None


@pytest.mark.parametrize("moved_by", ["metadata", "tags", "secrets"])
def test_what_moves_the_etag_besides_the_code_is_a_switch(connect: Connect, moved_by: Any) -> None:
    def etags(client: httpx.Client) -> list[bool]:
        before = upload(client, tags=["a"])["etag"]
        changes: dict[str, Any] = {
            "metadata": lambda: client.patch(
                f"{LISTING}/shop/settings", files={"settings": (None, '{"limits": {"cpu_ms": 9}}')}
            ),
            "tags": lambda: client.put(f"{LISTING}/shop/tags", json=["b"]),
            "secrets": lambda: client.put(
                f"{LISTING}/shop/secrets", json={"name": "K", "type": "secret_text", "text": "t"}
            ),
        }
        moved = []
        for change in changes.values():
            change()
            after = client.get(f"{LISTING}/shop").json()["result"]["script"]["etag"]
            moved.append(after != before)
            before = after
        return moved

    assert etags(connect()) == [False, False, False]
    expected = [kind == moved_by for kind in ("metadata", "tags", "secrets")]
    assert etags(connect(switches=Switches(etag_moved_by=frozenset((moved_by,))))) == expected


def test_what_moves_modified_on_is_a_switch(connect: Connect, clock: Clock) -> None:
    for kinds, expected in ((frozenset(("tags",)), True), (frozenset[str](), False)):
        client = connect(switches=Switches(modified_on_moved_by=kinds))  # type: ignore[arg-type]  # of literals
        before = upload(client)["modified_on"]
        clock.now += 1
        client.put(f"{LISTING}/shop/tags", json=["b"])
        after = client.get(f"{LISTING}/shop").json()["result"]["modified_on"]
        assert (after != before) is expected


def test_omitted_tags_and_secrets_are_dropped_or_kept(connect: Connect, store: Store) -> None:
    secret = [{"type": "secret_text", "name": "K", "text": "t"}]
    for client, kept in (
        (connect(), False),
        (connect(switches=Switches(omitted_tags="kept", secrets_without_keep="kept")), True),
    ):
        upload(client, tags=["a"], bindings=secret)
        upload(client)
        script = store.script("production", "shop")
        assert script is not None
        assert (bool(script.tags), bool(script.secrets)) == (kept, kept)


def test_an_account_without_the_add_on_is_refused(connect: Connect) -> None:
    client = connect(switches=Switches(dispatch_namespaces=False))
    for path in (NAMESPACES, LISTING):
        response = client.get(path)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (403, 10121)


def test_an_account_without_a_subdomain_says_so(connect: Connect) -> None:
    client = connect(switches=Switches(subdomain=""))
    response = client.get(f"/accounts/{ACCOUNT}/workers/subdomain")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 10063)


def test_too_many_requests_block_everything_for_a_while(connect: Connect, clock: Clock) -> None:
    client = connect(faults=Faults(rate_limit=RateLimit(requests=3, window=300, block=300)))
    assert [client.get(NAMESPACES).status_code for _ in range(4)] == [200, 200, 200, 429]
    blocked = client.get(NAMESPACES)
    assert (blocked.headers["retry-after"], blocked.json()["errors"][0]["code"]) == ("300", 971)
    clock.now += 299
    assert client.get(NAMESPACES).status_code == 429
    clock.now += 1
    assert client.get(NAMESPACES).status_code == 200


def test_requests_that_are_spread_out_are_not_blocked(connect: Connect, clock: Clock) -> None:
    client = connect(faults=Faults(rate_limit=RateLimit(requests=3, window=300, block=300)))
    for _ in range(10):
        assert client.get(NAMESPACES).status_code == 200
        clock.now += 100


def test_a_fault_strikes_the_calls_that_it_names(connect: Connect) -> None:
    fault = Fault(Kind.SERVER_ERROR, method="PUT", path="*/scripts/shop", first=2, times=2)
    client = connect(faults=Faults([fault]))
    other = [client.put(f"{LISTING}/other").status_code, client.get(f"{LISTING}/shop").status_code]
    struck = [client.put(f"{LISTING}/shop").status_code for _ in range(4)]
    assert (500 in other, struck) == (False, [415, 500, 500, 415])


def test_faults_are_switched_at_run_time(connect: Connect) -> None:
    faults = Faults()
    client = connect(faults=faults)
    faults.add(Fault(Kind.BAD_GATEWAY))
    spoiled = client.get(NAMESPACES)
    faults.clear()
    assert (spoiled.status_code, "<html>" in spoiled.text, client.get(NAMESPACES).status_code) == (502, True, 200)


@pytest.mark.parametrize(
    ("kind", "status", "is_envelope"),
    [
        (Kind.RATE_LIMITED, 429, True),
        (Kind.RATE_LIMITED_BARE, 429, True),
        (Kind.SERVER_ERROR, 500, True),
        (Kind.BAD_GATEWAY, 502, False),
        (Kind.UNSUCCESSFUL, 200, True),
        (Kind.INVALID_JSON, 200, False),
        (Kind.WRONG_SHAPE, 200, False),
    ],
)
def test_each_broken_reply_is_broken_in_its_way(connect: Connect, kind: Kind, status: int, is_envelope: bool) -> None:
    response = connect(faults=Faults([Fault(kind, seconds=7)])).get(NAMESPACES)
    assert response.status_code == status
    assert response.headers.get("retry-after") == ("7" if kind is Kind.RATE_LIMITED else None)
    try:
        body = response.json()
    except ValueError:
        body = None
    assert (isinstance(body, dict) and body["success"] is False) == is_envelope


def test_a_slow_reply_sleeps(connect: Connect, clock: Clock) -> None:
    before = clock.now
    assert connect(faults=Faults([Fault(Kind.SLOW, seconds=1.5)])).get(NAMESPACES).status_code == 200
    assert clock.now == before + 1.5


@pytest.mark.parametrize(
    ("kind", "is_stored"), [(Kind.DROPPED, False), (Kind.DROPPED_AFTER, True), (Kind.TRUNCATED, True)]
)
def test_a_dropped_connection_surfaces_in_process(connect: Connect, store: Store, kind: Kind, is_stored: bool) -> None:
    client = connect(faults=Faults([Fault(kind, method="PUT")]))
    with pytest.raises(Dropped):
        upload(client)
    assert (store.script("production", "shop") is not None) is is_stored


@pytest.mark.parametrize("kind", [Kind.DROPPED, Kind.DROPPED_AFTER, Kind.TRUNCATED])
def test_a_dropped_connection_is_a_closed_socket_over_loopback(store: Store, kind: Kind) -> None:
    faults = Faults([Fault(kind, times=1)])
    with Server(create_app(store, faults=faults)) as server:
        headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
        with httpx.Client(base_url=server.url + PREFIX, headers=headers, trust_env=False, verify=False) as client:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.get(NAMESPACES)
            assert client.get(NAMESPACES).status_code == 200


def test_a_listing_lags_behind(connect: Connect, clock: Clock) -> None:
    client = connect(faults=Faults(lag=20))
    for name in ("changed", "deleted"):
        upload(client, name)
    clock.now += 60
    before = {row["id"]: row["etag"] for row in client.get(LISTING).json()["result"]}
    upload(client, "changed", code=b"export default { fetch() {} }")
    upload(client, "created")
    client.delete(f"{LISTING}/deleted")
    clock.now += 19
    lagging = {row["id"]: row["etag"] for row in client.get(LISTING).json()["result"]}
    clock.now += 1
    caught_up = {row["id"]: row["etag"] for row in client.get(LISTING).json()["result"]}
    assert lagging == before
    assert (sorted(caught_up), caught_up["changed"] != before["changed"]) == (["changed", "created"], True)


def test_every_named_fault_lets_some_calls_through(connect: Connect) -> None:
    """`dev --fault NAME` is a rehearsal: a client that tries again gets there."""
    for name in NAMED:
        client = connect(faults=Faults.named(name))
        passed = 0
        for _ in range(8):
            try:
                passed += client.get(NAMESPACES).json()["success"] is True
            except (Dropped, ValueError):
                continue
        assert passed >= 6, name
