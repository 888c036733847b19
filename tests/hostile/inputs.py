"""Inputs that a stranger, a broken disk or a false friend could hand us, each with the command that meets it.

`python -m tests.hostile.inputs SEED COUNT [KIND …]` tries COUNT of each kind and prints a line of JSON a kind: how many
were tried, the slowest in seconds of processor time, the peak of memory in MB, the exit codes, and the first failure.

Law: whatever the input, the command ends with an exit code of its own and words without a traceback; it tells no
secret, sends no escape to the terminal, and nothing outside the repository is written or shown.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.model import Key
from reconciler.plan import Action
from reconciler.show import plan_json
from tests.cli.terminal import Ran, edit, repository, run
from tests.property.repository_fuzz import EDITS, NASTY, forget_peak, peak_memory

# Stands for what only this machine may know. It lies beside the repository, and in the environment.
CANARY = "canary-7f3a-never-shown"
SECONDS, MEGABYTES = 2.0, 300
CODES = (0, 1, 2, 3, 4, 5, 6, 7)

Attack = Callable[[Path, random.Random], list[str]]


@dataclass(frozen=True)
class Tried:
    """What came of one input."""

    seconds: float
    megabytes: int  # more than the process held before
    code: int
    failure: str = ""


def prepared(folder: Path) -> Path:
    """The sample in git, applied once: it has a ledger, a cache, an account and a saved plan."""
    root = repository(folder / "repository")
    (folder / "secret.txt").write_text(CANARY, encoding="utf-8")
    _git(root, "init", "-q", "-b", "main")
    commit(root, "first")
    assert run(root, "apply", "--local", "--yes").code == 0
    edit(root, "customers/globex/shop.mjs", "export", "/* two */ export")
    commit(root, "second")
    assert run(root, "plan", "--local", "--out", str(folder / "plan.json")).code == 0
    return root


def commit(root: Path, subject: str) -> None:
    _git(root, "add", "-A")
    _git(root, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", subject)


def attempt(sample: Path, attack: Attack, rng: random.Random) -> Tried:
    """One input against a copy of the sample."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        shutil.copytree(sample, folder, symlinks=True)
        words = attack(folder, rng)
        outside = _listing(Path(name))
        forget_peak()
        held, began = peak_memory(), time.process_time()
        done = run(folder / "repository", *words, variables={"SOME_SECRET": CANARY, "CLOUDFLARE_API_TOKEN": CANARY})
        seconds, megabytes = time.process_time() - began, peak_memory() - held
        failure = _failure(done, seconds, megabytes)
        if not failure and _listing(Path(name)) != outside:
            failure = f"something was written outside: {_listing(Path(name)) ^ outside}"
        return Tried(seconds, megabytes, done.code, failure and f"{words}: {failure}\n{done.out}\n{done.err}")


def _failure(done: Ran, seconds: float, megabytes: int) -> str:
    text = done.out + done.err
    wrong = {
        "an exit code that means nothing": done.code not in CODES,
        "a traceback": "Traceback" in text or "bug in reconciler" in text,
        "a secret": CANARY in text,
        "an escape": "\x1b" in text,
        "no word of what is wrong": done.code == 1 and not done.err.strip() and not done.out.strip(),
        f"{seconds:.1f} s": seconds > SECONDS,
        f"{megabytes} MB": megabytes > MEGABYTES,
    }
    return ", ".join(name for name, is_so in wrong.items() if is_so)


def _listing(top: Path) -> frozenset[str]:
    """All that is beside the repository."""
    inside = str(top / "copy" / "repository")
    found = (f"{folder}/{file}" for folder, _, files in os.walk(top) for file in files)
    return frozenset(path for path in found if not path.startswith(inside))


def _bytes(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(EDITS)[1](content, rng)[: 8 * 1024 * 1024]
    return content


# ---- saved plans


def plan_as_text(folder: Path, rng: random.Random) -> list[str]:
    path = folder / "plan.json"
    path.write_bytes(_bytes(path.read_bytes(), rng))
    return ["apply", "--local", "--yes", "--plan", str(path)]


def plan_as_values(folder: Path, rng: random.Random) -> list[str]:
    """Well-formed JSON that says something else: other types, other names, other depths."""
    path = folder / "plan.json"
    value = json.loads(path.read_bytes())
    for _ in range(rng.randint(1, 5)):
        value = _changed(value, rng)
    path.write_text(json.dumps(value), encoding="utf-8")
    return ["apply", "--local", "--yes", "--plan", str(path)]


VALUES: list[Any] = [
    None, True, -1, 2**70, 1e308, "", "\x1b[2J", "../../secret.txt", "x" * 100_000, "\u202e", [], {}, [[]], {"a": {}},
    "rcn-acme", "globex-shop", "user_worker", "delete", "\ud800",
]  # fmt: skip


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        match rng.randrange(8):
            case 0:
                return {key: one for key, one in value.items() if key != name}
            case 1:
                return {**value, str(rng.choice(VALUES)): value[name]}
        return {**value, name: _changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value * rng.choice([0, 2, 300])
            case 1:
                return value[:at] + value[at + 1 :]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    if rng.random() < 0.1:
        for _ in range(rng.choice([5, 400])):
            value = [value]
        return value
    return rng.choice(VALUES)


def forged_plan(folder: Path, rng: random.Random) -> list[str]:
    """A plan with a digest that fits, of changes that nobody planned."""
    path = folder / "plan.json"
    plan = plan_json.read(path.read_text(encoding="utf-8"))
    changes = list(plan.changes)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changes))
        one = changes[at]
        changes[at] = rng.choice(
            [
                replace(one, action=rng.choice(list(Action))),
                replace(one, before=one.after, after=one.before),
                replace(one, key=Key(rng.choice(["user_worker", "namespace", "no_kind", ""]), rng.choice(FORGED))),
                replace(one, before=None, after=None),
            ]
        )
    path.write_text(plan_json.render(replace(plan, changes=tuple(changes) * rng.choice([1, 1, 2]))), encoding="utf-8")
    return ["apply", "--local", "--yes", "--plan", str(path)]


