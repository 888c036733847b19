"""A repository on disk as values: layers, rows, whole Workers, environments."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from reconciler.errors import ConfigError, Where
from reconciler.load import config
from reconciler.load.repository import Repository
from reconciler.model import SecretReference

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2026, 11, 24)
PLATFORM = "platform: acme\nnamespace: acme-production\nprune: true\n"
JS = "export default { fetch: () => new Response() };\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"platform.yaml": PLATFORM, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def load(root: Path, environment: str = "", **variables: str) -> Repository:
    return config.load(root, environment, variables=variables, today=TODAY)


def codes(root: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(root)
    return [one.code for one in caught.value.problems]


def test_the_sample_platform_loads_without_a_warning() -> None:
    repository = load(ROOT)
    assert repository.warnings == ()
    assert len(repository.customers) >= 4
    assert len(list(repository.scripts())) >= 7
    assert {one.tier for one in repository.scripts()} == {"basic", "advanced"}
    assert any(one.suspended for one in repository.customers.values())
    assert any(one.hostnames for one in repository.scripts())


def test_every_row_has_the_digest_of_the_worker_that_is_uploaded() -> None:
    repository = load(ROOT)
    for script in repository.scripts():
        worker = config.read_worker(repository, script.name)
        assert worker.digest == script.digest
        assert worker.tags == script.tags
        assert "platform_module.mjs" in {one.name for one in worker.modules if one.injected}


def test_rows_are_sorted_by_name() -> None:
    names = [one.name for one in load(ROOT).scripts()]
    assert names == sorted(names)


def test_loading_twice_gives_the_same_values() -> None:
    assert list(load(ROOT).scripts()) == list(load(ROOT).scripts())
    assert load(ROOT).platform == load(ROOT).platform


def test_higher_layers_go_over_lower_ones(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "platform.yaml": PLATFORM
            + "defaults: {limits: {cpu_ms: 10, subrequests: 5}, vars: {A: '1', B: '1', C: '1'}, tags: [all]}\n"
            + "tiers: {basic: {limits: {cpu_ms: 20}, vars: {B: '2'}, outbound_worker: guard}}\n"
            + "outbound_workers: {guard: {main: platform/guard.mjs}}\n",
            "platform/guard.mjs": JS,
            "customers/globex/customer.yaml": (
                "tier: basic\ntags: [eu]\nvars: {C: '3'}\nscripts:\n"
                "  shop: {main: shop.mjs, limits: {subrequests: null}, vars: {A: null, D: [1]}, tags: [vip]}\n"
                "  free: {main: shop.mjs, outbound_worker: null}\n"
            ),
            "customers/globex/shop.mjs": JS,
        },
    )
    repository = load(root)
    shop, free = repository.script("shop"), repository.script("free")
    assert (shop.cpu_ms, shop.subrequests, shop.outbound_worker) == (20, None, "guard")
    assert (free.cpu_ms, free.subrequests, free.outbound_worker) == (20, 5, "")
    assert shop.tags == ("all", "basic", "eu", "globex", "vip")
    assert config.read_worker(repository, "shop").bindings == (
        {"name": "B", "type": "plain_text", "text": "2"},
        {"name": "C", "type": "plain_text", "text": "3"},
        {"name": "D", "type": "json", "json": [1]},
    )
    assert config.read_worker(repository, "shop").settings == {"limits": {"cpu_ms": 20}}


def test_an_environment_goes_over_the_platform(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "platform.yaml": PLATFORM
            + "defaults: {vars: {A: '1'}}\n"
            + "dispatcher: {name: acme, hostname: '{script}.acme.app', custom_domains: [a.app]}\n"
            + "environments:\n  staging:\n    namespace: acme-staging\n    defaults: {vars: {B: '2'}}\n"
            + "    dispatcher: {custom_domains: []}\n",
            "customers/globex/customer.yaml": "scripts: {shop: {main: shop.mjs}}\n",
            "customers/globex/shop.mjs": JS,
        },
    )
    plain, staging = load(root), load(root, "staging")
    assert (plain.platform.namespace, plain.platform.environment) == ("acme-production", "")
    assert (staging.platform.namespace, staging.platform.environment) == ("acme-staging", "staging")
    assert plain.platform.dispatcher is not None
    assert staging.platform.dispatcher is not None
    assert staging.platform.dispatcher.hostname == "{script}.acme.app"
    assert [one.name for one in plain.platform.dispatcher.custom_domains] == ["a.app"]
    assert staging.platform.dispatcher.custom_domains == ()
    assert [one["name"] for one in config.read_worker(staging, "shop").bindings] == ["A", "B"]
    assert plain.script("shop").digest != staging.script("shop").digest


def test_all_of_a_script_that_reaches_cloudflare_is_in_its_digest(tmp_path: Path) -> None:
    base = {"main": "shop.mjs"}
    seen = set()
    for key, text in {
        "": "",
        "vars": "    vars: {A: x}\n",
        "limits": "    limits: {cpu_ms: 10}\n",
        "tags": "    tags: [eu]\n",
        "protect": "    protect: true\n",
        "secret": "    secrets: {A: {env: A}}\n",
        "secret version": "    secrets: {A: {env: A, version: 2}}\n",
        "binding": "    bindings: {A: {type: kv_namespace, namespace_id: x}}\n",
        "date": "    compatibility_date: 2026-10-01\n",
        "assets": "    assets: {directory: public}\n",
        "assets' serving": "    assets: {directory: public, not_found_handling: 404-page}\n",
        "assets' binding": "    assets: {directory: public, binding: ASSETS}\n",
        "module": "    modules: [other.mjs]\n",
    }.items():
        root = write(
            tmp_path / (key or "plain"),
            {
                "customers/globex/customer.yaml": f"scripts:\n  shop:\n    main: {base['main']}\n{text}",
                "customers/globex/shop.mjs": JS,
                "customers/globex/other.mjs": JS,
                "customers/globex/public/index.html": "<p>",
            },
        )
        digest = load(root).script("shop").digest
        assert digest not in seen, key
        seen.add(digest)


def test_what_never_reaches_the_upload_is_not_in_the_digest(tmp_path: Path) -> None:
    digests = set()
    for number, text in enumerate(
        ["", "    hostnames: [a.globex.com]\n", "    previously: [store]\n", "    secrets: {A: {env: OTHER}}\n"]
    ):
        secret = "" if "secrets" in text else "    secrets: {A: {env: A}}\n"
        customer = f"name: Globex {number}\nscripts:\n  shop:\n    main: shop.mjs\n{secret}{text}"
        root = write(
            tmp_path / str(number), {"customers/globex/customer.yaml": customer, "customers/globex/shop.mjs": JS}
        )
        digests.add(load(root).script("shop").digest)
    assert len(digests) == 1


def test_assets_are_hashed_apart_for_each_customer(tmp_path: Path) -> None:
    files = {}
    for customer in ("globex", "initech"):
        files[f"customers/{customer}/customer.yaml"] = (
            f"scripts: {{{customer}-page: {{assets: {{directory: public}}}}}}\n"
        )
        files[f"customers/{customer}/public/index.html"] = "<p>the same</p>\n"
        files[f"customers/{customer}/public/.well-known/a.txt"] = "a"
        files[f"customers/{customer}/public/_headers"] = "/*\n  x: y\n"
    repository = load(write(tmp_path, files))
    globex, initech = (config.read_worker(repository, f"{name}-page") for name in ("globex", "initech"))
    assert globex.assets is not None
    assert initech.assets is not None
    assert sorted(globex.assets.files) == ["/.well-known/a.txt", "/index.html"]
    assert globex.assets.files["/index.html"][0] != initech.assets.files["/index.html"][0]
    assert globex.assets.config == {"_headers": "/*\n  x: y\n"}
    assert globex.main == ""
    assert globex.modules == ()
    assert config.read_asset(repository, globex.assets, "/index.html") == b"<p>the same</p>\n"


def test_secrets_are_references_and_no_value_is_ever_read(tmp_path: Path) -> None:
    customer = "secrets: {A: {env: A_KEY}}\nscripts: {shop: {main: shop.mjs, secrets: {B: {env: B_KEY, version: 3}}}}\n"
    files = {"customers/globex/customer.yaml": customer, "customers/globex/shop.mjs": JS}
    repository = load(write(tmp_path, files), A_KEY="hunter2")
    assert repository.script("shop").secrets == (("A", SecretReference("A_KEY")), ("B", SecretReference("B_KEY", 3)))
    assert "hunter2" not in repr(repository) + repr(config.read_worker(repository, "shop"))


def test_the_account_comes_from_the_file_or_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {})
    assert load(tmp_path, CLOUDFLARE_ACCOUNT_ID="b" * 32).platform.account_id == "b" * 32
    write(tmp_path, {"platform.yaml": f"{PLATFORM}account_id: {'a' * 32}\n"})
    assert load(tmp_path, CLOUDFLARE_ACCOUNT_ID="b" * 32).platform.account_id == "a" * 32


def test_guards_have_their_defaults(tmp_path: Path) -> None:
    safety = load(write(tmp_path, {})).platform.safety
    assert (safety.max_deletes_count, safety.max_deletes_percent) == (25, 20)
    assert (safety.max_deletes_per_customer_percent, safety.approvals) == (100, ())
    text = "safety:\n  max_deletes: {count: 0}\n  approvals: [{delete: [a, b], reason: moved, expires: 2026-12-31}]\n"
    safety = load(write(tmp_path, {"platform.yaml": PLATFORM + text})).platform.safety
    assert safety.max_deletes_count == 0
    assert safety.approvals[0].names == ("a", "b")
    assert safety.approvals[0].expires == datetime.date(2026, 12, 31)
    assert safety.approvals[0].where.line == 6


def test_own_dispatchers_and_tail_workers_are_read_whole(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "platform.yaml": PLATFORM
            + "defaults: {compatibility_date: 2026-10-01, vars: {A: x}}\n"
            + "dispatcher: {name: acme, main: platform/own.mjs, vars: {B: x}, pages: {missing: platform/404.html}}\n"
            + "tail_workers: {tail: {main: platform/tail.mjs, compatibility_date: 2026-09-01}}\n",
            "platform/own.mjs": 'import table from "./routing_table.mjs";\n',
            "platform/tail.mjs": JS,
            "platform/404.html": "<p>not here</p>",
        },
    )
    repository = load(root)
    own, tail = repository.platform.dispatcher, repository.platform.tail_workers["tail"]
    assert own is not None
    assert own.pages == {"missing": "<p>not here</p>"}
    worker = config.read_ordinary(repository, own)
    assert [one.name for one in worker.modules] == ["own.mjs"]
    assert worker.bindings == ({"name": "B", "type": "plain_text", "text": "x"},), "user Workers' variables stay theirs"
    # It names the tail Workers by itself: with them the events of every script that it calls.
    assert worker.settings == {"compatibility_date": "2026-10-01", "tail_consumers": [{"service": "tail"}]}
    assert config.read_ordinary(repository, tail).settings == {"compatibility_date": "2026-09-01"}


def test_a_routing_table_that_is_too_large_for_the_dispatcher_is_refused(tmp_path: Path) -> None:
    page = "dispatcher: {name: acme, path: '/{script}', table: TABLE, pages: {missing: platform/404.html}}\n"
    for table, size, expected in (
        ("bundle", 2_200_000, ["routing-table-size"]),
        ("kv", 2_200_000, ["routing-table-size"]),
    ):
        files = {"platform.yaml": PLATFORM + page.replace("TABLE", table), "platform/404.html": "x" * size}
        assert codes(write(tmp_path / table, files)) == expected
    load(write(tmp_path / "fits", {**files, "platform/404.html": "x" * 2_000_000}))
    names = "".join(f"      - {'x' * 60}.{'y' * 60}.host-{number:05}.example.com\n" for number in range(14_500))
    files = {
        "platform.yaml": PLATFORM + "dispatcher: {name: acme, path: '/{script}'}\n",
        "customers/one/customer.yaml": f"scripts:\n  one:\n    main: s.mjs\n    hostnames:\n{names}",
        "customers/one/s.mjs": JS,
    }
    assert codes(write(tmp_path / "many", files)) == ["routing-table-size"]


def test_a_binding_without_a_stand_in_is_told_at_its_line_and_once(tmp_path: Path) -> None:
    customer = "scripts:\n  {0}:\n    main: s.mjs\n    bindings:\n      OWN: {{type: hyperdrive, id: x}}\n"
    files = {f"customers/{name}/customer.yaml": customer.format(name) for name in ("one", "two")}
    files |= {f"customers/{name}/s.mjs": JS for name in ("one", "two")}
    shared = "defaults:\n  bindings:\n    MODEL: {type: ai}\n    CACHE: {type: kv_namespace, namespace_id: x}\n"
    files["platform.yaml"] = PLATFORM + shared
    repository = load(write(tmp_path, files))
    assert repository.warnings == (), "at Cloudflare there is nothing to warn of"
    told = config.with_stand_in_warnings(repository).warnings
    assert [(one.what.split()[1], str(one.where)) for one in told] == [
        ("OWN", "customers/one/customer.yaml:5:12"),
        ("OWN", "customers/two/customer.yaml:5:12"),
        ("MODEL", "platform.yaml:6:12"),
    ]


def test_problems_of_all_files_come_at_once_and_once(tmp_path: Path) -> None:
    files = {f"customers/c{n}/customer.yaml": "nmae: x\nscripts: {}\n" for n in range(3)}
    assert codes(write(tmp_path, {**files, "platform.yaml": PLATFORM + "x: 1\n"})) == ["unknown-field"] * 4
    files = {f"customers/c{n}/customer.yaml": f"scripts: {{s{n}: {{main: s.mjs}}}}\n" for n in range(3)}
    files |= {f"customers/c{n}/s.mjs": JS for n in range(3)}
    files["platform.yaml"] = PLATFORM + "defaults: {compatibility_date: 2030-01-01}\n"
    assert codes(write(tmp_path, files)) == ["date"], "a shared layer has its problem once"


def test_a_file_that_changed_meanwhile_is_an_error_and_no_crash(tmp_path: Path) -> None:
    files = {"customers/globex/customer.yaml": "scripts: {shop: {main: shop.mjs}}\n", "customers/globex/shop.mjs": JS}
    repository = load(write(tmp_path, files))
    (tmp_path / "customers/globex/shop.mjs").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        config.read_worker(repository, "shop")
    (tmp_path / "customers/globex/customer.yaml").write_text("scripts: {}\n")
    with pytest.raises(ConfigError, match="not there any more"):
        config.read_worker(repository, "shop")


def test_a_repository_without_customers_is_one(tmp_path: Path) -> None:
    assert load(write(tmp_path, {})).customers == {}


def test_customers_may_stand_at_any_depth(tmp_path: Path) -> None:
    files = {}
    for path in ("a", "eu/b", "eu/west/c", "a/d"):
        name = path.split("/")[-1]
        files[f"customers/{path}/customer.yaml"] = f"scripts: {{s-{name}: {{main: s.mjs}}}}\n"
        files[f"customers/{path}/s.mjs"] = JS
    repository = load(write(tmp_path, files))
    assert {one.id: one.folder for one in repository.customers.values()} == {
        "a": "customers/a", "b": "customers/eu/b", "c": "customers/eu/west/c", "d": "customers/a/d",
    }  # fmt: skip
    assert repository.customers["b"].where == Where("customers/eu/b/customer.yaml", width=0)


def test_all_digit_ids_are_text(tmp_path: Path) -> None:
    files = {"customers/4711/customer.yaml": "scripts: {4711: {main: s.mjs}}\n", "customers/4711/s.mjs": JS}
    assert load(write(tmp_path, files)).script("4711").tags == ("4711",)


def test_a_missing_platform_file_is_told(tmp_path: Path) -> None:
    assert codes(tmp_path) == ["unreadable"]
