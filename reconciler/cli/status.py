"""`reconciler status`: the live namespace, by customer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.status import Standing

_COLUMNS = (("script", 34), ("standing", 10), ("changed", 19), ("digest", 8))


@click.command()
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="How to print."
)
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Only scripts of these customers.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scripts that carry all of these tags.")
@click.option("--unmanaged", is_flag=True, help="Only scripts that are not ours.")
@common
def status(options: Options, form: str, customers: tuple[str, ...], tags: tuple[str, ...], unmanaged: bool) -> int:
    """Show the live namespace by customer: how each script stands to the repository, and who changed it when."""
    from reconciler import kinds, status
    from reconciler.cli import connecting, wishes

    terminal = options.terminal
    repository = connecting.load(options)
    with connecting.looking(options, repository, waiting=terminal.waiting) as connection:
        seen = kinds.see(connection, progress=wishes.listing(terminal))
        desired, live = kinds.desired(repository), kinds.live(seen, connection)
    terminal.finish()
    rows = {row.name: row for row in seen.scripts.rows}
    found = (
        one
        for one in status.standings(desired, live, rows, repository.platform.name)
        if (not customers or one.customer in customers)
        and set(tags) <= set(one.tags)
        and (not unmanaged or one.standing == status.UNMANAGED)
    )
    if form == "json":
        _stream(terminal, found)
    else:
        for line in _table(found, terminal):
            terminal.data(line)
    return 0


def _stream(terminal: Terminal, found: Iterable[Standing]) -> None:
    """One JSON object a line, as they come: 100,000 rows are never held at once."""
    import json

    for one in found:
        terminal.data(json.dumps(dataclasses.asdict(one), sort_keys=True, ensure_ascii=False))


def _table(found: Iterable[Standing], terminal: Terminal) -> Iterator[str]:
    style, customer, counts = terminal.style, None, dict[str, int]()
    for one in found:
        if one.customer != customer:
            customer = one.customer
            yield ("" if not counts else "\n") + style.paint("heading", terminal.printable(customer or "no customer"))
        counts[one.standing] = counts.get(one.standing, 0) + 1
        cells = (one.script, one.standing, one.modified_on[:19].replace("T", " "), one.digest[:8])
        text = "  ".join(
            terminal.printable(cell).ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)
        )
        marks = ", ".join((*one.tags, *(["protected"] if one.protected else [])))
        role = {"current": "good", "edited": "update", "drifted": "delete", "missing": "delete"}.get(
            one.standing, "faint"
        )
        yield f"  {style.paint(role, '●')} {text}  {style.paint('faint', terminal.printable(marks))}".rstrip()
    yield ("\n" if counts else "") + (
        ", ".join(f"{amount:,} {standing}" for standing, amount in counts.items()) or "the namespace holds no scripts"
    )
