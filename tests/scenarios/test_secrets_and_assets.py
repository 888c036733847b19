"""What goes with a script beside its code: secrets by value, static files by what is missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx
import pytest

from reconciler.errors import ReconcilerError
from reconciler.local.api_assets import BUCKET_FILES
from reconciler.local.switches import Switches
from reconciler.look.ledger import Ledger
from tests.scenarios.platform import ACCOUNT, MODULE, Killed, Platform, Strike

SECRET = "globex-shop: {secrets: {API_KEY: {env: GLOBEX_KEY}, TOKEN: {env: GLOBEX_TOKEN}}, "


@pytest.fixture
def shop(platform: Platform) -> Platform:
    """A platform with one script that has two secrets."""
    return with_secrets(platform)


def with_secrets(platform: Platform) -> Platform:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", SECRET)
    platform.variables = {"GLOBEX_KEY": "first-key", "GLOBEX_TOKEN": "first-token"}
    return platform


def values(platform: Platform) -> dict[str, str]:
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    return {name: binding["text"] for name, binding in stored.secrets.items()}


def test_values_are_sent_with_the_upload_and_kept_nowhere(shop: Platform) -> None:
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key", "TOKEN": "first-token"}
    for file in shop.root.parent.glob("ledger.sqlite3*"):
        assert b"first-key" not in file.read_bytes()


def test_a_new_value_is_sent_when_its_version_says_so(shop: Platform) -> None:
    shop.apply()
    shop.variables = {"GLOBEX_KEY": "second-key", "GLOBEX_TOKEN": "second-token"}
    assert not shop.plan()
    shop.edit("customers/globex/customer.yaml", "{env: GLOBEX_KEY}", "{env: GLOBEX_KEY, version: 2}")
    shop.apply()
    assert values(shop) == {"API_KEY": "second-key", "TOKEN": "first-token"}


def test_an_edit_of_the_code_keeps_the_values_that_are_live(shop: Platform) -> None:
    shop.apply()
    shop.variables = {}
    shop.edit("customers/globex/shop.mjs", "hello", "hello again")
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key", "TOKEN": "first-token"}


def test_a_secret_that_is_no_longer_declared_is_removed(shop: Platform) -> None:
    shop.apply()
    shop.edit("customers/globex/customer.yaml", ", TOKEN: {env: GLOBEX_TOKEN}", "")
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key"}
    shop.edit("customers/globex/customer.yaml", "secrets: {API_KEY: {env: GLOBEX_KEY}}, ", "")
    shop.apply()
    assert values(shop) == {}


def test_without_the_ledger_all_values_are_sent_anew(shop: Platform) -> None:
    shop.apply()
    shop.forget()
    shop.variables["GLOBEX_KEY"] = "second-key"
    shop.edit("customers/globex/shop.mjs", "hello", "hello again")
    shop.apply()
    assert values(shop)["API_KEY"] == "second-key"


@pytest.mark.parametrize("call", ["/secrets-bulk", "/tags"])
@pytest.mark.parametrize("kept", [True, False], ids=["with the ledger", "without"])
def test_a_run_that_ends_between_upload_and_secrets_is_made_up_for(shop: Platform, call: str, kept: bool) -> None:
    """The digest tag comes last: without it the upload alone would pass for the whole."""
    for version in ("", ", version: 2"):
        shop.edit("customers/globex/customer.yaml", "{env: GLOBEX_KEY", f"{{env: GLOBEX_KEY{version}")
        shop.variables["GLOBEX_KEY"] = f"key{version}"
        shop.striking = Strike(call, killed)
        with pytest.raises(Killed):
            shop.attempt()
        shop.striking = None
        if not kept:
            shop.forget()
        shop.apply()
        assert values(shop)["API_KEY"] == f"key{version}"
        assert not shop.plan(verify=None)


def killed(answer: object) -> httpx.Response:
    raise Killed


def test_a_missing_variable_is_found_before_the_first_call(shop: Platform) -> None:
    shop.variables = {}
    with pytest.raises(ReconcilerError) as refused:
        shop.attempt()
    assert [problem.what for problem in refused.value.problems] == [
        "the environment variable GLOBEX_KEY is not set",
        "the environment variable GLOBEX_TOKEN is not set",
    ]
    assert refused.value.exit_code == 1
    assert shop.calls == []


def test_a_missing_variable_whose_need_shows_late_is_found_before_the_first_write(shop: Platform) -> None:
    shop.apply()
    shop.upload_elsewhere("globex-shop", MODULE.replace("hello", "by hand"))
    shop.variables = {}
    with pytest.raises(ReconcilerError):
        shop.attempt()
    assert [call for call in shop.calls if not call.startswith("GET")] == []
    shop.variables = {"GLOBEX_KEY": "first-key", "GLOBEX_TOKEN": "first-token"}
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key", "TOKEN": "first-token"}


@pytest.mark.parametrize("moved_by", [frozenset(), frozenset(["secrets"])])
def test_sending_secrets_is_no_drift_whatever_it_moves(make_platform: object, moved_by: frozenset[str]) -> None:
    assert callable(make_platform)
    shop = with_secrets(make_platform(Switches(etag_moved_by=moved_by)))  # type: ignore[arg-type]  # literals
    shop.apply()
    assert shop.drift() == {}
    shop.elsewhere(
        "PATCH", shop.script("globex-shop") + "/settings", files={"settings": ("s", json.dumps({"logpush": True}))}
    )
    assert shop.drift() == {"user_worker/globex-shop": "drifted"}
    shop.apply()


def test_a_secret_removed_by_hand_is_found_by_reading_back(shop: Platform) -> None:
    shop.apply()
    shop.elsewhere("DELETE", shop.script("globex-shop") + "/secrets/API_KEY")
    assert shop.drift(verify=None) == {"user_worker/globex-shop": "drifted"}
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key", "TOKEN": "first-token"}


def test_a_secret_that_is_missing_live_goes_with_the_next_change(
    make_platform: Callable[[Switches], Platform],
) -> None:
    """Whatever the ledger says of it, and although nothing else told that it is gone."""
    shop = with_secrets(make_platform(Switches(modified_on_moved_by=frozenset())))
    shop.apply()
    shop.elsewhere("DELETE", shop.script("globex-shop") + "/secrets/API_KEY")
    assert shop.drift() == {}
    shop.edit("customers/globex/shop.mjs", "hello", "hello again")
    shop.apply()
    assert values(shop) == {"API_KEY": "first-key", "TOKEN": "first-token"}


def test_a_dispatcher_may_have_secrets(platform: Platform) -> None:
    platform.write({"platform/own.mjs": 'import table from "./routing_table.mjs";\n' + MODULE})
    platform.edit(
        "platform.yaml",
        "  name: acme-dispatcher\n",
        "  name: acme-dispatcher\n  main: platform/own.mjs\n  secrets: {KEY: {env: KEY}}\n",
    )
    with pytest.raises(ReconcilerError):
        platform.attempt()
    platform.variables = {"KEY": "value"}
    platform.apply()
    assert Ledger(platform.ledger, f"{ACCOUNT}/acme-production/acme").entries("dispatcher")["acme-dispatcher"].etag


def test_static_files_are_sent_once_and_again_where_they_change(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {assets: {directory: public}, ")
    platform.write(
        {"customers/globex/public/index.html": "<h1>Shop</h1>", "customers/globex/public/style.css": "h1 {}"}
    )
    platform.apply()
    stored = platform.store.script("acme-production", "globex-shop")
    assert stored is not None
    assert sorted(stored.assets) == ["/index.html", "/style.css"]
    platform.write({"customers/globex/public/style.css": "h1 {color: red}"})
    platform.apply()
    uploads = [call for call in platform.calls if "assets/upload" in call]
    assert len(uploads) == 1
    platform.remove("customers/globex/public/style.css")
    platform.apply()
    assert not [call for call in platform.calls if "assets/upload" in call]


def test_what_the_ignore_file_names_is_not_served(platform: Platform) -> None:
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {assets: {directory: public}, ")
    public = "customers/globex/public/"
    names = ("index.html", "app.js", "app.js.map", "drafts/next.html", ".well-known/security.txt", "_headers")
    platform.write({f"{public}{name}": f"{name}\n" for name in names})
    platform.write({f"{public}.assetsignore": "*.map\n/drafts/\n"})
    platform.apply()
    assert served(platform) == ["/.well-known/security.txt", "/app.js", "/index.html"]
    platform.write({f"{public}.assetsignore": "*.map\n"})
    platform.apply()
    assert "/drafts/next.html" in served(platform)


def test_a_script_of_static_files_alone_needs_no_code(platform: Platform) -> None:
    platform.write(
        {
            "customers/globex/customer.yaml": "tier: advanced\nscripts:\n  site: {assets: {directory: public}}\n",
            "customers/globex/public/index.html": "<h1>Site</h1>",
        }
    )
    platform.apply()
    stored = platform.store.script("acme-production", "site")
    assert stored is not None
    assert (stored.modules, served(platform, "site")) == ((), ["/index.html"])
    assert platform.drift(verify=None) == {}


def test_the_same_file_of_two_customers_is_stored_under_two_hashes(platform: Platform) -> None:
    """Hashes are shared over the namespace: knowing a file of another's would be enough to serve it."""
    for customer in ("globex", "initech"):
        script = f"  {customer}-files: {{assets: {{directory: public}}}}\n"
        platform.edit(f"customers/{customer}/customer.yaml", "scripts:\n", f"scripts:\n{script}")
        platform.write({f"customers/{customer}/public/index.html": "the same"})
    platform.apply()
    first, second = (hashes(platform, f"{customer}-files") for customer in ("globex", "initech"))
    assert first.keys() == second.keys() == {"/index.html"}
    assert first != second


def test_buckets_of_files_go_at_the_same_time(platform: Platform) -> None:
    """Two uploads are under way at once, or the first would wait in vain for the second."""
    platform.edit("customers/globex/customer.yaml", "globex-shop: {", "globex-shop: {assets: {directory: public}, ")
    platform.write({f"customers/globex/public/{number}.txt": f"{number}" for number in range(2 * BUCKET_FILES)})
    both = threading.Barrier(2, timeout=10)

    def meet(call: str) -> None:
        if call.endswith("assets/upload"):
            both.wait()

    platform.before_each_call = meet
    platform.apply()
    assert len([call for call in platform.calls if call.endswith("assets/upload")]) == 2
    assert len(served(platform)) == 2 * BUCKET_FILES


def served(platform: Platform, script: str = "globex-shop") -> list[str]:
    return sorted(hashes(platform, script))


def hashes(platform: Platform, script: str) -> dict[str, str]:
    """What a script serves, and the hash that it is stored under."""
    stored = platform.store.script("acme-production", script)
    assert stored is not None
    return {path: one.hash for path, one in stored.assets.items()}
