"""What all kinds that are Workers share: a listed row as a resource, and an upload that is checked.

Laws: an upload counts only when what is live is what was meant; what was dropped in silence fails the change
(keeping.py). Nothing is deleted that someone wrote since it was looked at.
The digest tag is written with the last call of several, so that a run that ends between two of them leaves a Worker
that the next plan takes for unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.errors import ConfigError, Problem, ReconcilerError, Where
from reconciler.kinds import assets, keeping
from reconciler.kinds.connection import Connection
from reconciler.load import config
from reconciler.look import wire
from reconciler.look.answers import moves_nothing
from reconciler.look.ledger import Entry
from reconciler.look.listing import Seen
from reconciler.look.replies import Row
from reconciler.model import (
    PROTECT_TAG,
    Key,
    Resource,
    Secret,
    SecretReference,
    Worker,
    digest_in,
    modules_digest,
    owner_in,
)
from reconciler.plan import Cause, Change

INJECTED = "platform_modules"  # what the ledger keeps under: which platform modules went with an upload of ours


def resource_of(
    row: Row, key: Key, entry: Entry | None, *, customer: str = "", needs: frozenset[Key] = frozenset()
) -> Resource:
    """A listed script as a resource.

    ledger             listing                    altered   verified
    ----------------   ------------------------   -------   --------
    nothing            –                          no        no
    same etag, time    the digest we uploaded     no        yes
    same etag, time    other tags                 yes       yes
    another etag       –                          yes       yes
    same etag          a later time of change     yes       yes
    """
    tags = row.tags or ()
    altered = entry is not None and written_by_others(row, entry)
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
        writer=row.last_deployed_from,
    )


def ordinary(
    seen: Seen, connection: Connection, kind: str, wanted: Container[str], ours: Container[str]
) -> Iterator[Resource]:
    """The ordinary Workers of one kind: those whose name is wanted, and those that are ours by their tags.

    All others of the account are nobody's business here, and are not even listed as unmanaged.
    """
    remembered = connection.remembered(kind)
    for name, row in seen.workers.items():
        if name in wanted or name in ours:
            yield resource_of(row, Key(kind, name), remembered.get(name))


def marked(seen: Seen, connection: Connection, *tags: str) -> frozenset[str]:
    """The ordinary Workers that carry our mark and all of these tags."""
    return frozenset(
        name
        for name, row in seen.workers.items()
        if owner_in(row.tags or ()) == connection.owner and set(tags) <= set(row.tags or ())
    )


def put_worker(
    connection: Connection,
    namespace: str,
    change: Change,
    after: Resource,
    worker: Worker,
    *,
    sent: Worker | None = None,
) -> str:
    """Upload a Worker with its marks, check the reply, send its secrets, and remember what came of it.

    `sent` is the Worker in the account's own terms, where those differ from the spec's that the digest is of.
    Returns what became of the code of a Worker that is taken over; else "". Raises ConfigError for files that are not
    what the plan was made of.
    """
    if worker.digest != after.digest:
        raise ConfigError([config.changed_meanwhile(after.key.told, after.where)])
    if change.cause is Cause.ADOPTED and _marked_only(connection, namespace, change, after, worker):
        return "its code stays: only our tags were set"
    name, api = after.key.name, connection.api
    secrets = _secrets_to_send(connection, namespace, change, after, worker)
    marks = wire.marks(worker, connection.owner)
    first = _undigested(marks) if secrets else marks
    metadata = wire.metadata(sent or worker, first)
    if worker.assets is not None:
        metadata["assets"] = assets.send(connection, namespace, after, worker.assets)
    row = api.upload(namespace, name, metadata, worker.modules)
    if row.tags is not None:
        _refuse_dropped(after, first, row.tags)
    if secrets:
        api.put_secrets(namespace, name, secrets)
        _refuse_unfinished(connection, namespace, after, sent or worker, first)
        row = _mark(connection, namespace, after, worker, row, "secret", "tags")
    connection.kept.prove(namespace, sent or worker, lambda: _read_back(connection, namespace, after, sent or worker))
    _remember(connection, after, worker, marks, row)
    return "what it was is replaced" if change.cause is Cause.ADOPTED else ""


def delete_worker(connection: Connection, namespace: str, resource: Resource) -> None:
    """Delete what is still as this run saw it: hours of uploads may lie between, and other writers."""
    row = connection.api.script(namespace, resource.key.name)
    if row is not None:
        if _is_another(row, resource):
            raise changed_since(resource)
        connection.api.delete_script(namespace, resource.key.name)
    connection.ledger.forget(resource.key.kind, [resource.key.name])
    connection.ledger.forget(INJECTED, [resource.key.name])


def changed_since(resource: Resource) -> ReconcilerError:
    """The refusal to delete what someone wrote after it was looked at."""
    return ReconcilerError(
        [
            Problem(
                f"{resource.key.told} is not deleted: it is no longer what it was when this run looked",
                why="someone else wrote it meanwhile, and it may be in use",
                fix="run again: the next plan shows what it is now",
                code="changed-since",
            )
        ]
    )


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
    missing = missing_secrets(secrets, variables, where)
    if missing:
        raise ReconcilerError(missing)
    return {name: Secret(variables[one.variable]) for name, one in secrets.items()}


def missing_secrets(
    secrets: Mapping[str, SecretReference], variables: Mapping[str, str], where: Where | None
) -> list[Problem]:
    """One for each variable that is not set."""
    return [
        Problem(
            f"the environment variable {variable} is not set",
            where,
            why="a secret refers to it, and its value is sent with the upload",
            fix=f"set {variable} for this run, or name a file that sets it with --env-file",
            code="secret-missing",
        )
        for variable in sorted({one.variable for one in secrets.values() if one.variable not in variables})
    ]


def _marked_only(connection: Connection, namespace: str, change: Change, after: Resource, worker: Worker) -> bool:
    """Take over a script that is what we want already: its tags are set, and its code is not written again.

    Only scripts in a namespace have a call for their tags alone. Static assets cannot be read back, so that a script
    with some is uploaded. Neither can the values of secrets, but those that are live are kept in any case.
    """
    if not namespace or change.before is None or worker.assets is not None:
        return False
    there = read_worker(connection, namespace, change.before, worker)
    if there is None or replace(there, tags=worker.tags).spec() != worker.spec():
        return False
    before = Row(after.key.name, None, change.before.etag, change.before.modified_on)
    row = _mark(connection, namespace, after, worker, before, "tags")
    _remember(connection, after, worker, wire.marks(worker, connection.owner), row)
    return True


def _mark(connection: Connection, namespace: str, after: Resource, worker: Worker, before: Row, *writes: str) -> Row:
    """Set the tags of what was uploaded as `before`, and make sure that they stand on nothing else: someone may have
    written it in between. `writes` are those since then, this one included.

    Returns the row as it is now: such writes may move the etag and the time of change, which no document tells. Where
    a probe of this account's namespaces saw that they do not, the row from before still holds, and what someone
    else's upload moved shows in the next listing.
    """
    name, api, marks = after.key.name, connection.api, wire.marks(worker, connection.owner)
    api.put_tags(namespace, name, marks)
    if namespace and moves_nothing(connection.answers, *writes):
        return before
    row = api.script(namespace, name) or Row(name, None, "", "")
    # Only reading the code tells what moved the etag.
    modules = worker.modules if row.etag and row.etag == before.etag else api.content(namespace, name) or ()
    code = {module.name: module.content for module in modules} == {one.name: one.content for one in worker.modules}
    settings = api.settings(namespace, name) or {}
    if code and frozenset(row.tags or marks) == frozenset(marks) and not keeping.missing(worker, settings):
        return row
    if modules:
        api.put_tags(namespace, name, _undigested(marks))
    raise _written_meanwhile(after)


def _refuse_unfinished(
    connection: Connection, namespace: str, after: Resource, worker: Worker, tags: list[str]
) -> None:
    """Before the digest is set: what is live has to be what was sent so far, secrets and all. One call."""
    settings = connection.api.settings(namespace, after.key.name)
    if settings is None or frozenset(settings.get("tags") or tags) != frozenset(tags):
        raise _written_meanwhile(after)
    if dropped := keeping.missing(worker, settings):
        raise _dropped(after, dropped)


def _undigested(marks: list[str]) -> list[str]:
    """The tags of what is not finished: ours, and of no version, so that the next plan writes it anew."""
    return [tag for tag in marks if not digest_in([tag])]


def _written_meanwhile(after: Resource) -> ReconcilerError:
    return ReconcilerError(
        [
            Problem(
                f"{after.key.told} was written by someone else while this run wrote it",
                after.where,
                why="what is live now is not what was sent",
                fix="run again once the other is done: the next plan puts it right",
                code="written-meanwhile",
            )
        ]
    )


def _remember(connection: Connection, after: Resource, worker: Worker, marks: Sequence[str], row: Row) -> None:
    entry = Entry(
        after.digest,
        row.etag,
        row.modified_on,
        secrets=versions(worker.secrets),
        customer=after.customer,
        tags=json.dumps(sorted(marks)),
    )
    told = {after.key.kind: {after.key.name: entry}}
    injected = modules_digest(one for one in worker.modules if one.injected)
    if injected:
        told[INJECTED] = {after.key.name: Entry(injected, row.etag, row.modified_on)}
    connection.ledger.remember_all(told)


def _secrets_to_send(
    connection: Connection, namespace: str, change: Change, after: Resource, worker: Worker
) -> dict[str, Secret | None]:
    """Values to set, and None for names to remove. Read before the upload, so that a missing value stops it.

    the script                            sent
    -----------------------------------   -------------------------------------------------
    is new, or our ledger forgot it       every secret, and removal of names no longer declared
    was uploaded by us                    those whose version is another, that are new, or whose name is missing live
    declares none                         nothing: an upload that keeps none drops them
    is taken over                         those that it has not; the live values of the others are kept
    """
    if not worker.secrets:
        return {}
    kept = worker.secrets.keys() | wire.inherited_names(worker)
    if change.cause is Cause.ADOPTED:
        live = connection.api.secret_names(namespace, after.key.name) or frozenset()
        lacking = {name: one for name, one in worker.secrets.items() if name not in live}
        values = secret_values(lacking, connection.variables, after.where)
        return {**values, **dict.fromkeys(sorted(live - kept))}
    due = due_secrets(connection, change, worker.secrets)
    if change.before is None:
        return dict(secret_values(due, connection.variables, after.where))
    there = connection.api.secret_names(namespace, after.key.name) or frozenset()
    due = {name: one for name, one in worker.secrets.items() if name in due or name not in there}
    return {**secret_values(due, connection.variables, after.where), **dict.fromkeys(sorted(there - kept))}


def due_secrets(
    connection: Connection, change: Change, secrets: Mapping[str, SecretReference]
) -> Mapping[str, SecretReference]:
    """The secrets whose values go with this change, as far as that is known without a call."""
    if change.cause is Cause.ADOPTED:
        return {}
    known = _known_secrets(connection, change) or {}
    return {name: one for name, one in secrets.items() if known.get(name) != str(one.version)}


def unsent_secrets(
    connection: Connection, key: Key, secrets: Mapping[str, SecretReference]
) -> Mapping[str, SecretReference]:
    """The secrets that our ledger does not know as sent: what a run may need, as told before its first call."""
    known = _versions_in(connection.remembered(key.kind).get(key.name))
    return {name: one for name, one in secrets.items() if known.get(name) != str(one.version)}


def _known_secrets(connection: Connection, change: Change) -> Mapping[str, str] | None:
    """The versions that are live by our ledger; None where it cannot tell."""
    entry = connection.remembered(change.key.kind).get(change.key.name)
    if change.before is None or change.before.altered or entry is None or entry.digest != change.before.digest:
        return None
    return _versions_in(entry)


def _versions_in(entry: Entry | None) -> Mapping[str, str]:
    return dict(one.rpartition("=")[::2] for one in entry.secrets.split()) if entry is not None else {}


def versions(secrets: Mapping[str, SecretReference]) -> str:
    """As a ledger's entry holds them."""
    return " ".join(f"{name}={one.version}" for name, one in sorted(secrets.items()))


