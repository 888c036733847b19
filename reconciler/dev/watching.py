"""Which files changed: two threads that tell of every save under the folders that a repository's files are in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from reconciler.load.files import CUSTOMER_FILE, PLATFORM_FILE

# An editor writes a file in several steps within a few milliseconds; 30 ms of silence end a save.
STEP_MS, DEBOUNCE_MS = 30, 200
STANDS_MS = 250  # of silence, after which a watch is known to stand

Saved = Callable[[tuple[str, ...]], None]


class Watch:
    """Calls `saved` with the files of each save, relative to the repository, from threads of its own.

    A call without files says that from now on nothing is missed: what was saved before has to be looked for once.

    Two watches, since an editor that replaces platform.yaml would end a watch on that file alone, and one on the whole
    repository would walk node_modules.
    """

    def __init__(self, root: Path, saved: Saved, failed: Callable[[OSError], None]) -> None:
        """`failed` is told when the system lets no more files be watched; nothing is watched from then on."""
        self._root, self._saved, self._failed = root, saved, failed
        self._ending = threading.Event()
        self._turn = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(watch,), name="watch", daemon=True)
            for watch in (self._top, self._folders)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._turn.set()
        for thread in self._threads:
            thread.join()

    def _run(self, watch: Callable[[], None]) -> None:
        while not self._ending.is_set():
            try:
                watch()
            except FileNotFoundError:  # a folder that went while its watch was made: look for the folders again
                self._ending.wait(0.05)
            except OSError as error:
                self._failed(error)
                return

    def _top(self) -> None:
        """platform.yaml, and folders that come and go beside it."""
        folders = watched_folders(self._root)
        for paths in _saves([self._root], self._ending, recursive=False):
            if folders != (folders := watched_folders(self._root)):
                self._turn.set()
            names = self._names(paths, only=(PLATFORM_FILE, *folders))
            if names or not paths:
                self._saved(names)

    def _folders(self) -> None:
        """What is below them, until other folders are to be watched."""
        self._turn.clear()
        if self._ending.is_set():
            return
        folders = [self._root / name for name in watched_folders(self._root)]
        if not folders:
            self._turn.wait()
            return
        for paths in _saves(folders, self._turn, recursive=True):
            self._saved(self._names(paths))

    def _names(self, paths: Iterable[str], only: tuple[str, ...] = ()) -> tuple[str, ...]:
        names = sorted({Path(path).relative_to(self._root).as_posix() for path in paths})
        return tuple(name for name in names if not only or name in only)


def watched_folders(root: Path) -> tuple[str, ...]:
    """The folders beside platform.yaml that files of the platform are in: customers, and those that it names."""
    try:
        text = (root / PLATFORM_FILE).read_text(encoding="utf-8", errors="replace")
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:
        return ()
    return tuple(name for name in folders if name == "customers" or (name[0] != "." and f"{name}/" in text))


def told(root: Path, files: Iterable[str], most: int = 3) -> str:
    """A save in words: "customers/globex/shop.mjs" or "customers/globex/customer.yaml and 2 more".

    Editors make and remove files of their own; what is gone is told only when there is nothing else.
    """
    names = sorted(files, key=lambda name: (not name.endswith(CUSTOMER_FILE), name))
    names = [name for name in names if (root / name).exists()] or names
    if len(names) <= most:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"


def _saves(paths: Sequence[Path], ending: threading.Event, *, recursive: bool) -> Iterator[list[str]]:
    """The paths of each save. The first list may be empty: it says that the watch stands."""
    import watchfiles  # 60 ms, on a thread of ours

    stands = False
    for changes in watchfiles.watch(
        *paths,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        stop_event=ending,
        recursive=recursive,
        raise_interrupt=False,
        rust_timeout=STANDS_MS,
        yield_on_timeout=True,
    ):
        if changes or not stands:
            yield [path for _, path in changes]
        stands = True
