"""The commands, each in a module of its own that is imported when it is run, so that --help is quick; and what becomes
of their errors.

To add a command: one module here with a click command, and its line in COMMANDS.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from reconciler import DISTRIBUTION
from reconciler.cli.interrupts import was_interrupted

# A run makes millions of small values that live to its end, and no cycles to speak of: with Python's own thresholds the
# collector walks over them again and again, for a fifth of the time.
YOUNG = (500_000, 20, 100)

# name: (module, attribute, the line that --help shows)
COMMANDS = {
    "init": ("init", "init", "Make a new platform repository, or add a customer or script to one."),
    "validate": ("validate", "validate", "Check the repository; tell every problem with its line."),
    "explain": ("explain", "explain", "Show each resolved value of a customer or script, and the line that set it."),
    "plan": ("plan", "plan", "Show what apply would change. Writes nothing."),
    "apply": ("apply", "apply", "Make the platform what the repository says."),
    "drift": ("drift", "drift", "Report what someone changed by hand. Cannot write."),
    "import": ("import_", "import_", "Write customers/ from what is live."),
    "status": ("status", "status", "Show the live namespace by customer."),
    "dev": ("dev", "dev", "Run the platform on this machine and reconcile on every save."),
    "doctor": ("doctor", "doctor", "Check token, account, namespace and this machine."),
    "schema": ("schema", "schema", "Write the JSON Schemas that teach an editor the format."),
    "github": ("github", "github", "Comment on pull requests, keep the drift issue, check owners."),
}


class _Commands(click.Group):
    """The group of commands, each in a module of its own that is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"reconciler.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """What click does; a word that is no command is told with the nearest that is one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from reconciler.names import did_you_mean

            nearest = did_you_mean(args[0], COMMANDS)
            ctx.fail(f'there is no command "{args[0]}"' + (f'; did you mean "{nearest}"?' if nearest else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `reconciler init acme`; in it, `reconciler dev` runs the platform on this machine, and "
    "`reconciler plan --local` shows a plan: neither needs an account. Data goes to stdout, talk to stderr.",
)
@click.version_option(package_name=DISTRIBUTION, message="%(prog)s %(version)s")
def reconciler() -> None:
    """GitOps for Cloudflare Workers for Platforms.

    Customers, scripts, tags, limits and outbound Workers are files in a repository. `plan` shows the difference to
    the live dispatch namespace, `apply` carries it out, `drift` tells what someone changed by hand.
    """
    _refuse_a_folder_that_is_gone()
    _refuse_other_names_of_files()


def _refuse_a_folder_that_is_gone() -> None:
    from pathlib import Path

    try:
        Path.cwd()
    except OSError as error:
        from reconciler.errors import Problem, UsageProblem

        why = f"another branch may not have it ({error.strerror})"
        what, fix = "the folder that you are in is not there any more", "change to one that is, such as the repository"
        raise UsageProblem([Problem(what, why=why, fix=fix, code="no-folder")]) from None


def _refuse_other_names_of_files() -> None:
    """A file of static assets goes by its name, which has to be the same on every machine."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        from reconciler.errors import Problem, UsageProblem

        what, why = f"file names are read as {encoding} here", "those of a repository are UTF-8, wherever it is read"
        fix = "set PYTHONUTF8=1, or a locale such as C.UTF-8"
        raise UsageProblem([Problem(what, why=why, fix=fix, code="file-names")])


def run(words: Sequence[str] | None) -> int:
    """Run these words, or the process's own: the exit code. What a user can cause never shows a traceback."""
    from reconciler.errors import ReconcilerError

    gc.set_threshold(*YOUNG)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "→" gets "?", and no traceback
    try:
        code = reconciler.main(words, prog_name="reconciler", standalone_mode=False)
    except ReconcilerError as error:
        from reconciler.cli.terminal import Terminal

        Terminal().problems(error.problems)
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`| head`): that is its right, and no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from None
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _NO_ROOM):
            return _told_of_the_machine(error)
        traceback.print_exc()
        click.echo(f"\nThis is a bug in reconciler. Please report it with the lines above and: {_words()}", err=True)
        return 1
    return code if isinstance(code, int) else 0


# The system has no room left: on the disk, in a folder for what is passing (ENOENT), or for open files.
_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOENT, errno.EMFILE, errno.ENFILE}
)


def _told_of_the_machine(error: OSError) -> int:
    """A file or a folder that cannot be used is the machine's doing, wherever it was met."""
    from reconciler.cli.terminal import Terminal
    from reconciler.errors import LocalError, Problem

    named = "a file" if error.filename is None else os.fsdecode(error.filename)
    fix = "see to what stands in the way and run again: it goes on from what is there"
    problem = Problem(f"{named} cannot be used", why=error.strerror or str(error), fix=fix, code="machine")
    Terminal().problems([problem])
    return LocalError.exit_code


def _words() -> str:
    """What was run and by which version; no variable's value is in it."""
    from reconciler.origin import version

    return f"reconciler {version()}, `reconciler {' '.join(sys.argv[1:2])}`"
