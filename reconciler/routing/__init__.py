"""From hostnames and scripts to the table that the dispatcher routes by: checked, compiled, compared, proven.

Pure: nothing here reads a file or the network. `patterns` is the syntax, `routes` the input, `check` what can be
wrong with it, `table` the compiled form and its parts in Workers KV, `proof` what a switch of tables does, `scope` how
a run of some customers leaves all others as they are.
"""

from reconciler.routing.check import check, check_places
from reconciler.routing.proof import Existing, RouteChange, TableChanges, parts_to_read, prove, table_changes
from reconciler.routing.routes import (
    PAGES,
    PARAMETERS,
    DispatcherSettings,
    Hostname,
    OutboundBinding,
    RoutedScript,
    binding_name,
    outbound_bindings,
)
from reconciler.routing.scope import crossing, routed_elsewhere
from reconciler.routing.table import (
    BUNDLE_LIMIT,
    KEY_PREFIX,
    KV_BINDING,
    MODULE_NAME,
    Table,
    Target,
    compile_table,
    kv_pairs,
    parse_module,
    part_digest,
    part_key,
    resolve,
    size_problem,
    stale_keys,
)

__all__ = [
    "BUNDLE_LIMIT",
    "KEY_PREFIX",
    "KV_BINDING",
    "MODULE_NAME",
    "PAGES",
    "PARAMETERS",
    "DispatcherSettings",
    "Existing",
    "Hostname",
    "OutboundBinding",
    "RouteChange",
    "RoutedScript",
    "Table",
    "TableChanges",
    "Target",
    "binding_name",
    "check",
    "check_places",
    "compile_table",
    "crossing",
    "kv_pairs",
    "outbound_bindings",
    "parse_module",
    "part_digest",
    "part_key",
    "parts_to_read",
    "prove",
    "resolve",
    "routed_elsewhere",
    "size_problem",
    "stale_keys",
    "table_changes",
]