FORGED = ["globex-shop", "initech-status", "not-there", "../../accounts/x", "\x1b[2J", "", "a" * 300, "é", "?a=b#c"]


# ---- what is kept between runs


def kept_file(folder: Path, rng: random.Random) -> list[str]:
    """Any file of .reconciler, byte by byte, or something that is no file."""
    kept = sorted(path for path in (folder / "repository" / ".reconciler").rglob("*") if path.is_file())
    path = rng.choice(kept)
    match rng.randrange(8):
        case 0:
            path.unlink()
            path.mkdir()
        case 1:
            path.unlink()
            path.symlink_to(folder / "secret.txt")
        case 2:
            path.unlink()
            os.mkfifo(path)
        case 3:
            path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 100_000])))
        case _:
            path.write_bytes(_bytes(path.read_bytes(), rng))
    return _some_command(rng)


def kept_rows(folder: Path, rng: random.Random) -> list[str]:
    """A database that is sound, with rows that lie."""
    kept = sorted((folder / "repository" / ".reconciler").rglob("*.sqlite3"))
    path = rng.choice([one for one in kept if "local" not in one.parts])  # the account is another program's
    with closing(sqlite3.connect(path)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(rng.randint(1, 4)):
            table = rng.choice(tables)
            columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
            try:
                database.execute(f'UPDATE "{table}" SET "{rng.choice(columns)}" = ?', (rng.choice(ROWS),))
            except sqlite3.Error:
                database.execute(f'DELETE FROM "{table}"')
    return _some_command(rng)


ROWS: list[Any] = [
    None, 0, -1, 2**62, 1e300, "", "x", "\x1b[2J", "{}", "[]", "null", '{"a": 1}', "9" * 5000, "\u202e",
    b"", b"\xff", *NASTY,
]  # fmt: skip


def _some_command(rng: random.Random) -> list[str]:
    return rng.choice(
        [
            ["plan", "--local"],
            ["apply", "--local", "--yes"],
            ["drift", "--local", "--verify", "all"],
            ["status", "--local"],
            ["validate"],
            ["doctor", "--local"],
        ]
    )


# ---- git


REFS = [
    "", "-", "--", "--output=../stolen", "--help", "-c core.pager=id", "HEAD^{/(a+)+$}", "@{-1}", "@{upstream}", ":/x",
    ":customers", "HEAD:customers", "HEAD..HEAD~1", "HEAD...HEAD~1", "^HEAD", "HEAD^{tree}", "refs/../../secret.txt",
    "../secret.txt", "$(id)", "`id`", ";id", "|id", "\n", "\x1b[2J", "\u202e", "a" * 5000, "HEAD~999999999", "*", "?",
    "main@{1 day ago}", "main@{now}", "HEAD@{99999}", "0" * 40, "f" * 64, "HEAD\nHEAD", "é", "//", "~", "^", "@", "@@",
]  # fmt: skip


def ref(folder: Path, rng: random.Random) -> list[str]:
    del folder
    name = rng.choice(REFS)
    if rng.random() < 0.3:
        name += rng.choice(REFS)
    where = rng.choice(["--base", "--changed-since", "--at"])
    return ["plan", *([] if where == "--base" else ["--local"]), f"{where}={name}"]


def tree(folder: Path, rng: random.Random) -> list[str]:
    """A commit that no git would make: entries that climb, links, submodules, names that no file may have."""
    root = folder / "repository"
    blob = _object(root, "blob", rng.choice([b"", b"x", CANARY.encode()[:3], b"scripts: {}\n"]))
    entries = _entries(root) | {
        name: (mode, blob if mode.startswith("1") else _object(root, "tree", b""))
        for name, mode in rng.sample(ODD, rng.randint(1, 6))
    }
    lines = (b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(one)) for name, (mode, one) in entries.items())
    top = _object(root, "tree", b"".join(lines))
    people = "author \x1b[2J <a@b> 1 +0000\ncommitter c <a@b> 1 +0000"
    text = f"tree {top}\n{people}\n\n\x1b[2Jhostile ::error::\n"
    made = _object(root, "commit", text.encode())
    where = rng.choice(["--base", "--changed-since", "--at"])
    return ["plan", *([] if where == "--base" else ["--local"]), f"{where}={made}"]


