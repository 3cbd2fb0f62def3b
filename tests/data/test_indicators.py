"""Indicators: no look into the future, warm-up, odd markets, and the cache."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.candles import Candles
from data.data_processor import (
    compute_indicators,
    compute_with,
    indicators,
)
from data.indicator_catalogue import BY_NAME, CATALOGUE, NAMES
from data.interval import Interval
from tests.support.made_candles import changed_after, made_candles
from utils.data_cache import data_cache
from utils.errors import NotFound

ENGINES = ("talib", "ta")


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=12, deadline=None)
@given(row=st.integers(0, 298), seed=st.integers(0, 50))
def test_no_column_sees_the_future(engine: str, row: int, seed: int) -> None:
    candles = made_candles(300, seed=seed)
    before = compute_with(engine, candles, NAMES)
    after = compute_with(engine, changed_after(candles, row, seed + 1), NAMES)
    for name, a, b in zip(NAMES, before, after, strict=True):
        np.testing.assert_array_equal(a[: row + 1], b[: row + 1], err_msg=name)


def test_the_leak_test_would_find_a_leak() -> None:
    candles = made_candles(300)
    other = changed_after(candles, 200)
    shifted = [np.roll(compute_indicators(c, ["sma_5"]).columns[0], -1) for c in (candles, other)]
    assert not np.array_equal(shifted[0][:201], shifted[1][:201], equal_nan=True)


def test_candles_cut_short_give_the_same_values_bit_for_bit() -> None:
    whole, cut = made_candles(500), made_candles(500).slice(0, 350)
    for name in NAMES:
        a, b = (compute_indicators(c, [name]).columns[0] for c in (whole, cut))
        np.testing.assert_array_equal(a[:350], b, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_column_begins_exactly_after_its_warm_up(engine: str) -> None:
    columns = compute_with(engine, made_candles(400), NAMES)
    for indicator, column in zip(CATALOGUE, columns, strict=True):
        assert np.isnan(column[: indicator.warm_up]).all(), indicator.name
        assert np.isfinite(column[indicator.warm_up :]).all(), indicator.name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [0, 1, 2, 9, 15, 27, 34, 52, 78])
def test_few_candles_give_nan_rather_than_errors(engine: str, count: int) -> None:
    columns = compute_with(engine, made_candles(count), NAMES)
    assert columns.shape == (len(NAMES), count)
    for indicator, column in zip(CATALOGUE, columns, strict=True):
        assert np.isnan(column[: indicator.warm_up]).all(), indicator.name
        assert np.isfinite(column[indicator.warm_up :]).all(), indicator.name


@settings(max_examples=15, deadline=None)
@given(power=st.integers(-40, 20), seed=st.integers(0, 20))
def test_tiny_and_huge_prices_are_treated_alike(power: int, seed: int) -> None:
    candles = made_candles(300, seed=seed)
    scale = 2.0**power
    scaled = Candles.from_columns(
        candles.symbol,
        candles.interval,
        candles.open_time_ms.copy(),
        [getattr(candles, n) * scale for n in ("open", "high", "low", "close")]
        + [
            getattr(candles, n).copy()
            for n in ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
        ],
    )
    a, b = compute_indicators(candles).columns, compute_indicators(scaled).columns
    for indicator, left, right in zip(CATALOGUE, a, b, strict=True):
        factor = scale if indicator.unit == "price" else 1.0
        reach = np.nanmax(np.abs(left * factor)) if np.isfinite(left).any() else 1.0
        np.testing.assert_allclose(right, left * factor, rtol=1e-8, atol=1e-8 * reach, err_msg=indicator.name)


def test_a_market_that_stands_still_is_neither_overbought_nor_an_error() -> None:
    count = 300
    times = 1_704_067_200_000 + 3_600_000 * np.arange(count)
    still = Candles.from_columns(
        made_candles(1).symbol, Interval.H1, times, [np.ones(count)] * 4 + [np.zeros(count)] * 5
    )
    columns = compute_indicators(still)
    for name in ("rsi_14", "mfi_14"):
        assert columns.column(name)[-1] == 50.0
        assert BY_NAME[name].reading(columns.column(name)[-1], 1.0) == "neutral"
    assert np.isfinite(columns.columns[:, 250:]).all()


def test_holes_are_not_filled() -> None:
    candles = made_candles(100, without=(50, 51, 52))
    dense = Candles.from_columns(
        candles.symbol,
        candles.interval,
        1_704_067_200_000 + 3_600_000 * np.arange(len(candles)),
        [getattr(candles, n).copy() for n in ("open", "high", "low", "close", "volume", "quote_volume", "trades")]
        + [candles.taker_buy_base.copy(), candles.taker_buy_quote.copy()],
    )
    names = [name for name in NAMES if name != "vwap_day"]
    np.testing.assert_array_equal(compute_indicators(candles, names).columns, compute_indicators(dense, names).columns)


def test_columns_come_in_the_order_asked_and_unknown_ones_are_refused() -> None:
    candles = made_candles(60)
    some = compute_indicators(candles, ["rsi_14", "sma_5"])
    assert some.names == ("rsi_14", "sma_5")
    assert len(some) == 60
    everything = compute_indicators(candles)
    np.testing.assert_array_equal(some.column("rsi_14"), everything.column("rsi_14"))
    assert not some.columns.flags.writeable
    with pytest.raises(NotFound, match=r"no indicator rsi_15; there are sma_5, .*rsi_14"):
        compute_indicators(candles, ["rsi_15"])
    with pytest.raises(NotFound, match="'obv' is not among rsi_14, sma_5"):
        some.column("obv")


def test_the_same_candles_are_computed_once() -> None:
    data_cache.clear()
    first = indicators(made_candles(200))
    assert indicators(made_candles(200)) is first
    assert first.candles_digest == made_candles(200).digest
    other = indicators(made_candles(200, seed=2))
    assert other is not first
    assert not np.array_equal(other.columns, first.columns, equal_nan=True)
    data_cache.clear()


def test_a_close_leaves_as_many_as_before() -> None:
    data_cache.clear()
    candles = made_candles(160)
    sizes = set()
    for end in range(120, 161):
        newest = indicators(candles.slice(0, end))
        sizes.add(data_cache.sizes()["indicators"][0])
    assert sizes == {1}
    older = indicators(candles.slice(0, 120))
    assert np.isnan(older.column("sma_20")[:19]).all()
    assert indicators(candles) is newest, "what somebody asks of the past does not drive out the present"
    assert data_cache.sizes()["indicators"][0] == 1
    data_cache.clear()
