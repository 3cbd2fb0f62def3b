"""Dictionaries in a real Chromium: it keeps pages, is sent what differs, and never shows anything but the newest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import Replay, launch, replayed_app, served
from tests.support.pages import THREE

pytestmark = pytest.mark.browser

_FETCH = "async (path) => await (await fetch(path, { cache: 'no-cache' })).text()"
_KEPT_MS = 100
"""A dictionary is written after its page is there; asked sooner, the browser has none to tell of."""


@dataclass
class Watched:
    """A page of the application, and what its network events told."""

    replay: Replay
    address: str
    page: Page
    answers: list[tuple[str, str, int]] = field(default_factory=list)
    """(path, content encoding, status)"""

    def told(self, event: dict[str, Any]) -> None:
        answer = event["response"]
        headers = {name.lower(): text for name, text in answer["headers"].items()}
        path = "/" + answer["url"].split("/", 3)[3].partition("?")[0]
        self.answers.append((path, headers.get("content-encoding", ""), answer["status"]))

    def encodings(self, path: str) -> list[str]:
        return [encoding for seen, encoding, _ in self.answers if seen == path]

    def plain(self, path: str) -> str:
        return self.replay.app.test_client().get(path, headers={"Accept-Encoding": "identity"}).text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replay, str, Browser]]:
    with (
        replayed_app(tmp_path_factory.mktemp("dictionaries"), THREE) as replay,
        served(replay.app) as address,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        yield replay, address, browser
        browser.close()


@pytest.fixture
def watched(site: tuple[Replay, str, Browser]) -> Iterator[Watched]:
    """In a profile of its own."""
    replay, address, browser = site
    context = browser.new_context()
    found = Watched(replay, address, context.new_page())
    events = context.new_cdp_session(found.page)
    events.on("Network.responseReceived", found.told)
    events.send("Network.enable")
    yield found
    context.close()


def test_a_reader_who_watches_is_sent_differences_and_sees_what_is(watched: Watched) -> None:
    page, path, news = watched.page, "/symbol/BTCUSDT", "/symbol/BTCUSDT/live?version=old"
    page.goto(f"{watched.address}{path}")
    page.wait_for_timeout(_KEPT_MS)
    for step in range(1, 6):
        watched.replay.tell_forming(0.4 + step / 10)
        assert page.evaluate(_FETCH, news) == watched.plain(news)
    watched.replay.close_candle()
    watched.replay.tell_forming(0.3)
    assert page.evaluate(_FETCH, news) == watched.plain(news)
    for part in (0.5, 0.7):  # a page that is opened again is the newest too
        watched.replay.tell_forming(part)
        page.goto(f"{watched.address}{path}")
        version = page.get_attribute("#quote", "data-version")
        assert f'data-version="{version}"' in watched.plain(path)
    assert watched.encodings(path) == ["br", "dcz", "dcz"]
    assert watched.encodings(f"{path}/live") == ["dcz"] * 6


def test_the_next_market_is_sent_as_what_differs_from_the_last(watched: Watched) -> None:
    page = watched.page
    for symbol in THREE[:2]:
        page.goto(f"{watched.address}/symbol/{symbol}")
        page.wait_for_timeout(_KEPT_MS)
        assert str(page.get_attribute("#symbol", "data-live-url")).startswith(f"/symbol/{symbol}/live")
    assert watched.encodings(f"/symbol/{THREE[0]}") == ["br"]
    assert watched.encodings(f"/symbol/{THREE[1]}") == ["dcz"]


def test_another_theme_is_another_page_whatever_the_dictionary(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{watched.address}/")
    page.wait_for_timeout(_KEPT_MS)
    page.context.add_cookies([{"name": "theme", "value": "dark", "url": watched.address}])
    page.goto(f"{watched.address}/")
    assert watched.encodings("/") == ["br", "dcz"]
    assert page.get_attribute("html", "data-theme") == "dark"
