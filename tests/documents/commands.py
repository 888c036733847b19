"""docs/reference/commands.md, from the command line itself: every command, argument and option."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

import click

from reconciler import cli
from reconciler.cli import commands
from reconciler.cli.options import common

_HEAD = """\
# Commands

<!-- Made from the code: `python -m tests.documents.pages` writes it. -->

Data goes to stdout, talk to stderr. A command looks for the nearest folder upwards that holds `platform.yaml`; `-C DIR`
names another. `reconciler COMMAND --help` says what stands here.

| exit code | |
|-:|-|
"""

_SHARED = "Options of every command that looks at an account"

_VARIABLES = """
## Environment variables

| variable | |
|-|-|
| `CLOUDFLARE_API_TOKEN` | the token. There is no option for it, so that no shell history holds it |
| `CLOUDFLARE_ACCOUNT_ID` | the account, where `platform.yaml` has no `account_id` |
| `CLOUDFLARE_API_BASE_URL`, `CLOUDFLARE_BASE_URL` | another address of the API: https or loopback; the first counts |
| `RECONCILER_PROXY` | the proxy on the way to Cloudflare and GitHub, `http://[NAME:PASSWORD@]HOST:PORT`; no other is |
| `RECONCILER_ENV` | what `--env` says |
| `RECONCILER_WORKERD` | the workerd binary of the embedded platform |
| `NO_COLOR`, `FORCE_COLOR`, `COLUMNS` | colour off, colour on, width |
| `XDG_CACHE_HOME` | where the request budget that all runs of an account share is kept; else `~/.cache` |

## Completion in the shell

`eval "$(_RECONCILER_COMPLETE=bash_source reconciler)"` in `~/.bashrc`, or with `zsh_source` in `~/.zshrc`;
`_RECONCILER_COMPLETE=fish_source reconciler | source` in fish.
"""


def page() -> str:
    return _HEAD + "\n".join([*_exit_codes(), "", *_commands()]) + "\n" + _VARIABLES


def _exit_codes() -> Iterator[str]:
    """The table in the docstring of the command line, which is its contract."""
    for code, meaning in re.findall(r"^ +(\d)   (.+)$", inspect.getdoc(cli) or "", re.MULTILINE):
        yield f"| {code} | {meaning} |"


def _commands() -> Iterator[str]:
    context = click.Context(commands.reconciler, info_name="reconciler")
    shared = _common()
    for name in commands.reconciler.list_commands(context):
        command = commands.reconciler.get_command(context, name)
        assert command is not None
        yield from _command(command, click.Context(command, info_name=name, parent=context), shared)
    yield f"\n## {_SHARED}\n"
    yield from _table(shared.values())


def _common() -> dict[str, click.Option]:
    """What `cli.options.common` puts on a command, told by a command that has nothing else."""
    bare = click.command()(common(lambda options: options))
    return {_names(one): one for one in bare.params if isinstance(one, click.Option)}


def _command(command: click.Command, context: click.Context, shared: dict[str, click.Option]) -> Iterator[str]:
    yield f"\n## {context.command_path}\n"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield _help(command)
    options = [one for one in command.params if isinstance(one, click.Option)]
    names = {_names(one) for one in options}
    whole = shared.keys() <= names
    own = [one for one in options if not whole or _names(one) not in shared]
    if own:
        yield ""
        yield from _table(own)
    if whole:
        yield f"\nAnd [those of every command that looks at an account](#{_SHARED.lower().replace(' ', '-')})."
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=context), shared)


def _help(command: click.Command) -> str:
    """Paragraphs as they are; those that click is told not to wrap as a block."""
    shown = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        kept = paragraph.startswith("\b\n")
        shown.append(f"```text\n{paragraph.removeprefix(chr(8) + chr(10))}\n```" if kept else paragraph)
    return "\n\n".join(shown)


def _table(options: Iterable[click.Option]) -> Iterator[str]:
    yield "| option | |"
    yield "|-|-|"
    for one in options:
        yield f"| {_names(one)} | {_text(one)} |"


def _names(option: click.Option) -> str:
    names = " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count or isinstance(option.type, click.Choice):
        return names
    value = option.make_metavar(click.Context(commands.reconciler)).replace("|", "\\|")
    return f"{names} {value}"


def _text(option: click.Option) -> str:
    text = (option.help or "").replace("|", "\\|")
    if isinstance(option.type, click.Choice) and option.type.choices[0] not in text:
        text += f" One of {', '.join(f'`{one}`' for one in option.type.choices)}."
    if option.show_default and option.default is not None and not option.is_flag:
        text += f" Default: `{option.default}`."
    return text
