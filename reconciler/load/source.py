"""YAML text as plain data, and the file, line and column of every value in it.

YAML 1.2 core: `NO` is text, `1:30` is text, dates are text. What the 1.2 core or a reviewer's eye cannot take is a
problem: duplicate keys, merge keys, tags, nesting and aliases that blow up. Law: no bytes make it crash or hang.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from reconciler.errors import ConfigError, Problem, Where

Path = Sequence[str | int]

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 100_000  # a node takes about 700 bytes: 70 MB
MAX_DEPTH = 40
MAX_PROBLEMS = 100  # of one file: whoever has more knows what to do after the first
MAX_EXPANSION = 10_000  # nodes that aliases may add to a document

# libyaml composes recursively in C and overruns the stack at about 20,000 levels. A text that could nest deeper than
# this is counted event by event first; block nesting by indentation alone needs n²/2 characters for n levels.
_SAFE_OPENERS = 1_000
_SAFE_BYTES = 200_000

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # what libyaml counts as the end of a line
_BLOCK_KEY = re.compile(r"(?P<indent>\s*)(?:-\s+)?(?P<key>[^\s:#][^:]*):(?P<value>.*)")
_WORDS: Final[Mapping[str, Any]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_SPECIAL = frozenset("-+.0123456789tTfFnN~")
_STARTS = (b"\xff\xfe", b"\xfe\xff")
_HIDDEN = "***"


@dataclass
class Source:
    """One YAML file: its data, and where each part of it stands."""

    file: str
    text: str = field(repr=False)
    data: Any
    root: Node | None = field(repr=False)
    _keys: dict[int, dict[str, tuple[Node, Node]]] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """On its way to another process it is its text: the parser's nodes cannot be sent."""
        return parse, (self.file, self.text.encode())

    def where(self, path: Path = ()) -> Where:
        """The place of a value, or of its nearest ancestor that has one.

        The whole file is line 1, column 1, and nothing of it is underlined.
        """
        if not path:
            return Where(self.file, width=0)
        key, value = self._find(path)
        if key is not None and isinstance(value, yaml.CollectionNode) and not value.flow_style:
            return self._of(key)  # a block begins on a line of its own; its key is what the eye looks for
        return self._of(value)

    def where_key(self, path: Path) -> Where:
        """The place of a key, or of a value that has none (in a list)."""
        key, value = self._find(path)
        return self._of(key or value)

    def has(self, path: Path) -> bool:
        return self._walk(path)[2] == len(path)

    def scalar(self, path: Path) -> str | None:
        """The text of a plain scalar as it is written; None for everything else."""
        value = self._find(path)[1]
        return str(value.value) if isinstance(value, ScalarNode) and _is_plain(value) and self.has(path) else None

    def node(self, path: Path) -> Any:
        """The parser's own node of a value; None where there is none."""
        return self._find(path)[1] if self.has(path) else None

    def excerpt(self, line: int) -> str:
        """A line of the file, with the values of secrets taken out."""
        if line > len(self._lines):
            return ""
        if self.root is None:
            return without_tokens(_guessed(self._lines[:line]))
        text = self._lines[line - 1]
        for start, end in self._hidden.get(line, ()):
            text = text[: start - 1] + _HIDDEN + text[end - 1 :]
        return without_tokens(text)

    @cached_property
    def _lines(self) -> list[str]:
        return _BREAK.split(self.text)

    @cached_property
    def _hidden(self) -> dict[int, list[tuple[int, int]]]:
        """The columns of secrets by line, the last first."""
        found: dict[int, list[tuple[int, int]]] = {}
        for node in _secrets(self.root, ()):
            line, start, end = self._span(node)
            found.setdefault(line, []).append((start, end))
        return {line: sorted(spans, reverse=True) for line, spans in found.items()}

    def _find(self, path: Path) -> tuple[Node | None, Node | None]:
        key, value, _ = self._walk(path)
        return key, value

    def _walk(self, path: Path) -> tuple[Node | None, Node | None, int]:
        key: Node | None = None
        node = self.root
        for depth, part in enumerate(path):
            entries = self._entries(node) if isinstance(node, MappingNode) else {}
            if str(part) in entries:
                key, node = entries[str(part)]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                key, node = None, node.value[part]
            else:
                return key, node, depth
        return key, node, len(path)

    def _entries(self, node: MappingNode) -> dict[str, tuple[Node, Node]]:
        if id(node) not in self._keys:
            self._keys[id(node)] = {key.value: (key, value) for key, value in node.value}
        return self._keys[id(node)]

    def _of(self, node: Node | None) -> Where:
        if node is None or node is self.root:
            return Where(self.file, width=0)
        line, column, end = self._span(node)
        return Where(self.file, line, column, max(1, end - column))

    def _span(self, node: Node) -> tuple[int, int, int]:
        """Line, first column and the column past the end, on the first line of a node."""
        start, end = node.start_mark, node.end_mark
        if start.line == end.line:
            return start.line + 1, start.column + 1, end.column + 1
        return start.line + 1, start.column + 1, len(self._lines[start.line].rstrip()) + 1