ODD: list[tuple[bytes, str]] = [
    (b"..", "40000"), (b".", "40000"), (b".git", "40000"), (b"../escaped", "100644"), (b"/etc/passwd", "100644"),
    (b"customers/../../escaped", "100644"), (b"a\x1b[2Jb", "100644"), (b"a\nb", "100644"), (b"\xff\xfe", "100644"),
    ("\u202e\u200b".encode(), "100644"), (b"link", "120000"), (b"module", "160000"), (b"n" * 4000, "100644"),
    (b"customers", "100644"), (b"customers", "120000"), (b"platform.yaml", "40000"), (b"platform.yaml", "120000"),
    (b"platform.yaml", "160000"), (b"-rf", "100644"), (b"odd-mode", "777777"), (b"customer.yaml", "100644"),
]  # fmt: skip


def _entries(root: Path) -> dict[bytes, tuple[str, str]]:
    listed = _git(root, "ls-tree", "-z", "HEAD").split(b"\0")
    found = {}
    for line in filter(None, listed):
        about, _, name = line.partition(b"\t")
        mode, _, identity = about.decode().split(" ")
        found[name] = (mode.lstrip("0"), identity)
    return found


def _object(root: Path, kind: str, content: bytes) -> str:
    return _git(root, "hash-object", "-t", kind, "-w", "--stdin", "--literally", given=content).decode().strip()


def _git(root: Path, *words: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", *words], cwd=root, input=given, capture_output=True, check=True).stdout


# ---- files beside the repository's own


def variables_file(folder: Path, rng: random.Random) -> list[str]:
    path = folder / "variables.env"
    lines = b"SOME_SECRET=" + CANARY.encode() + b"\nexport A='b c'\nCLOUDFLARE_API_BASE_URL=http://127.0.0.1:1\n"
    path.write_bytes(_bytes(lines, rng))
    return ["plan", "--local", "--env-file", str(path)]


def name_of_a_file(folder: Path, rng: random.Random) -> list[str]:
    """Names that lead elsewhere, or say something to a terminal, in the customer's own folder."""
    root = folder / "repository" / "customers" / "globex"
    name = rng.choice(NAMES)
    try:
        path = Path(os.fsdecode(bytes(root) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.choice([b"export default {};\n", b"\0", b"import './" + name + b"';"]))
    except OSError:
        pass  # no file system takes it
    edit(folder / "repository", "customers/globex/customer.yaml", "shop.mjs", 'shop.mjs, modules: ["**/*.mjs"]')
    return rng.choice([["validate"], ["validate", "--format", "github"], ["plan", "--local", "--format", "markdown"]])


NAMES = [
    b"a\x1b[2J.mjs", b"a\n::error::b.mjs", b"a\r.mjs", "\u202emjs.a".encode(), "\u200b.mjs".encode(), b"\xff.mjs",
    b"%0A::warning::.mjs", b"a b.mjs", b"-rf.mjs", b"a'b\".mjs", b"a`id`.mjs", b"$(id).mjs", b"<script>.mjs",
    b"@all.mjs", b"a" * 250 + b".mjs", b"d/" * 40 + b"x.mjs", b"con.mjs", b"a|b.mjs", b"[x](http://e).mjs",
    b"customer.yml", b".mjs",
]  # fmt: skip


KINDS: Mapping[str, Attack] = {
    "saved plan, as text": plan_as_text,
    "saved plan, as values": plan_as_values,
    "saved plan, forged": forged_plan,
    "kept file": kept_file,
    "kept rows": kept_rows,
    "git ref": ref,
    "git tree": tree,
    "variables file": variables_file,
    "name of a file": name_of_a_file,
}


def campaign(seed: int, count: int, kinds: Mapping[str, Attack] = KINDS) -> Iterator[dict[str, Any]]:
    """A line a kind."""
    with tempfile.TemporaryDirectory() as name:
        sample = Path(name)
        prepared(sample)
        for kind, attack in kinds.items():
            tried = [attempt(sample, attack, random.Random(f"{seed} {kind} {number}")) for number in range(count)]
            yield {
                "kind": kind,
                "tried": count,
                "slowest": round(max(one.seconds for one in tried), 2),
                "memory": max(one.megabytes for one in tried),
                "codes": dict(sorted(Counter(one.code for one in tried).items())),
                "failure": next((f"{number}: {one.failure}" for number, one in enumerate(tried) if one.failure), ""),
            }


if __name__ == "__main__":
    wanted = {name: KINDS[name] for name in sys.argv[3:]} or KINDS
    for line in campaign(int(sys.argv[1]), int(sys.argv[2]), wanted):
        print(json.dumps(line), flush=True)
