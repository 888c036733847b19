"""The emulated API is as strict as Cloudflare: what it refuses, with which code, and what it keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.local.api import LOCAL_TOKEN, PREFIX, RequestLine, create_app
from reconciler.local.records import StoredScript
from reconciler.local.store import Store
from reconciler.local.switches import LAPTOP

ACCOUNT = "a" * 32
NAMESPACES = f"/accounts/{ACCOUNT}/workers/dispatch/namespaces"
SHOP = f"{NAMESPACES}/production/scripts/shop"
ORDINARY = f"/accounts/{ACCOUNT}/workers/scripts"
ESM = "application/javascript+module"
CODE = b"export default { fetch() { return new Response('hello') } };"
PLAIN = {"type": "plain_text", "name": "A", "text": "x"}
SECRET = {"type": "secret_text", "name": "KEY", "text": "s3cret"}


class Clock:
    """Time that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    store = Store(tmp_path, clock=clock)
    store.create_namespace("production")
    return store


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    with connect(store) as client:
        yield client


def connect(store: Store, token: str = LOCAL_TOKEN, **options: Any) -> httpx.Client:
    transport = httpx.WSGITransport(create_app(store, **options))
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(transport=transport, base_url=f"http://cloudflare.invalid{PREFIX}", headers=headers)


def upload(
    client: httpx.Client,
    path: str = SHOP,
    modules: Mapping[str, tuple[bytes, str]] | None = None,
    query: Mapping[str, str] | None = None,
    **metadata: Any,
) -> httpx.Response:
    given = json.dumps({"main_module": "main.mjs", **metadata})
    files: Any = [("metadata", (None, given, "application/json"))]
    files += [(name, (name, code, mime)) for name, (code, mime) in (modules or {"main.mjs": (CODE, ESM)}).items()]
    return client.put(path, files=files, params=query or {})


def code_of(response: httpx.Response) -> tuple[int, int]:
    body = response.json()
    assert (body["success"], body["result"]) == (False, None)
    return response.status_code, body["errors"][0]["code"]


