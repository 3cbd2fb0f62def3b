"""The synthetic market: every interval adds up, any range stands alone, and returns behave like a market's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    TAKER,
    TRADES,
    VOLUME,
    Bar,
    Series,
    aggregate,
    text,
    texts,
)
from data.simulated_exchange.listings import MAX_SYMBOLS
from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from utils.errors import InvalidInput

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
NOW_MS = 1_782_000_012_345
"""2026-06-21T00:00:12.345Z, a Sunday"""


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SyntheticSource())


def closed(market: Market, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
    return market.rows(symbol, interval, start_ms, end_ms)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT", "AAVEUSDT"])
@pytest.mark.parametrize(
    "interval", [each for each in Interval if each.ms > Interval.M1.ms and each.ms <= Interval.D1.ms]
)
def test_minutes_add_up_exactly(market: Market, symbol: str, interval: Interval) -> None:
    start = NOW_MS // DAY_MS * DAY_MS - 2 * DAY_MS
    minutes = closed(market, symbol, Interval.M1, start, start + 2 * DAY_MS)
    coarse = closed(market, symbol, interval, start, start + 2 * DAY_MS)
    added = aggregate(minutes, interval)
    np.testing.assert_array_equal(coarse.open_time_ms, added.open_time_ms)
    np.testing.assert_array_equal(coarse.values, added.values)


@pytest.mark.parametrize("interval", [Interval.D3, Interval.W1, Interval.MO1])
def test_days_add_up_to_weeks_and_months(market: Market, interval: Interval) -> None:
    start = interval.open_ms(NOW_MS - 200 * DAY_MS)
    end = interval.open_ms(NOW_MS)
    days = closed(market, "ETHUSDT", Interval.D1, start, end)
    np.testing.assert_array_equal(
        closed(market, "ETHUSDT", interval, start, end).values, aggregate(days, interval).values
    )


def test_seconds_add_up_to_minutes(market: Market) -> None:
    start = NOW_MS // HOUR_MS * HOUR_MS - HOUR_MS
    for symbol in ("BTCUSDT", "ETCUSDT"):
        seconds = closed(market, symbol, Interval.S1, start, start + HOUR_MS)
        minutes = closed(market, symbol, Interval.M1, start, start + HOUR_MS)
        assert len(seconds) == 3600
        np.testing.assert_array_equal(aggregate(seconds, Interval.M1).values, minutes.values)


@pytest.mark.parametrize("interval", [Interval.S1, Interval.M1, Interval.M15, Interval.H1, Interval.D1])
def test_rows_are_sane(market: Market, interval: Interval) -> None:
    end = interval.open_ms(NOW_MS)
    for symbol in ("BTCUSDT", "TRXUSDT"):
        rows = closed(market, symbol, interval, end - 1500 * interval.ms, end).values
        assert (rows[HIGH] >= np.maximum(rows[OPEN], rows[CLOSE])).all()
        assert (rows[LOW] <= np.minimum(rows[OPEN], rows[CLOSE])).all()
        assert (rows[LOW] > 0).all()
        assert (rows[TAKER] <= rows[VOLUME]).all()
        assert ((rows[VOLUME] == 0) == (rows[TRADES] == 0)).all()
        idle = rows[:, rows[TRADES] == 0]
        assert (idle[HIGH] == idle[LOW]).all()
        np.testing.assert_array_equal(rows[OPEN, 1:], rows[CLOSE, :-1])


def test_mean_prices_lie_inside_their_candles(market: Market) -> None:
    end = Interval.M1.open_ms(NOW_MS)
    rows = closed(market, "SOLUSDT", Interval.M1, end - 3000 * 60_000, end).values
    assert (rows[QUOTE] >= rows[VOLUME] * rows[LOW] - 1).all()
    assert (rows[QUOTE] <= rows[VOLUME] * rows[HIGH] + 1).all()


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.H1, Interval.D1, Interval.W1])
def test_a_range_asked_alone_is_a_slice_of_a_larger_one(interval: Interval) -> None:
    end = interval.open_ms(NOW_MS - 90 * DAY_MS)
    large = Market(SyntheticSource()).rows("LTCUSDT", interval, end - 150 * interval.ms, end)
    alone = Market(SyntheticSource()).rows("LTCUSDT", interval, end - 100 * interval.ms, end - 83 * interval.ms)
    part = large.between(end - 100 * interval.ms, end - 83 * interval.ms)
    assert len(part) == 17
    np.testing.assert_array_equal(alone.open_time_ms, part.open_time_ms)
    np.testing.assert_array_equal(alone.values, part.values)


def test_many_markets_drawn_at_once_are_those_drawn_singly() -> None:
    together, alone = Market(SyntheticSource(symbols=30)), Market(SyntheticSource(symbols=30))
    now = NOW_MS + 1_834_000
    together.prepare(together.listings, now)
    for symbol in together.listings:
        assert together.forming(symbol, Interval.H1, now) == alone.forming(symbol, Interval.H1, now)
        assert together.since(symbol, now // 60_000 * 60_000 - DAY_MS, now) == alone.since(
            symbol, now // 60_000 * 60_000 - DAY_MS, now
        )


def test_a_market_that_was_asked_for_before_the_others_hinders_nobody() -> None:
    names, later = ["BTCUSDT", "ETHUSDT"], NOW_MS + 60_000
    together, alone = Market(SyntheticSource()), Market(SyntheticSource())
    together.running(names[0], NOW_MS)  # draws the minutes of this hour, of one of them
    together.prepare(names, later)
    assert [together.running(name, later) for name in names] == [alone.running(name, later) for name in names]


def test_the_seed_and_the_name_decide_alone() -> None:
    end = Interval.H1.open_ms(NOW_MS)
    few, many, other = (
        Market(source).rows("BTCUSDT", Interval.H1, end - 50 * HOUR_MS, end).values
        for source in (SyntheticSource(symbols=1), SyntheticSource(symbols=40), SyntheticSource(seed=8))
    )
    np.testing.assert_array_equal(few, many)
    assert (few[CLOSE] != other[CLOSE]).all()


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.H1, Interval.H4, Interval.D1])
def test_the_forming_candle_grows_into_the_closed_one(market: Market, interval: Interval) -> None:
    opened = interval.open_ms(NOW_MS - 3 * DAY_MS)
    final = closed(market, "ADAUSDT", interval, opened, opened + interval.ms).bar(0)
    moments = [opened + share * interval.ms // 7 for share in range(7)] + [opened + interval.ms - 1]
    seen = [market.forming("ADAUSDT", interval, moment) for moment in moments]
    bars = [bar for bar in seen if bar is not None]
    assert len(bars) == len(moments)
    assert bars[0] == Bar.flat(final.open)
    for earlier, later in pairwise(bars):
        assert later.high >= earlier.high
        assert later.low <= earlier.low
        assert later.volume >= earlier.volume
        assert later.trades >= earlier.trades
        assert later.open == final.open
    assert bars[-1].high <= final.high
    assert bars[-1].low >= final.low
    assert bars[-1].volume <= final.volume
    assert bars[-1].trades >= 0.9 * final.trades if interval.ms >= HOUR_MS else bars[-1].trades <= final.trades


def hourly_returns(market: Market, symbol: str) -> NDArray[np.float64]:
    end = Interval.H1.open_ms(NOW_MS)
    close = closed(market, symbol, Interval.H1, end - 3 * 8760 * HOUR_MS, end).values[CLOSE]
    return np.diff(np.log(close))


def kurtosis(returns: NDArray[np.float64]) -> float:
    centred = returns - returns.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)


def autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "DOGEUSDT", "LINKUSDT"])
def test_hourly_returns_behave_like_a_market(market: Market, symbol: str) -> None:
    returns = hourly_returns(market, symbol)
    assert 0.3 < returns.std() * np.sqrt(8760) < 1.5, "annual volatility"
    assert 4.0 < kurtosis(returns) < 60.0, "fat tails"
    daily = returns[: len(returns) // 24 * 24].reshape(-1, 24).sum(axis=1)
    assert kurtosis(daily) < kurtosis(returns), "which grow thinner over longer spans"
    sizes = np.abs(returns)
    assert autocorrelation(sizes, 1) > 0.1, "volatility clusters"
    assert autocorrelation(sizes, 24) > 0.04, "and for days"
    assert abs(autocorrelation(returns, 1)) < 0.03, "but direction does not"


def test_the_day_has_a_rhythm(market: Market) -> None:
    end = NOW_MS // DAY_MS * DAY_MS
    rows = closed(market, "BTCUSDT", Interval.H1, end - 700 * DAY_MS, end).values
    spans = np.log(rows[HIGH] / rows[LOW]).reshape(-1, 24).mean(axis=0)
    volumes = rows[VOLUME].reshape(-1, 24).mean(axis=0)
    assert spans[13:17].mean() > 1.2 * spans[2:6].mean()
    assert volumes[13:17].mean() > 1.2 * volumes[2:6].mean()


def test_coins_move_together_but_not_as_one(market: Market) -> None:
    returns = np.stack([hourly_returns(market, name) for name in list(market.listings)[:10]])
    correlations = np.asarray(np.corrcoef(returns))[np.triu_indices(10, 1)]
    assert correlations.min() > 0.2
    assert correlations.max() < 0.97
    assert 0.4 < correlations.mean() < 0.85


def test_volume_follows_volatility(market: Market) -> None:
    end = Interval.H1.open_ms(NOW_MS)
    rows = closed(market, "BNBUSDT", Interval.H1, end - 8760 * HOUR_MS, end).values
    assert np.corrcoef(np.log(rows[VOLUME]), np.log(rows[HIGH] / rows[LOW]))[0, 1] > 0.4


def test_price_levels_stay_plausible_for_years(market: Market) -> None:
    for symbol, low, high in (("BTCUSDT", 8_000, 900_000), ("ETHUSDT", 200, 60_000), ("DOGEUSDT", 0.005, 20)):
        rows = closed(market, symbol, Interval.D1, NOW_MS - 3000 * DAY_MS, NOW_MS).values
        price = rows[CLOSE] * market.listings[symbol].tick_e8 / 1e8
        assert low < price.min()
        assert price.max() < high


def test_nothing_precedes_the_listing(market: Market) -> None:
    listed = market.listings["SOLUSDT"].listed_ms
    assert len(market.klines("SOLUSDT", Interval.H1, 0, listed - 1, 1000, NOW_MS)) == 0
    first = market.klines("SOLUSDT", Interval.H1, 0, None, 5, NOW_MS)
    assert first.open_time_ms.tolist() == [listed + hour * HOUR_MS for hour in range(5)]


def test_up_to_500_markets_each_with_its_own_name_and_path() -> None:
    source = SyntheticSource(symbols=MAX_SYMBOLS)
    assert len(source.listings) == MAX_SYMBOLS
    market = Market(source)
    end = Interval.H1.open_ms(NOW_MS)
    young = 0
    for name in list(source.listings)[::49]:
        rows = market.rows(name, Interval.H1, end - 30 * HOUR_MS, end)
        young += len(rows) == 0
        assert (rows.values[LOW] >= 20).all(), "ticks are small against the price"
    assert young == 0
    with pytest.raises(InvalidInput, match="501 synthetic symbols were asked for; 1 to 500 fit"):
        SyntheticSource(symbols=501)


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [(6752583, 1_000_000, "67525.83000000"), (1, 1, "0.00000001"), (0, 100, "0.00000000"), (3, 10**8, "3.00000000")],
)
def test_decimals_are_exact(value: int, unit: int, written: str) -> None:
    assert text(value, unit) == written
    assert texts(np.array([value, value]), unit) == [written, written]
