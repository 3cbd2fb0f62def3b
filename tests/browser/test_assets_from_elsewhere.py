"""Assets from a second host: drawn as ever, refused where a byte differs, and the page stays readable without them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from routes.assets import export
from tests.support.browser import launch, replayed_app, served

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]


class Host:
    """A static file server on a port of its own, as a CDN is for a browser: another origin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.cookies: list[str] = []
        host = self

        class Files(SimpleHTTPRequestHandler):
            def __init__(self, *given: Any) -> None:
                self.extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}
                super().__init__(*given, directory=str(folder))

            def end_headers(self) -> None:
                host.asked.append(self.path)
                host.cookies += self.headers.get_all("Cookie") or []
                self.send_header("Access-Control-Allow-Origin", "*")
                super().end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("assets")
    export(ROOT / "static", folder)
    made = Host(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        replayed_app(tmp_path_factory.mktemp("asset-host"), ("BTCUSDT",), asset_base_url=host.address) as replay,
        served(replay.app) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = launch(playwright)
        yield made
        made.close()


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(address)
        yield page, complaints
    finally:
        context.close()


def test_everything_comes_from_there_checked_and_without_a_cookie(site: str, host: Host, browser: Browser) -> None:
    host.asked.clear()
    with opened(browser, f"{site}/symbol/BTCUSDT?tz=local") as (page, complaints):
        page.wait_for_selector("#chart.drawn")
        own = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
        tags = page.locator("script[src], link[rel=stylesheet], link[rel=modulepreload]")
        for at in range(tags.count()):
            tag = tags.nth(at)
            assert (tag.get_attribute("src") or tag.get_attribute("href") or "").startswith(host.address)
            assert (tag.get_attribute("integrity") or "").startswith("sha")
            assert tag.get_attribute("crossorigin") == "anonymous"
        assert complaints == []
    assert not [name for name in own if name.startswith(site) and "/assets/" in name]
    for name in ("page.css", "scripts.js", "symbol.js", "chart.js", "fan.js", "local_axis.js", "span.js", "live.js"):
        assert any(path.endswith(name) for path in host.asked), name
    assert host.cookies == []


@pytest.mark.parametrize("name", ["css/page.css", "js/symbol.js", "js/fan.js"])
def test_a_file_that_differs_by_a_byte_is_not_used(site: str, host: Host, browser: Browser, name: str) -> None:
    path = next(host.folder.glob(f"own/*/{name}"))
    body = path.read_bytes()
    path.write_bytes(body + b"\n")
    try:
        with opened(browser, f"{site}/symbol/BTCUSDT") as (page, complaints):
            assert page.inner_text("h1") == "BTC/USDT"
            for _ in range(200):
                if any("integrity" in words for words in complaints):
                    break
                page.wait_for_timeout(50)
            assert [words for words in complaints if "integrity" in words], complaints
            if name != "css/page.css":
                assert page.locator("#chart.drawn").count() == 0, "a module that was changed must not run"
    finally:
        path.write_bytes(body)


def test_while_that_host_is_down_the_page_is_plainer_and_whole(tmp_path: Path, browser: Browser) -> None:
    with (
        replayed_app(tmp_path, ("BTCUSDT",), asset_base_url="http://127.0.0.1:9") as replay,
        served(replay.app) as address,
        opened(browser, f"{address}/symbol/BTCUSDT") as (page, _),
    ):
        assert page.inner_text("h1") == "BTC/USDT"
        assert page.locator("svg.fallback path.body").count() == 2, "the picture that needs no script"
        assert "Can it be believed?" in page.inner_text("#rail")
        page.goto(f"{address}/")
        page.click("text=BTC")
        page.wait_for_url("**/symbol/BTCUSDT**")
