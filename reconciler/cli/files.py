"""Files that a user named: read, and written whole or not at all. Light to import, so that small commands are quick."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from reconciler.errors import Problem, UsageProblem


def read(path: Path, *, named: str = "", encoding: str = "utf-8") -> str:
    """A file that a user named, by the option `named`."""
    try:
        return path.read_text(encoding=encoding)
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror or error)
        fix = "name a file that is there; paths begin in the folder that you are in"
        raise UsageProblem(
            [Problem(f"{named} {path} cannot be read".lstrip(), why=why, fix=fix, code="input")]
        ) from None


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
        why, fix = str(error.strerror or error), "name a file in a folder that is there and can be written"
        raise UsageProblem([Problem(f"{path} cannot be written", why=why, fix=fix, code="output")]) from None
