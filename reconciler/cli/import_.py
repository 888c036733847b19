"""`reconciler import`: write the repository from what is live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common

if TYPE_CHECKING:
    from reconciler.begin.importer import Found
    from reconciler.begin.importing import Staged
    from reconciler.cli.terminal import Terminal
    from reconciler.load.repository import Repository


@click.command("import")
@click.option("--customer-tag", default="", metavar="PATTERN", help="Whose a script is: a tag, e.g. 'customer-(.+)'.")
@click.option("--customer-name", default="", metavar="PATTERN", help="Whose a script is: its name, e.g. '(.+?)-.*'.")
@click.option("--namespace", default="", metavar="NAME", help="The live namespace, for a folder without platform.yaml.")
@click.option("--platform", "platform", default="", metavar="ID", help="The platform's id, for a new platform.yaml.")
@click.option(
    "--platform-module",
    "injected",
    multiple=True,
    metavar="NAME",
    help="A module that the platform injects, whatever version of it a script has.",
)
@common
def import_(
    options: Options, customer_tag: str, customer_name: str, namespace: str, platform: str, injected: tuple[str, ...]
) -> int:
    """Write customers/ from what is live: code, settings, bindings, limits and tags.

    In a folder without platform.yaml it writes that too. Scripts that the repository declares already are left alone.
    An interrupted import goes on where it was. Ends by proving that what it wrote is what is live.

    A module that every script has alike is taken for the platform's. One that is named with --platform-module is the
    platform's in any case: most scripts' version of it is written, and an apply brings that to all.
    """
    from reconciler.begin import importer, importing
    from reconciler.cli import connecting, loading

    terminal = options.terminal
    try:
        rule = importer.customer_rule(customer_tag, customer_name)
    except re.error as error:
        raise click.UsageError(f"the pattern is no regular expression: {error}") from None
    # An import into a part of a repository goes into the whole.
    new = not loading.is_repository(options.folder)
    repository = _empty(options, namespace, platform) if new else loading.load(options)
    if not new and namespace not in ("", repository.platform.namespace):
        raise click.UsageError(f"platform.yaml here names the namespace {repository.platform.namespace}")
    root = repository.root
    with connecting.looking(options, repository, waiting=terminal.waiting) as connection:
        live = importing.namespace(connection)
        found = importing.read(
            connection,
            root,
            rule,
            progress=lambda done, all_: terminal.progress(f"reading {done:,} of {all_:,} scripts"),
        )
        account = "" if options.local else connection.api.account
    terminal.finish()
    around = importing.around(
        repository, new=new, account_id=account, trusted=bool(live.trusted), injected=frozenset(injected)
    )
    terminal.progress(f"writing and proving {len(found):,} scripts")
    staged = importing.stage(root, found, around, repository)
    terminal.finish()
    importing.place(root, staged.written)
    loading.load(options)  # whole, with what was there before
    importing.forget(root)
    return _tell(terminal, found, staged)


def _empty(options: Options, namespace: str, platform: str) -> Repository:
    """What is known before there is a platform.yaml."""
    from reconciler.cli import loading
    from reconciler.errors import Where
    from reconciler.load.repository import Platform, Repository
    from reconciler.load.schema import PLATFORM_ID

    if not namespace:
        raise click.UsageError("there is no platform.yaml here: say which namespace to import with --namespace NAME")
    identity = platform or re.sub(r"[^a-z0-9-]+", "-", namespace.lower())[:24].strip("-")
    if not re.fullmatch(PLATFORM_ID, identity):
        raise click.UsageError("a platform's id has 1 to 24 small letters, digits and -: say one with --platform ID")
    account = loading.variables(options).get("CLOUDFLARE_ACCOUNT_ID", "")
    return Repository(options.folder.resolve(), Platform(identity, namespace, Where("platform.yaml"), account), {})


def _tell(terminal: Terminal, found: Sequence[Found], staged: Staged) -> int:
    """What was written, what was not, and what an apply would do to it."""
    from reconciler.show import words

    written = staged.written
    for script, reasons in written.left_out.items():
        for reason in reasons:
            terminal.warn(terminal.printable(f"left out: {script}: {reason}"))
    for script, notes in written.notes.items():
        for note in notes:
            terminal.warn(terminal.printable(f"note: {script}: {note}"))
    for script, fields in staged.differing.items():
        terminal.warn(terminal.printable(f"differs: {script}: {', '.join(fields)}"))
    declared = [script for scripts in written.folders.values() for script in scripts]
    customers = words.many(len(written.folders), "customer", "customers")
    files = words.many(len(written.files), "file", "files")
    terminal.say(f"wrote {files}: {words.many(len(declared), 'script', 'scripts')} of {customers}")
    if written.left_out:
        many = words.many(len(written.left_out), "script is", "scripts are")
        terminal.say(f"{many} left out: not declared, so that nothing of them is changed or deleted")
    if not found:
        terminal.say("there is no script that the repository does not declare")
    if not declared:
        return 0
    same = len(declared) - len(staged.differing)
    terminal.say(f"proven: {words.many(same, 'script is', 'scripts are')} exactly what is live, but for our tags")
    secrets = sum(len(one.secrets) for one in found if one.script in set(declared))
    if secrets:
        many = words.many(secrets, "secret is", "secrets are")
        terminal.say(
            f"{many} declared by name; the live values are kept, and new ones are sent when you raise `version`"
        )
    terminal.say(
        "\nNext: `reconciler plan --adopt '*'` shows what taking them over writes, and\n"
        "      `reconciler apply --adopt '*'` does it: only tags, where the code is what is live"
    )
    return 1 if staged.differing else 0
