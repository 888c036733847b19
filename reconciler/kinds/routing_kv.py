"""The routing table in Workers KV, for platforms whose table is too large for the dispatcher's bundle.

Parts are stored under their own digest, so that writing them before the switch disturbs nobody, the dispatcher's
upload switches all routes at once, and a change of one hostname writes one part. In the spec of the dispatcher its
KV namespace stands by title: the id is the account's business, and differs between accounts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from reconciler import routing
from reconciler.errors import Problem, ReconcilerError, Where
from reconciler.kinds.connection import Connection
from reconciler.load.repository import Platform
from reconciler.model import Module, Worker

PAIRS_PER_CALL = 10_000
BYTES_PER_CALL = 50_000_000  # Cloudflare takes 100 MB; half of it leaves room for the JSON around the values
ATTEMPTS = 5
READERS = 8
PARTS_READ_BACK = 100  # half a minute within the request budget


def title(platform: Platform) -> str:
    """One for each environment, since parts that no table of an environment reads are removed. No platform's id has a
    dot, so that no two have the same."""
    return f"rcn-{platform.name}-routes" + (f".{platform.environment}" if platform.environment else "")


def binding(platform: Platform) -> Mapping[str, Any]:
    """The dispatcher's binding as it stands in the spec: by title."""
    return {"type": "kv_namespace", "name": routing.KV_BINDING, "namespace_id": title(platform)}


def write_parts(
    connection: Connection, table: routing.Table, where: Where | None, *, damaged: bool = False
) -> tuple[str, frozenset[str]]:
    """Write the parts that are not there yet, or all of them where someone else may have been at those that are.
    Returns the id of the KV namespace, which is made when missing, and the keys that were in it before."""
    api = connection.api
    name = title(connection.repository.platform)
    namespace = api.kv_namespace(name) or api.create_kv_namespace(name)
    old = frozenset(api.kv_keys(namespace, routing.KEY_PREFIX))
    for batch in _batches(routing.kv_pairs(table, () if damaged else old)):
        _write(connection, namespace, batch, where)
    return namespace, old


def tidy(
    connection: Connection, namespace: str, table: routing.Table, before: routing.Table | None, old: Collection[str]
) -> None:
    """After the switch: remove the parts among `old` that neither this table nor the one before it reads.

    Another run may be about to switch as well. What it wrote meanwhile is not among the old keys, and what it removed
    of ours is written again.
    """
    present = frozenset(connection.api.kv_keys(namespace, routing.KEY_PREFIX))
    for batch in _batches(routing.kv_pairs(table, present)):
        _write(connection, namespace, batch, None)
    stale = list(routing.stale_keys(sorted(present & frozenset(old)), table, *([before] if before else [])))
    for start in range(0, len(stale), PAIRS_PER_CALL):
        connection.api.delete_kv(namespace, stale[start : start + PAIRS_PER_CALL])


def with_parts(connection: Connection, worker: Worker, namespace: str) -> Worker:
    """The live Worker, its binding telling which parts of its table are gone or are not what was written.

    Those that are gone are found by listing keys, a thousand a call. Contents take a call each: of a large table a
    run reads some by chance, so that every part has its turn some night.
    """
    table = _parsed(worker.modules, lambda _: b"")
    digests = table.part_digests if table is not None else ()
    keys = {routing.part_key(digest): digest for digest in digests}
    present = frozenset(connection.api.kv_keys(namespace, routing.KEY_PREFIX)) if keys and namespace else frozenset()
    there = [key for key in keys if key in present]
    read = random.sample(there, min(len(there), PARTS_READ_BACK))
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="parts") as pool:
        values = zip(read, pool.map(lambda key: connection.api.kv_value(namespace, key), read), strict=True)
        changed = {key for key, value in values if not _is_of(value, keys[key])}
    damaged = [key for key in keys if key not in present or key in changed]
    if not damaged:
        return worker
    bindings = tuple(
        {**one, "damaged": damaged} if one["name"] == routing.KV_BINDING else one for one in worker.bindings
    )
    return replace(worker, bindings=bindings)


def _is_of(value: bytes | None, digest: str) -> bool:
    return value is not None and routing.part_digest(value) == digest


def live_table(
    connection: Connection, dispatcher: str, known: Mapping[str, bytes] = MappingProxyType({})
) -> routing.Table | None:
    """The table that is routed by now; None when there is none, or none that we can read."""
    return table_in(connection, connection.api.content("", dispatcher) or (), known)


def table_in(
    connection: Connection, modules: Iterable[Module], known: Mapping[str, bytes] = MappingProxyType({})
) -> routing.Table | None:
    """The table among the modules of a live dispatcher.

    Its parts are read when they are asked for, those with a key in `known` from there: a key never changes its value.
    """
    namespace = ""

    def read(key: str) -> bytes:
        nonlocal namespace
        if key in known:
            return known[key]
        namespace = namespace or connection.api.kv_namespace(title(connection.repository.platform))
        return (connection.api.kv_value(namespace, key) if namespace else None) or b""

    return _parsed(modules, read)


def _parsed(modules: Iterable[Module], read: Callable[[str], bytes]) -> routing.Table | None:
    for module in modules:
        if module.name == routing.MODULE_NAME:
            try:
                return routing.parse_module(module.content, read)
            except ValueError:
                return None
    return None


def by_id(worker: Worker, platform: Platform, namespace: str) -> Worker:
    """The Worker to send, with the id in place of the title."""
    return _rebound(worker, title(platform), namespace)


def by_title(worker: Worker, platform: Platform, namespace: str) -> Worker:
    """The Worker to compare, with the title in place of the id."""
    return _rebound(worker, namespace, title(platform))


def _rebound(worker: Worker, before: str, after: str) -> Worker:
    bindings = tuple(
        {**one, "namespace_id": after} if one.get("namespace_id") == before and before else one
        for one in worker.bindings
    )
    return replace(worker, bindings=bindings)


def _write(connection: Connection, namespace: str, batch: Sequence[tuple[str, str]], where: Where | None) -> None:
    """A bulk write can fail in part inside a good reply; what did not take is sent again."""
    left = list(batch)
    for _ in range(ATTEMPTS):
        failed = frozenset(connection.api.put_kv(namespace, left))
        left = [pair for pair in left if pair[0] in failed]
        if not left:
            return
    raise ReconcilerError(
        [
            Problem(
                f"{len(left)} parts of the routing table were not written",
                where,
                why=f"Workers KV reported them as unsuccessful {ATTEMPTS} times",
                fix="run again: the routes that are live are untouched, and what was written is not sent again",
                code="kv-write-failed",
            )
        ]
    )


def _batches(pairs: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    size, batch = 0, list[tuple[str, str]]()
    for pair in pairs:
        length = len(pair[0]) + len(pair[1])
        if batch and (len(batch) == PAIRS_PER_CALL or size + length > BYTES_PER_CALL):
            yield batch
            size, batch = 0, []
        batch.append(pair)
        size += length
    if batch:
        yield batch
