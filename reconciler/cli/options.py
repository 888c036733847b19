"""The options that commands share, and the values they come to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal


@dataclass(frozen=True)
class Options:
    """Where the repository is, which environment is meant, where the API is, and how to print."""

    folder: Path
    environment: str
    local: bool
    env_file: Path | None
    colour: bool | None
    quiet: bool
    verbose: int
    budget_share: int  # percent of the request budget that this run may use

    @functools.cached_property
    def terminal(self) -> Terminal:
        from reconciler.cli.terminal import Terminal

        return Terminal(colour=self.colour, quiet=self.quiet, verbose=self.verbose)


def format_option(formats: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--format, which tells its choices in its text: as a metavar they would make the column of options too wide."""
    names = tuple(formats)
    return click.option(
        "--format",
        "form",
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        metavar="FORMAT",
        help=f"How to print: {', '.join(names)}.",
    )


diff_limit_option = click.option(
    "--diff-limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    metavar="N",
    help="Read back at most N for diffs.",
)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads a repository; the command gets them as one Options value."""

    @click.option(
        "-C",
        "folder",
        type=click.Path(path_type=Path),
        default=Path(),
        metavar="DIR",
        help="Look for the repository here, and upwards.",
    )
    @click.option(
        "--env",
        "environment",
        default="",
        envvar="RECONCILER_ENV",
        metavar="NAME",
        help="Environment of platform.yaml.",
    )
    @click.option("--local", is_flag=True, help="Use the embedded platform in .reconciler/local; needs no account.")
    @click.option(
        "--env-file", type=click.Path(path_type=Path, dir_okay=False), help="Read variables from this file first."
    )
    @click.option(
        "--no-color", "colour", flag_value=False, default=None, type=bool, help="No colour; so does NO_COLOR."
    )
    @click.option(
        "--budget-share",
        type=click.IntRange(1, 100),
        default=100,
        metavar="PERCENT",
        help="Share of the request budget.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Only data, problems and refusals.")
    @click.option("-v", "--verbose", count=True, help="Tell more of what is done.")
    @functools.wraps(command)
    def wrapped(
        folder: Path,
        environment: str,
        local: bool,
        env_file: Path | None,
        colour: bool | None,
        budget_share: int,
        quiet: bool,
        verbose: int,
        **rest: Any,
    ) -> Any:
        options = Options(folder, environment, local, env_file, colour, quiet, verbose, budget_share)
        code = command(options, **rest)
        lost = "terminal" in vars(options) and options.terminal.lost
        return 1 if lost and code in (0, 3, 4) else code

    return wrapped
