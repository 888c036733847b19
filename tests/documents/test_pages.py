"""What is made from the code among the documents is what the code says today."""

from __future__ import annotations

import re

import pytest

from tests.documents.pages import MADE, QUICK
from tests.documents.picture import ROOT

AGAIN = "run `python -m tests.documents.pages`, then read the diff"

# Digests follow every byte of a script and of the shim: a picture shows that there are some, not which.
_DIGEST = re.compile(r"\b[0-9a-f]{8,}\b")


@pytest.mark.parametrize("name", QUICK)
def test_a_page_is_fresh(name: str) -> None:
    assert MADE[name]() == (ROOT / name).read_text(encoding="utf-8"), AGAIN


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(MADE.keys() - set(QUICK)))
def test_a_picture_is_fresh(name: str) -> None:
    committed = (ROOT / name).read_text(encoding="utf-8")
    assert _DIGEST.sub("…", MADE[name]()) == _DIGEST.sub("…", committed), AGAIN
