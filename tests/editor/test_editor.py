"""An editor's language server, started for real, teaches our format from the committed schemas: errors and completion.

`npm ci` in this folder installs it; without it the test is skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

HERE = Path(__file__).parent
SERVER = HERE / "node_modules/yaml-language-server/bin/yaml-language-server"
SCHEMAS = HERE.parents[1] / "schemas"

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not SERVER.exists() or not shutil.which("node"), reason="run `npm ci` in tests/editor"),
]


class Editor:
    """As much of an editor as it takes to open a file and ask about it."""

    def __init__(self, process: subprocess.Popen[bytes], root: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to: IO[bytes] = process.stdin
        self._from: IO[bytes] = process.stdout
        self._root = root
        self._asked = 0
        self.ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": {}})
        self._send({"method": "initialized", "params": {}})

    def open(self, name: str, text: str) -> list[dict[str, Any]]:
        """The problems that an editor underlines."""
        document = {"uri": self._uri(name), "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while True:
            message = self._receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                found: list[dict[str, Any]] = message["params"]["diagnostics"]
                return found

    def complete(self, name: str, line: int, character: int) -> set[str]:
        """What is offered at a place, which counts from 0."""
        place = {"textDocument": {"uri": self._uri(name)}, "position": {"line": line, "character": character}}
        answer = self.ask("textDocument/completion", place)
        return {one["label"] for one in (answer["items"] if isinstance(answer, dict) else answer)}

    def hover(self, name: str, line: int, character: int) -> str:
        place = {"textDocument": {"uri": self._uri(name)}, "position": {"line": line, "character": character}}
        return json.dumps(self.ask("textDocument/hover", place), ensure_ascii=False)

    def ask(self, method: str, params: Any) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == self._asked and "method" not in message:
                return message["result"]

    def _uri(self, name: str) -> str:
        return (self._root / name).as_uri()

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        """The next message. What the server asks of an editor is answered on the way."""
        length = 0
        while (line := self._from.readline().strip()) or not length:
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        message: dict[str, Any] = json.loads(self._from.read(length))
        if "method" in message and "id" in message:
            items = message.get("params", {}).get("items", ()) if isinstance(message.get("params"), dict) else ()
            self._send({"id": message["id"], "result": [{"validate": True, "completion": True} for _ in items] or None})
        return message


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    shutil.copytree(SCHEMAS, tmp_path / "schemas")
    (tmp_path / "customers/globex").mkdir(parents=True)
    command = ["node", str(SERVER), "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield Editor(process, tmp_path)
        process.kill()


MODELINE = "# yaml-language-server: $schema=../../schemas/customer.schema.json\n"
CUSTOMER = "customers/globex/customer.yaml"


def test_a_good_file_has_no_problems(editor: Editor) -> None:
    text = MODELINE + "tier: basic\nx-shared: [1]\nscripts:\n  shop: {main: shop.mjs, limits: {cpu_ms: 50}}\n"
    assert editor.open(CUSTOMER, text) == []


def test_a_key_in_the_file_names_the_schema_as_well(editor: Editor) -> None:
    found = editor.open(CUSTOMER, "$schema: ../../schemas/customer.schema.json\nnmae: Globex\nscripts: {}\n")
    assert [one["range"]["start"]["line"] for one in found] == [1]


def test_mistakes_are_underlined_with_our_words(editor: Editor) -> None:
    text = MODELINE + (
        "nmae: Globex\ntags: ['a b']\nscripts:\n  shop:\n    main: shop.mjs\n"
        "    bindings:\n      CACHE: {type: kv_namespace, namespaceid: x}\n"
    )
    found = editor.open(CUSTOMER, text)
    told = {(one["range"]["start"]["line"], one["message"]) for one in found}
    lines = {line for line, _ in told}
    assert lines == {1, 2, 7}
    assert any("a tag has 1 to 63 characters" in message for line, message in told if line == 2)
    assert any("namespace_id" in message for line, message in told if line == 7)


def test_keys_are_offered(editor: Editor) -> None:
    editor.open(CUSTOMER, MODELINE + "scripts:\n  shop:\n    ma\n")
    assert {"main", "modules"} <= editor.complete(CUSTOMER, 3, 6)


def test_kinds_of_bindings_and_their_fields_are_offered(editor: Editor) -> None:
    above = MODELINE + "scripts:\n  shop:\n    main: shop.mjs\n    bindings:\n      CACHE:\n"
    editor.open(CUSTOMER, above + "        type: \n")
    assert {"kv_namespace", "r2_bucket"} <= editor.complete(CUSTOMER, 6, 14)
    editor.open("customers/globex/other.yaml", above + "        type: r2_bucket\n        \n")
    assert {"bucket_name", "jurisdiction"} <= editor.complete("customers/globex/other.yaml", 7, 8)


def test_descriptions_are_shown(editor: Editor) -> None:
    editor.open(CUSTOMER, MODELINE + "scripts:\n  shop:\n    main: shop.mjs\n")
    assert "The main module, relative to this customer" in editor.hover(CUSTOMER, 3, 5)
