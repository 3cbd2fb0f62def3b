"""The real program in a real browser: `python app.py` on the simulated exchange, which replays real klines."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.support.browser import launch
from tests.support.running_app import running_app
from tests.support.shared_data import klines_dir

pytestmark = [pytest.mark.browser, pytest.mark.shared, pytest.mark.slow]

_LONG_MS = 120_000


def test_a_user_sees_the_replayed_market_move(tmp_path: Path) -> None:
    settings = {
        "SYMBOLS": "BTCUSDT,ETHUSDT",
        "INTERVALS": "1h",
        "SIMULATED_REPLAY_PATH": str(klines_dir()),
        "SIMULATED_SPEED": "600",
    }
    with running_app(tmp_path, **settings) as app, sync_playwright() as playwright:
        app.wait_until_ready()
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(_LONG_MS)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{app.address}/")
        assert "Simulated market" in page.inner_text(".simulated").capitalize()
        page.click("#markets a:has-text('BTC')")
        page.wait_for_selector("#chart.drawn")
        price = page.inner_text("[data-price]")
        closed = page.get_attribute("#quote", "data-last-open")
        page.wait_for_function("(old) => document.querySelector('[data-price]').textContent !== old", arg=price)
        page.wait_for_function("(old) => document.querySelector('#quote').dataset.lastOpen !== old", arg=closed)
        assert page.get_attribute("#live", "data-live") == "live"
        assert "model’s median move" in page.inner_text("#rail")
        assert complaints == []
        browser.close()
