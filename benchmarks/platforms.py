"""A platform repository of any number of customers: the same bytes for the same seed and size, whatever the machine.

Sizes are those of real ones (docs/benchmarks.md): a customer.yaml of some 25 lines, two scripts of 1 to 5 KB each, one
customer in ten with a shared module beside them, one in two with a hostname of its own.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import packing

NAMESPACE = "bench-production"
ACCOUNT = "0123456789abcdef0123456789abcdef"
SCRIPTS_PER_CUSTOMER = 2
SEED = 20261126

PLATFORM = f"""\
platform: bench
account_id: {ACCOUNT}
namespace: {NAMESPACE}
defaults:
  compatibility_date: 2026-10-01
  compatibility_flags: [nodejs_compat]
  observability: {{enabled: true}}
  vars: {{PLATFORM_NAME: Bench}}
platform_modules:
  platform_module.mjs: platform/platform_module.mjs
outbound_workers:
  guard: {{main: platform/guard.mjs, parameters: [customer, tier]}}
tiers:
  basic: {{limits: {{cpu_ms: 10, subrequests: 5}}, outbound_worker: guard}}
  advanced: {{limits: {{cpu_ms: 50, subrequests: 50}}}}
dispatcher:
  name: bench-dispatcher
  hostname: "{{script}}.bench.app"
  path: /dispatch/{{script}}
  table: kv
prune: true
"""
MODULE = "export const tell = (request, env) => `${env.PLATFORM_NAME} ${request.url}`;\n"
GUARD = "export default { fetch: (request) => fetch(request) };\n"
SHARED = "export const price = (amount) => `${(amount / 100).toFixed(2)} EUR`;\n"
_WORDS = ("order", "basket", "invoice", "stock", "parcel", "ticket", "member", "report", "price", "label")


def write(root: Path, customers: int, *, seed: int = SEED, committed: bool = True) -> None:
    """Write a platform into a new folder, and commit it."""
    (root / "platform").mkdir(parents=True)
    (root / "platform.yaml").write_text(PLATFORM)
    (root / "platform/platform_module.mjs").write_text(MODULE)
    (root / "platform/guard.mjs").write_text(GUARD)
    (root / ".gitignore").write_text(".reconciler/\n")
    for number in range(customers):
        _customer(root, number, random.Random(f"{seed} {number}"))  # noqa: S311 - the same numbers each time are meant
    if committed:
        packing.commit(root)


def change(root: Path, customers: Sequence[int]) -> None:
    """One more line in a script of each of these customers."""
    for number in customers:
        script = root / f"customers/{name(number)}/shop.mjs"
        script.write_text(f"{script.read_text()}// changed\n")


def add(root: Path, number: int) -> Path:
    """A customer more, that nobody has seen before; its folder."""
    return _customer(root, number, random.Random(number))  # noqa: S311 - the same numbers each time are meant


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True)


def name(number: int) -> str:
    return f"c{number:06}"


def _customer(root: Path, number: int, chance: random.Random) -> Path:
    own = name(number)
    folder = root / "customers" / own
    folder.mkdir(parents=True)
    shared = chance.random() < 0.1
    hostname = f"    hostnames: [www.{own}.example]\n" if chance.random() < 0.5 else ""
    modules = "    modules: [lib/*.mjs]\n" if shared else ""
    own_limits = "limits: {cpu_ms: 40}\n" if chance.random() < 0.2 else ""
    (folder / "customer.yaml").write_text(
        "# yaml-language-server: $schema=../../schemas/customer.schema.json\n"
        f"name: Customer {number} Incorporated\n"
        f"tier: {chance.choice(('basic', 'basic', 'advanced'))}\n"
        f"tags: [{chance.choice(('eu', 'us', 'apac'))}]\n"
        f"{own_limits}"
        "\n"
        "scripts:\n"
        f"  {own}-shop:\n"
        "    main: shop.mjs\n"
        f"{modules}{hostname}"
        "    vars:\n"
        f"      CURRENCY: {chance.choice(('EUR', 'USD', 'GBP'))}\n"
        f'      GREETING: "Welcome at number {number}"\n'
        f"      PAGE_SIZE: {chance.randrange(10, 100)}\n"
        "\n"
        f"  {own}-api:  # what their own app talks to\n"
        "    main: api.mjs\n"
        "    vars:\n"
        f"      STAGE: {chance.choice(('production', 'preview'))}\n"
        "    bindings:\n"
        f'      CACHE: {{type: kv_namespace, namespace_id: "{chance.getrandbits(128):032x}"}}\n'
    )
    (folder / "shop.mjs").write_text(_script(chance, own, shared))
    (folder / "api.mjs").write_text(_script(chance, own, False))
    if shared:
        (folder / "lib").mkdir()
        (folder / "lib/price.mjs").write_text(SHARED)
    return folder


def _script(chance: random.Random, own: str, shared: bool) -> str:
    """1 to 5 KB of a Worker that would run."""
    imports = 'import { tell } from "./platform_module.mjs";\n'
    imports += 'import { price } from "./lib/price.mjs";\n' if shared else ""
    functions = []
    size = chance.randrange(1_000, 5_000)
    while sum(map(len, functions)) < size:
        word, number = chance.choice(_WORDS), len(functions)
        functions.append(
            f"function {word}{number}(items, limit = {chance.randrange(1, 100)}) {{\n"
            f'  const chosen = items.filter((one) => one.kind === "{word}").slice(0, limit);\n'
            f"  return chosen.map((one) => ({{ ...one, total: one.amount * {chance.randrange(2, 50)} }}));\n"
            "}\n\n"
        )
    return (
        f"{imports}\n// {own}\n{''.join(functions)}"
        "export default {\n  async fetch(request, env) {\n    return new Response(tell(request, env));\n  },\n};\n"
    )
