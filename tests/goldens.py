"""Whole outputs, pinned as files under tests/golden/. `python -m tests.goldens` writes them anew; read the diff."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.show import plan_json, plan_markdown, plan_text
from reconciler.show.style import plain
from tests import plans

FOLDER = Path(__file__).parent / "golden"

OUTPUTS: Mapping[str, Callable[[], str]] = {
    "nothing.txt": lambda: plan_text.render(plans.nothing()),
    "small.txt": lambda: plan_text.render(plans.small()),
    "small-80-columns.txt": lambda: plan_text.render(plans.small(), plain(80)),
    "middling.txt": lambda: plan_text.render(plans.middling()),
    "alike.txt": lambda: plan_text.render(plans.alike()),
    "large.txt": lambda: plan_text.render(plans.large(3_000)),
    "nothing.md": lambda: plan_markdown.render(plans.nothing()),
    "small.md": lambda: plan_markdown.render(plans.small()),
    "middling.md": lambda: plan_markdown.render(plans.middling()),
    "alike.md": lambda: plan_markdown.render(plans.alike()),
    "hostile.md": lambda: plan_markdown.render(plans.hostile(), 20_000),
    "small.json": lambda: plan_json.render(plans.small()),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in OUTPUTS.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    schema = json.dumps(plan_json.plan_schema(), indent=2, ensure_ascii=False) + "\n"
    (FOLDER.parents[1] / "schemas" / "plan.schema.json").write_text(schema, encoding="utf-8")


if __name__ == "__main__":
    main()
