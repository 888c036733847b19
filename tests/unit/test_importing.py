"""Imports of what others filled a namespace with, and of what no import can say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cloudflare import Cloudflare

from reconciler.begin import importer, importing
from reconciler.errors import UsageProblem, Where
from reconciler.load.repository import Platform, Repository
from reconciler.local.api import LOCAL_TOKEN, PREFIX, create_app
from reconciler.look import transport
from reconciler.plan import Cause
from tests.property.test_import import CODE, ESM, NAMESPACE, Account, accounts, files_below, load
from tests.scenarios.platform import ACCOUNT

WASM = b"\0asm\x01\0\0\0"
BY_TAG = importer.customer_rule(tag="customer-(.+)")
SHARED = ("platform_module.mjs", ESM, b"export const platform = 1;\n")


@pytest.fixture
def account() -> Iterator[Account]:
    with accounts() as one:
        yield one


def main(text: str) -> tuple[str, str, bytes]:
    return ("main.mjs", ESM, (CODE % text).encode())


def fill(account: Account) -> None:
    """Two customers by their tags, as a platform's own script would upload them."""
    shop = {
        "main_module": "main.mjs",
        "compatibility_date": "2026-10-01",
        "tags": ["customer-globex", "pro"],
        "limits": {"cpu_ms": 50},
        "bindings": [
            {"name": "GREETING", "type": "plain_text", "text": "hello"},
            {"name": "API_KEY", "type": "secret_text", "text": "s3cret-value"},
        ],
    }
    parts = [
        main("shop"),
        SHARED,
        ("lib/add.wasm", "application/wasm", WASM),
        ("data.bin", "application/octet-stream", b"\0\xff"),
    ]
    account.upload("globex-shop", shop, parts)
    plain = {
        "main_module": "main.mjs",
        "compatibility_date": "2026-10-01",
        "tags": ["customer-initech", "free"],
        "limits": {"cpu_ms": 10},
    }
    account.upload("initech-status", plain, [main("status"), SHARED])


@pytest.mark.parametrize(
    ("patterns", "script", "tags", "told"),
    [
        ({}, "shop", ["eu"], ("shop", "")),
        ({"tag": "customer-(.+)"}, "shop", ["eu", "customer-globex"], ("globex", "customer-globex")),
        ({"tag": "customer-(.+)"}, "shop", ["a-customer-globex"], ("shop", "")),
        ({"tag": "c-[0-9]+"}, "shop", ["c-12"], ("c-12", "c-12")),
        ({"tag": "c-([0-9]+)?.*"}, "shop", ["c-x"], ("shop", "")),
        ({"name": "(.+?)-.*"}, "globex-shop-eu", [], ("globex", "")),
        ({"tag": "customer-(.+)", "name": "(.+?)-.*"}, "globex-shop", [], ("globex", "")),
        ({"tag": "customer-(.+)", "name": "(.+?)-.*"}, "globex-shop", ["customer-hooli"], ("hooli", "customer-hooli")),
    ],
)
def test_whose_a_script_is(patterns: dict[str, str], script: str, tags: list[str], told: tuple[str, str]) -> None:
    assert importer.customer_rule(**patterns)(script, tags) == told


def test_a_namespace_that_others_filled_is_written_as_a_person_would(account: Account) -> None:
    fill(account)
    root = account.folder / "new"
    staged = account.import_into(root, BY_TAG)
    assert (staged.differing, staged.written.left_out) == ({}, {})
    assert (root / "platform.yaml").read_text().split("\n", 5)[5] == PLATFORM
    assert (root / "customers/globex/customer.yaml").read_text().split("\n", 1)[1] == GLOBEX
    assert (root / "customers/globex/lib/add.wasm").read_bytes() == WASM
    assert not (root / "customers/globex/platform_module.mjs").exists()
    assert "s3cret-value" not in "".join(path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())


PLATFORM = """\
namespace: acme-production
defaults: {compatibility_date: 2026-10-01}
platform_modules: {platform_module.mjs: platform/platform_module.mjs}

tiers:
  free:
    limits: {cpu_ms: 10}
  pro:
    limits: {cpu_ms: 50}

prune: false
"""
GLOBEX = """\
name: globex
tier: pro
tags: [customer-globex]

scripts:
  globex-shop:
    main: main.mjs
    modules: [data.bin, lib/add.wasm]
    vars: {GREETING: hello}
    secrets:
      API_KEY: {env: GLOBEX_SHOP_API_KEY}
"""


