"""The dispatcher: an ordinary Worker made of a thin shim, the routing table, and one binding per outbound Worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler import routing
from reconciler.errors import ConfigError
from reconciler.kinds import namespace, outbound_worker, routing_kv, shipped, tail_worker, uploads, user_worker
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.load.repository import Dispatcher, Repository
from reconciler.look.listing import Seen
from reconciler.model import Key, Module, Resource, Worker, owner_in
from reconciler.plan import Cause, Change

NAME = "dispatcher"
ROLE = "dispatcher"  # a tag, beside the owner's: see outbound_worker.ROLE


def desired(repository: Repository) -> Iterator[Resource]:
    settings = repository.platform.dispatcher
    if settings is None:
        return
    needs = {namespace.key(repository), *outbound_worker.keys(repository), *tail_worker.keys(repository)}
    needs |= {Key(user_worker.NAME, name) for name in _routed_names(repository)}
    digest = _worker(repository, settings).digest
    owner = repository.platform.name
    yield Resource(Key(NAME, settings.name), digest=digest, owner=owner, needs=frozenset(needs), where=settings.where)


def live(seen: Seen, connection: Connection) -> Iterator[Resource]:
    """A dispatcher that goes needs everything of ours until it is gone: its table is not read back for a plan."""
    settings = connection.repository.platform.dispatcher
    for one in uploads.ordinary(
        seen, connection, NAME, (settings.name,) if settings else (), of_ours(seen, connection)
    ):
        stays = settings is not None and settings.name == one.key.name
        yield one if stays else replace(one, needs=_everything_of_ours(seen, connection))


def home_tag(repository: Repository) -> str:
    """Where a dispatcher leads: environments of one platform may share an account."""
    return f"namespace-{repository.platform.namespace}"


def of_ours(seen: Seen, connection: Connection) -> frozenset[str]:
    """The dispatchers that carry our mark and lead into this namespace."""
    return uploads.marked(seen, connection, ROLE, home_tag(connection.repository))


def put(connection: Connection, change: Change, after: Resource) -> str:
    """Upload the shim with its table; the parts of a table in KV are written before, and stale ones removed after."""
    settings = connection.repository.platform.dispatcher
    worker = wanted(connection.repository, after)
    assert worker is not None and settings is not None
    if settings.table != "kv":
        return uploads.put_worker(connection, "", change, after, worker)
    table = table_of(connection.repository)
    before = routing_kv.live_table(connection, settings.name) if change.before is not None else None
    damaged = change.cause in (Cause.DRIFTED, Cause.BOTH)
    namespace_id, old = routing_kv.write_parts(connection, table, after.where, damaged=damaged)
    note = uploads.put_worker(
        connection,
        "",
        change,
        after,
        worker,
        sent=routing_kv.by_id(worker, connection.repository.platform, namespace_id),
    )
    routing_kv.tidy(connection, namespace_id, table, before, old)
    return note


def delete(connection: Connection, resource: Resource) -> None:
    uploads.delete_worker(connection, "", resource)


def wanted(repository: Repository, resource: Resource) -> Worker | None:
    settings = repository.platform.dispatcher
    if settings is None or settings.name != resource.key.name:
        return None
    return _worker(repository, settings)


def read(connection: Connection, resource: Resource, like: Worker | None) -> Worker | None:
    worker = uploads.read_worker(connection, "", resource, like)
    settings = connection.repository.platform.dispatcher
    if worker is None or settings is None or settings.table != "kv":
        return worker
    platform = connection.repository.platform
    namespace_id = connection.api.kv_namespace(routing_kv.title(platform))
    there = routing_kv.by_title(worker, platform, namespace_id)
    # For a plan to change the table all of its parts would be read, thousands of a large one.
    as_it_should_be = like is not None and like.digest == resource.digest
    return routing_kv.with_parts(connection, there, namespace_id) if as_it_should_be or resource.altered else there


def table_of(repository: Repository) -> routing.Table:
    """The routing table that the repository compiles to: once, since a million routes take seconds."""
    return repository.once("routing table", _compiled)


def _compiled(repository: Repository) -> routing.Table:
    return routing.compile_table(
        config.dispatcher_settings(repository.platform), routed(repository), _bindings(repository)
    )


def routed(repository: Repository) -> list[routing.RoutedScript]:
    """Every script as the dispatcher needs to know it; under a scope, those of other customers as they are live."""
    scripts = list(config.routed_scripts(repository.customers.values()))
    if repository.elsewhere is None:
        return scripts
    return [*(one for one in scripts if one.customer in repository.scope), *repository.elsewhere]


def _routed_names(repository: Repository) -> Iterator[str]:
    """What the table leads to, less what is settled: nothing waits for that."""
    if repository.elsewhere is None:
        yield from repository.facts.digests.keys() - repository.settled
    else:
        yield from (script.name for script in routed(repository))


def _everything_of_ours(seen: Seen, connection: Connection) -> frozenset[Key]:
    scripts = (row for row in seen.scripts.rows if owner_in(row.tags or ()) == connection.owner)
    outbounds = outbound_worker.live(seen, connection)
    return frozenset({Key(user_worker.NAME, row.name) for row in scripts} | {one.key for one in outbounds})


def _worker(repository: Repository, settings: Dispatcher) -> Worker:
    """The shim or the platform's own dispatcher, with the table as a module beside it. Raises when it is too large."""
    own = config.read_ordinary(repository, settings) if settings.main else None
    table_module = Module(routing.MODULE_NAME, shipped.JAVASCRIPT, _table_module(repository, settings))
    return Worker(
        main=own.main if own else shipped.DISPATCHER,
        modules=(*(own.modules if own else (shipped.module(shipped.DISPATCHER),)), table_module),
        settings={"compatibility_date": shipped.COMPATIBILITY_DATE, **settings.settings},
        bindings=tuple(sorted((*settings.bindings, *_dispatch(repository)), key=lambda one: str(one["name"]))),
        tags=(ROLE, home_tag(repository)),
        secrets=settings.secrets,
    )


def _table_module(repository: Repository, settings: Dispatcher) -> bytes:
    """The table as a module. Raises when it is too large. It changes with what is routed, which code does not."""
    name = f"table {config.dispatcher_settings(repository.platform)} {_bindings(repository)}"
    whole = repository.elsewhere is None
    known = repository.memo.get(name) if whole else None
    if known is not None:
        return known.encode()
    table = table_of(repository)
    too_large = routing.size_problem(table, settings.where)
    if too_large is not None:
        raise ConfigError([too_large])
    module = table.module()
    if whole:
        repository.memo.put(name, module.decode())
    return module


def _dispatch(repository: Repository) -> Iterator[Mapping[str, Any]]:
    """One binding to the namespace for each outbound Worker in use, and one that leads through none.

    An outbound Worker is fixed on its binding; only the parameters that it is told vary per request.
    """
    target = {"type": "dispatch_namespace", "namespace": repository.platform.namespace}
    settings = repository.platform.dispatcher
    if settings is not None and settings.table == "kv":
        yield routing_kv.binding(repository.platform)
    yield {**target, "name": routing.binding_name("")}
    for one in _bindings(repository):
        service = outbound_worker.declared(repository)[one.name].worker
        outbound = {"worker": {"service": service}, "params": [{"name": name} for name in one.parameters]}
        yield {**target, "name": one.binding, "outbound": outbound}


def _bindings(repository: Repository) -> tuple[routing.OutboundBinding, ...]:
    declared = outbound_worker.declared(repository)
    return routing.outbound_bindings({name: one.parameters for name, one in declared.items()})
