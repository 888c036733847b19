"""`reconciler schema`: the JSON Schemas, written from the code."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("schemas"))
def schema(folder: Path) -> int:
    """Write the JSON Schemas of platform.yaml, customer.yaml and the JSON plan into FOLDER."""
    from reconciler.cli import files
    from reconciler.load import schema as schemas

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas.files().items():
        files.write(folder / name, text)
        click.echo(f"{folder / name}", err=True)
    return 0
