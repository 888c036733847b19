"""Files that a user named: read, and written whole or not at all. Light to import, so that small commands are quick."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from reconciler.errors import Problem, UsageProblem


def read(path: Path) -> str:
    """A file that a user named."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem([Problem(f"{path} cannot be read", why=str(error), code="input")]) from None


def write(path: Path, text: str) -> None:
    """Write a file that a user named; what stood there before is replaced whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)  # left by a run that was killed, or a link that leads elsewhere
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UsageProblem(
            [Problem(f"{path} cannot be written", why=str(error.strerror or error), code="output")]
        ) from None
