"""`reconciler explain`: what holds for a customer or a script, and the line that says so."""

from __future__ import annotations

import click

from reconciler.cli.options import Options, format_option, only_files

FORMATS = ("text", "json")


@click.command()
@click.argument("target", metavar="CUSTOMER[/SCRIPT]")
@format_option(FORMATS)
@only_files
def explain(options: Options, target: str, form: str) -> int:
    """Show each resolved value of a customer or script, and the file, line and layer that set it. Needs no account."""
    from reconciler.cli import loading
    from reconciler.load import resolution
    from reconciler.show import resolution as render

    terminal = options.terminal
    root = loading.repository_root(options.folder)
    values = resolution.explain(root, target, options.environment)
    terminal.data(render.as_json(values) if form == "json" else render.text(values, terminal.style))
    return 0