def parse(file: str, content: bytes) -> Source:
    """Read a file's bytes. Raises ConfigError with every problem of its syntax."""
    text = _decode(file, content)
    _refuse_blow_ups(file, text)
    try:
        root = _Composer(text).get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError([_syntax(file, text, error)]) from None
    reader = _Reader(file, len(text))
    data = reader.plain(root, 0) if root is not None else None
    if reader.problems:
        raise ConfigError(reader.problems)
    return Source(file, text, data, root)


def line_of(text: str, number: int) -> str:
    lines = _BREAK.split(text)
    return lines[number - 1] if number <= len(lines) else ""


def _decode(file: str, content: bytes) -> str:
    problem: Problem
    if len(content) > MAX_BYTES:
        what = f"the file has {len(content):,} bytes"
        problem = Problem(what, Where(file), why=f"at most {MAX_BYTES:,} are read", code="yaml-size")
    elif content.startswith(_STARTS) or b"\0" in content[:4]:
        problem = Problem("the file is not UTF-8", Where(file), why="it looks like UTF-16", fix="save it as UTF-8",
                          code="yaml-encoding")  # fmt: skip
    else:
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8")
            problem = Problem(
                "the file is not UTF-8",
                _place(file, before),
                why=f"the byte 0x{content[error.start]:02x} does not stand for a character there",
                fix="save it as UTF-8",
                code="yaml-encoding",
            )
    raise ConfigError([problem])


def _refuse_blow_ups(file: str, text: str) -> None:
    """Count what the composer would recurse into, for texts that could nest deep or grow large."""
    openers = text.count("[") + text.count("{") + text.count("-") + text.count("?")
    if openers <= _SAFE_OPENERS and len(text) <= _SAFE_BYTES:
        return
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            nodes += isinstance(event, yaml.NodeEvent)
            if depth > MAX_DEPTH:
                raise ConfigError([_too_deep(_mark(file, event.start_mark))])
            if nodes > MAX_NODES:
                where = _mark(file, event.start_mark)
                why = f"at most {MAX_NODES:,} are read"
                raise ConfigError([Problem("the file holds too many values", where, why=why, code="yaml-size")])
    except yaml.YAMLError as error:
        raise ConfigError([_syntax(file, text, error)]) from None


# PyYAML without libyaml does the same, ten times slower.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Composer(_PARSER):  # type: ignore[misc]  # chosen at run time
    """Makes nodes without looking for their tags: a plain scalar has none, a quoted one has "quoted"."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str | None:
        del value
        return "quoted" if kind is ScalarNode and not implicit[0] else None

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


class _Reader:
    """From nodes to plain data, collecting problems."""

    def __init__(self, file: str, size: int) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[int] = []  # the collections around the current one
        self._left = size + MAX_EXPANSION  # each node of the text takes a character; more come from aliases

    def plain(self, node: Node, depth: int) -> Any:
        self._left -= 1
        if node.tag not in (None, "quoted"):
            self._add(node, f'the tag "{node.tag}" cannot be used', "values are read by YAML's core rules alone",
                      "take the tag away; quotes make text of a number", "yaml-tag")  # fmt: skip
        if isinstance(node, ScalarNode):
            return self._scalar(node) if _is_plain(node) else node.value
        if id(node) in self._open:
            where = _mark(self._file, node.start_mark)
            raise ConfigError(
                [Problem("this value contains itself", where, "an alias in it names it", "write it out", "yaml-alias")]
            )
        if depth >= MAX_DEPTH:
            raise ConfigError([_too_deep(_mark(self._file, node.start_mark))])
        if self._left < 0:
            where = _mark(self._file, node.start_mark)
            why = "a few short lines would stand for very many values"
            raise ConfigError(
                [Problem("aliases expand to too many values", where, why, "write the values out", "yaml-alias")]
            )
        self._open.append(id(node))
        plain = self._mapping(node, depth) if isinstance(node, MappingNode) else self._list(node, depth)
        self._open.pop()
        return plain

    def _list(self, node: Node, depth: int) -> list[Any]:
        return [self.plain(one, depth + 1) for one in node.value]

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._add(key, "a key cannot be a list or a map", "keys are names", "name it", "yaml-key")
                continue
            name = key.value
            if name == "<<" and _is_plain(key):
                self._add(key, 'the merge key "<<" cannot be used', "it is not part of YAML 1.2",
                          "put what is shared into a tier, or at the customer", "yaml-merge")  # fmt: skip
            elif name in found and len(self.problems) < MAX_PROBLEMS:
                first = next(one for one, _ in node.value if one.value == name)
                self._add(key, f'"{name}" stands here twice', f"it stands on line {first.start_mark.line + 1} already",
                          "remove one of the two", "yaml-duplicate-key")  # fmt: skip
            found[name] = self.plain(value, depth + 1)
        return found

    def _scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        if not text or text[0] in _SPECIAL:
            if text in _WORDS:
                return _WORDS[text]
            try:
                return number(text)
            except ValueError:
                self._add(node, "this number cannot be kept", "JSON has none so large or undefined", "quote it",
                          "yaml-number")  # fmt: skip
        return text

    def _add(self, node: Node, what: str, why: str, fix: str, code: str) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            return
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if start.line == end.line else 1
        where = Where(self._file, start.line + 1, start.column + 1, max(1, width))
        self.problems.append(Problem(what, where, why, fix, code))


def _is_plain(node: Node) -> bool:
    """Whether a scalar is written without quotes and tags."""
    tag: str | None = node.tag  # our composer leaves it out
    return tag is None


def number(text: str) -> int | float | str:
    """A number by YAML's core rules, else the text itself. Raises ValueError for one that no JSON number can be."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError(text)
        return value
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(text)
    return text


