"""The options that commands share, and the values they come to. A command takes those that mean something to it."""

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


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FOLDER = click.option(
    "-C",
    "folder",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Look for the repository here, and upwards.",
)
_ENVIRONMENT = click.option(
    "--env",
    "environment",
    default="",
    envvar="RECONCILER_ENV",
    metavar="NAME",
    help="Environment of platform.yaml.",
)
_LOCAL = click.option("--local", is_flag=True, help="Use the embedded platform in .reconciler/local; needs no account.")
_ENV_FILE = click.option(
    "--env-file", type=click.Path(path_type=Path, dir_okay=False), help="Read variables from this file first."
)
_COLOUR = click.option(
    "--no-color", "colour", flag_value=False, default=None, type=bool, help="No colour; so does NO_COLOR."
)
_BUDGET_SHARE = click.option(
    "--budget-share",
    type=click.IntRange(1, 100),
    default=100,
    metavar="PERCENT",
    help="Share of the request budget.",
)
_QUIET = click.option("-q", "--quiet", is_flag=True, help="Only data, problems and refusals.")
_VERBOSE = click.option("-v", "--verbose", count=True, help="Tell more of what is done.")


def _taking(*options: _Decorator) -> _Decorator:
    """These options, which the command gets as one Options value. What goes wrong is told as they say."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(
            folder: Path,
            environment: str,
            colour: bool | None,
            local: bool = False,
            env_file: Path | None = None,
            budget_share: int = 100,
            quiet: bool = False,
            verbose: int = 0,
            **rest: Any,
        ) -> Any:
            given = Options(folder, environment, local, env_file, colour, quiet, verbose, budget_share)
            return _run(command, given, rest)

        taken: Callable[..., Any] = wrapped
        for option in reversed(options):
            taken = option(taken)
        return taken

    return decorate


def _run(command: Callable[..., Any], options: Options, rest: dict[str, Any]) -> Any:
    """The command's exit code. Its errors are told by its own terminal, which knows of --no-color and of a line of
    progress that is still there."""
    from reconciler.errors import ReconcilerError

    try:
        code = command(options, **rest)
    except ReconcilerError as error:
        options.terminal.problems(error.problems)
        return error.exit_code
    finally:
        if "terminal" in vars(options):
            options.terminal.finish()
    lost = "terminal" in vars(options) and options.terminal.lost
    return 1 if lost and code in (0, 3, 4) else code


# Of a command that reads the repository and an account.
common = _taking(_FOLDER, _ENVIRONMENT, _LOCAL, _ENV_FILE, _COLOUR, _BUDGET_SHARE, _QUIET, _VERBOSE)
# Of a command that has nothing to do with an account.
without_account = _taking(_FOLDER, _ENVIRONMENT, _ENV_FILE, _COLOUR, _QUIET, _VERBOSE)
# Of a command that only shows what files say.
only_files = _taking(_FOLDER, _ENVIRONMENT, _COLOUR)
