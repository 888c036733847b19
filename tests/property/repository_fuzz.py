"""Mutated repositories, loaded one after the other: run by test_repository_fuzz.py in a process of its own.

`python repository_fuzz.py SEED COUNT` prints one line of JSON: the slowest load in seconds of processor time, the peak
memory of a load in MB, how many repositories had problems, and the first failure with the mutations that led to it.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.load import config, resolution
from reconciler.show import problems as render_problems
from reconciler.show.style import PLAIN

SAMPLE = Path(__file__).parents[2]
TEXTS = ("platform.yaml", "platform", "customers")

TOKEN = b"sk_live_0123456789abcdefXYZ"
NASTY = [
    b"[", b"]", b"{", b"}", b": ", b"- ", b"? ", b"&a ", b"*a", b"<<: *a", b"!!x ", b"|", b">", b"%", b"@", b"`",
    b"'", b'"', b"#", b"\t", b"\n", b"\r", b"\0", b"\x1b[31m", b"\xff", b"\xef\xbb\xbf", "\u202e\u200b".encode(),
    "\U0001f600".encode(), b"null", b"~", b"true", b".nan", b"1e999", b"9" * 400, b"0x", b"-1", b"1.10",
    b"../../etc/passwd", b"/etc/passwd", b"**/*", b"*" * 60, b"rcn-d-0", b"[" * 5000, b"{a: " * 200, b"x" * 6000,
    b"x-a: &a [1]\n", b"null: null\n", b"import './", b"from '", b"`${", b"/*", b"type: kv_namespace\n",
    b"type: secret_text, text: x", TOKEN, b"--- \n", b"...\n", b"\xe2\x80\xa8", b"__proto__: 1\n",
]  # fmt: skip


def main(seed: int, count: int) -> None:
    slowest, memory, bad, failure = 0.0, 0, 0, ""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            rng = random.Random(seed * 1_000_003 + number)
            root = Path(folder) / str(number)
            done = mutated_sample(root, rng)
            forget_peak()
            began = time.process_time()
            try:
                bad += use(root)
            except Exception:  # every kind of failure is what this looks for
                failure = failure or f"seed {seed}, repository {number}: {'; '.join(done)}\n{traceback.format_exc()}"
            slowest = max(slowest, time.process_time() - began)
            memory = max(memory, peak_memory())
            shutil.rmtree(root)
    print(json.dumps({"slowest": slowest, "memory": memory, "bad": bad, "failure": failure}))


def forget_peak() -> None:
    """What mutating took is not what loading takes. Linux has a word for it (proc(5): clear_refs)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")


def peak_memory() -> int:
    """In MB. Linux's ru_maxrss begins at what the process that started this one held, so its own peak goes first."""
    status = Path("/proc/self/status")
    if status.exists():
        own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(own.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def use(root: Path) -> bool:
    """Everything that a user does with a repository that may be broken; whether it was."""
    broken = False
    for environment in ("", "staging"):
        try:
            repository = config.load(root, environment, variables={})
            problems = repository.warnings
            for script in repository.scripts():
                assert config.read_worker(repository, script.name).digest == script.digest
        except ReconcilerError as error:
            assert error.problems
            problems, broken = error.problems, True
        for render in render_problems.FORMATS.values():
            text = render(problems, PLAIN)
            assert "\x1b" not in text
            assert TOKEN.decode() not in text
            text.encode()
    for target in ("globex", "globex/globex-shop", "initech/hello-world"):
        try:
            resolution.explain(root, target)
        except ReconcilerError as error:
            assert error.problems
    return broken


def mutated_sample(root: Path, rng: random.Random) -> list[str]:
    root.mkdir()
    for name in TEXTS:
        source = SAMPLE / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copy(source, root / name)
    return [one for _ in range(rng.randint(1, 6)) if (one := mutate(root, rng))]


def mutate(root: Path, rng: random.Random) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    yaml = [path for path in files if path.suffix == ".yaml"]
    path = rng.choice(yaml if yaml and rng.random() < 0.7 else files) if files else root / "platform.yaml"
    if not path.exists():
        return ""
    change = rng.choice([*[_edit] * 12, _become])
    return f"{path.relative_to(root)}: {change(path, rng)}"


def _edit(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    name, edit = rng.choice(EDITS)
    path.write_bytes(edit(content, rng))
    return name


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + rng.choice(NASTY) + content[at:]


def _replace_word(content: bytes, rng: random.Random) -> bytes:
    words = content.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(NASTY)
    return b" ".join(words)


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    match rng.choice(["shuffle", "reverse", "twice"]):
        case "shuffle":
            rng.shuffle(lines)
        case "reverse":
            lines.reverse()
        case _:
            lines += lines[: rng.randint(0, len(lines))]
    return b"".join(lines)


def _line_away(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _indent(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        at = rng.randrange(len(lines))
        lines[at] = b" " * rng.randint(0, 6) + lines[at].lstrip()
    return b"".join(lines)


def _many(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice(NASTY) * rng.choice([50, 2_000, 20_000])


EDITS: list[tuple[str, Callable[[bytes, random.Random], bytes]]] = [
    ("insert", _insert), ("insert", _insert), ("replace a word", _replace_word), ("flip a bit", _flip), ("cut", _cut),
    ("lines", _lines), ("a line away", _line_away), ("indent", _indent), ("many", _many),
]  # fmt: skip


def _become(path: Path, rng: random.Random) -> str:
    kind = rng.choice(["folder", "link", "loop", "pipe", "gone", "unreadable", "empty", "hidden name"])
    if kind == "empty":
        path.write_bytes(b"")
        return kind
    if kind == "unreadable":
        path.chmod(0)
        return kind
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "hidden name":
        Path(os.fsdecode(bytes(path.parent) + b"/a\xff\x1b[31m\n.mjs")).write_bytes(b"")
    return kind


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
