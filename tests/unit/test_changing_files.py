"""Files that someone exchanges while they are read: nothing outside the repository is ever shown or uploaded."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.load import config, files
from tests.cli.terminal import repository, run

MARK = "outside-of-the-repository"


def to_the_file_itself(root: Path, outside: Path) -> None:
    _exchange(root / "customers/globex/shop.mjs", lambda path: path.symlink_to(outside / "globex/shop.mjs"))


def to_its_folder(root: Path, outside: Path) -> None:
    _exchange(root / "customers/globex", lambda path: path.symlink_to(outside / "globex"))


def to_the_folder_of_all(root: Path, outside: Path) -> None:
    _exchange(root / "customers", lambda path: path.symlink_to(outside))


def to_a_pipe(root: Path, outside: Path) -> None:
    _exchange(root / "customers/globex/shop.mjs", os.mkfifo)


def to_a_folder(root: Path, outside: Path) -> None:
    _exchange(root / "customers/globex/shop.mjs", Path.mkdir)


def to_nothing(root: Path, outside: Path) -> None:
    _exchange(root / "customers/globex", lambda path: None)


EXCHANGES = (to_the_file_itself, to_its_folder, to_the_folder_of_all, to_a_pipe, to_a_folder, to_nothing)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_what_is_exchanged_while_it_is_read_shows_nothing_of_outside(
    tmp_path: Path, exchange: Callable[[Path, Path], None]
) -> None:
    root = repository(tmp_path / "repository")
    outside = tmp_path / "outside"
    shutil.copytree(root / "customers", outside)
    for file in outside.rglob("*.*"):
        file.write_text(f"// {MARK}\n{file.read_text(encoding='utf-8')}", encoding="utf-8")
    (outside / "globex" / f"{MARK}.mjs").write_text("export default {};\n")
    with _again_and_again(lambda: exchange(root, outside)):
        for words in (("validate", "--format", "json"), ("plan", "--local"), ("validate",)):
            ran = run(root, *words)
            assert ran.code in (0, 1)
            assert MARK not in ran.out + ran.err
            assert "Traceback" not in ran.err


def test_a_folder_that_has_become_a_link_is_read_no_more(tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    folder = next(one for one in files.customers(root, config.CUSTOMERS).customers if one.path.endswith("globex"))
    assert folder.read("shop.mjs")
    shutil.move(root / "customers/globex", tmp_path / "outside")
    (root / "customers/globex").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError):
        folder.read("shop.mjs")
    assert files.below(root, "customers/globex")[0].files == ()


@pytest.mark.parametrize("exchange", [to_the_file_itself, to_its_folder, to_the_folder_of_all])
def test_no_byte_of_outside_is_read_through_a_folder_that_becomes_a_link(
    tmp_path: Path, exchange: Callable[[Path, Path], None]
) -> None:
    root = repository(tmp_path / "repository")
    outside = tmp_path / "outside"
    shutil.copytree(root / "customers", outside)
    (outside / "globex/shop.mjs").write_text(MARK)
    (outside / "globex" / f"{MARK}.mjs").write_text(MARK)
    came = {"read": 0, "refused": 0}
    with _again_and_again(lambda: exchange(root, outside)):
        until = time.monotonic() + 0.2
        while time.monotonic() < until or not all(came.values()):
            for folder in files.customers(root, config.CUSTOMERS).customers:
                assert not any(MARK in name for name in folder.files)
            try:
                assert MARK.encode() not in files.read_below(root, "customers/globex/shop.mjs")
                came["read"] += 1
            except (OSError, ValueError):
                came["refused"] += 1


def test_a_file_that_grows_while_it_is_read_ends_where_files_end(tmp_path: Path) -> None:
    """An endless file, as /proc has some: its size is told as 0."""
    endless = next(one for one in map(Path, ("/proc/self/pagemap", "/proc/kcore", "/proc/self/mem")) if one.exists())
    with pytest.raises((OSError, ValueError)):
        files.read(endless)


def _exchange(path: Path, put: Callable[[Path], object]) -> None:
    """Something else in a place for a moment, and then what was there before."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    put(path)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    aside.rename(path)


@contextmanager
def _again_and_again(step: Callable[[], None]) -> Iterator[None]:
    ends = threading.Event()

    def steps() -> None:
        while not ends.is_set():
            step()

    thread = threading.Thread(target=steps)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def test_a_customers_folder_that_cannot_be_looked_through_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that goes away: whoever reads it is told why, and never by a traceback."""
    (tmp_path / "customers/acme").mkdir(parents=True)
    (tmp_path / "customers/acme/customer.yaml").write_text("scripts: {}\n")
    with files.customer(tmp_path, "customers/acme") as folder:
        assert folder.files == ("customer.yaml",)
        assert folder.read("customer.yaml") == b"scripts: {}\n"

    def fails(number: int) -> None:
        del number
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.scandir", fails)
    with files.customer(tmp_path, "customers/acme") as folder:
        assert folder.files == ()
