"""The dashboard in a real browser: current without reloading, at home on a phone, by keyboard, nothing foreign run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.dev.journal import Journal
from reconciler.dev.platform import Platform, Settings
from reconciler.errors import LocalError
from reconciler.local.runtime_binary import find_workerd
from tests import small_platform
from tests.browser.chromium import EXECUTABLE, LeftThePageError, Page, browser

HERE = Path(__file__).parent
PLACES = ("/", "/plan", "/requests", "/new", "/customers/globex", "/scripts/globex-shop")


def _missing() -> str:
    if EXECUTABLE is None:
        return "no Chromium is installed"
    try:
        find_workerd(HERE)
    except LocalError:
        return "workerd is not installed"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing())


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    root = small_platform.write(tmp_path_factory.mktemp("dashboard"))
    (root / "node_modules").symlink_to(find_workerd(HERE).parents[3])
    settings = Settings(
        root, "", dict(os.environ), root / ".reconciler/local", root / ".reconciler/ledger", "0" * 32, 0, 0
    )
    with Platform(settings, Journal()) as one:
        one.reconcile("start")
        one.ready()
        yield one


@pytest.fixture(autouse=True)
def same_files(platform: Platform, page: Page) -> Iterator[None]:
    page.complaints.clear()
    page.size(1280, 900)
    yield
    small_platform.write(platform.settings.root)
    platform.reconcile("as it was")


def test_no_page_breaks_its_own_policy_or_is_wider_than_its_window(platform: Platform, page: Page) -> None:
    for width in (390, 820, 1280):
        page.size(width, 844)
        for place in PLACES:
            page.open(platform.server.url + place)
            wide = page.run("document.documentElement.scrollWidth")
            assert wide <= width, f"{place} is {wide} pixels wide in a window of {width}"
    assert page.complaints == []


def test_a_request_shows_as_it_happens(platform: Platform, page: Page) -> None:
    page.open(f"{platform.server.url}/requests")
    httpx.get(f"http://127.0.0.1:{platform.port}/dispatch/globex-shop?from=outside")
    _until(lambda: "from=outside" in _text(page, "[data-stream]"))
    first = "[data-stream] li:not(.platform)"
    assert _text(page, f"{first} [data-slot=head]") == "200"
    assert _text(page, f"{first} [data-slot=script]") == "globex-shop"


def test_a_save_shows_without_reloading(platform: Platform, page: Page) -> None:
    page.open(platform.server.url)
    assert _text(page, ".status") == "in step"
    root = platform.settings.root
    (root / "customers/initech/customer.yaml").write_text("tier: golden\nscripts:\n  hello: {main: hello.mjs}\n")
    platform.reconcile("a save")
    _until(lambda: _text(page, ".status") == "1 problem")
    _until(lambda: 'there is no tier "golden"' in _text(page, "main"))
    (root / "customers/initech/customer.yaml").write_text(
        "tier: basic\nscripts:\n  hello: {main: hello.mjs, tags: [fresh]}\n"
    )
    platform.reconcile("another save")
    _until(lambda: _text(page, ".status") == "in step" and "fresh" in _text(page, "main"))


def test_a_search_shows_what_it_finds_while_one_types(platform: Platform, page: Page) -> None:
    page.open(platform.server.url)
    page.run("document.body.focus()")
    page.press("/")
    page.type("initech")
    _until(lambda: "globex-shop" not in _text(page, "[data-live=scripts]"))
    assert "hello" in _text(page, "[data-live=scripts]")
    assert page.run("location.search") == "?q=initech"
    file = platform.settings.root / "customers/initech/hello.mjs"
    file.write_text("export default { fetch: () => new Response('hello 4') };")
    digest = _text(page, "[data-live=scripts] .digest")
    platform.reconcile("a save while one searches")
    _until(lambda: _text(page, "[data-live=scripts] .digest") != digest)
    assert page.complaints == []


def test_a_form_that_is_being_filled_in_is_left_alone(platform: Platform, page: Page) -> None:
    page.open(f"{platform.server.url}/scripts/hello")
    page.run("(document.querySelector('[name=path]').focus(), document.querySelector('[name=path]').value = '/typed')")
    (platform.settings.root / "customers/initech/hello.mjs").write_text("export default { fetch: () => 1 };\n")
    platform.reconcile("a save")
    _until(lambda: "fetch: () => 1" in _text(page, ".code"))
    assert page.run("document.querySelector('[name=path]').value") == "/typed"
    assert page.run("document.activeElement.name") == "path"


def test_a_request_is_sent_and_its_answer_shown_in_place_as_text(platform: Platform, page: Page) -> None:
    page.open(f"{platform.server.url}/scripts/globex-shop")
    page.run("document.querySelector('form.ask').requestSubmit()")
    _until(lambda: "200" in _text(page, "#answer"))
    assert "shop <b>1</b>" in _text(page, "#answer .code")
    assert page.run("document.querySelectorAll('#answer .code b').length") == 0
    assert page.run("location.pathname") == "/scripts/globex-shop"
    assert page.complaints == []


def test_a_new_customer_and_script_by_keyboard_alone(platform: Platform, page: Page) -> None:
    page.open(f"{platform.server.url}/new")
    assert page.run("document.querySelector('[data-when]').checkVisibility()") is False
    page.run("document.getElementById('customer').focus()")
    page.press("End")  # the last choice: a new customer
    assert page.run("document.querySelector('[data-when]').checkVisibility()") is True
    for text in ("wonka", "Wonka", "", "wonka-shop"):  # id, name, tier as it is, script
        page.press("Tab")
        page.type(text)
    page.press("Enter")
    _until(
        lambda: page.run("location.pathname") == "/scripts/wonka-shop" and page.run("document.readyState") == "complete"
    )
    assert "Hello from" in _text(page, ".code")
    assert (platform.settings.root / "customers/wonka/customer.yaml").exists()
    answer = httpx.get(f"http://127.0.0.1:{platform.port}/dispatch/wonka-shop")
    assert answer.text.startswith("Hello from")


def test_an_edit_is_saved_and_live(platform: Platform, page: Page) -> None:
    page.open(f"{platform.server.url}/scripts/hello")
    page.run("document.querySelector('.card .button').click()")
    _until(lambda: page.run("location.pathname") == "/edit" and page.run("document.readyState") == "complete")
    assert page.run("document.querySelector('textarea').value") == small_platform.FILES["customers/initech/hello.mjs"]
    code = "export default { fetch: () => new Response('edited') };\n"
    page.run(f"document.querySelector('textarea').value = {json.dumps(code)}")
    page.run("document.querySelector('form.sheet').requestSubmit()")
    _until(lambda: page.run("location.pathname") == "/scripts/hello")
    assert httpx.get(f"http://127.0.0.1:{platform.port}/dispatch/hello").text == "edited"


def test_every_control_has_a_name_and_every_page_one_heading(platform: Platform, page: Page) -> None:
    for place in PLACES:
        page.open(platform.server.url + place)
        assert page.run("document.querySelectorAll('h1').length") == 1
        assert (
            page.run(
                "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
                ".filter(one => !one.labels.length || !one.labels[0].textContent.trim()).map(one => one.name)"
            )
            == []
        )
        assert (
            page.run(
                "[...document.querySelectorAll('a[href], button')]"
                ".filter(one => !one.textContent.trim() && !one.ariaLabel).map(one => one.outerHTML)"
            )
            == []
        )
        assert page.run("document.documentElement.lang") == "en"


def test_text_is_readable_by_day_and_by_night(platform: Platform, page: Page) -> None:
    """Contrast of at least 4.5 for text, as WCAG asks, wherever the background is a plain colour."""
    for place in PLACES:
        page.open(platform.server.url + place)
        assert page.run(CONTRAST) == []
    page.dark()
    for place in PLACES:
        page.open(platform.server.url + place)
        assert page.run(CONTRAST) == []
    page.light()


CONTRAST = """(() => {
  const number = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * number(r) + 0.7152 * number(g) + 0.0722 * number(b);
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const found = read(getComputedStyle(one).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const one of document.querySelectorAll("main *, .bar *")) {
    const said = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!said || !one.checkVisibility()) continue;
    const [a, b] = [light(read(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.add(`${one.tagName}.${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 20)}`);
  }
  return [...poor];
})()"""


def _text(page: Page, selector: str) -> str:
    found = page.run(f"document.querySelector({json.dumps(selector)})?.textContent")
    return str(found or "").strip()


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not _now(true):
        assert time.monotonic() < until
        time.sleep(0.02)


def _now(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except LeftThePageError:
        return False