def test_taking_over_needs_no_secret_and_writes_tags_only(account: Account) -> None:
    fill(account)
    root = account.folder / "new"
    account.import_into(root, BY_TAG)
    before = {row.name: row.etag for row in account.store.rows(NAMESPACE)}
    account.apply(root, adopt=frozenset(["*"]))
    assert {row.name: row.etag for row in account.store.rows(NAMESPACE)} == before
    assert not account.plan(root, verify=None)


def test_what_the_sdk_uploaded_is_imported(account: Account) -> None:
    http = httpx.Client(transport=transport.in_process(create_app(account.store)))
    url = f"http://127.0.0.1{PREFIX}"
    with Cloudflare(base_url=url, api_token=LOCAL_TOKEN, max_retries=0, http_client=http) as sdk:
        sdk.workers_for_platforms.dispatch.namespaces.scripts.update(
            "shop",
            account_id=ACCOUNT,
            dispatch_namespace=NAMESPACE,
            metadata={
                "main_module": "src/main.mjs",
                "compatibility_date": "2026-10-01",
                "tags": ["customer-Globex.Inc"],
            },
            files=[("src/main.mjs", main("shop")[2], ESM), ("src/lib/x.mjs", b"export const x = 1;\n", ESM)],
        )
    root = account.folder / "new"
    staged = account.import_into(root, BY_TAG)
    assert staged.written.left_out == {}
    assert staged.written.notes == {
        "shop": ("its modules lose the folder src/ of their names: names count from main's folder",)
    }
    assert staged.differing == {"shop": ("main", "modules")}
    assert files_below(root) >= {"customers/globex-inc/main.mjs", "customers/globex-inc/lib/x.mjs"}


def test_scripts_that_cannot_be_said_are_named_and_left_alone(account: Account) -> None:
    fill(account)
    account.upload(
        "worker",
        {"body_part": "script"},
        [("script", "application/javascript", b"addEventListener('fetch', () => {});")],
    )
    account.upload(
        "outside", {"main_module": "src/main.mjs"}, [("src/main.mjs", ESM, b"export default {};"), ("x.mjs", ESM, b"")]
    )
    account.upload("odd", {"main_module": "main.mjs"}, [main("odd"), ("page.html", "application/octet-stream", b"")])
    account.upload(
        "broken", {"main_module": "main.mjs"}, [("main.mjs", ESM, b"import './gone.mjs';\nexport default {};")]
    )
    account.upload("crowded", {"main_module": "main.mjs", "tags": list("abcdef")}, [main("crowded")])
    account.upload("theirs", {"main_module": "main.mjs", "tags": ["rcn-other"]}, [main("theirs")])
    root = account.folder / "new"
    left_out = account.import_into(root, BY_TAG).written.left_out
    assert {name: why[0] for name, why in left_out.items()} == {
        "worker": "it is a service worker: only modules can be declared; rewrite it to `export default`",
        "outside": "module 'x.mjs': it lies outside the folder of the main module, src",
        "odd": "module 'page.html': it is application/octet-stream, which the ending of its name does not say",
        "broken": 'the import "./gone.mjs" leads nowhere: modules of this upload: main.mjs',
        "crowded": "it has 6 tags, and with customer, tier, owner and digest there would be 9: Cloudflare takes 8",
        "theirs": "it carries the mark of the platform other",
    }
    assert {script.name for script in load(root).scripts()} == {"globex-shop", "initech-status"}
    plan = account.plan(root, adopt=frozenset(["*"]))
    assert {change.key.name for change in plan.changes} == {"globex-shop", "initech-status"}


def test_a_module_that_is_named_is_the_platforms_whatever_version_a_script_has(account: Account) -> None:
    fill(account)
    terms = {"main_module": "main.mjs", "compatibility_date": "2026-10-01"}
    old = ("platform_module.mjs", ESM, b"export const platform = 0;\n")
    account.upload("hooli-old", {**terms, "tags": ["customer-hooli"]}, [main("old"), old])
    account.upload("hooli-none", {**terms, "tags": ["customer-hooli"]}, [main("none")])
    plain = account.import_into(account.folder / "plain", BY_TAG)
    assert (plain.differing, [path for path in plain.written.files if path.startswith("platform/")]) == ({}, [])
    named = account.import_into(account.folder / "named", BY_TAG, injected=frozenset(["platform_module.mjs"]))
    assert named.written.files["platform/platform_module.mjs"] == SHARED[2]
    assert [path for path in named.written.files if path.endswith("/platform_module.mjs")] == [
        "platform/platform_module.mjs"
    ]
    assert named.differing == {"hooli-none": ("modules",), "hooli-old": ("modules",)}
    assert named.written.notes == {
        "hooli-none": ("it does not carry the platform module platform_module.mjs, and will after an apply",),
        "hooli-old": (
            "its platform module platform_module.mjs is another version than the repository's, which an apply brings",
        ),
    }
    account.apply(account.folder / "named", adopt=frozenset(["*"]))
    assert not account.plan(account.folder / "named", verify=None)


