"""What all kinds that are Workers share: a listed row as a resource, and an upload that is checked.

Law: an upload counts only when the reply shows what was meant; a tag that was dropped in silence fails the change.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from reconciler import wire
from reconciler.errors import Problem, ReconcilerError, Where
from reconciler.kinds import assets
from reconciler.kinds.connection import Connection
from reconciler.ledger import Entry
from reconciler.look import Seen
from reconciler.model import PROTECT_TAG, Key, Resource, Secret, SecretReference, Worker, digest_in, owner_in
from reconciler.plan import Cause, Change
from reconciler.replies import Row


def resource_of(
    row: Row, key: Key, entry: Entry | None, *, customer: str = "", needs: frozenset[Key] = frozenset()
) -> Resource:
    """A listed script as a resource.

    ledger             listing                    altered   verified
    ----------------   ------------------------   -------   --------
    nothing            –                          no        no
    same etag, time    the digest we uploaded     no        yes
    same etag, time    another digest tag         yes       yes
    another etag       –                          yes       yes
    same etag          a later time of change     yes       yes
    """
    tags = row.tags or ()
    altered = entry is not None and _written_by_others(row, entry)
    owner = owner_in(tags)
    return Resource(
        key,
        digest=digest_in(tags),
        owner=owner,
        customer=customer,
        needs=needs,
        protected=PROTECT_TAG in tags,
        etag=row.etag,
        modified_on=row.modified_on,
        altered=altered,
        claimed=not owner and entry is not None,
        verified=entry is not None,
        note=row.last_deployed_from,
    )


def ordinary(seen: Seen, connection: Connection, kind: str, wanted: Container[str], role: str) -> Iterator[Resource]:
    """The ordinary Workers of one kind: those whose name is wanted, and those of ours that have its role as a tag.

    All others of the account are nobody's business here, and are not even listed as unmanaged.
    """
    remembered = connection.remembered(kind)
    for name, row in seen.workers.items():
        tags = row.tags or ()
        if name in wanted or (owner_in(tags) == connection.owner and role in tags):
            yield resource_of(row, Key(kind, name), remembered.get(name))


def put_worker(
    connection: Connection,
    namespace: str,
    change: Change,
    after: Resource,
    worker: Worker,
    *,
    sent: Worker | None = None,
) -> None:
    """Upload a Worker with its marks, check the reply, send its secrets, and remember what came of it.

    `sent` is the Worker in the account's own terms, where those differ from the spec's that the digest is of.
    """
    if change.cause is Cause.ADOPTED and _marked_only(connection, namespace, change, after, worker):
        return
    name, api = after.key.name, connection.api
    secrets = _secrets_to_send(connection, namespace, change, after, worker)
    marks = wire.marks(worker, connection.owner)
    metadata = {**wire.metadata(sent or worker, connection.owner), "tags": marks}
    if worker.assets is not None:
        metadata["assets"] = assets.send(connection, namespace, after, worker.assets)
    row = api.upload(namespace, name, metadata, worker.modules)
    if row.tags is not None:
        _refuse_dropped(after, marks, row.tags)
    if secrets:
        api.put_secrets(namespace, name, secrets)
    # The secrets' call may have moved the time of change; the etag alone then stands for the upload.
    entry = Entry(
        worker.digest,
        row.etag,
        "" if secrets else row.modified_on,
        secrets=_versions(worker.secrets),
        customer=after.customer,
    )
    connection.ledger.remember(after.key.kind, {name: entry})


def delete_worker(connection: Connection, namespace: str, resource: Resource) -> None:
    connection.api.delete_script(namespace, resource.key.name)
    connection.ledger.forget(resource.key.kind, [resource.key.name])


def read_worker(connection: Connection, namespace: str, resource: Resource, like: Worker | None) -> Worker | None:
    """Code and settings as they are live: two calls."""
    settings = connection.api.settings(namespace, resource.key.name)
    modules = connection.api.content(namespace, resource.key.name)
    if settings is None or modules is None:
        return None
    return wire.worker_of(settings, modules, like)


def secret_values(
    secrets: Mapping[str, SecretReference], variables: Mapping[str, str], where: Where | None
) -> dict[str, Secret | None]:
    """The values that the references name. Raises for every one that is missing, all at once."""
    missing = sorted({one.variable for one in secrets.values() if one.variable not in variables})
    if missing:
        raise ReconcilerError(
            [
                Problem(
                    f"the environment variable {variable} is not set",
                    where,
                    why="a secret refers to it, and its value is sent with the upload",
                    fix=f"set {variable} for this run, or name a file that sets it with --env-file",
                    code="secret-missing",
                )
                for variable in missing
            ]
        )
    return {name: Secret(variables[one.variable]) for name, one in secrets.items()}


def _marked_only(connection: Connection, namespace: str, change: Change, after: Resource, worker: Worker) -> bool:
    """Take over a script that is what we want already: its tags are set, and its code is not written again.

    Only scripts in a namespace have a call for their tags alone.
    """
    if not namespace or change.before is None:
        return False
    there = read_worker(connection, namespace, change.before, worker)
    if there is None or replace(there, tags=worker.tags).spec() != worker.spec():
        return False
    connection.api.put_tags(namespace, after.key.name, wire.marks(worker, connection.owner))
    entry = Entry(worker.digest, change.before.etag, "", secrets=_versions(worker.secrets), customer=after.customer)
    connection.ledger.remember(after.key.kind, {after.key.name: entry})
    return True


def _secrets_to_send(
    connection: Connection, namespace: str, change: Change, after: Resource, worker: Worker
) -> dict[str, Secret | None]:
    """Values to set, and None for names to remove. Read before the upload, so that a missing value stops it.

    the script                            sent
    -----------------------------------   -------------------------------------------------
    is new, or our ledger forgot it       every secret, and removal of names no longer declared
    was uploaded by us                    those whose version is another, or that are new
    declares none                         nothing: an upload that keeps none drops them
    """
    if not worker.secrets:
        return {}
    sent: dict[str, Secret | None] = dict(secret_values(worker.secrets, connection.variables, after.where))
    if change.before is None:
        return sent
    entry = connection.remembered(after.key.kind).get(after.key.name)
    if entry is None or entry.digest != change.before.digest or change.before.altered:
        there = connection.api.secret_names(namespace, after.key.name) or frozenset()
        return {**sent, **dict.fromkeys(sorted(there - worker.secrets.keys()))}
    known = dict(one.rpartition("=")[::2] for one in entry.secrets.split())
    changed = {name: value for name, value in sent.items() if known.get(name) != str(worker.secrets[name].version)}
    return {**changed, **dict.fromkeys(sorted(known.keys() - worker.secrets.keys()))}


def _versions(secrets: Mapping[str, SecretReference]) -> str:
    return " ".join(f"{name}={one.version}" for name, one in sorted(secrets.items()))


def _written_by_others(row: Row, entry: Entry) -> bool:
    if digest_in(row.tags or ()) != entry.digest and row.tags is not None:
        return True
    if row.etag and entry.etag and row.etag != entry.etag:
        return True
    return bool(row.modified_on and entry.modified_on and row.modified_on != entry.modified_on)


def _refuse_dropped(resource: Resource, meant: list[str], got: tuple[str, ...]) -> None:
    dropped = sorted(set(meant) - set(got))
    if dropped:
        raise ReconcilerError(
            [
                Problem(
                    f"{resource.key} was uploaded, and Cloudflare dropped the tags {', '.join(dropped)}",
                    resource.where,
                    why="without them the next run could not tell whose it is or which version it has",
                    fix="run `reconciler doctor`, and look for other tools that write to this script",
                    code="silent-drop",
                )
            ]
        )
