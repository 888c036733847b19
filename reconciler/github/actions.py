"""What a workflow step says to GitHub Actions and hears from it: outputs, a summary, the event.

Laws (tests/github/test_actions.py): an output's delimiter is random, and outputs hold counts, digests and paths only;
a summary stays under 1 MiB, beyond which GitHub drops it whole. The log is the workflows' own care: they put
stop-commands around what a customer's file may speak in.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.errors import Problem, UsageProblem

SUMMARY_LIMIT = 1_000_000  # bytes; GitHub's is 1,048,576 for a step
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

Delimiter = Callable[[], str]


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What an event tells of its pull request: nothing in it that people can write."""

    number: int
    head: str
    author: str
    fork: bool


def _random() -> str:
    return secrets.token_hex(16)


def set_outputs(environment: Mapping[str, str], outputs: Mapping[str, str], delimiter: Delimiter = _random) -> None:
    """Append to GITHUB_OUTPUT; nothing outside a workflow."""
    path = environment.get("GITHUB_OUTPUT")
    if path:
        _append(Path(path), "".join(_assignment(name, value, delimiter()) for name, value in outputs.items()))


def add_summary(environment: Mapping[str, str], render: Callable[[int], str]) -> None:
    """Append to GITHUB_STEP_SUMMARY what `render` makes of a cap in UTF-16 code units; nothing outside a workflow."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    file = Path(path)
    room = SUMMARY_LIMIT - (file.stat().st_size if file.exists() else 0)
    text = render(room)
    if len(text.encode("utf-8", "replace")) > room:
        text = render(room // 3)  # a code unit is at most three bytes of UTF-8
    if len(text.encode("utf-8", "replace")) <= room:
        _append(file, text)


def pull_request(environment: Mapping[str, str]) -> PullRequest:
    """From the event's payload. Raises UsageProblem where the event is of no pull request."""
    event = _event(environment)
    pull = event.get("pull_request")
    if not isinstance(pull, dict):
        raise UsageProblem(
            [Problem("this run is of no pull request", fix="name one with --pull and --head", code="github")]
        )
    head, base = _object(pull, "head"), _object(pull, "base")
    number, commit = pull.get("number"), head.get("sha")
    if not isinstance(number, int) or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise UsageProblem([Problem("the event's payload tells no pull request's number and commit", code="github")])
    repositories = [_object(side, "repo").get("full_name") for side in (head, base)]
    author = _object(pull, "user").get("login")
    return PullRequest(number, commit, author if isinstance(author, str) else "", repositories[0] != repositories[1])


def _assignment(name: str, value: str, delimiter: str) -> str:
    if delimiter in value:
        raise UsageProblem([Problem(f"the output {name} cannot be set", why="it holds its delimiter", code="github")])
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise UsageProblem(
            [Problem(f"{path} cannot be written", why=str(error.strerror or error), code="output")]
        ) from None


def _event(environment: Mapping[str, str]) -> Mapping[str, Any]:
    path = environment.get("GITHUB_EVENT_PATH", "")
    if not path:
        return {}
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageProblem([Problem("GITHUB_EVENT_PATH cannot be read", why=str(error), code="github")]) from None
    return event if isinstance(event, dict) else {}


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name)
    return found if isinstance(found, dict) else {}