def result_of(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["result"]


@pytest.mark.parametrize(
    ("metadata", "refusal"),
    [
        ({"main_module": "other.mjs"}, (400, 10021)),
        ({"main_module": None}, (400, 10021)),
        ({"body_part": "main.mjs"}, (400, 10021)),
        ({"colour": "red"}, (400, 10021)),
        ({"tags": "a"}, (400, 10021)),
        ({"tags": [f"tag-{n}" for n in range(9)]}, (400, 10021)),
        ({"tags": ["a,b"]}, (400, 10021)),
        ({"limits": {"cpu_ms": "10"}}, (400, 10021)),
        ({"limits": {"cpu": 10}}, (400, 10021)),
        ({"compatibility_date": "2026-13-01"}, (400, 10021)),
        ({"compatibility_flags": "nodejs_compat"}, (400, 10021)),
        ({"observability": {"enabled": "yes"}}, (400, 10021)),
        ({"usage_model": "cheap"}, (400, 10021)),
        ({"keep_bindings": True}, (400, 10021)),
        ({"assets": {"jwt": "no.such.token"}}, (401, 10000)),
        ({"assets": {"config": {"not_found_handling": "shrug"}}}, (400, 10021)),
        ({"bindings": [{"type": "plain_text", "text": "x"}]}, (400, 10052)),
        ({"bindings": [PLAIN, PLAIN]}, (400, 10021)),
        ({"bindings": [{"type": "teleport", "name": "A"}]}, (400, 10021)),
        ({"bindings": [{"type": "plain_text", "name": "A"}]}, (400, 10021)),
        ({"bindings": [{"type": "plain_text", "name": "A", "text": 1}]}, (400, 10021)),
        ({"bindings": [PLAIN | {"text": "x" * 5121}]}, (400, 10054)),
        ({"bindings": [PLAIN | {"name": f"A{n}"} for n in range(129)]}, (400, 10055)),
        ({"bindings": [{"type": "kv_namespace", "name": "KV", "namespace_id": "0" * 32}]}, (400, 10041)),
        ({"bindings": [{"type": "d1", "name": "DB", "database_id": "nowhere"}]}, (400, 10181)),
        ({"bindings": [{"type": "service", "name": "S", "service": "nobody"}]}, (400, 10143)),
        ({"bindings": [{"type": "dispatch_namespace", "name": "D", "namespace": "nowhere"}]}, (400, 100119)),
        ({"bindings": [{"type": "text_blob", "name": "T", "part": "nowhere.txt"}]}, (400, 10021)),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_an_upload_with_something_wrong_is_refused_and_nothing_is_stored(
    client: httpx.Client, store: Store, metadata: Mapping[str, Any], refusal: tuple[int, int]
) -> None:
    assert code_of(upload(client, **metadata)) == refusal
    assert store.script("production", "shop") is None


@pytest.mark.parametrize(
    ("response", "refusal"),
    [
        (lambda client: client.put(SHOP, content=b"x", headers={"content-type": "text/html"}), (415, 10001)),
        (lambda client: client.put(SHOP, files={"main.mjs": ("main.mjs", CODE, ESM)}), (400, 10021)),
        (lambda client: client.put(SHOP, files={"metadata": (None, "{")}), (400, 10006)),
        (lambda client: client.put(SHOP, files={"metadata": (None, "[]")}), (400, 10021)),
        (
            lambda client: client.put(
                SHOP, content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
            ),
            (400, 10006),
        ),
        (lambda client: upload(client, f"{NAMESPACES}/production/scripts/No%20Name"), (400, 10016)),
        (lambda client: upload(client, f"{ORDINARY}/{'x' * 64}"), (400, 10016)),
        (lambda client: upload(client, f"{NAMESPACES}/nowhere/scripts/shop"), (404, 100119)),
        (lambda client: upload(client, modules={"main.mjs": (CODE, "image/png")}), (400, 10021)),
        (lambda client: upload(client, modules={"main.mjs": (CODE, "text/plain")}), (400, 10021)),
        (lambda client: client.get(f"{NAMESPACES}/nowhere"), (404, 100119)),
        (lambda client: client.post(NAMESPACES, json={"name": "production"}), (409, 100121)),
        (lambda client: client.post(NAMESPACES, json={}), (400, 10021)),
        (lambda client: client.post(NAMESPACES, content=b"{"), (400, 10006)),
        (lambda client: client.get(SHOP), (404, 10092)),
        (lambda client: client.get(f"{SHOP}/settings"), (404, 10007)),
        (lambda client: client.get(f"{ORDINARY}/nobody/settings"), (404, 10007)),
        (lambda client: client.delete(SHOP), (404, 10092)),
        (lambda client: client.delete(f"{ORDINARY}/nobody"), (404, 10007)),
        (lambda client: client.get(f"/accounts/{ACCOUNT}/workers/services/nobody"), (404, 10090)),
        (lambda client: client.get(f"{NAMESPACES}/production/scripts?limit=0"), (400, 10004)),
        (lambda client: client.get(f"{NAMESPACES}/production/scripts?limit=1001"), (400, 10004)),
        (lambda client: client.get(f"{NAMESPACES}/production/scripts?cursor=%25"), (400, 10004)),
        (lambda client: client.get(f"{NAMESPACES}/production/scripts?tags=eu"), (400, 10004)),
        (lambda client: client.get("/nowhere"), (404, 7003)),
        (lambda client: client.get("/accounts/not-an-id/workers/scripts"), (404, 7003)),
        (lambda client: client.get(f"/zones/{'0' * 32}/workers/routes"), (404, 7003)),
        (lambda client: client.put("/accounts"), (405, 10000)),
        (lambda client: client.get(f"/accounts/{ACCOUNT}/storage/kv/namespaces/{'0' * 32}"), (404, 10013)),
        (lambda client: client.get(f"/accounts/{ACCOUNT}/d1/database/nowhere"), (404, 7404)),
    ],
)
def test_a_request_with_something_wrong_has_its_own_code(
    client: httpx.Client, response: Any, refusal: tuple[int, int]
) -> None:
    assert code_of(response(client)) == refusal


@pytest.mark.parametrize(
    "path",
    [f"{SHOP}/versions", f"{SHOP}/deployments", f"{SHOP}/schedules", f"/accounts/{ACCOUNT}/queues"],
)
def test_what_is_not_built_answers_as_a_path_that_is_not_there(client: httpx.Client, path: str) -> None:
    assert code_of(client.get(path)) == (404, 7003)


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (None, (400, 9106)),
        ("Basic bG9jYWw6", (400, 6003)),
        ("Bearer ", (400, 6003)),
        ("Bearer wrong", (401, 10000)),
        ("Bearer disabled", (403, 9109)),
    ],
)
def test_a_request_needs_a_token_of_the_account(store: Store, header: str | None, refusal: tuple[int, int]) -> None:
    store.put_token(hashlib.sha256(b"disabled").hexdigest(), "disabled")
    with connect(store) as client:
        del client.headers["authorization"]
        headers = {"authorization": header} if header else {}
        assert code_of(client.get(NAMESPACES, headers=headers)) == refusal


def test_the_token_of_one_account_does_not_open_another(store: Store) -> None:
    with connect(store, account="b" * 32) as client:
        assert code_of(client.get(NAMESPACES)) == (403, 10000)


def test_modules_have_the_names_of_their_files_without_the_leading_dot(client: httpx.Client, store: Store) -> None:
    files: Any = [
        ("files", ("./main.mjs", CODE, ESM)),
        ("files", ("lib/text.txt", b"text", "text/plain;charset=utf-8")),
        ("index.js.map", ("index.js.map", b"{}", "application/source-map")),
        ("metadata", (None, json.dumps({"main_module": "./main.mjs"}))),
    ]
    result_of(client.put(SHOP, files=files))
    script = store.script("production", "shop")
    assert script is not None and script.main == "main.mjs"
    assert [(module.name, module.type) for module in script.modules] == [
        ("main.mjs", ESM),
        ("lib/text.txt", "text/plain"),
    ]


def test_a_bare_service_worker_is_taken(client: httpx.Client, store: Store) -> None:
    code = b"addEventListener('fetch', (event) => event.respondWith(new Response('hi')))"
    result_of(client.put(SHOP, content=code, headers={"content-type": "application/javascript"}))
    assert client.get(f"{SHOP}/content").content == code
    script = store.script("production", "shop")
    assert script is not None and script.syntax == "service-worker"


def test_bytes_that_look_like_the_form_are_kept(client: httpx.Client, store: Store) -> None:
    binary = b"\x00asm\r\n--boundary\r\nContent-Disposition: form-data\r\n\r\n\xff" * 3
    result_of(upload(client, modules={"main.mjs": (CODE, ESM), "a.wasm": (binary, "application/wasm")}))
    script = store.script("production", "shop")
    assert script is not None and script.modules[1].content == binary


def test_a_script_too_large_after_compression_is_refused(client: httpx.Client) -> None:
    zeros = bytes(12 * 1024 * 1024)
    result_of(upload(client, modules={"main.mjs": (CODE, ESM), "zeros": (zeros, "application/octet-stream")}))
    noise = b"".join(hashlib.sha512(n.to_bytes(4, "big")).digest() for n in range(170_000))
    too_large = upload(client, modules={"main.mjs": (CODE, ESM), "noise": (noise, "application/octet-stream")})
    assert code_of(too_large) == (413, 10027)


def test_what_an_upload_does_not_name_is_gone(client: httpx.Client) -> None:
    result_of(upload(client, bindings=[PLAIN, SECRET], tags=["a"], limits={"cpu_ms": 10}))
    result_of(upload(client))
    settings = result_of(client.get(f"{SHOP}/settings"))
    assert (settings["bindings"], settings["tags"], settings["limits"]) == ([], None, None)


def test_what_an_upload_keeps_stays(client: httpx.Client, store: Store) -> None:
    result_of(upload(client, bindings=[PLAIN, SECRET, PLAIN | {"name": "B"}]))
    inherit = {"type": "inherit", "name": "C", "old_name": "B"}
    result_of(upload(client, bindings=[inherit], keep_bindings=["secret_text"], query={"bindings_inherit": "strict"}))
    script = store.script("production", "shop")
    assert script is not None
    assert (list(script.bindings), script.secrets) == (
        [PLAIN | {"name": "C"}],
        {"KEY": {"type": "secret_text", "text": "s3cret"}},
    )


def test_an_inherited_binding_that_is_missing_is_left_out_or_refused(client: httpx.Client) -> None:
    inherit = {"type": "inherit", "name": "GONE"}
    result_of(upload(client, bindings=[inherit]))
    assert result_of(client.get(f"{SHOP}/bindings")) == []
    strict = upload(client, bindings=[inherit], query={"bindings_inherit": "strict"})
    assert code_of(strict) == (400, 10057)


def test_secrets_are_never_shown(client: httpx.Client) -> None:
    result_of(upload(client, bindings=[SECRET]))
    result_of(client.patch(f"{SHOP}/secrets-bulk", json={"secrets": {"B": SECRET | {"name": "B", "text": "s3cret2"}}}))
    paths = ("settings", "bindings", "secrets", "secrets/KEY", "content")
    assert not any("s3cret" in client.get(f"{SHOP}/{path}").text for path in paths)


def test_a_secret_cannot_take_the_name_of_a_binding(client: httpx.Client) -> None:
    result_of(upload(client, bindings=[PLAIN]))
    assert code_of(client.put(f"{SHOP}/secrets", json=SECRET | {"name": "A"})) == (400, 10053)


def test_settings_change_what_they_name_and_null_takes_away(client: httpx.Client) -> None:
    result_of(upload(client, bindings=[PLAIN], limits={"cpu_ms": 10}, compatibility_date="2026-11-01", tags=["a"]))
    settings = {"limits": None, "logpush": True}
    shown = result_of(client.patch(f"{SHOP}/settings", files={"settings": (None, json.dumps(settings))}))
    assert (shown["limits"], shown["logpush"], shown["tags"], shown["compatibility_date"], len(shown["bindings"])) == (
        None,
        True,
        ["a"],
        "2026-11-01",
        1,
    )
    unknown = {"settings": (None, json.dumps({"main_module": "x"}))}
    assert code_of(client.patch(f"{SHOP}/settings", files=unknown)) == (400, 10021)


def test_a_tag_is_asked_for_and_the_ninth_is_refused(client: httpx.Client) -> None:
    result_of(upload(client, tags=[f"tag-{n}" for n in range(8)]))
    assert result_of(client.get(f"{SHOP}/tags", params={"tags": "tag-1:yes,other:no"})) is True
    assert result_of(client.get(f"{SHOP}/tags", params={"tags": "other:yes"})) is False
    result_of(client.put(f"{SHOP}/tags/tag-1"))
    assert code_of(client.put(f"{SHOP}/tags/tag-8")) == (400, 10021)


def test_a_page_goes_on_where_the_last_one_ended_though_scripts_come_and_go(client: httpx.Client, store: Store) -> None:
    listing = f"{NAMESPACES}/production/scripts"
    for name in "abcd":
        result_of(upload(client, f"{listing}/{name}"))
    first = client.get(listing, params={"limit": 2}).json()
    result_of(client.delete(f"{listing}/b"))
    result_of(upload(client, f"{listing}/aa"))
    second = client.get(listing, params={"limit": 2, "cursor": first["result_info"]["cursor"]}).json()
    assert [row["id"] for row in first["result"] + second["result"]] == ["a", "b", "c", "d"]
    assert second["result_info"]["cursor"] == ""


def test_bulk_deletes_only_what_the_filter_finds_so_many_at_a_time(client: httpx.Client, store: Store) -> None:
    for number in range(5):
        result_of(upload(client, f"{NAMESPACES}/production/scripts/s{number}", tags=["old"] if number else ["new"]))
    listing = f"{NAMESPACES}/production/scripts"
    first = result_of(client.delete(listing, params={"tags": "old:yes", "limit": 3}))
    assert (first["deleted_count"], first["has_more"]) == (3, True)
    second = result_of(client.delete(listing, params={"tags": "old:yes", "limit": 3}))
    assert (second["deleted"], second["has_more"]) == ([{"id": "s4"}], False)
    assert [row.name for row in store.rows("production")] == ["s0"]


def test_the_same_code_has_the_same_etag_and_other_code_another(client: httpx.Client, clock: Clock) -> None:
    first = result_of(upload(client))
    clock.now += 1
    same = result_of(upload(client))
    other = result_of(upload(client, modules={"main.mjs": (CODE + b" ", ESM)}))
    assert first["etag"] == same["etag"] != other["etag"] and len(first["etag"]) == 64
    assert (first["created_on"], first["modified_on"] < same["modified_on"]) == (same["created_on"], True)


def test_code_that_the_check_finds_wrong_is_refused(store: Store) -> None:
    def check(script: StoredScript) -> list[str]:
        return [f"Uncaught SyntaxError in {module.name}" for module in script.modules if b"(" not in module.content]

    with connect(store, check=check) as client:
        result_of(upload(client))
        refused = upload(client, modules={"main.mjs": (b"export default {", ESM)})
    assert code_of(refused) == (400, 10021)
    assert refused.json()["errors"][0]["message"] == "Uncaught SyntaxError in main.mjs"


def test_an_asset_of_another_namespace_must_be_uploaded_anew(client: httpx.Client, store: Store) -> None:
    """Hashes are shared within a namespace, so that a hash alone opens no file of another."""
    store.create_namespace("staging")
    manifest = {"manifest": {"/a": {"hash": "1" * 32, "size": 1}}}
    sessions = f"{NAMESPACES}/{{}}/scripts/shop/assets-upload-session"
    first = result_of(client.post(sessions.format("production"), json=manifest))
    sent = client.post(
        f"/accounts/{ACCOUNT}/workers/assets/upload?base64=true",
        headers={"authorization": f"Bearer {first['jwt']}"},
        files={"1" * 32: ("a", b"eA==", "text/plain")},
    )
    assert sent.status_code == 201
    assert result_of(client.post(sessions.format("production"), json=manifest))["buckets"] == []
    assert result_of(client.post(sessions.format("staging"), json=manifest))["buckets"] == [["1" * 32]]
    unfinished = upload(
        client, assets={"jwt": result_of(client.post(sessions.format("staging"), json=manifest))["jwt"]}
    )
    assert code_of(unfinished) == (400, 10021)


def test_replies_carry_the_headers_of_cloudflare(client: httpx.Client) -> None:
    first, second = client.get(NAMESPACES), client.get(f"/accounts/{ACCOUNT}/storage/kv/namespaces")
    assert first.headers["cf-ray"] != second.headers["cf-ray"]
    assert first.headers["ratelimit-policy"] == '"default";q=1200;w=300'
    assert "ratelimit" not in second.headers, "KV was seen to send none"


def test_requests_are_told_to_the_log(store: Store) -> None:
    seen: list[RequestLine] = []
    with connect(store, on_request=seen.append) as client:
        client.get(NAMESPACES)
        client.get("/nowhere")
    assert [(line.method, line.path.removeprefix(PREFIX), line.status) for line in seen] == [
        ("GET", NAMESPACES, 200),
        ("GET", "/nowhere", 404),
    ]


def test_names_outside_ascii_arrive_as_they_were_sent(client: httpx.Client, store: Store) -> None:
    made = result_of(client.post(f"/accounts/{ACCOUNT}/storage/kv/namespaces", json={"title": "t"}))
    for key in ("é", "日本", "a/b c", "100%25"):
        path = f"/accounts/{ACCOUNT}/storage/kv/namespaces/{made['id']}/values/{key}"
        result_of(client.put(path, content=b"v"))
    assert {key.name for key in store.kv.keys(made["id"])} == {"é", "日本", "a/b c", "100%"}


RESOURCES = {
    "kv_namespace": {"namespace_id": "0f2a"},
    "d1": {"database_id": "9d7f"},
    "r2_bucket": {"bucket_name": "uploads"},
    "service": {"service": "billing"},
}


@pytest.mark.parametrize("kind", RESOURCES)
def test_what_a_binding_names_must_be_there_but_on_a_laptop(store: Store, client: httpx.Client, kind: str) -> None:
    binding = {"type": kind, "name": "IT", **RESOURCES[kind]}
    codes = {"kv_namespace": 10041, "d1": 10181, "r2_bucket": 10085, "service": 10143}
    assert code_of(upload(client, bindings=[binding])) == (400, codes[kind])
    with connect(store, switches=LAPTOP) as laptop:
        assert upload(laptop, bindings=[binding]).is_success
        assert upload(laptop, bindings=[binding]).is_success
    assert upload(client, bindings=[binding]).is_success is (kind != "service")


def test_a_database_made_on_demand_cannot_leave_its_folder(store: Store) -> None:
    with connect(store, switches=LAPTOP) as laptop:
        binding = {"type": "d1", "name": "DB", "database_id": "../../outside"}
        assert code_of(upload(laptop, bindings=[binding])) == (400, 10181)


def test_an_outbound_worker_must_be_there_on_a_laptop_too(store: Store) -> None:
    outbound = {"worker": {"service": "guard"}}
    binding = {"type": "dispatch_namespace", "name": "D", "namespace": "production", "outbound": outbound}
    with connect(store, switches=LAPTOP) as laptop:
        assert code_of(upload(laptop, f"{ORDINARY}/dispatcher", bindings=[binding])) == (400, 10143)


def test_a_file_can_be_sent_by_itself(client: httpx.Client, store: Store) -> None:
    digest = "0123456789abcdef" * 2
    manifest = {"manifest": {"/a.txt": {"hash": digest, "size": 5}}}
    session = client.post(f"{SHOP}/assets-upload-session", json=manifest).json()["result"]["jwt"]
    headers = {"authorization": f"Bearer {session}", "content-type": "text/plain"}
    place = f"/accounts/{ACCOUNT}/workers/assets/upload"
    assert code_of(client.post(f"{place}/{'f' * 32}", content=b"hello", headers=headers)) == (400, 10021)
    assert code_of(client.post(f"{place}/{digest}", content=b"hell", headers=headers)) == (400, 10021)
    assert code_of(client.post(f"{place}/{digest}", content=b"hello")) == (401, 10000)
    done = client.post(f"{place}/{digest}", content=b"hello", headers=headers)
    assert (done.status_code, upload(client, assets={"jwt": done.json()["result"]["jwt"]}).status_code) == (201, 200)
    stored = store.asset(digest)
    assert stored is not None and (stored.type, stored.content) == ("text/plain", b"hello")


def test_the_deployment_in_force_cannot_be_deleted(client: httpx.Client) -> None:
    worker = f"{ORDINARY}/worker"
    for _ in range(2):
        assert upload(client, worker).is_success
    newest, oldest = (one["id"] for one in client.get(f"{worker}/deployments").json()["result"]["deployments"])
    assert code_of(client.delete(f"{worker}/deployments/{newest}")) == (400, 10021)
    assert client.delete(f"{worker}/deployments/{oldest}").is_success
    assert code_of(client.delete(f"{worker}/deployments/{oldest}")) == (404, 10009)
