"""Every link between the documents leads to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.picture import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    assert [link for link in _LINK.findall(text) if not leads_somewhere(document, link)] == []


def test_a_link_to_nothing_is_found() -> None:
    assert not leads_somewhere(ROOT / "README.md", "docs/nothing.md")
    assert not leads_somewhere(ROOT / "README.md", "docs/local.md#nothing")
    assert leads_somewhere(ROOT / "README.md", "docs/local.md#what-differs")


def leads_somewhere(document: Path, link: str) -> bool:
    if link.startswith(("https://", "http://")):
        return True  # others' pages are theirs to keep
    name, _, anchor = link.partition("#")
    target = (document.parent / name) if name else document
    if not target.exists():
        return False
    return not anchor or anchor in set(anchors(target.read_text(encoding="utf-8")))


def anchors(text: str) -> Iterator[str]:
    """As GitHub and the site make them: small letters, no punctuation, hyphens for spaces."""
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
