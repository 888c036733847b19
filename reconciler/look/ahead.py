"""A listing that is read while the repository is: the API takes longest of all, and need not wait for the files.

Law: what comes out is what listing.list_namespace gives, its errors included, which are raised where it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from reconciler.look.cloudflare import Api
from reconciler.look.listing import Listed, list_namespace

PATIENCE = 1.0  # seconds that a run with mistakes in its files may wait for a page that is under way


class Ahead:
    """Begins at once, in a thread that nobody waits for at the end of the program."""

    def __init__(self, api: Api, namespace: str, progress: Callable[[int], None]) -> None:
        self._progress, self._stopped = progress, threading.Event()
        self._listed: Listed | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, args=(api, namespace), name="listing", daemon=True)
        self._thread.start()

    def listed(self) -> Listed:
        """Waits for it. Raises ApiError, as the listing did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._listed is not None
        return self._listed

    def stop(self) -> None:
        """Nobody wants it any more: no further page is asked for, and nothing more is told. What is under way gets a
        moment to end, so that its connection is not closed under it."""
        self._stopped.set()
        self._thread.join(PATIENCE)

    def _read(self, api: Api, namespace: str) -> None:
        try:
            self._listed = list_namespace(api, namespace, self._told)
        except BaseException as error:  # raised in the thread that asks for the listing
            self._error = error

    def _told(self, rows: int) -> None:
        if self._stopped.is_set():
            raise Stopped
        self._progress(rows)


class Stopped(Exception):
    """The end of a listing that nobody waits for."""
