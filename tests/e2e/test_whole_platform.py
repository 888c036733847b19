"""All that stands around the code, declared in files, applied in one plan, and met by traffic in the real runtime."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.dev.journal import Journal
from reconciler.dev.platform import Platform, Settings
from reconciler.dev.pytest_plugin import Response, RunningPlatform
from reconciler.local.api import LOCAL_TOKEN, PREFIX
from reconciler.local.pytest import Account

ACCOUNT = "0123456789abcdef0123456789abcdef"
PLATFORM = f"""\
platform: acme
account_id: {ACCOUNT}
namespace: acme-production
defaults: {{compatibility_date: 2026-10-01, observability: {{enabled: true}}}}
tail_workers: {{acme-tail: {{}}}}
egress:
  allow: [api.partner.test]
  customers: {{initech: {{deny: ["*"]}}}}
  headers:
    - {{name: x-partner-key, hosts: [api.partner.test], secret: PARTNER_KEY}}
    - {{name: x-customer, hosts: [api.partner.test], parameter: customer}}
  secrets: {{PARTNER_KEY: {{env: PARTNER_KEY}}}}
tiers:
  basic: {{limits: {{cpu_ms: 50, subrequests: 2}}, outbound_worker: default}}
dispatcher:
  name: acme-dispatcher
  table: kv
  hostname: "{{customer}}.acme.app"
  path: /{{customer}}/{{script}}
  routes: [{{pattern: "*.acme.app/*", zone: acme.app}}]
  custom_domains: [acme.app]
  workers_dev: true
  pages: {{unknown: platform/404.html}}
