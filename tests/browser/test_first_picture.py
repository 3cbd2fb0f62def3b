"""The first picture: what begins where the first screen ends waits for it, and is there right after, script or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import launch, replayed_app, served

pytestmark = pytest.mark.browser
WAITING = {
    "/symbol/BTCUSDT?interval=1h": (".readings", "RSI 14"),
    "/performance": ("#history", "The last hour and the last day"),
}
_FIRST_FRAME = """new MutationObserver((_, watch) => {
  const waiting = document.querySelector('WHERE');
  if (!waiting) return;
  watch.disconnect();
  requestAnimationFrame(() => { window.first = getComputedStyle(waiting).contentVisibility; });
}).observe(document, { childList: true, subtree: true });"""
_NOW = "(where) => getComputedStyle(document.querySelector(where)).contentVisibility"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with replayed_app(tmp_path_factory.mktemp("first-picture"), ("BTCUSDT",)) as replay, served(replay.app) as address:
        yield address


@pytest.mark.parametrize("path", WAITING)
def test_what_lies_below_waits_for_the_first_picture(browser: Browser, address: str, path: str) -> None:
    where, words = WAITING[path]
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(_FIRST_FRAME.replace("WHERE", where))
    page.goto(address + path)
    top = page.evaluate("(where) => document.querySelector(where).getBoundingClientRect().top", where)
    assert top > 850, "what most of the first screen shows may not wait"
    page.wait_for_selector("html[data-painted]")
    assert page.evaluate("window.first") == "hidden"
    assert page.evaluate(_NOW, where) == "visible"
    assert words in page.inner_text(where)
    page.close()


@pytest.mark.parametrize("path", WAITING)
def test_without_a_script_it_is_there_as_well(browser: Browser, address: str, path: str) -> None:
    where, words = WAITING[path]
    page = browser.new_page(java_script_enabled=False)
    page.goto(address + path)
    page.locator(where).get_by_text(words).last.wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate(_NOW, where) == "visible"
    page.close()
