"""The performance pages and flame graphs in a real Chromium: both themes, wide and narrow, with and without script."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import Replay, laid_out, launch, replayed_app, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROFILE = "a profile"
LOOKS = [
    ("/performance", "light", 1440),
    ("/performance", "dark", 390),
    (PROFILE, "dark", 1440),
    ("/performance/profiles", "light", 390),
]


@dataclass
class Site:
    address: str
    browser: Browser
    replay: Replay


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An application that has been asked for a while, and has one profile."""
    with replayed_app(tmp_path_factory.mktemp("performance"), ("BTCUSDT", "ETHUSDT")) as replay:
        client = replay.app.test_client()
        for path in ("/", "/symbol/BTCUSDT", "/symbol/BTCUSDT", "/nowhere", "/symbol/ETHUSDT?profile=1"):
            client.get(path, headers={"Accept-Encoding": "br"})
        with served(replay.app) as address, sync_playwright() as playwright:
            browser = launch(playwright)
            yield Site(address, browser, replay)
            browser.close()
        replay.app.extensions["profiling"].close()


@contextmanager
def opened(site: Site, path: str, *, width: int = 1440, **options: Any) -> Iterator[Page]:
    """The page; what it complains about, a breach of the content security policy among it, fails the test."""
    context = site.browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_default_timeout(120_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(site.address + path)
        laid_out(page)
        yield page
        assert complaints == []
    finally:
        context.close()


def stored_profile(site: Site) -> str:
    return f"/performance/profiles/{site.replay.app.extensions['profiling'].store.stored()[-1].id}"


@pytest.mark.parametrize(("path", "scheme", "width"), LOOKS)
def test_there_is_nothing_to_find_fault_with(site: Site, path: str, scheme: str, width: int) -> None:
    with opened(site, stored_profile(site) if path == PROFILE else path, width=width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        findings = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in findings] == []


def test_the_page_renews_itself_and_leaves_what_one_has_opened(site: Site) -> None:
    with opened(site, "/performance") as page:
        page.locator("#statements summary").click()
        page.locator("#clear-data_cache").focus()
        before = page.get_attribute("#performance", "data-version")
        site.replay.clock.tick(10)
        page.locator(f"#performance:not([data-version='{before}'])").wait_for()
        assert page.locator("#statements").get_attribute("open") is not None
        assert page.evaluate("document.activeElement.id") == "clear-data_cache"


def test_a_cache_is_cleared_without_script(site: Site) -> None:
    parts = site.replay.app.extensions["services"]
    site.replay.app.test_client().get("/symbol/BTCUSDT")
    assert parts.data_cache.stats().entries > 0
    with opened(site, "/performance", java_script_enabled=False) as page:
        page.get_by_role("button", name="Clear the cache Data cache").click()
        assert page.url.endswith("/performance#caches")
        assert parts.data_cache.stats().entries == 0


def test_a_phone_shows_each_section_as_a_name_and_a_figure_that_open_by_the_keyboard(site: Site) -> None:
    with opened(site, "/performance", width=390, java_script_enabled=False) as page:
        folds = page.locator("details.fold")
        assert folds.count() > 10
        assert not page.get_by_role("table").count(), "nothing is open"
        assert page.evaluate("document.documentElement.scrollHeight") < 3200
        routes = page.locator("#routes summary")
        assert routes.is_visible()
        assert "over budget" in routes.inner_text()
        routes.focus()
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Routes: timings").wait_for()


def test_a_wide_screen_has_every_section_whole_and_no_fold_to_stop_at(site: Site) -> None:
    with opened(site, "/performance", java_script_enabled=False) as page:
        assert page.get_by_role("heading", name="Caches", exact=True).count() == 1
        assert page.get_by_role("region", name="Caches").is_visible()
        assert not page.locator("details.fold > summary:visible").count()
        stops = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            stops.add(page.evaluate("document.activeElement.id"))
        assert "caches" in stops
        assert not {f"{one}-fold" for one in ("routes", "caches-card", "history", "part-process")} & stops


def test_a_cache_that_was_cleared_on_a_phone_is_open_again(site: Site) -> None:
    with opened(site, "/performance", width=390, java_script_enabled=False) as page:
        page.locator("#caches-card summary").click()
        page.get_by_role("button", name="Clear the cache Data cache").click()
        page.wait_for_url("**/performance#caches")
        page.get_by_role("button", name="Clear the cache Data cache").wait_for()


@pytest.mark.parametrize("script", [True, False])
def test_the_process_is_recorded_by_a_click_and_looked_into_by_another(site: Site, script: bool) -> None:
    with opened(site, "/performance", java_script_enabled=script) as page:
        page.get_by_role("link", name="Profiles").click()
        page.get_by_label("seconds").fill("1")
        page.get_by_role("button", name="The process").click()
        page.wait_for_selector("svg.flame a")
        assert "/performance/profiles/" in page.url
        boxes = page.locator("svg.flame a[href]")
        assert boxes.count() > 3
        boxes.nth(3).click()
        page.wait_for_url("**at=3")
        page.get_by_text("show all again").wait_for()
        if script:
            page.get_by_label("Find a function").fill("all of it")
            assert page.locator("#flame .found").count() == 1
            page.go_back()
            page.get_by_text("show all again").wait_for(state="detached")