prune: true
"""
SHOP = """
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/secret") return new Response(env.API_KEY);
    if (url.pathname === "/throw") throw new Error("not for visitors");
    if (url.pathname === "/asset") return env.FILES.fetch(new URL("/style.css", url));
    if (url.pathname === "/partner") return fetch("https://api.partner.test/orders");
    if (url.pathname === "/elsewhere") return fetch("https://elsewhere.test/");
    if (url.pathname === "/many") {
      for (let count = 0; count < 5; count++) await fetch("https://api.partner.test/");
    }
    console.log("answering", url.pathname);
    return Response.json({ url: request.url, trace: request.headers.get("x-dispatch-trace") });
  },
};
"""
GLOBEX = """\
tier: basic
scripts:
  globex:
    main: shop.mjs
    hostnames: [shop.globex.com]
    secrets: {API_KEY: {env: GLOBEX_KEY}}
    assets: {directory: public, binding: FILES, run_worker_first: [/api/*]}
  globex-docs:
    assets: {directory: docs, html_handling: drop-trailing-slash, not_found_handling: 404-page}
"""
FILES = {
    "platform.yaml": PLATFORM,
    "platform/404.html": "<h1>Acme: {title}</h1>{trace}",
    "customers/globex/customer.yaml": GLOBEX,
    "customers/globex/shop.mjs": SHOP,
    "customers/globex/public/style.css": "h1 {}",
    "customers/globex/public/style.css.map": "{}",
    "customers/globex/public/.assetsignore": "*.map\n",
    "customers/globex/public/_redirects": "/old /new 301\n",
    "customers/globex/docs/index.html": "docs",
    "customers/globex/docs/404.html": "no such page",
    "customers/globex/docs/_headers": "/*\n  X-Docs: yes\n",
    "customers/initech/customer.yaml": "tier: basic\nscripts:\n  initech: {main: shop.mjs}\n",
    "customers/initech/shop.mjs": SHOP,
    "customers/hooli/customer.yaml": "tier: basic\nsuspended: true\nscripts:\n  hooli: {main: shop.mjs}\n",
    "customers/hooli/shop.mjs": SHOP,
}


class Partner(http.server.BaseHTTPRequestHandler):
    """A server outside: it answers with the headers that it got."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def partner() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Partner) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def acme(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """The whole platform, made by one plan."""
    state = tmp_path_factory.mktemp("state")
    with partner() as origin:
        settings = Settings(
            root=root,
            environment="",
            variables={"GLOBEX_KEY": "globex-key", "PARTNER_KEY": "partner-key"},
            folder=state / "local",
            ledger=state / "ledger.sqlite3",
            account=ACCOUNT,
            port=0,
            api_port=0,
            hosts={"api.partner.test": origin},
        )
        with Platform(settings, Journal()) as platform:
            running = RunningPlatform(platform, Account(platform.server.url + PREFIX, LOCAL_TOKEN, ACCOUNT))
            running.reconcile()
            platform.ready()
            yield running
            running.reconcile()
            assert platform.rounds.last is not None
            assert platform.rounds.last.plan is not None
            assert platform.rounds.last.plan.changes == ()


def get(acme: RunningPlatform, host: str, path: str = "/", **headers: str) -> Response:
    return acme.request("GET", "globex", path, host=host, headers=headers)


@pytest.mark.parametrize(
    ("host", "path", "seen"),
    [
        ("shop.globex.com", "/cart?a=1", "http://shop.globex.com/cart?a=1"),  # its own hostname
        ("globex.acme.app", "/cart", "http://globex.acme.app/cart"),  # the pattern, by way of the zone's route
        ("acme.app", "/globex/globex/cart", "http://acme.app/cart"),  # the path, by way of the custom domain
        ("acme-dispatcher.local.workers.dev", "/globex/globex/cart", "http://acme-dispatcher.local.workers.dev/cart"),
    ],
)
def test_every_address_leads_to_the_script(acme: RunningPlatform, host: str, path: str, seen: str) -> None:
    assert get(acme, host, path).json()["url"] == seen


def test_a_script_is_not_found_under_another_customers_name(acme: RunningPlatform) -> None:
    assert get(acme, "acme.app", "/initech/globex/").status == 404


def test_the_page_of_the_platform_stands_for_ours(acme: RunningPlatform) -> None:
    page = get(acme, "nobody.acme.app", accept="text/html")
    assert (page.status, page.text) == (404, f"<h1>Acme: Not found</h1>{page.headers['x-dispatch-trace']}")


def test_a_suspended_customer_is_answered_for(acme: RunningPlatform) -> None:
    assert get(acme, "hooli.acme.app").json()["title"] == "Suspended"


def test_what_was_thrown_and_a_passed_limit_are_answered_for(acme: RunningPlatform) -> None:
    assert get(acme, "globex.acme.app", "/throw").status == 502
    assert get(acme, "globex.acme.app", "/many").json()["title"] == "Subrequest limit reached"


def test_a_secret_is_found_by_the_code(acme: RunningPlatform) -> None:
    assert get(acme, "shop.globex.com", "/secret").text == "globex-key"


def test_static_files_are_served_beside_the_code(acme: RunningPlatform) -> None:
    assert get(acme, "shop.globex.com", "/style.css").text == "h1 {}"
    assert get(acme, "shop.globex.com", "/asset").text == "h1 {}"
    assert get(acme, "shop.globex.com", "/style.css.map").json()["url"].endswith(".map")  # the code answers
    moved = get(acme, "shop.globex.com", "/old")
    assert (moved.status, moved.headers["location"]) == (301, "/new")


def test_static_files_need_no_code(acme: RunningPlatform) -> None:
    home, missing = (get(acme, "acme.app", f"/globex/globex-docs{path}") for path in ("/", "/nowhere"))
    assert (home.text, home.headers["x-docs"]) == ("docs", "yes")
    assert (missing.status, missing.text) == (404, "no such page")


def test_fetches_pass_the_rules_of_egress(acme: RunningPlatform) -> None:
    seen = get(acme, "globex.acme.app", "/partner").json()
    assert (seen["x-partner-key"], seen["x-customer"]) == ("partner-key", "globex")
    assert get(acme, "globex.acme.app", "/elsewhere").json()["rule"] == "not in allow of the platform"
    assert get(acme, "initech.acme.app", "/partner").json()["rule"] == 'deny "*" of customer initech'


def test_the_sample_tail_worker_tells_of_dispatcher_and_user_workers_under_one_trace(acme: RunningPlatform) -> None:
    trace = get(acme, "globex.acme.app", "/traced?token=hidden").json()["trace"]

    def lines() -> list[dict[str, Any]]:
        told = [json.loads(one["message"]) for one in acme.events("log", "acme-tail")]
        return [one for one in told if one.get("url", "").endswith("/traced")]

    until = time.monotonic() + 10
    while len(lines()) < 2:
        assert time.monotonic() < until, lines()
        time.sleep(0.05)
    by_script = {one["script"]: one for one in lines()}
    assert by_script.keys() == {"acme-dispatcher", "globex"}
    user = by_script["globex"]
    assert (user["namespace"], user["trace"], user["status"], user["logs"]) == ("acme-production", trace, 200, 1)
    assert by_script["acme-dispatcher"]["outcome"] == "ok"


def test_a_hostname_moves_with_the_next_plan(acme: RunningPlatform, root: Path) -> None:
    file = root / "customers/globex/customer.yaml"
    file.write_text(GLOBEX.replace("shop.globex.com", "store.globex.com"))
    acme.reconcile()
    assert get(acme, "store.globex.com", "/secret").text == "globex-key"
    assert get(acme, "shop.globex.com", "/secret").status == 404
    file.write_text(GLOBEX)
    acme.reconcile()
    assert get(acme, "shop.globex.com", "/secret").text == "globex-key"
