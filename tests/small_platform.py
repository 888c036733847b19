"""A small platform's repository on disk, and its pages without a data plane: what the tests of `dev` stand on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.test import Client, TestResponse

from reconciler.dev.dashboard import Site, dashboard
from reconciler.dev.journal import Journal
from reconciler.dev.rounds import Account, Rounds
from reconciler.dev.urls import addresses
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.store import Store
from reconciler.local.switches import LAPTOP
from reconciler.look import cloudflare, transport
from reconciler.model import Secret

PLATFORM = """\
platform: acme
namespace: acme-production
platform_modules: {platform_module.mjs: platform/platform_module.mjs}
outbound_workers:
  guard: {main: platform/guard.mjs, parameters: [customer]}
tiers:
  basic: {limits: {cpu_ms: 10, subrequests: 5}, outbound_worker: guard}
  advanced: {limits: {cpu_ms: 50, subrequests: 50}}
dispatcher:
  name: acme-dispatcher
  hostname: "{script}.acme.app"
  path: /dispatch/{script}
prune: true
"""
GLOBEX = """\
# Globex pays late.
name: Globex <Corporation>
tier: advanced
tags: [eu]

scripts:
  globex-shop: # the first
    main: shop.mjs
    hostnames: [shop.globex.com]
    tags: [beta]
  globex-api:
    main: api/main.mjs

# The end of the file.
"""
FILES = {
    "platform.yaml": PLATFORM,
    "platform/platform_module.mjs": 'export const platform = "acme";\n',
    "platform/guard.mjs": "export default { fetch: (request) => fetch(request) };\n",
    "customers/globex/customer.yaml": GLOBEX,
    "customers/globex/shop.mjs": 'export default { fetch: () => new Response("shop <b>1</b>") };\n',
    "customers/globex/api/main.mjs": 'export default { fetch: () => new Response("api 1") };\n',
    "customers/initech/customer.yaml": "tier: basic\nscripts:\n  hello: {main: hello.mjs}\n",
    "customers/initech/hello.mjs": 'export default { fetch: () => new Response("hello 1") };\n',
}
API_PORT, PORT = 8788, 1  # nothing is served: no test opens a socket to either
HOST = f"127.0.0.1:{API_PORT}"


def write(root: Path) -> Path:
    """The files as they stand above; those that are so already are not written again."""
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    return root


class Pages:
    """The dashboard as a browser sees it: cookies kept, Host and Origin sent, the token of the last page at hand."""

    def __init__(self, site: Site, store: Store) -> None:
        self.site, self.store = site, store
        self.client = Client(dashboard(site))
        self.token = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        reply = self.client.get(path, base_url=f"http://{HOST}", headers=headers)
        found = re.search(r'name="token" value="([0-9a-f]{64})"', reply.text if "html" in reply.content_type else "")
        self.token = found[1] if found else self.token
        return reply

    def post(self, page: str, *, origin: str = f"http://{HOST}", **form: str) -> TestResponse:
        data = {"token": self.token, **form}
        return self.client.post(page, base_url=f"http://{HOST}", data=data, headers={"Origin": origin})


@contextmanager
def pages(root: Path, state: Path) -> Iterator[Pages]:
    """The pages of a repository, after its first round."""
    store = Store(state / "local")
    app = create_app(store, switches=LAPTOP)

    def connect(account: str) -> cloudflare.Api:
        polite = transport.Polite(transport.in_process(app), transport.Unlimited())
        return cloudflare.connect("http://127.0.0.1/client/v4", Secret(LOCAL_TOKEN), account, polite)

    rounds = Rounds(root, "", dict(os.environ), Account(connect, "0" * 32, state / "ledger.sqlite3"), fresh=0)
    journal = Journal()
    site = Site(
        rounds=rounds,
        journal=journal,
        reconcile=rounds.run,
        addresses=lambda: list(addresses(rounds.repository, PORT)) if rounds.repository else [],
        port=lambda: PORT,
        api_port=API_PORT,
    )
    try:
        rounds.run("start")
        yield Pages(site, store)
    finally:
        journal.close()
        rounds.close()
        store.close()
