"""Telling the data planes of a change before the API answers, so that the very next request meets the new version."""

from __future__ import annotations

import http.client
import json
import weakref
from urllib.parse import urlsplit

from reconciler.local.records import Watcher
from reconciler.local.store import Store

TIMEOUT = 1.0  # seconds; a data plane that is busy for longer learns of the change a little late, and stays registered


class Watchers:
    """The data planes of one account. Connections to them are kept, each used by one thread at a time."""

    def __init__(self, store: Store, *, timeout: float = TIMEOUT) -> None:
        self._store = store
        self._timeout = timeout
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        weakref.finalize(self, _close, self._idle)  # an app is dropped, not closed

    def notify(self, namespace: str, name: str | None) -> None:
        """POST {"namespace", "name"} to every registered admin URL; name is null for a whole namespace.

        One that refuses the connection is gone, and is unregistered. One that drops it is being started again, with
        nothing in memory that it would have to forget, and hears of the next change.
        """
        for watcher in self._store.watchers():
            try:
                self._post(watcher, json.dumps({"namespace": namespace, "name": name}).encode())
            except ConnectionRefusedError:
                self._store.unregister_watcher(watcher.url)
            except (OSError, http.client.HTTPException):
                continue

    def _post(self, watcher: Watcher, body: bytes) -> None:
        parts = urlsplit(watcher.url)
        idle = self._idle.setdefault(parts.netloc, [])
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {watcher.token}"}
        path = parts.path or "/"
        while True:
            try:
                connection, kept = idle.pop(), True
            except IndexError:
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=self._timeout)
                kept = False
            try:
                connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
                connection.getresponse().read()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if kept:  # the other side let go of it while it was idle: once more on a fresh one
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            idle.append(connection)
            return


def _close(idle: dict[str, list[http.client.HTTPConnection]]) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
