"""Pages made anew: of many markets those on the page, of a new price only what it is in."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
from flask import render_template
from flask.testing import FlaskClient

from data.symbol import Symbol
from routes import overview as overview_view
from routes import overview_page as overview_pages
from routes import overview_rows
from routes import symbol as symbol_view
from tests.support.browser import Replay
from tests.support.pages import client, replay

__all__ = ["client", "replay"]


def test_many_markets_fill_pages_and_one_page_costs_what_is_on_it(
    client: FlaskClient, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_pages, "PER_PAGE", 2)
    replay.app.extensions["services"].pages.clear()
    rows = [re.findall(r'data-symbol="(\w+)"', client.get(f"/?page={number}").text) for number in (1, 2)]
    assert rows == [["BTCUSDT", "ETHUSDT"], ["XRPUSDT"]]
    assert client.get("/?page=3").status_code == 400
    assert re.findall(r'data-symbol="(\w+)"', client.get("/?sort=-symbol&page=2").text) == ["BTCUSDT"]
    assert re.findall(r'data-symbol="(\w+)"', client.get("/?q=xrp").text) == ["XRPUSDT"]
    first = client.get("/").text
    assert "Page 1 of 2" in first
    assert 'href="/?interval=1h&amp;page=2" rel="next"' in first
    assert "2 of 3 markets" in first
    asked = []
    monkeypatch.setattr(overview_rows, "_row", lambda *given: asked.append(given))
    replay.tell_forming(0.7)
    replay.app.extensions["services"].pages.clear()
    price = replay.market.ticker(Symbol("BTCUSDT"))
    assert price is not None
    assert f"{price.last_price:,.2f}" in client.get("/").text, "the price on the page is that of this moment"
    assert not asked, "what concerns all markets is gathered once a second for everybody"


def rendered_by(view: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that the view renders from now on, as it does."""
    rendered: list[str] = []

    def counted(template: str, **values: object) -> str:
        rendered.append(template)
        return str(render_template(template, **values))

    monkeypatch.setattr(view, "render_template", counted)
    return rendered


def test_between_two_closes_a_price_makes_only_what_it_is_in(
    client: FlaskClient, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings, menus and links are rendered once for all pages until the candle closes."""
    address = "/symbol/ETHUSDT?interval=1h&show=atr"
    before = client.get(address).text
    rendered = rendered_by(symbol_view, monkeypatch)
    replay.tell_forming(0.31)
    replay.app.extensions["services"].pages.clear()
    after = client.get(address).text
    assert rendered == ["symbol.html"]
    price = replay.market.ticker(Symbol("ETHUSDT"))
    assert price is not None
    assert f"{price.last_price:,.2f}" in after
    readings = [page.partition('id="readings">')[2].partition("</section>")[0] for page in (before, after)]
    assert readings[0] == readings[1]
    assert "RSI" in readings[0]
    replay.close_candle()
    assert "_symbol_readings.html" in (client.get(address), rendered)[1]
    assert client.get(address).text.partition('id="readings">')[2].partition("</section>")[0] != readings[0]


def test_a_symbol_page_names_the_markets_around_its_own(
    client: FlaskClient, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_view, "_OTHERS", 2)
    replay.app.extensions["services"].pages.clear()
    page = client.get("/symbol/XRPUSDT").text
    chips = page.partition('class="chips"')[2].partition("</ul>")[0]
    assert re.findall(r">(\w+)</a>", chips) == ["ETHUSDT", "XRPUSDT"]
    assert 'href="/symbol/ETHUSDT?interval=1h' in chips
    assert "All 3 markets" in page


def test_a_price_makes_of_the_overview_only_what_it_is_in(
    client: FlaskClient, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Course, forecast and score of a market are rendered once, until its candle closes."""

    def settled_cells(html: str) -> list[str]:
        return re.findall(r'<td class="num c-trend">.*?(?=<td class="num c-age")', html, flags=re.DOTALL)

    before = client.get("/").text
    rendered = rendered_by(overview_view, monkeypatch)
    replay.tell_forming(0.37)
    replay.app.extensions["services"].pages.clear()
    after = client.get("/").text
    assert rendered == ["overview.html"]
    price = replay.market.ticker(Symbol("BTCUSDT"))
    assert price is not None
    assert f"{price.last_price:,.2f}" in after
    assert settled_cells(after) == settled_cells(before)
    assert len(settled_cells(after)) == 3
    replay.close_candle()
    replay.app.extensions["services"].pages.clear()
    closed = client.get("/").text
    assert rendered.count("_overview_settled.html") == 3
    assert not set(settled_cells(closed)) & set(settled_cells(after))
