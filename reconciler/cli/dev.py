"""`reconciler dev`: the platform on this machine."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import click

from reconciler.cli.options import Options, without_account

if TYPE_CHECKING:
    from types import FrameType

    from reconciler.dev.loop import Loop

# reconciler.local.faults.NAMED, which takes 60 ms to import; a test holds them together.
FAULTS = (
    "rate-limit", "server-error", "bad-gateway", "dropped", "dropped-after", "truncated", "invalid-json", "slow",
    "listing-lag",
)  # fmt: skip


class StandIn(click.ParamType[tuple[str, str]]):
    """HOST=URL."""

    name = "stand-in"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        host, _, url = str(value).partition("=")
        parts = urlsplit(url)
        if not host or parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            self.fail(f'"{value}" is not HOST=URL, as in api.example.com=http://127.0.0.1:9000', param, ctx)
        return host.lower(), url.rstrip("/")


@click.command()
@click.option("--once", is_flag=True, help="Start, reconcile once, tell what came of it, and end.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8787,
    show_default=True,
    metavar="PORT",
    help="Port of scripts.",
)
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    default=8788,
    show_default=True,
    metavar="PORT",
    help="Port of API and dashboard.",
)
@click.option("--reset", is_flag=True, help="Begin with an empty local account.")
@click.option("--watch/--no-watch", default=True, show_default=True, help="Reconcile on every save.")
@click.option(
    "--fault",
    type=click.Choice(FAULTS),
    default=None,
    metavar="NAME",
    help=f"Rehearse an API that misbehaves: {', '.join(FAULTS)}.",
)
@click.option(
    "--egress",
    type=click.Choice(("block", "allow")),
    default="block",
    show_default=True,
    help="Whether scripts may reach the internet.",
)
@click.option(
    "--stand-in",
    "stand_ins",
    type=StandIn(),
    multiple=True,
    metavar="HOST=URL",
    help="An http:// origin that answers for a host that scripts fetch.",
)
@without_account
def dev(
    options: Options,
    once: bool,
    port: int,
    api_port: int,
    reset: bool,
    watch: bool,
    fault: str | None,
    egress: Literal["block", "allow"],
    stand_ins: tuple[tuple[str, str], ...],
) -> int:
    """Run the platform on this machine and reconcile on every save.

    Scripts run in the real runtime behind the real dispatcher; the Cloudflare API is emulated, and so is the account.
    Needs no token. A dashboard is at the API's address.
    """
    began = time.time()
    from reconciler.cli import connecting, loading

    connecting.check_extra()
    from reconciler.dev.loop import Loop
    from reconciler.dev.platform import Settings

    root = loading.repository_root(options.folder)
    settings = Settings(
        root=root,
        environment=options.environment,
        variables=loading.variables(options),
        folder=loading.kept(root, loading.LOCAL_FOLDER),
        ledger=root / loading.LEDGER,
        account=connecting.LOCAL_ACCOUNT,
        port=port,
        api_port=api_port,
        reset=reset,
        watch=watch,
        fault=fault or "",
        egress=egress,
        hosts=dict(stand_ins),
    )
    loop = Loop(settings, options.terminal, verbose=options.verbose > 0)
    with _ended_by_signals(loop):
        return loop.run(once=once, began=began)


@contextmanager
def _ended_by_signals(loop: Loop) -> Iterator[None]:
    """Ctrl-C once ends everything in order; twice ends it now."""
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)
        loop.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
