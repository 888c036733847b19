"""Plans to go wrong: what is live first, and what then changes. For the fault campaign and for rival writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.scenarios.platform import MODULE, Platform

SECRET = "a-value-that-nobody-may-see"


def first_apply(platform: Platform) -> None:
    """Everything is new, the namespace too."""
    platform.edit("platform.yaml", "prune:", "trusted: true\nprune:")


def everything_at_once(platform: Platform) -> None:
    """An edit, a rename, a script less, a hostname that moves, an outbound Worker exchanged, the dispatcher renamed,
    a route more, a domain less, secrets and static files."""
    platform.apply()
    platform.variables = {"KEY": SECRET}
    platform.write({"platform/second.mjs": MODULE, "customers/globex/public/index.html": "<h1>Shop</h1>"})
    platform.edit(
        "platform.yaml", "  egress-guard: {main: platform/egress-guard.mjs", "  second: {main: platform/second.mjs"
    )
    platform.edit("platform.yaml", "outbound_worker: egress-guard", "outbound_worker: second")
    platform.edit("platform.yaml", "name: acme-dispatcher", "name: acme-front")
    platform.edit("platform.yaml", "zone: acme.app}", "zone: acme.app}, {pattern: globex.com/*, zone: globex.com}")
    platform.edit("platform.yaml", "[acme.app]", "[]")
    platform.write(
        {
            "customers/globex/customer.yaml": """\
tier: advanced
scripts:
  globex-store: {main: shop.mjs, previously: [globex-shop], secrets: {KEY: {env: KEY}}, assets: {directory: public}}
  globex-reports: {main: reports.mjs, limits: {cpu_ms: 90}}
""",
            "customers/initech/customer.yaml": """\
tier: basic
scripts:
  initech-status: {main: status.mjs, hostnames: [shop.globex.com], secrets: {KEY: {env: KEY}}}
""",
        }
    )


def table_in_kv(platform: Platform) -> None:
    """A table in Workers KV loses some addresses and gets others, while scripts come and go."""
    platform.edit("platform.yaml", "  path:", "  table: kv\n  path:")
    names = "".join(f"    - host-{number:03}.example.com\n" for number in range(400))
    customer = f"tier: basic\nscripts:\n  big:\n   main: big.mjs\n   hostnames:\n{names}"
    platform.write({"customers/big/customer.yaml": customer, "customers/big/big.mjs": MODULE})
    platform.apply()
    platform.edit("customers/big/customer.yaml", "  big:\n", "  bigger:\n   previously: [big]\n")
    platform.edit("customers/initech/customer.yaml", "initech-old", "initech-new")


def taken_over_and_put_right(platform: Platform) -> None:
    """One script is taken over as it is and one with other code and a secret; a third was written by hand."""
    platform.variables = {"KEY": SECRET}
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  taken-as-it-is: {main: shop.mjs}\n")
    platform.edit("customers/initech/customer.yaml", "scripts:\n", "scripts:\n  taken-anew: {main: status.mjs}\n")
    platform.apply()
    platform.forget()
    platform.elsewhere("PUT", platform.script("taken-as-it-is") + "/tags", json=["advanced", "eu", "globex"])
    platform.upload_elsewhere("taken-anew", "export default {};\n")
    platform.plan(verify=None)  # what is ours is known from here on
    platform.upload_elsewhere("globex-shop", "export default {};\n")
    platform.edit("customers/initech/customer.yaml", "taken-anew: {", "taken-anew: {secrets: {KEY: {env: KEY}}, ")


@dataclass(frozen=True)
class Planned:
    prepare: Callable[[Platform], None]
    adopt: frozenset[str] = frozenset()
    remembered: frozenset[str] = frozenset()  # names that only the ledger knows as ours: without it, --adopt them


PLANS: Mapping[str, Planned] = {
    "first apply": Planned(first_apply),
    "everything at once": Planned(everything_at_once),
    "table in KV": Planned(table_in_kv),
    "taken over and put right": Planned(
        taken_over_and_put_right, frozenset({"taken-as-it-is", "taken-anew"}), frozenset({"globex-shop"})
    ),
}
