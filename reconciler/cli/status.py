"""`reconciler status`: the live namespace, by customer."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from reconciler.cli.terminal import Terminal
    from reconciler.show.style import Style
    from reconciler.status import Standing

_WIDTHS = {"standing": 9, "changed": 16, "digest": 8, "platform": 8}  # what comes between the script and its tags
_NARROW = 100  # columns: below, the digest gives its place to the tags
_ROLES = {"current": "good", "edited": "update", "drifted": "delete", "missing": "delete"}


@click.command()
@format_option(("text", "json"))
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Only scripts of these customers.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scripts that carry all of these tags.")
@click.option("--unmanaged", is_flag=True, help="Only scripts that are not ours.")
@common
def status(options: Options, form: str, customers: tuple[str, ...], tags: tuple[str, ...], unmanaged: bool) -> int:
    """Show the live namespace by customer: how each script stands to the repository, who changed it when, and which
    platform modules it runs.

    With --format json each script is one line, as it comes.
    """
    from reconciler import kinds, status
    from reconciler.cli import connecting
    from reconciler.kinds.uploads import INJECTED
    from reconciler.model import modules_digest

    terminal = options.terminal
    with connecting.reached(options) as connection:
        repository = connection.repository
        seen = kinds.see(connection, progress=connecting.progress(terminal))
        desired, live = kinds.desired(repository), kinds.live(seen, connection)
        injected = connection.remembered(INJECTED)
    terminal.finish()
    rows = {row.name: row for row in seen.scripts.rows}
    own = modules_digest(repository.terms.modules if repository.terms else ())
    found = (
        one
        for one in status.standings(desired, live, rows, repository.platform.name, injected, own)
        if (not customers or one.customer in customers)
        and set(tags) <= set(one.tags)
        and (not unmanaged or one.standing == status.UNMANAGED)
    )
    if form == "json":
        _stream(terminal, found)
    else:
        for line in _table(found, own, terminal.style):
            terminal.data(line)
    return 0


def _stream(terminal: Terminal, found: Iterable[Standing]) -> None:
    """One JSON object a line, as they come: 100,000 rows are never held at once. ASCII: no name moves a terminal."""
    import json

    for one in found:
        terminal.data(json.dumps(dataclasses.asdict(one), sort_keys=True))


def _table(found: Iterable[Standing], own: str, style: Style) -> Iterator[str]:
    """Rows as they come, customer by customer, and what there is of each in the end."""
    from reconciler.show.style import shown

    widths = {name: width for name, width in _WIDTHS.items() if style.width >= _NARROW or name != "digest"}
    room = style.width - 4 - sum(width + 2 for width in widths.values()) - 16  # but for some of the tags
    widths = {"script": max(20, min(40, room)), **widths}
    customer, standings, modules = None, Counter[str](), Counter[str]()
    for one in found:
        if customer is None:
            yield style.paint("faint", _row({name: name for name in widths}, "tags", widths, style))
        if one.customer != customer:
            customer = one.customer
            yield ("\n" if standings else "") + style.paint("heading", shown(customer or "no customer"))
        standings[one.standing] += 1
        if one.standing not in ("missing", "unmanaged"):
            modules[one.platform_modules] += 1
        tags = ", ".join((*one.tags, *(["protected"] if one.protected else [])))
        cells = {
            "script": one.script,
            "standing": one.standing,
            "changed": one.modified_on[:16].replace("T", " "),
            "digest": one.digest[:8],
            "platform": one.platform_modules[:8],
        }
        text = _row(cells, tags, widths, style)
        yield f"{style.paint(_ROLES.get(one.standing, 'faint'), '●')} {text.removeprefix('  ')}"
    if not standings:
        yield "the namespace holds no such script"
        return
    yield "\n"
    if modules.keys() - {""}:
        yield f"platform modules: {', '.join(_modules(modules, own))}"
    yield ", ".join(f"{amount:,} {standing}" for standing, amount in standings.items())


def _row(cells: Mapping[str, str], tags: str, widths: Mapping[str, int], style: Style) -> str:
    from reconciler.show.style import cut, pad, shown

    text = "  " + "  ".join(pad(shown(cells[name]), width) for name, width in widths.items())
    return f"{text}  {cut(shown(tags), max(5, style.width - len(text) - 2))}".rstrip()


def _modules(counted: Mapping[str, int], own: str) -> Iterator[str]:
    for digest, amount in sorted(counted.items(), key=lambda pair: (pair[0] != own, not pair[0], -pair[1], pair[0])):
        if digest:
            yield f"{amount:,} run {digest[:8]}" + (", as in the repository" if digest == own else "")
        else:
            yield f"{amount:,} not known"
