"""Chart data: exact where the screen has room, else bars that keep first, last, highest and lowest; never more."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from routes.chart_data import bar_size, bars_of
from tests.support.browser import Replay
from tests.support.pages import client, replay

__all__ = ["client", "replay"]

HOUR_MS = 3_600_000


def made(hours: list[int]) -> Candles:
    at = np.array(hours, dtype=np.int64)
    open_, close = np.asarray(100.0 + at, np.float64), np.asarray(100.5 + at, np.float64)
    ours = (open_, close + at % 5, open_ - at % 3, close, 1.0 + at % 7, *[np.ones(len(at))] * 4)
    columns = [np.asarray(column, dtype=np.float64) for column in ours]
    return Candles.from_columns(Symbol("X"), Interval.H1, at * HOUR_MS, columns)


def test_every_bar_has_its_candles_extremes_first_and_last() -> None:
    hours = [2, 3, 4, 5, 9, 10, 11, 12, 20]
    candles, bars = made(hours), bars_of(made(hours), 4)
    stretches = [[2, 3], [4, 5], [9, 10, 11], [12], [20]]
    assert (bars.open_time_ms // HOUR_MS).tolist() == [0, 4, 8, 12, 20]
    for at, stretch in enumerate(stretches):
        rows = [hours.index(hour) for hour in stretch]
        assert bars.open[at] == candles.open[rows[0]]
        assert bars.close[at] == candles.close[rows[-1]]
        assert bars.high[at] == candles.high[rows].max()
        assert bars.low[at] == candles.low[rows].min()
        assert bars.volume[at] == candles.volume[rows].sum()
        assert bars.ends[at] == rows[-1]


@pytest.mark.parametrize(("count", "points", "each"), [(1, 100, 1), (100, 100, 1), (101, 100, 2), (5000, 100, 64)])
def test_a_bar_stands_for_as_many_candles_as_the_screen_asks(count: int, points: int, each: int) -> None:
    candles = made(list(range(count)))
    assert bar_size(candles, points) == each
    assert len(bars_of(candles, each).open_time_ms) <= points + 1


def test_nothing_in_the_stretch_is_no_bar() -> None:
    assert len(bars_of(made([]), 4).open_time_ms) == 0


def get(client: FlaskClient, query: str) -> dict[str, Any]:
    answer = client.get(f"/symbol/BTCUSDT/chart.json?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = json.loads(answer.data)
    return body


def test_whatever_the_range_the_data_are_no_more_than_the_points(replay: Replay, client: FlaskClient) -> None:
    whole = get(client, "from=1&points=100")
    assert 50 < len(whole["open_time_ms"]) <= 101
    assert whole["each"] == 16
    assert whole["older"] is False
    candles = replay.market.stored(Symbol("BTCUSDT"), Interval.H1, 0, 2**50, 10_000)
    assert max(whole["high"]) == candles.high.max()
    assert min(whole["low"]) == candles.low.min()
    assert whole["close"][-1] == candles.close[-1]
    assert sum(whole["volume"]) == pytest.approx(candles.volume.sum())
    assert {len(line["values"]) for curve in whole["curves"] for line in curve["lines"]} == {len(whole["open_time_ms"])}
    assert whole["newest_ms"] == candles.last_open_time_ms


def test_close_enough_it_is_exact_and_says_what_the_newest_view_says(client: FlaskClient) -> None:
    newest = get(client, "show=rsi&show=ema_50")
    times = newest["open_time_ms"]
    part = get(client, f"from={times[100]}&to={times[299]}&points=400&show=rsi&show=ema_50")
    assert (part["each"], part["older"]) == (1, True)
    for name in ("open_time_ms", "open", "high", "low", "close", "volume"):
        assert part[name] == newest[name][100:300], name
    for one, other in zip(part["curves"], newest["curves"], strict=True):
        assert one["lines"][0]["values"] == other["lines"][0]["values"][100:300]


def test_history_that_is_only_in_the_store_is_drawn_too(replay: Replay, client: FlaskClient) -> None:
    symbol = Symbol("BTCUSDT")
    in_memory = replay.market.candles(symbol, Interval.H1)
    oldest_ms = int(replay.market.stored(symbol, Interval.H1, 0, 2**50, 10_000).open_time_ms[0])
    assert oldest_ms < int(in_memory.open_time_ms[0]), "else this test shows nothing"
    part = get(client, f"from={oldest_ms}&to={oldest_ms + 50 * HOUR_MS}&show=sma_5")
    assert part["open_time_ms"][0] == oldest_ms
    assert len(part["open_time_ms"]) == 51
    assert part["curves"][0]["lines"][0]["values"][:5] == [None] * 4 + [
        pytest.approx(np.mean(part["close"][:5]), rel=1e-6)
    ]


@pytest.mark.parametrize("query", ["from=x", "from=5&to=4", "from=1&points=0", "from=1&points=9999", "to=-1"])
def test_a_stretch_that_does_not_fit_is_refused_by_name(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/symbol/BTCUSDT/chart.json?{query}", headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert any(name in answer.text for name in ("from", "to", "points"))


def test_the_chart_is_told_every_candle_ahead_whatever_the_horizons(client: FlaskClient, replay: Replay) -> None:
    drawn = get(client, "")["forecast"]
    last_ms, times = drawn["last_open_time_ms"], drawn["open_time_ms"]
    steps = (times[-1] - last_ms) // HOUR_MS
    assert drawn["ahead_open_time_ms"] == [last_ms + step * HOUR_MS for step in range(1, steps + 1)]
    assert set(times) <= set(drawn["ahead_open_time_ms"])
