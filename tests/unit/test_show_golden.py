"""What people see, pinned whole."""

from __future__ import annotations

import pytest

from tests.goldens import FOLDER, OUTPUTS


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_is_the_one_that_was_agreed_on(name: str) -> None:
    assert OUTPUTS[name]() == (FOLDER / name).read_text(encoding="utf-8"), "if meant: python -m tests.goldens"


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(OUTPUTS)
