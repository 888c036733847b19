"""Fixtures for a team's own tests: its platform, running; loaded by `reconciler.local.pytest`, which has the account.

    def test_the_shop_answers(reconciler_platform):
        assert reconciler_platform.get("globex-shop", "/cart").status == 200

`reconciler_platform` runs the repository as it is on disk, with an account of its own, for the whole session. What it
is made of are fixtures too, to be overridden in a conftest.py: `reconciler_root`, `reconciler_environment`,
`reconciler_variables` (secrets) and `reconciler_hosts` (stand-ins for hosts that scripts fetch).

pytest loads this module at every start, so it imports nothing of weight before a fixture is asked for.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from reconciler.local.pytest import ACCOUNT, Account

if TYPE_CHECKING:
    from reconciler.dev.platform import Platform
    from reconciler.errors import ReconcilerError

SECONDS = 30.0


@dataclass(frozen=True)
class Response:
    """What a script answered."""

    status: int
    headers: Mapping[str, str]  # names in small letters
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class RunningPlatform:
    """The repository's platform: its scripts answer, and the account behind them can be asked and changed."""

    def __init__(self, platform: Platform, account: Account) -> None:
        self._platform, self.account = platform, account

    def url(self, script: str) -> str:
        """Where a script answers. KeyError for one that the repository does not have."""
        return {one.script: one.url for one in self._platform.addresses()}[script]

    def get(self, script: str, path: str = "/", **headers: str) -> Response:
        return self.request("GET", script, path, headers=headers)

    def request(
        self,
        method: str,
        script: str,
        path: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        host: str = "",
    ) -> Response:
        """One request through the dispatcher; `host` asks by one of the script's own hostnames."""
        address = {one.script: one for one in self._platform.addresses()}[script]
        target = urlsplit(address.url)
        prefix = "" if host or address.by_host else target.path
        connection = http.client.HTTPConnection("127.0.0.1", self._platform.port, timeout=SECONDS)
        try:
            # Any host can be asked for in this way; as Host only the platform's own are answered.
            sent = {**(headers or {}), **({"x-reconciler-host": host} if host else {"Host": target.netloc})}
            connection.request(method, prefix + path, body.encode() if isinstance(body, str) else body, sent)
            reply = connection.getresponse()
            return Response(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def reconcile(self) -> None:
        """Make the account what the files say now: after a test changed one of them. Fails the test on problems."""
        _reconcile(self._platform, "a test")

    def events(self, kind: str = "", script: str = "") -> list[Mapping[str, Any]]:
        """What the data plane told so far, the oldest first: kinds are request, log, exception, note and trouble."""
        time.sleep(0.05)  # the data plane tells of a request a moment after it answered
        entries = self._platform.journal.recent()
        return [one.as_json() for one in entries if kind in ("", one.kind) and script in ("", one.what.get("script"))]


@pytest.fixture(scope="session")
def reconciler_root(pytestconfig: pytest.Config) -> Path:
    """The repository: the nearest folder with a platform.yaml, upwards from pytest's rootdir."""
    for folder in (pytestconfig.rootpath, *pytestconfig.rootpath.parents):
        if (folder / "platform.yaml").is_file():
            return folder
    pytest.fail("there is no platform.yaml in pytest's rootdir or above it; override reconciler_root", pytrace=False)


@pytest.fixture(scope="session")
def reconciler_environment() -> str:
    """The environment of platform.yaml."""
    return ""


@pytest.fixture(scope="session")
def reconciler_variables() -> Mapping[str, str]:
    """Where the values of secrets are found."""
    return dict(os.environ)


@pytest.fixture(scope="session")
def reconciler_hosts() -> Mapping[str, str]:
    """Hosts that scripts may fetch, and the http:// origins that stand in for them. All others are refused."""
    return {}


@pytest.fixture(scope="session")
def reconciler_platform(
    reconciler_root: Path,
    reconciler_environment: str,
    reconciler_variables: Mapping[str, str],
    reconciler_hosts: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningPlatform]:
    """The platform of the repository, running, with an account that nothing else uses."""
    from reconciler.dev.journal import Journal
    from reconciler.dev.platform import Platform, Settings
    from reconciler.errors import ReconcilerError
    from reconciler.local.api import LOCAL_TOKEN, PREFIX

    state = tmp_path_factory.mktemp("reconciler")
    settings = Settings(
        root=reconciler_root,
        environment=reconciler_environment,
        variables=reconciler_variables,
        folder=state / "local",
        ledger=state / "ledger.sqlite3",
        account=ACCOUNT,
        port=0,
        api_port=0,
        hosts=reconciler_hosts,
    )
    try:
        with Platform(settings, Journal()) as platform:
            _reconcile(platform, "start")
            platform.ready()
            assert platform.rounds.repository is not None
            identity = platform.rounds.repository.platform.account_id or ACCOUNT
            yield RunningPlatform(platform, Account(platform.server.url + PREFIX, LOCAL_TOKEN, identity))
    except ReconcilerError as error:
        pytest.fail(_told(error), pytrace=False)


def _reconcile(platform: Platform, cause: str) -> None:
    """Fails the test where `reconciler apply` would have failed."""
    from reconciler.errors import ReconcilerError

    done = platform.reconcile(cause)
    problems = [*done.problems, *(one.problem for one in done.failed if one.problem)]
    if done.plan is not None:
        problems += [*done.plan.problems, *done.plan.refusals]
    if problems:
        pytest.fail(_told(ReconcilerError(problems)), pytrace=False)


def _told(error: ReconcilerError) -> str:
    from reconciler.show import problems
    from reconciler.show.style import PLAIN

    return problems.text(error.problems, PLAIN)
