"""The HTML form of a plan in a real browser: searched, filtered, folded, with nothing foreign run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.show import plan_html
from tests import plans
from tests.browser.chromium import EXECUTABLE, Page, browser

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium is installed")

VISIBLE = """[...document.querySelectorAll('.change')]
  .filter(one => one.checkVisibility())
  .map(one => one.querySelector('.name').textContent)"""
TYPE = """new Promise(done => {{
  const search = document.getElementById('search');
  search.value = {0!r};
  search.dispatchEvent(new Event('input'));
  setTimeout(done, 200);
}})"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as one:
        yield one


def _open(page: Page, sample: plans.Sample, folder: Path, fragment: str = "") -> None:
    page.complaints.clear()
    file = folder / "plan.html"
    file.write_text(plan_html.render(sample()), encoding="utf-8")
    page.open(f"{file.as_uri()}{fragment}")


def test_search_leaves_what_holds_every_word(page: Page, tmp_path: Path) -> None:
    _open(page, plans.middling, tmp_path)
    assert page.run("document.querySelectorAll('.change').length") == 14
    page.run(TYPE.format("globex LIMITS"))
    assert page.run(VISIBLE) == ["globex-api", "globex-shop"]
    assert page.run("document.getElementById('found').textContent") == "2 changes"
    page.run(TYPE.format("everywhere-00299"))
    assert page.run(VISIBLE) == ["platform_module.mjs", "300 scripts of 40 customers"]
    page.run(TYPE.format(""))
    assert len(page.run(VISIBLE)) == 14
    assert page.complaints == []


def test_a_kind_of_change_can_be_switched_off(page: Page, tmp_path: Path) -> None:
    _open(page, plans.middling, tmp_path)
    for action in ("update", "create"):
        page.run(f"document.querySelector('button[data-action={action}]').click()")
    assert page.run(VISIBLE) == ["globex-store", "initech-old"]


def test_everything_unfolds_and_folds(page: Page, tmp_path: Path) -> None:
    _open(page, lambda: plans.large(40), tmp_path)
    opened = "document.querySelectorAll('details.change[open]').length"
    assert page.run("document.getElementById('fold').textContent") == "unfold"
    page.run("document.getElementById('fold').click()")
    assert page.run(opened) == page.run("document.querySelectorAll('details.change').length")
    assert page.run("document.getElementById('fold').textContent") == "fold"
    page.run("document.getElementById('fold').click()")
    assert page.run(opened) == 0


def test_a_risk_leads_to_its_change(page: Page, tmp_path: Path) -> None:
    _open(page, lambda: plans.large(2_000), tmp_path)
    page.run("document.querySelector('.risks details:nth-of-type(2) summary').click()")
    link = page.run("document.querySelector('.risks details:nth-of-type(2) a').hash")
    page.run("document.querySelector('.risks details:nth-of-type(2) a').click()")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run(f"document.querySelector('{link}').open")
    assert page.run(f"document.querySelector('{link}').getBoundingClientRect().top") < 800


def test_hostile_contents_are_text_and_nothing_else(page: Page, tmp_path: Path) -> None:
    _open(page, plans.hostile, tmp_path)
    assert page.complaints == []
    assert page.run("document.querySelectorAll('img, iframe, a[href^=http], script, link').length") == 1
    assert page.run("document.body.textContent.includes('<script>alert(1)</script>')")
    assert page.run("document.querySelectorAll('.change').length") == 63


def test_the_policy_runs_no_other_script_and_reaches_no_host(page: Page, tmp_path: Path) -> None:
    _open(page, plans.small, tmp_path)
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.invalid/x.png\">')")
    page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run("typeof window.ran") == "undefined"
    assert len(page.complaints) == 2
    assert all("Content Security Policy" in one for one in page.complaints)


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
@pytest.mark.parametrize("sample", [plans.nothing, plans.middling, plans.hostile])
def test_nothing_is_wider_than_the_screen(page: Page, tmp_path: Path, width: int, sample: plans.Sample) -> None:
    page.size(width, 800)
    _open(page, sample, tmp_path)
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(page: Page, tmp_path: Path, scheme: str) -> None:
    if scheme == "dark":
        page.dark()
    _open(page, plans.middling, tmp_path)
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.run(FAINT) == []


# Texts whose contrast is under 4.5 to 1, the bound of WCAG 2.1 AA.
FAINT = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return rgb('white');
  };
  const found = new Set();
  for (const element of document.body.querySelectorAll('*')) {
    const texts = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!texts || element.closest('script')) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) found.add(`${element.className || element.localName}: ${contrast.toFixed(1)}`);
  }
  return [...found];
})()"""


@pytest.mark.deep
def test_ten_thousand_changes_are_searched_while_one_types(page: Page, tmp_path: Path) -> None:
    page.size(1200, 800)
    _open(page, plans.large, tmp_path)
    began = time.perf_counter()
    page.run(TYPE.format("customer-0042-03"))
    assert page.run(VISIBLE) == ["customer-0042-03"]
    assert time.perf_counter() - began < 5