def test_a_namespace_that_trusts_its_workers_stays_so(account: Account) -> None:
    fill(account)
    account.call("PATCH", "", json={"trusted_workers": True})
    root = account.folder / "new"
    account.import_into(root, BY_TAG)
    assert "trusted: true\n" in (root / "platform.yaml").read_text()
    assert {change.cause for change in account.plan(root, adopt=frozenset(["*"])).changes} == {Cause.ADOPTED}


def test_an_interrupted_import_goes_on_where_it_was(account: Account) -> None:
    fill(account)
    root = account.folder / "new"
    repository = Repository(root, Platform("acme", NAMESPACE, Where("platform.yaml")), {})
    connection = account.connection(repository)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing.read(connection, root, BY_TAG, progress=stop)
    again = account.connection(repository)
    found = importing.read(again, root, BY_TAG, progress=lambda done, total: None)
    assert again.api.requests == 1  # the listing: no script is read a second time
    staged = importing.stage(root, found, importing.around(repository, new=True), repository)
    (root / "customers").mkdir()
    (root / importing.SPOOL / "tree/customers/globex").replace(root / "customers/globex")  # and was killed here
    staged = importing.stage(root, found, importing.around(repository, new=True), repository)
    importing.place(root, staged.written)
    assert {script.name for script in load(root).scripts()} == {"globex-shop", "initech-status"}


def test_a_folder_that_stands_there_is_never_changed(account: Account, tmp_path: Path) -> None:
    fill(account)
    mine = tmp_path / "customers/initech/customer.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageProblem) as refused:
        account.import_into(tmp_path, BY_TAG)
    assert refused.value.problems[0].what == "customers/initech exists already: nothing was written"
    assert (mine.read_text(), (tmp_path / "platform.yaml").exists()) == ("mine", False)
    assert not (tmp_path / "customers/globex").exists()


def test_a_link_never_leads_an_import_elsewhere(account: Account, tmp_path: Path) -> None:
    fill(account)
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "customers").symlink_to(outside)
    with pytest.raises(UsageProblem) as refused:
        account.import_into(root, BY_TAG)
    assert refused.value.problems[0].what == "customers is a symbolic link: nothing is written"
    assert list(outside.iterdir()) == []


def test_a_namespace_that_is_not_there_is_told(account: Account, tmp_path: Path) -> None:
    repository = Repository(tmp_path, Platform("acme", "gone", Where("platform.yaml")), {})
    with pytest.raises(UsageProblem) as refused:
        importing.namespace(account.connection(repository))
    assert refused.value.problems[0].what == "there is no namespace gone in this account"


def test_an_import_into_a_repository_uses_its_terms(account: Account) -> None:
    fill(account)
    root = account.folder / "new"
    account.import_into(root, BY_TAG)
    account.upload(
        "hooli-x",
        {
            "main_module": "main.mjs",
            "compatibility_date": "2026-09-01",
            "tags": ["customer-hooli", "pro"],
            "limits": {"cpu_ms": 70},
        },
        [main("hooli"), SHARED],
    )
    account.upload("globex-new", {"main_module": "main.mjs", "tags": ["customer-globex"]}, [main("new"), SHARED])
    repository = load(root)
    found = importing.read(account.connection(repository), root, BY_TAG, progress=lambda done, total: None)
    staged = importing.stage(root, found, importing.around(repository, new=False), repository)
    importing.place(root, staged.written)
    assert staged.differing == {}
    assert staged.written.left_out == {
        "globex-new": ("the repository has customer globex already: declare it in that customer.yaml by hand",)
    }
    assert (root / "customers/hooli/customer.yaml").read_text().split("\n", 1)[1] == HOOLI


HOOLI = """\
name: hooli
tier: pro
tags: [customer-hooli]

scripts:
  hooli-x:
    main: main.mjs
    compatibility_date: 2026-09-01
    limits: {cpu_ms: 70}
"""
