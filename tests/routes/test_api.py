"""The JSON interface: its exact shape, strict JSON, real values, ETags, and errors that say what fits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from data.data_processor import compute_indicators
from data.indicator_catalogue import NAMES
from data.interval import Interval
from data.symbol import Symbol
from routes.parameters import declared
from tests.support.browser import Replay
from tests.support.pages import client, replay

__all__ = ["client", "replay"]

ROOT = Path(__file__).resolve().parents[2]
BTC = Symbol("BTCUSDT")


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def get(client: FlaskClient, address: str, status: int = 200) -> dict[str, Any]:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body = json.loads(answer.data, parse_constant=refuse)
    assert isinstance(body, dict)
    return body


def test_candles(replay: Replay, client: FlaskClient) -> None:
    body = get(client, "/api/v1/candles/BTCUSDT?interval=1h&limit=50")
    candles = replay.market.candles(BTC, Interval.H1, 50)
    assert list(body) == ["symbol", "interval", "as_of_ms", "columns", "rows", "forming"]
    assert body["columns"] == ["open_time_ms", "open", "high", "low", "close", "volume"]
    assert [row[0] for row in body["rows"]] == candles.open_time_ms.tolist()
    assert [row[4] for row in body["rows"]] == candles.close.tolist()
    assert body["forming"][0] == candles.last_open_time_ms + Interval.H1.ms
    assert len(get(client, "/api/v1/candles/btcusdt")["rows"]) == 500


def test_indicators_are_null_while_warming_up_and_right_after(replay: Replay, client: FlaskClient) -> None:
    candles = replay.market.candles(BTC, Interval.H1)
    body = get(client, "/api/v1/indicators/BTCUSDT?limit=5000&names=sma_200,rsi_14")
    assert body["columns"] == ["open_time_ms", "sma_200", "rsi_14"]
    assert body["rows"][0][1:] == [None, None]
    expected = compute_indicators(candles)
    assert body["rows"][-1] == [
        candles.last_open_time_ms,
        pytest.approx(expected.column("sma_200")[-1], rel=5.1e-8),
        pytest.approx(expected.column("rsi_14")[-1], rel=5.1e-8),
    ]
    assert tuple(get(client, "/api/v1/indicators/BTCUSDT?limit=1")["columns"]) == ("open_time_ms", *NAMES)


def test_forecast(replay: Replay, client: FlaskClient) -> None:
    body = get(client, "/api/v1/forecast/BTCUSDT")
    candles = replay.market.candles(BTC, Interval.H1)
    assert body["last_open_time_ms"] == candles.last_open_time_ms
    assert body["last_close"] == candles.last_close
    assert body["quantiles"] == [0.05, 0.25, 0.5, 0.75, 0.95]
    assert body["horizons"] == list(range(1, 25))
    prices = np.array(body["prices"])
    assert prices.shape == np.array(body["baseline_prices"]).shape == (24, 5)
    assert (np.diff(prices, axis=1) >= 0).all()
    assert body["score"] is None


def test_performance_is_what_the_page_shows(client: FlaskClient) -> None:
    body = get(client, "/api/v1/performance")
    assert {"system", "metrics", "recent"} == set(body)
    assert {"routes", "functions", "sources"} <= set(body["metrics"])


@pytest.mark.parametrize("name", ["candles", "indicators", "forecast"])
def test_unchanged_is_304(client: FlaskClient, name: str) -> None:
    first = client.get(f"/api/v1/{name}/BTCUSDT")
    again = client.get(f"/api/v1/{name}/BTCUSDT", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/api/v1/candles/NOPEUSDT", 404, "BTCUSDT, ETHUSDT, XRPUSDT"),
        ("/api/v1/candles/BTCUSDT?interval=7m", 400, "1m, 3m, 5m"),
        ("/api/v1/candles/BTCUSDT?interval=4h", 400, "use one of 1h"),
        ("/api/v1/candles/BTCUSDT?limit=0", 400, "1 to 5000"),
        ("/api/v1/candles/BTCUSDT?limit=1e9", 400, "1 to 5000"),
        ("/api/v1/candles/BTCUSDT?limit=²", 400, "1 to 5000"),
        ("/api/v1/candles/BTC%20USDT", 400, "letters and digits"),
        ("/api/v1/indicators/BTCUSDT?names=rsi_14,rsi_15", 400, "rsi_15"),
        ("/api/v1/indicators/BTCUSDT?names=,", 400, "rsi_14"),
        ("/api/v1/no-such-thing", 404, ""),
        ("/api/v1/candles/BTCUSDT?limt=5", 400, "'limt' is unknown here; use interval, limit"),
        ("/api/v1/candles/BTCUSDT?Limit=5", 400, "use interval, limit"),
        ("/api/v1/candles/BTCUSDT?limit=5&limit=6", 400, "limit is given 2 times; give it once"),
        ("/api/v1/indicators/BTCUSDT?names=rsi_14&names=ema_50", 400, "names is given 2 times"),
        ("/api/v1/indicators/BTCUSDT?columns=rsi_14", 400, "use interval, limit, names"),
        ("/api/v1/forecast/BTCUSDT?horizon=1", 400, "use interval, model"),
        ("/api/v1/forecasts?model=tiny", 400, "'model' is unknown here; use interval"),
        ("/api/v1/ledger/chain?from=1", 400, "'from' is unknown here; it takes none"),
        ("/api/v1/performance?minutes=5", 400, "it takes none"),
    ],
)
def test_errors_are_json_that_says_what_fits(client: FlaskClient, address: str, status: int, says: str) -> None:
    body = get(client, address, status)
    assert {"error", "message", "status"} <= set(body)
    assert body["status"] == status
    assert says in body["message"]


def test_every_address_of_the_interface_declares_its_parameters(replay: Replay) -> None:
    views = replay.app.view_functions
    found = {
        rule.rule: declared(views[rule.endpoint])
        for rule in replay.app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
    }
    assert len(found) >= 6
    assert None not in found.values(), "routes/parameters.py"
    told = (ROOT / "docs" / "api.md").read_text()
    for address, names in found.items():
        query = told.partition(f"`GET {address}")[2].partition("`")[0]
        assert set(re.findall(r"(\w+)=", query)) == set(names or ()), address


def test_what_is_misspelt_is_never_stored_nor_given_for_what_is_meant(client: FlaskClient) -> None:
    get(client, "/api/v1/candles/BTCUSDT?limit=7")
    for _ in range(2):
        get(client, "/api/v1/candles/BTCUSDT?limit=7&intervall=1h", 400)
    assert client.get("/api/v1/candles/BTCUSDT?limit=7&profile=1").status_code == 303, "the operator's, everywhere"


def test_the_chart_gets_holes_and_the_fan(replay: Replay, client: FlaskClient) -> None:
    body = get(client, "/symbol/BTCUSDT/chart.json?show=rsi&show=bollinger")
    assert len(body["open_time_ms"]) == len(body["close"]) == 500
    assert {curve["id"]: len(curve["lines"]) for curve in body["curves"]} == {"bollinger": 3, "rsi": 1}
    assert all(len(line["values"]) == 500 for curve in body["curves"] for line in curve["lines"])
    fan = body["forecast"]
    assert fan["open_time_ms"][0] == body["open_time_ms"][-1] + body["step_ms"]
    assert len(fan["prices"]) == len(fan["naive"]) == 24
    assert body["holes"] == []


def test_a_browser_keeps_the_charts_data_until_a_candle_closes(replay: Replay, client: FlaskClient) -> None:
    address = "/symbol/BTCUSDT/chart.json?show=rsi"
    first = client.get(address)
    assert "forming" not in first.get_json()
    replay.tell_forming(0.9)
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    replay.close_candle()
    after = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert after.status_code == 200
    assert after.get_json()["open_time_ms"][-1] == first.get_json()["open_time_ms"][-1] + Interval.H1.ms


def test_health_and_readiness(replay: Replay, client: FlaskClient) -> None:
    assert get(client, "/health")["status"] == "ok"
    waiting = client.get("/ready")
    assert waiting.status_code == 503
    assert waiting.headers["Retry-After"]
    assert waiting.get_json()["waiting_for"] == ["the choice of the exchange"]
    ready = replay.app.extensions["parts"].connection._ready
    ready.set()
    try:
        assert get(client, "/ready") == {"ready": True, "waiting_for": [], "warnings": []}
    finally:
        ready.clear()
