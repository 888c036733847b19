"""A million routes: compiled in seconds, within a gigabyte, inputs included."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Its own process, since the peak of a process's memory never goes down again.
PROGRAM = """
import json, resource, sys, time
from dataclasses import replace
from reconciler.routing import (DispatcherSettings, Hostname, RoutedScript, compile_table, kv_pairs, outbound_bindings,
    table_changes)

settings = DispatcherSettings("acme", "{script}.acme.app", table="kv")
outbounds = outbound_bindings({"guard": ["customer", "tier"]})
scripts = [
    RoutedScript(f"shop-{n}", f"customer-{n}", ("basic", "pro")[n % 2], cpu_ms=50, outbound="guard",
        hostnames=(Hostname(f"www.shop-{n}.example"),))
    for n in range(1_000_000)
]
started = time.process_time()  # one thread works and nothing waits: its own time, whatever else the machine does
table = compile_table(settings, scripts, outbounds)
seconds = time.process_time() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
present = {key for key, _ in kv_pairs(table)}
scripts[7] = replace(scripts[7], hostnames=(*scripts[7].hostnames, Hostname("new.example")))
changed = compile_table(settings, scripts, outbounds)
print(json.dumps({
    "seconds": seconds,
    "peak": peak,
    "module": len(table.module()),
    "written": len(list(kv_pairs(changed, present))),
    "changes": [change.route for change in table_changes(table, changed).routes],
}))
"""


@pytest.mark.deep
def test_a_million_routes_are_compiled_and_one_more_hostname_writes_one_key() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["seconds"] < 20
    assert told["peak"] < 1_000_000_000
    assert told["module"] < 2 * 1024 * 1024
    assert told["written"] == 1
    assert told["changes"] == ["new.example"]