def _is_another(row: Row, seen: Resource) -> bool:
    """Whether a row shows something else than was seen. What it does not say proves nothing."""
    if row.tags is not None:
        marks = owner_in(row.tags), digest_in(row.tags), PROTECT_TAG in row.tags
        if marks != (seen.owner, seen.digest, seen.protected):
            return True
    if row.etag and seen.etag:
        return row.etag != seen.etag
    return bool(row.modified_on and seen.modified_on and row.modified_on != seen.modified_on)


def written_by_others(row: Row, entry: Entry) -> bool:
    """Whether a listed script is other than our own upload left it."""
    return not is_as_left(row, entry, digest_in(row.tags) if row.tags is not None else entry.digest)


def is_as_left(row: Row, entry: Entry, digest: str) -> bool:
    """Whether a listed script that carries this digest is as our own upload left it."""
    if digest != entry.digest:
        return False
    if row.etag != entry.etag and row.etag and entry.etag:
        return False
    if row.modified_on != entry.modified_on and row.modified_on and entry.modified_on:
        return False
    return row.tags is None or not entry.tags or _same_tags(row.tags, entry.tags)


def _read_back(connection: Connection, namespace: str, after: Resource, worker: Worker) -> None:
    """One call. A digest that stands on less than was meant is taken away again, so that the next plan repeats it."""
    settings = connection.api.settings(namespace, after.key.name)
    dropped = keeping.missing(worker, settings or {})
    if dropped:
        connection.api.put_tags(namespace, after.key.name, _undigested(wire.marks(worker, connection.owner)))
        raise _dropped(after, dropped)


def _same_tags(tags: tuple[str, ...], remembered: str) -> bool:
    """The quick answer first: the JSON of tags without quotation marks is what it looks like."""
    text = '", "'.join(sorted(tags))
    if f'["{text}"]' == remembered and text.count('"') == 2 * (len(tags) - 1):
        return True
    try:
        return bool(sorted(tags) == json.loads(remembered))
    except (ValueError, TypeError, RecursionError):  # it may be anything, and is then looked at more closely
        return False


def _refuse_dropped(resource: Resource, meant: list[str], got: tuple[str, ...]) -> None:
    dropped = sorted(set(meant) - set(got))
    if dropped:
        raise _dropped(resource, [f"tag {tag}" for tag in dropped])


def _dropped(resource: Resource, what: list[str]) -> ReconcilerError:
    return ReconcilerError(
        [
            Problem(
                f"{resource.key.told} was uploaded, and Cloudflare dropped {', '.join(what)}",
                resource.where,
                why="what was reviewed is not what runs: without a tag the next run cannot tell whose it is, and "
                "without a limit or a binding it does what nobody meant",
                fix="run `reconciler doctor`, look for other tools that write to this script, and ask Cloudflare "
                "whether the account may have it",
                code="silent-drop",
            )
        ]
    )
