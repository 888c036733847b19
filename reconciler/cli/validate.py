"""`reconciler validate`: every problem of the repository, offline."""

from __future__ import annotations

import click

from reconciler.cli.options import Options, common

FORMATS = ("text", "json", "github", "sarif")


@click.command()
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How to print.")
@common
def validate(options: Options, form: str) -> int:
    """Check the repository; tell every problem with its file, line and column. Needs no account."""
    from reconciler.cli import connecting
    from reconciler.errors import ConfigError
    from reconciler.render import problems as render_problems
    from reconciler.render import words

    terminal = options.terminal
    try:
        repository = connecting.load(options)
        problems, code = repository.warnings, 0
    except ConfigError as error:
        problems, code = error.problems, 1
    if problems or form != "text":
        terminal.data(render_problems.FORMATS[form](problems, terminal.style))
    if code == 0:
        count = sum(1 for _ in repository.scripts())
        customers = words.many(len(repository.customers), "customer", "customers")
        terminal.say(f"valid: {customers}, {words.many(count, 'script', 'scripts')}")
    return code
