"""`reconciler schema`: the JSON Schemas, written from the code."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("schemas"))
def schema(folder: Path) -> int:
    """Write the JSON Schemas of platform.yaml, customer.yaml and the JSON plan into FOLDER."""
    from reconciler.cli import files
    from reconciler.load import schema as schemas
    from reconciler.show.plan_json import plan_schema

    folder.mkdir(parents=True, exist_ok=True)
    plan = json.dumps(plan_schema(), indent=2, ensure_ascii=False) + "\n"
    for name, text in {**schemas.files(), "plan.schema.json": plan}.items():
        files.write(folder / name, text)
        click.echo(f"{folder / name}", err=True)
    return 0
