"""A folder as git's first commit, in one pack as a clone comes with: `git add` would write a file for each object, and
`git fast-import` looks through the names of a folder for each that is added to it, which a million of them do not bear.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_COMMIT, _TREE, _BLOB = 1, 2, 3  # as a pack numbers them
_NAMES = {_COMMIT: "commit", _TREE: "tree", _BLOB: "blob"}
_WHO = "bench <bench@localhost> 1764115200 +0000"
_CHUNK = 1 << 20


def commit(root: Path) -> None:
    """Everything below `root`, on a new branch main."""
    _git(root, "init", "-q", "-b", "main")
    with tempfile.TemporaryFile() as body:
        pack = _Pack(body)
        tree = _tree(pack, root)
        head = pack.add(_COMMIT, f"tree {tree.hex()}\nauthor {_WHO}\ncommitter {_WHO}\n\nEverything\n".encode())
        with subprocess.Popen(
            ["git", "-C", str(root), "index-pack", "--stdin"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as indexing:
            assert indexing.stdin is not None
            for part in pack.parts():
                indexing.stdin.write(part)
        if indexing.returncode != 0:
            raise subprocess.CalledProcessError(indexing.returncode, "git index-pack")
    _git(root, "update-ref", "refs/heads/main", head.hex())
    _git(root, "reset", "-q")
    _git(root, "update-index", "-q", "--refresh")


def _tree(pack: _Pack, folder: Path) -> bytes:
    """The id of a folder, whose content is added first. Git sorts a folder as if its name ended in "/"."""
    entries = []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    entries.append((f"{entry.name}/", b"40000", _tree(pack, Path(entry.path))))
            else:
                entries.append((entry.name, b"100644", pack.add(_BLOB, Path(entry.path).read_bytes())))
    lines = (mode + b" " + name.removesuffix("/").encode() + b"\0" + one for name, mode, one in sorted(entries))
    return pack.add(_TREE, b"".join(lines))


class _Pack:
    """Objects one after the other, each once."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body, self._ids = body, set[bytes]()

    def add(self, kind: int, content: bytes) -> bytes:
        """The object's id."""
        identity = hashlib.sha1(f"{_NAMES[kind]} {len(content)}\0".encode() + content, usedforsecurity=False).digest()
        if identity not in self._ids:
            self._ids.add(identity)
            self._body.write(_head(kind, len(content)) + zlib.compress(content, 1))
        return identity

    def parts(self) -> Iterator[bytes]:
        """The whole pack: how many, the objects, and a digest of it all."""
        seen = hashlib.sha1(usedforsecurity=False)
        part = b"PACK" + (2).to_bytes(4, "big") + len(self._ids).to_bytes(4, "big")
        self._body.seek(0)
        while part:
            seen.update(part)
            yield part
            part = self._body.read(_CHUNK)
        yield seen.digest()


def _head(kind: int, size: int) -> bytes:
    """Kind and size: four bits of it, then seven in each byte, and a first bit for "more"."""
    head, size = [kind << 4 | size & 15], size >> 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head)


def _git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True)