def _syntax(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = _mark(file, mark) if mark is not None else Where(file)
        cause = str(error.problem or error.context or "")
        context = error.context or ""
        if "flow" in context and error.context_mark is not None and mark is not error.context_mark:
            context += f" that begins in line {error.context_mark.line + 1},"  # its end is missed far below, or nowhere
        why = f"the YAML parser says: {' '.join(part for part in (context, cause) if part)}"
        return Problem("the file is not YAML here", where, why, _hint(cause, text, where), "yaml-syntax")
    forbidden = _FORBIDDEN.search(text)
    where = _place(file, text[: forbidden.start()]) if forbidden else Where(file)
    character = f"U+{ord(forbidden.group()):04X}" if forbidden else "a character"
    return Problem("the file is not YAML here", where, f"{character} is not allowed in YAML",
                   "remove it, or write it as an escape in double quotes", "yaml-syntax")  # fmt: skip


def _hint(cause: str, text: str, where: Where) -> str:
    if "cannot start any token" in cause:
        tab = line_of(text, where.line)[where.column - 1 : where.column] == "\t"
        return "indent with spaces" if tab else "put quotes around the value"
    hints = {
        "mapping values are not allowed": "put quotes around a value that holds a colon, or check the indentation",
        "undefined alias": "define it with & before it is used, or put quotes around a value that begins with *",
        "expected a single document": "keep one document in a file: remove the ---",
        "but found another document": "keep one document in a file: remove the ---",
        "did not find expected": "check the brackets, the indentation and the quotes above this place",
    }
    return next((fix for part, fix in hints.items() if part in cause), "")


def _too_deep(where: Where) -> Problem:
    why = f"nothing in a repository needs more than {MAX_DEPTH} levels"
    return Problem("the file nests too deep", where, why, "check the brackets", "yaml-depth")


def _mark(file: str, mark: Any) -> Where:
    return Where(file, mark.line + 1, mark.column + 1)


def _place(file: str, before: str) -> Where:
    lines = _BREAK.split(before.removeprefix("\ufeff"))
    return Where(file, len(lines), len(lines[-1]) + 1)


def _secrets(node: Node | None, path: tuple[str, ...]) -> Iterator[Node]:
    """Scalars that may hold a secret's value: under `secrets`, all but its reference; in bindings of secrets, text."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _secrets(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _secrets(one, path)
    elif node is not None and _is_secret(path, str(node.value)):
        yield node


def _is_secret(path: tuple[str, ...], value: str) -> bool:
    if "secrets" in path[-3:-1]:
        return path[-1] not in ("env", "version") or path[-2] == "secrets"
    return looks_secret(value) or (len(path) > 2 and path[-3] == "bindings" and path[-1] in ("text", "key_base64"))


# Tokens that say what they are. Few and precise: a false alarm here would refuse a whole repository.
_TOKENS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|sk_live_[0-9a-zA-Z]{16,}|gh[pousr]_[0-9A-Za-z]{36}|\bAKIA[0-9A-Z]{16}\b"
    r"|xox[abprs]-[0-9A-Za-z-]{20,}|github_pat_[0-9A-Za-z_]{22,}|glpat-[0-9A-Za-z_-]{20}"
)


def looks_secret(text: str) -> bool:
    """Whether a text is a credential by its own form."""
    return _TOKENS.search(text) is not None


def without_tokens(text: str) -> str:
    """A text in which credentials of a known form are hidden."""
    return _TOKENS.sub(_HIDDEN, text)


def _guessed(lines: Sequence[str]) -> str:
    """The last of some lines that cannot be parsed, without what stands in or on a `secrets` block by indentation."""
    line = lines[-1]
    if looks_secret(line) or re.search(r"secrets\W.*\S", line) or _in_secrets(lines, line):
        key = re.match(r"\s*(?:-\s+)?[^\s:]+:\s+", line)
        return f"{key.group() if key else ''}{_HIDDEN}"
    return line


def _in_secrets(lines: Sequence[str], line: str) -> bool:
    indent = len(line) - len(line.lstrip())
    for above in reversed(lines[:-1]):
        match = _BLOCK_KEY.match(above)
        if match and len(match["indent"]) < indent:
            indent = len(match["indent"])
            if match["key"].strip("'\" ") == "secrets":
                return True
    return False
