"""What --help shows fits an ordinary terminal, and leaves nothing unsaid."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from reconciler.cli.commands import COMMANDS, reconciler


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, those of groups too."""
    context = click.Context(reconciler)
    for name in reconciler.list_commands(context):
        command = reconciler.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", one) for below, one in command.commands.items())


ALL = dict(commands())


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("words", ["", *ALL])
def test_help_fits(words: str, width: int) -> None:
    shown = CliRunner().invoke(reconciler, [*words.split(), "--help"], terminal_width=width, max_content_width=width)
    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > width] == []
    assert "..." not in shown.output.partition("Commands:")[2], "a command's first sentence is cut"


@pytest.mark.parametrize("words", ALL)
def test_everything_is_said(words: str) -> None:
    command = ALL[words]
    assert command.help
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help or not one.help.endswith(".")] == []


def test_no_command_offers_what_means_nothing_to_it() -> None:
    offered = {words: {option for one in command.params for option in one.opts} for words, command in ALL.items()}
    about_accounts = {words for words, options in offered.items() if "--budget-share" in options}
    assert about_accounts == {"plan", "apply", "drift", "import", "status", "doctor"}
    assert {words for words, options in offered.items() if "--local" in options} == about_accounts | {"validate"}
    assert offered["explain"] == {"-C", "--env", "--no-color", "--format", "target"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dotcor", 'there is no command "dotcor"; did you mean "doctor"?'),
        ("zebra", 'there is no command "zebra"'),
    ],
)
def test_a_word_that_is_no_command_is_told_with_the_nearest_that_is_one(word: str, said: str) -> None:
    shown = CliRunner().invoke(reconciler, [word])
    assert shown.exit_code == 2
    assert shown.output.rstrip().endswith(said)


def test_every_command_that_is_named_is_there() -> None:
    assert list(COMMANDS) == [name for name in ALL if " " not in name]
