"""What no document says of an account's listing, learnt from one scratch script that is written and removed again.

The answers go into the ledger, and look/answers.py says what plans and drift runs make of them. To ask something more:
a method of _Scratch and its line in QUESTIONS.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.errors import LocalError, Problem, ReconcilerError
from reconciler.kinds.connection import Connection
from reconciler.look.answers import MOVABLE, NOTHING, PROBED_ON
from reconciler.look.cloudflare import Api
from reconciler.look.replies import ApiError, Row, cursor_of, sequence
from reconciler.model import TAGS_PER_SCRIPT, Module, Secret

SCRIPT = "rcn-doctor-probe"  # always the same: what an interrupted probe left behind is the next one's to remove
TAG = "doctor-probe"
LAG = 2.0  # seconds after which a listing that still shows nothing new is believed
_MAIN = Module(
    "probe.mjs", "application/javascript+module", b"export default { fetch: () => new Response('probe') };\n"
)
_LIMITS, _OTHER_LIMITS = {"cpu_ms": 10}, {"cpu_ms": 20}


def probe(
    connection: Connection, now: datetime.datetime, *, sleep: Callable[[float], Any] = time.sleep
) -> Mapping[str, str]:
    """Ask every question, about 30 requests; the answers by question, remembered in the ledger.

    Raises LocalError when there is no namespace, or the name of the scratch script is someone's.
    """
    api, namespace = connection.api, connection.namespace
    if api.namespace(namespace) is None:
        what, fix = f"there is no namespace {namespace} to probe", "run `reconciler apply` first: it makes it"
        raise LocalError([Problem(what, fix=fix, code="unknown-namespace")])
    there = api.script(namespace, SCRIPT)
    if there is not None and TAG not in (api.script_tags(namespace, SCRIPT) or ()):
        what = f"the namespace holds a script {SCRIPT} that is not ours: nothing was probed"
        raise LocalError([Problem(what, fix="rename it, or delete it", code="foreign-name")])
    if there is not None:
        api.delete_script(namespace, SCRIPT)
    scratch = _Scratch(api, namespace, sleep)
    answers: dict[str, str] = {}
    try:
        answers |= {question: ask(scratch) for question, ask in QUESTIONS}
    finally:
        try:
            api.delete_script(namespace, SCRIPT)
        except ReconcilerError:
            if answers:
                raise  # else what broke off the probe says more; the next one removes what is left
    answers[PROBED_ON] = now.date().isoformat()
    connection.ledger.learn(answers)
    return answers


class _Scratch:
    """The scratch script, and what can be asked of it."""

    def __init__(self, api: Api, namespace: str, sleep: Callable[[float], Any]) -> None:
        self._api, self._namespace, self._sleep = api, namespace, sleep

    def missing(self) -> str:
        """What a script is answered with that is not there."""
        return self._api.missing_script(self._namespace, SCRIPT)

    def same_upload(self) -> str:
        self._upload()
        return self._moved_by(self._upload)

    def settings(self) -> str:
        return self._moved_by(lambda: self._api.patch_settings(self._namespace, SCRIPT, {"limits": _OTHER_LIMITS}))

    def tags(self) -> str:
        return self._moved_by(lambda: self._put_tags([TAG, "doctor-probe-2"]))

    def secret(self) -> str:
        values = {"PROBE": Secret("probe")}
        return self._moved_by(lambda: self._api.put_secrets(self._namespace, SCRIPT, values))

    def limits(self) -> str:
        found = self._api.settings(self._namespace, SCRIPT) or {}
        return "yes" if found.get("limits") == _OTHER_LIMITS else "no"

    def omitted_secrets(self) -> str:
        """The upload names no kind of binding to keep."""
        self._upload()
        return "kept" if self._api.secret_names(self._namespace, SCRIPT) else "dropped"

    def omitted_tags(self) -> str:
        self._upload(tags=None)
        kept = bool(self._api.script_tags(self._namespace, SCRIPT))
        self._put_tags([TAG])
        return "kept" if kept else "cleared"

    def ninth_tag(self) -> str:
        tags = [TAG, *(f"doctor-probe-{number}" for number in range(2, TAGS_PER_SCRIPT + 2))]
        try:
            self._put_tags(tags)
        except ApiError as error:
            return f"refused ({', '.join(str(code) for code in sorted(error.codes)) or error.status})"
        got = self._api.script_tags(self._namespace, SCRIPT) or ()
        return "taken" if len(got) == len(tags) else "dropped in silence"

    def page_size(self) -> str:
        """How many rows come when no limit is asked for."""
        envelope = self._api.raw_listing(self._namespace, limit="")
        count = len(sequence(envelope.get("result"), "the listing"))
        return f"{count}" if cursor_of(envelope) else f"at least {count}"

    def _upload(self, tags: Sequence[str] | None = (TAG,)) -> None:
        metadata = {"main_module": _MAIN.name, "compatibility_date": "2026-10-01", "limits": _LIMITS, "bindings": []}
        self._api.upload(
            self._namespace, SCRIPT, {**metadata, **({"tags": list(tags)} if tags is not None else {})}, [_MAIN]
        )

    def _put_tags(self, tags: Sequence[str]) -> None:
        self._api.put_tags(self._namespace, SCRIPT, tags)

    def _moved_by(self, write: Callable[[], None]) -> str:
        """What of the script's row in the listing a write moves."""
        before = self._row()
        if "." not in before.modified_on:
            self._sleep(1.1)  # a clock that counts seconds shows two writes within one as one
        write()
        moved = _moved(before, self._row())
        if not moved:
            self._sleep(LAG)
            moved = _moved(before, self._row())
        return ", ".join(moved) or NOTHING

    def _row(self) -> Row:
        """As the listing shows it, which is what plans are made from; by a filter, as there may be 100,000 others."""
        rows = {row.name: row for row in self._api.scripts(self._namespace, tags=f"{TAG}:yes").rows}
        found = rows.get(SCRIPT) or self._api.script(self._namespace, SCRIPT)
        return found or Row(SCRIPT, None, "", "")


def _moved(before: Row, after: Row) -> list[str]:
    return [name for name in MOVABLE if getattr(before, name) != getattr(after, name)]


# In this order: each builds on the script as the one before left it.
QUESTIONS: tuple[tuple[str, Callable[[_Scratch], str]], ...] = (
    ("missing_script", _Scratch.missing),
    ("same_upload_moves", _Scratch.same_upload),
    ("settings_write_moves", _Scratch.settings),
    ("tags_write_moves", _Scratch.tags),
    ("secret_write_moves", _Scratch.secret),
    ("limits_read_back", _Scratch.limits),
    ("omitted_secrets", _Scratch.omitted_secrets),
    ("omitted_tags", _Scratch.omitted_tags),
    ("ninth_tag", _Scratch.ninth_tag),
    ("page_size", _Scratch.page_size),
)
