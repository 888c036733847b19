"""`${{ … }}` as GitHub evaluates it: its own library, in one node process for all tests."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Status:
    """What success(), failure(), always() and cancelled() answer."""

    success: bool = True
    failure: bool = False
    cancelled: bool = False

    def told(self) -> dict[str, bool]:
        return {"success": self.success, "failure": self.failure, "always": True, "cancelled": self.cancelled}


@dataclass(frozen=True)
class Answer:
    value: Any
    text: str
    truthy: bool
    asks_status: bool


class Expressions:
    """The node process. Close it."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(HERE / "expressions.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            cwd=HERE,
        )

    def close(self) -> None:
        assert self._node.stdin and self._node.stdout
        self._node.stdin.close()
        self._node.wait(timeout=10)
        self._node.stdout.close()

    def evaluate(self, expression: str, contexts: Mapping[str, Any], status: Status = Status()) -> Answer:
        assert self._node.stdin and self._node.stdout
        question = {"expression": expression.strip(), "contexts": contexts, "status": status.told()}
        self._node.stdin.write(json.dumps(question) + "\n")
        self._node.stdin.flush()
        answer = json.loads(self._node.stdout.readline())
        if "error" in answer:
            raise ValueError(f"{expression}: {answer['error']}")
        return Answer(answer["value"], answer["text"], answer["truthy"], answer["asksStatus"])

    def holds(self, condition: str | None, contexts: Mapping[str, Any], status: Status) -> bool:
        """An `if:`. Without a status function in it, success() is meant too."""
        if condition is None:
            return status.success
        inner = _EXPRESSION.fullmatch(condition.strip())
        answer = self.evaluate(inner[1] if inner else condition, contexts, status)
        return answer.truthy and (answer.asks_status or status.success)

    def fill(self, text: str, contexts: Mapping[str, Any], status: Status = Status()) -> Any:
        """A value of a workflow. One that is nothing but an expression keeps its type."""
        whole = _EXPRESSION.fullmatch(text.strip())
        if whole:
            return self.evaluate(whole[1], contexts, status).value
        return _EXPRESSION.sub(lambda one: self.evaluate(one[1], contexts, status).text, text)

    def fill_text(self, text: str, contexts: Mapping[str, Any], status: Status = Status()) -> str:
        return _EXPRESSION.sub(lambda one: self.evaluate(one[1], contexts, status).text, text)
