"""`reconciler import`: write the repository from what is live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.importer import Found, Written
    from reconciler.repository import Repository


@click.command("import")
@click.option("--customer-tag", default="", metavar="PATTERN", help="Whose a script is: a tag, e.g. 'customer-(.+)'.")
@click.option("--customer-name", default="", metavar="PATTERN", help="Whose a script is: its name, e.g. '(.+?)-.*'.")
@click.option("--namespace", default="", metavar="NAME", help="The live namespace, for a folder without platform.yaml.")
@click.option("--platform", "platform", default="", metavar="ID", help="The platform's id, for a new platform.yaml.")
@common
def import_(options: Options, customer_tag: str, customer_name: str, namespace: str, platform: str) -> int:
    """Write customers/ from what is live: code, settings, bindings, limits and tags.

    In a folder without platform.yaml it writes that too. Scripts that the repository declares already are left alone.
    An interrupted import goes on where it was. Ends by proving that what it wrote is what is live.
    """
    from reconciler import importer, importing
    from reconciler.cli import connecting

    terminal = options.terminal
    try:
        rule = importer.customer_rule(customer_tag, customer_name)
    except re.error as error:
        raise click.UsageError(f"the pattern is no regular expression: {error}") from None
    new = not (options.folder / "platform.yaml").is_file()
    repository = _empty(options.folder, namespace, platform) if new else connecting.load(options)
    root = repository.root
    with connecting.connected(options, repository, waiting=terminal.waiting) as connection:
        found = importing.read(
            connection,
            root,
            rule,
            progress=lambda done, all_: terminal.progress(f"reading {done:,} of {all_:,} scripts"),
        )
    terminal.finish()
    own = None if new or repository.terms is None else {one.name: one.content for one in repository.terms.modules}
    name = repository.platform.name
    written = importer.write(found, platform=name, namespace=repository.platform.namespace, own_modules=own)
    importing.write(root, written)
    _tell(terminal, found, written)
    return _prove(options, root, found, terminal)


def _empty(folder: Path, namespace: str, platform: str) -> Repository:
    """What is known before there is a platform.yaml."""
    from reconciler.errors import Where
    from reconciler.repository import Platform, Repository

    if not namespace:
        raise click.UsageError("there is no platform.yaml here: say which namespace to import with --namespace NAME")
    identity = platform or re.sub(r"[^a-z0-9-]+", "-", namespace.lower()).strip("-")[:24]
    return Repository(folder.resolve(), Platform(identity, namespace, Where("platform.yaml")), {})


def _tell(terminal: Terminal, found: Sequence[Found], written: Written) -> None:
    from reconciler import importing
    from reconciler.render import words

    customers = len({one.customer for one in found})
    terminal.say(
        f"wrote {words.many(len(written.files), 'file', 'files')}: {words.many(len(found), 'script', 'scripts')} of "
        f"{words.many(customers, 'customer', 'customers')}"
    )
    for line in importing.unsaid_lines(written):
        terminal.warn(terminal.printable(f"not said: {line}"))


def _prove(options: Options, root: Path, found: Sequence[Found], terminal: Terminal) -> int:
    """Load what was written and compare it with what was read."""
    from reconciler import importing
    from reconciler.cli import connecting
    from reconciler.render import words

    if not found:
        return 0
    differing = importing.prove(connecting.load(options), found)
    for script, fields in differing.items():
        terminal.warn(terminal.printable(f"differs: {script}: {', '.join(fields)}"))
    importing.forget(root)
    same = len(found) - len(differing)
    terminal.say(f"proven: {words.many(same, 'script is', 'scripts are')} exactly what is live")
    names = " ".join(f"--adopt {one.script}" for one in found[:3]) + (" …" if len(found) > 3 else "")
    terminal.say(f"\nNext: reconciler plan, then take them over with `reconciler apply {names}`: only tags are written")
    return 1 if differing else 0
