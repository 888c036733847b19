"""Messages that the documents quote are messages that the program gives."""

from __future__ import annotations

import re

import pytest

from tests.documents.conftest import ROOT

HEADINGS = re.findall(r'^## "(.+)"$', (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)


# What the program is pinned to print, and for what no test prints yet, the texts in its sources.
PRINTED = [
    path.read_text(encoding="utf-8")
    for pattern in ("tests/cases/*/expected.txt", "tests/cli/guards/*.txt", "reconciler/**/*.py")
    for path in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize("quoted", HEADINGS)
def test_a_quoted_message_is_given(quoted: str) -> None:
    """Word for word; for …, a number or a variable's name, anything may stand."""
    parts = [re.escape(one.strip()) for one in re.split(r"…|\d+|[A-Z_]{6,}", quoted) if one.strip()]
    pattern = re.compile("[^\n]{0,60}".join(parts))
    assert any(pattern.search(text) for text in PRINTED)
