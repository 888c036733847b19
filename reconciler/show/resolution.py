"""What `reconciler explain` shows: each value that holds, and the line that sets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reconciler.load.resolution import Value
from reconciler.show.style import PLAIN, Style, columns, pad
from reconciler.show.terminal import printable


def text(values: Sequence[Value], style: Style = PLAIN) -> str:
    """One value a line: path, value, place, layer, in columns."""
    paths = [printable(".".join(one.path)) for one in values]
    shown = [printable(_shown(one)) for one in values]
    places = [printable(str(one.where)) for one in values]
    widths = [max(map(columns, column), default=0) for column in (paths, shown, places)]
    room = max(20, style.width - widths[0] - widths[2] - 24)
    lines = []
    for path, value, place, one in zip(paths, shown, places, values, strict=True):
        value = style.cut(value, style.width - room)
        cells = (pad(path, widths[0]), pad(value, min(widths[1], room)), style.paint("place", pad(place, widths[2])))
        lines.append("  ".join((*cells, style.paint("faint", printable(one.layer)))))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_json(values: Sequence[Value]) -> str:
    """A list of values, versioned."""
    return json.dumps({"format_version": 1, "values": [_fields(one) for one in values]}, indent=2) + "\n"


def _fields(one: Value) -> dict[str, Any]:
    where = {"file": one.where.file, "line": one.where.line, "column": one.where.column}
    return {"path": list(one.path), "value": one.value, "where": where, "layer": one.layer}


def _shown(one: Value) -> str:
    return one.value if isinstance(one.value, str) else json.dumps(one.value, ensure_ascii=False)
