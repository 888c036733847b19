"""What is made from the code among the documents. `python -m tests.documents.pages` writes it anew; read the diff."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.documents import commands, configuration, picture
from tests.documents.picture import ROOT

MADE: Mapping[str, Callable[[], str]] = {
    "docs/pictures/plan.svg": picture.plan,
    "docs/reference/configuration.md": configuration.page,
    "docs/reference/commands.md": commands.page,
}


def main() -> None:
    for name, make in MADE.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
