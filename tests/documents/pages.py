"""What is made from the code among the documents. `python -m tests.documents.pages` writes it anew; read the diff."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tests.documents import commands, configuration, picture
from tests.documents.picture import ROOT

MADE: Mapping[str, Callable[[], str]] = {
    "docs/pictures/plan.svg": picture.plan,
    "docs/reference/configuration.md": configuration.page,
    "docs/reference/commands.md": commands.page,
}
QUICK = tuple(name for name in MADE if name.endswith(".md"))


def main(words: Sequence[str]) -> int:
    """Write all, or with `check` only say which pages that are quickly made are not as they should be."""
    if "check" in words:
        stale = [name for name in QUICK if (ROOT / name).read_text(encoding="utf-8") != MADE[name]()]
        for name in stale:
            print(f"{name} is not what the code says: run `python -m tests.documents.pages`, then read the diff")
        unlisted = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in _nav()]
        for name in unlisted:
            print(f"docs/{name} is in no menu: add its line to `nav` in mkdocs.yml")
        return 1 if stale or unlisted else 0
    for name, make in MADE.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    return 0


def _nav() -> str:
    return (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
