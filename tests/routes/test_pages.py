"""Pages: whole without scripts, true to the real candles behind them, cached by version, fresh after a close."""

from __future__ import annotations

import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from data.indicator_catalogue import CATALOGUE
from data.interval import Interval
from data.symbol import Symbol
from routes.overview_columns import parse_sort
from routes.overview_page import OverviewPage, overview_page
from routes.performance_page import PerformancePage, performance_page
from routes.services import services
from routes.symbol_page import SymbolPage, symbol_page
from tests.support.browser import Replay
from tests.support.pages import THREE, client, replay

__all__ = ["client", "replay"]

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
PAGES = ("/", "/symbol/BTCUSDT", "/performance", "/symbol/NOPEUSDT", "/symbol/BTCUSDT?interval=7m", "/nowhere")


class Outline(HTMLParser):
    """What a page is made of, enough to hold it against rules."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize("address", PAGES)
def test_nothing_inline_and_one_of_each_landmark(client: FlaskClient, address: str) -> None:
    outline = Outline(client.get(address).text)
    assert all(script.get("src") for script in outline.all("script"))
    assert not outline.all("style")
    for tag, attributes in outline.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(field.get("id") or field.get("type") in ("hidden", "checkbox") for field in outline.all("input"))


def test_the_overview_says_of_each_market_what_is_known(replay: Replay, client: FlaskClient) -> None:
    html = client.get("/").text
    for name in THREE:
        symbol = Symbol(name)
        ticker = replay.market.ticker(symbol)
        assert ticker is not None
        row = html[html.index(f'data-symbol="{name}"') :].split("</tr>")[0]
        change = ticker.change_24h_fraction
        assert change is not None
        assert f"{change * 100:+.2f} %".replace("-", "−") in row
        assert "<svg" in row
        assert ("▲" if change > 0 else "▼") in row
        assert "scored" in row
    assert "just now" in text_of(html)


def test_rows_are_sorted_and_filtered_on_the_server(client: FlaskClient) -> None:
    def order(address: str) -> list[str]:
        return re.findall(r'<tr data-symbol="(\w+)"', client.get(address).text)

    assert order("/") == list(THREE)
    assert order("/?sort=symbol") == sorted(THREE)
    assert order("/?sort=-symbol") == sorted(THREE, reverse=True)
    assert order("/?sort=-price") == ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
    assert order("/?sort=price") == ["XRPUSDT", "ETHUSDT", "BTCUSDT"]
    assert order("/?q=eth") == ["ETHUSDT"]
    assert "No followed market has" in client.get("/?q=zzz").text


@pytest.mark.parametrize(("given", "used"), [("price", "price"), ("-price", "-price"), ("", ""), (None, "")])
def test_sorts_that_exist(given: str | None, used: str) -> None:
    assert parse_sort(given) == used


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/?sort=bogus", "Sort is 'bogus'; use one of symbol, price, change"),
        ("/?sort=--price", "Sort is '--price'; use one of"),
        ("/?sort=trend", "Sort is 'trend'; use one of"),
        ("/live?sort=bogus", "Sort is 'bogus'; use one of"),
        ("/?page=two", "Page is 'two'; use a whole number from 1"),
        ("/?page=9", "Page is 9; use a whole number from 1 to 1"),
        ("/symbol/BTCUSDT?show=bogus", "Show is 'bogus'; use none or some of"),
        ("/symbol/BTCUSDT?show=rsi&show=bogus", "Show is 'bogus'; use none or some of"),
        ("/symbol/BTCUSDT?tz=mars", "Tz is 'mars'; use utc or local"),
        ("/symbol/BTCUSDT/chart.json?show=bogus", "show is 'bogus'; use none or some of"),
        ("/symbol/BTCUSDT/chart.json?points=x", "points is 'x'; use a whole number from 1"),
        ("/symbol/BTCUSDT/candles.csv?tz=mars", "Tz is 'mars'; use utc or local"),
    ],
)
def test_what_an_address_asks_wrongly_is_told_with_what_fits(client: FlaskClient, address: str, told: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert told in answer.text.replace("&#39;", "'")


def test_a_market_page_reads_without_a_script(replay: Replay, client: FlaskClient) -> None:
    html = client.get("/symbol/BTCUSDT").text
    words = text_of(html)
    candles = replay.market.candles(Symbol("BTCUSDT"), Interval.H1)
    chart = re.search(r'<svg class="fallback".*?</svg>', html, re.DOTALL)
    assert chart is not None
    drawn = sum(path.count("M") for path in re.findall(r'class="body \w+" d="([^"]*)"', chart[0]))
    assert drawn == 96
    for indicator in CATALOGUE:
        assert indicator.title in words.replace("&#39;", "'")
    assert "warming up" not in words, "a thousand candles warm every indicator up"
    assert f"{len(candles.tail(500))} candles" in words
    assert "Over the next 24 hours the model’s median move is" in words
    assert "oo few to say: 0 of 100 scored" in words
    assert "not advice" in words
    assert "TradingView Lightweight Charts" in words


def test_curves_are_chosen_by_address(client: FlaskClient) -> None:
    def checked(address: str) -> set[str | None]:
        boxes = Outline(client.get(address).text).all("input")
        return {box["value"] for box in boxes if box.get("type") == "checkbox" and "checked" in box}

    assert checked("/symbol/BTCUSDT") == {"ema_50", "bollinger", "rsi"}
    assert checked("/symbol/BTCUSDT?show=macd") == {"macd"}
    assert checked("/symbol/BTCUSDT?show=none") == set()
    assert checked("/symbol/BTCUSDT?show=<script>") == set()


def test_the_live_part_is_empty_until_something_changed(replay: Replay, client: FlaskClient) -> None:
    page = client.get("/symbol/ETHUSDT").text
    version = re.search(r'data-version="(\w+)"', page)
    assert version is not None
    address = f"/symbol/ETHUSDT/live?interval=1h&version={version[1]}"
    assert client.get(address).status_code == 204
    replay.tell_forming(0.5)
    fragment = client.get(address)
    assert fragment.status_code == 200
    assert "<html" not in fragment.text
    assert {'id="quote"', 'id="rail"', 'id="readings"'} <= set(re.findall(r'id="\w+"', fragment.text))
    forming = replay.market.forming(Symbol("ETHUSDT"), Interval.H1)
    assert forming is not None
    assert f"{forming.close:,.2f}" in fragment.text
    replay.app.extensions["services"].pages.clear()
    overview = client.get("/").text
    version = re.search(r'data-version="(\w+)"', overview)
    assert version is not None
    assert client.get(f"/live?interval=1h&version={version[1]}").status_code == 204
    replay.tell_forming(0.55)
    replay.app.extensions["services"].pages.clear()  # else the answer may be a tenth of a second old
    assert client.get(f"/live?interval=1h&version={version[1]}").status_code == 200


def test_a_page_is_rendered_once_per_version_and_revalidated(replay: Replay, client: FlaskClient) -> None:
    pages = replay.app.extensions["services"].pages
    first = client.get("/symbol/XRPUSDT")
    renders = pages.stats().renders
    again = client.get("/symbol/XRPUSDT")
    assert again.data == first.data
    assert pages.stats().renders == renders
    known = client.get("/symbol/XRPUSDT", headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.data) == (304, b"")
    replay.tell_forming(0.6)
    assert client.get("/symbol/XRPUSDT", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_close_reaches_indicators_and_forecast(replay: Replay, client: FlaskClient) -> None:
    before = client.get("/api/v1/forecast/BTCUSDT").get_json()
    replay.close_candle()
    replay.tell_forming(0.2)
    after = client.get("/api/v1/forecast/BTCUSDT").get_json()
    assert after["last_open_time_ms"] == before["last_open_time_ms"] + Interval.H1.ms
    assert after["last_close"] == replay.market.candles(Symbol("BTCUSDT"), Interval.H1).last_close


def test_old_data_says_how_old_it_is(replay: Replay, client: FlaskClient) -> None:
    now_ms = replay.clock.now_ms()
    try:
        replay.clock.set_wall(now_ms + 7 * 60_000)
        replay.app.extensions["services"].pages.clear()
        for address in ("/", "/symbol/BTCUSDT"):
            answer = client.get(address)
            assert answer.status_code == 200
            assert 'data-state="stale"' in answer.text
            assert "7 min ago" in answer.text
    finally:
        replay.clock.set_wall(now_ms)


def test_the_theme_is_remembered_and_rendered(replay: Replay) -> None:
    client = replay.app.test_client()
    assert 'data-theme="auto"' in client.get("/").text
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = client.post("/theme", data={"theme": "light", "next": "/symbol/BTCUSDT?interval=1h"}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/symbol/BTCUSDT?interval=1h")
    assert 'data-theme="light"' in client.get("/").text
    assert client.post("/theme", data={"theme": "neon"}, headers=headers).status_code == 400
    away = client.post("/theme", data={"theme": "dark", "next": "//evil.example"}, headers=headers)
    assert away.headers["Location"] == "/"
    foreign = client.post("/theme", data={"theme": "dark"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


def test_page_values_are_what_the_templates_use(replay: Replay) -> None:
    views = "".join((TEMPLATES.parent / "routes" / name).read_text() for name in ("overview.py", "symbol.py"))
    shared = views.replace("value.", "page.") + "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    with replay.app.test_request_context("/"):
        parts = services()
        values = {
            OverviewPage: overview_page(parts, Interval.H1),
            SymbolPage: symbol_page(parts, Symbol("BTCUSDT"), Interval.H1),
            PerformancePage: performance_page(parts),
        }
    unused = {
        f"{kind.__name__}.{field.name}"
        for kind in values
        for field in fields(kind)
        if f"page.{field.name}" not in shared
    }
    assert unused == set()


def test_templates_hold_no_numbers_of_their_own() -> None:
    """What a template says in figures comes from a value; figures of sizes, layout and names of bands may stand."""
    allowed = re.compile(
        r"24 h|95 % interval|50 % and 90 %|50 % band|90 % band|Low 5 %|High 95 %|Last 60|p50|p95|p99|99 of 100|© 2025"
    )
    for path in TEMPLATES.glob("*.html"):
        plain = re.sub(r"\{[{%].*?[%}]\}|<[^>]+>", " ", path.read_text(), flags=re.DOTALL)
        plain = allowed.sub(" ", plain)
        assert re.findall(r"\b\d+(?:\.\d+)?\b", plain) == [], path.name


def test_the_performance_page_counts_this_very_request(client: FlaskClient) -> None:
    client.get("/symbol/BTCUSDT/candles.csv")
    words = text_of(client.get("/performance").text)
    assert "Process" in words
    assert "Request weight this minute" in words
    assert "indicators" in words


def test_real_banner_only_for_a_simulated_exchange(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    from data.exchange import Exchange

    client = replay.app.test_client()
    assert "Simulated market" not in client.get("/").text
    connection = replay.app.extensions["parts"].connection
    simulated = Exchange("simulated exchange", "", "", simulated=True, notice="SIMULATED MARKET: none of this is real.")
    monkeypatch.setattr(connection, "_exchange", simulated)
    replay.app.extensions["services"].pages.clear()
    for address in ("/", "/symbol/BTCUSDT", "/performance", "/nowhere"):
        html = client.get(address).text
        assert 'class="simulated"' in html, address
        assert "None of this is real." in html


def test_csv_of_everything_shown(replay: Replay, client: FlaskClient) -> None:
    candles = replay.market.candles(Symbol("BTCUSDT"), Interval.H1)
    answer = client.get("/symbol/BTCUSDT/candles.csv")
    lines = answer.text.splitlines()
    assert answer.mimetype == "text/csv"
    assert "BTCUSDT-1h-candles.csv" in answer.headers["Content-Disposition"]
    assert len(lines) == 501
    assert float(lines[-1].split(",")[4]) == candles.last_close
    header = client.get("/symbol/BTCUSDT/indicators.csv").text.splitlines()[0].split(",")
    assert header == ["open_time_ms", *(indicator.name for indicator in CATALOGUE)]
    forecast = client.get("/symbol/BTCUSDT/forecast.csv").text.splitlines()
    assert len(forecast) == 25
    assert forecast[0] == "horizon,open_time_ms,q05,q25,q50,q75,q95,naive_q05,naive_q25,naive_q50,naive_q75,naive_q95"
    assert client.get("/symbol/BTCUSDT/secrets.csv").status_code == 404


def test_without_a_script_the_charts_lines_have_their_prices(client: FlaskClient) -> None:
    page = client.get("/symbol/BTCUSDT").text
    prices = re.search(r'<svg class="fallback prices".*?</svg>', page)
    assert prices
    told = re.findall(r'<text x="0" y="([\d.]+)%" dy="-3">([\d,.]+)</text>', prices[0])
    assert len(told) == page.count('<path class="level"') >= 2
    heights = [float(height) for height, _ in told]
    values = [float(text.replace(",", "")) for _, text in told]
    assert sorted(values) == [value for _, value in sorted(zip(heights, values, strict=True), reverse=True)]
    assert all(0 <= height <= 100 for height in heights)
