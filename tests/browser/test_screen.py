"""The screen: overview and market page in a real Chromium, on real candles, in both themes, wide and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import Replay, laid_out, launch, replayed_app, served

pytestmark = pytest.mark.browser

WIDE, PHONE = (1440, 900), (390, 844)
CHART = "#chart.drawn"


@dataclass
class Site:
    address: str
    replay: Replay
    browser: Browser


@dataclass
class Watched:
    """A page, and what it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("screen")
    with (
        replayed_app(folder, ("BTCUSDT", "ETHUSDT", "SOLUSDT")) as replay,
        served(replay.app) as address,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        yield Site(address, replay, browser)
        browser.close()


@contextmanager
def opened(
    site: Site, path: str, size: tuple[int, int] = WIDE, scheme: str = "dark", **options: Any
) -> Iterator[Watched]:
    """The page at `path`; any console error, uncaught error or CSP violation fails the test when it is left."""
    viewport = {"width": size[0], "height": size[1]}
    context = site.browser.new_context(viewport=viewport, color_scheme=scheme, **options)  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page = context.new_page()
    watched = Watched(page)
    page.on("console", lambda message: watched.complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    if options.get("java_script_enabled", True):
        page.add_init_script(
            "window.__violations = []; document.addEventListener('securitypolicyviolation',"
            " (event) => window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));"
        )
    try:
        page.goto(site.address + path)
        laid_out(page)
        yield watched
        if options.get("java_script_enabled", True):
            assert page.evaluate("window.__violations") == []
            assert page.evaluate("window.__x") is None
        assert watched.complaints == []
    finally:
        context.close()


def drawn_share(page: Page) -> float:
    """The share of the chart's pixels that are not its background."""
    share: float = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll('#chart canvas')].map((canvas) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let different = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i] !== data[0] || data[i + 1] !== data[1] || data[i + 2] !== data[2]) different += 1;
            return different / (data.length / 4);
        }))"""
    )
    return share


def width_of(page: Page) -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_chart_is_drawn(site: Site, size: tuple[int, int], scheme: str) -> None:
    with opened(site, "/symbol/BTCUSDT", size, scheme) as watched:
        watched.page.wait_for_selector(CHART)
        watched.page.wait_for_function("document.querySelector('#chart .legend b')?.textContent")
        assert drawn_share(watched.page) > 0.02
        assert watched.page.get_attribute("#chart", "data-problem") is None
        assert width_of(watched.page) <= size[0]
        legend = watched.page.inner_text("#legend")
        assert "forming" in legend
        background = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, background[4:-1].split(", "))) < 64) == (scheme == "dark")


@pytest.mark.parametrize("path", ["/", "/symbol/BTCUSDT?tz=local"])
def test_nothing_is_wider_than_a_phone(site: Site, path: str) -> None:
    with opened(site, path, PHONE) as watched:
        assert width_of(watched.page) <= PHONE[0]


LOOKS = [
    ("/", WIDE, "light"),
    ("/", PHONE, "dark"),
    ("/symbol/BTCUSDT", WIDE, "light"),
    ("/symbol/BTCUSDT", PHONE, "dark"),
    ("/forecasts", WIDE, "dark"),
    ("/models", PHONE, "light"),
    ("/symbol/NOPE", PHONE, "light"),
]


@pytest.mark.parametrize(("path", "size", "scheme"), LOOKS)
def test_no_serious_barrier(site: Site, path: str, size: tuple[int, int], scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(site, path, size, scheme, bypass_csp=True) as watched:
        if path == "/symbol/BTCUSDT":
            watched.page.wait_for_selector(CHART)
        watched.complaints[:] = [one for one in watched.complaints if "status of 404" not in one]
        assert width_of(watched.page) <= size[0]
        answer = Axe().run(watched.page).response
        assert len(answer["passes"]) > 10, "axe looked at nothing"
        found = answer["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_new_prices_arrive_by_themselves(site: Site) -> None:
    with opened(site, "/symbol/ETHUSDT") as watched:
        page = watched.page
        page.wait_for_selector(CHART)
        before = page.inner_text("[data-price]")
        closed = page.get_attribute("#quote", "data-last-open")
        legend = page.inner_text("#legend")
        site.replay.tell_forming(0.7)
        page.wait_for_function("(old) => document.querySelector('[data-price]').textContent !== old", arg=before)
        page.wait_for_function("(old) => document.querySelector('#legend').textContent !== old", arg=legend)
        site.replay.close_candle()
        site.replay.tell_forming(0.3)
        page.wait_for_function("(old) => document.querySelector('#quote').dataset.lastOpen !== old", arg=closed)
        assert page.get_attribute("#live", "data-live") == "live"


def test_the_overview_renews_sorts_and_filters_in_place(site: Site) -> None:
    with opened(site, "/") as watched:
        page = watched.page
        order = "[...document.querySelectorAll('#markets tbody tr:not([hidden])')].map((row) => row.dataset.symbol)"
        page.click("#markets thead a[data-sort=price]")
        assert page.evaluate(order) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
        page.click("#markets thead a[data-sort=price]")
        assert page.evaluate(order) == ["SOLUSDT", "ETHUSDT", "BTCUSDT"]
        assert "sort=price" in page.url
        version = page.get_attribute("#overview", "data-version")
        site.replay.tell_forming(0.45)
        page.wait_for_function("(old) => document.querySelector('#overview').dataset.version !== old", arg=version)
        assert page.evaluate(order) == ["SOLUSDT", "ETHUSDT", "BTCUSDT"]
        page.fill("#q", "eth")
        assert page.evaluate(order) == ["ETHUSDT"]
        assert page.inner_text("#shown").startswith("1 of 3 markets")


def test_an_unreachable_server_is_said(site: Site) -> None:
    with opened(site, "/symbol/BTCUSDT") as watched:
        page = watched.page
        page.wait_for_selector(CHART)
        page.context.set_offline(True)
        page.wait_for_selector("#live[data-live=stale]")
        assert "unreachable" in page.inner_text("#live")
        watched.complaints[:] = [one for one in watched.complaints if "ERR_INTERNET_DISCONNECTED" not in one]


def test_the_legends_of_panes_appear_where_they_stay(site: Site) -> None:
    with opened(site, "/symbol/BTCUSDT?show=rsi&show=macd") as watched:
        page = watched.page
        page.locator(".pane-legend b").nth(1).wait_for()
        # an observer is told of what was before it, and of what the frames it waits for change
        shifted = page.evaluate(
            "() => new Promise((told) => { const seen = [];"
            " new PerformanceObserver((list) => { for (const shift of list.getEntries())"
            " for (const { node } of shift.sources) seen.push(node?.parentElement?.closest('.legend')?.className"
            " ?? node?.className); }).observe({ type: 'layout-shift', buffered: true });"
            " requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => told(seen), 0))); })"
        )
        assert shifted == []


def test_curves_and_theme_change_without_a_new_page(site: Site) -> None:
    with opened(site, "/symbol/BTCUSDT?show=none", scheme="light") as watched:
        page = watched.page
        page.wait_for_selector(CHART)
        page.evaluate("window.__same = true")
        page.click(".curves summary")
        page.check(".curves input[value=macd]")
        page.wait_for_selector(".pane-legend b")
        assert "MACD" in page.inner_text(".pane-legend")
        assert "show=macd" in page.url
        page.keyboard.press("Escape")
        page.click("[data-theme-toggle]")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        assert page.evaluate("window.__same") is True
        page.reload()
        assert page.get_attribute("html", "data-theme") == "dark"


def test_all_is_there_without_scripts(site: Site) -> None:
    with opened(site, "/symbol/BTCUSDT", java_script_enabled=False) as watched:
        page = watched.page
        assert page.is_visible("#chart .fallback")
        assert page.is_visible("text=Can it be believed?")
        page.click(".curves summary")
        page.check(".curves input[value=atr]")
        page.click(".curves button[type=submit]")
        assert page.is_checked(".curves input[value=atr]")
        page.click("[data-theme-toggle]")
        assert page.get_attribute("html", "data-theme") in ("light", "dark")
        page.click("text=Markets")
        page.click("#markets thead a[data-sort=price]")
        assert page.get_attribute("th.c-price", "aria-sort") == "descending"


def test_hostile_addresses_run_nothing(site: Site) -> None:
    nasty = "%22%3E%3Cimg%20src=x%20onerror=window.__x=1%3E"
    for path in (
        f"/symbol/{nasty}",
        f"/?q={nasty}",
        f"/symbol/BTCUSDT?interval={nasty}",
        f"/symbol/BTCUSDT?show={nasty}",
    ):
        with opened(site, path) as watched:
            assert watched.page.evaluate("window.__x") is None
            watched.complaints[:] = [one for one in watched.complaints if "status of 40" not in one]
