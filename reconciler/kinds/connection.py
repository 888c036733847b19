"""What a kind needs to look and to write: the repository, the API, the ledger, and where secret values are found."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.kinds.keeping import Kept
from reconciler.load.repository import Repository
from reconciler.look.ahead import Ahead
from reconciler.look.cloudflare import Api
from reconciler.look.ledger import Entry, Ledger

AT_ONCE = 8  # at four requests a second most of them wait, and a slow reply holds up no other


@dataclass(frozen=True)
class Connection:
    """One run's ends: the files on one side, the account on the other."""

    repository: Repository
    api: Api
    ledger: Ledger
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)  # environment: secret values are in it
    ahead: Ahead | None = field(default=None, repr=False)  # of this namespace, where it was begun already
    at_once: int = AT_ONCE  # changes to carry out at a time
    # Shared with every connection that is made of this one for a narrower repository: reading takes long.
    _held: dict[str, Mapping[str, Entry]] = field(default_factory=dict, repr=False)

    @property
    def namespace(self) -> str:
        return self.repository.platform.namespace

    @property
    def owner(self) -> str:
        return self.repository.platform.name

    @functools.cached_property
    def answers(self) -> Mapping[str, str]:
        """What `doctor --probe` learnt of this account; see look/answers.py."""
        return self.ledger.answers()

    def narrowed(self, repository: Repository, kind: str, entries: Mapping[str, Entry]) -> Connection:
        """The same for a part of the repository, of whose kind these are the entries."""
        return replace(self, repository=repository, _held={**self._held, kind: entries})

    def remembered(self, kind: str) -> Mapping[str, Entry]:
        """What the ledger held of a kind when the run first asked."""
        if kind not in self._held:
            self._held[kind] = self.ledger.entries(kind)
        return self._held[kind]

    @functools.cached_property
    def kept(self) -> Kept:
        """What this account is known to keep of an upload."""
        return Kept(self.ledger)
