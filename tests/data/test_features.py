"""Features: the formula of volatility, no look ahead, no dependence on old history, holes, absent columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.candles import FLOAT_COLUMNS, Candles
from data.features import (
    FEATURES,
    LIMIT,
    SIGMA_FLOOR,
    WARM_UP,
    ewma_sigma,
    feature_matrix,
    log_returns,
)
from data.filters import ewma, rolling_max, rolling_min, rolling_sum
from data.interval import Interval
from tests.support.made_candles import changed_after, made_candles
from tests.support.real_candles import real_candles
from utils.errors import SchemaMismatch


def sigma_by_hand(candles: Candles, half_life: float) -> list[float]:
    """The docstring of ewma_sigma, word by word."""
    a = 0.5 ** (1 / half_life)
    k = int(np.ceil(half_life))
    first: list[float] = []
    variance = float("nan")
    result = []
    for i in range(len(candles)):
        if i and candles.open_time_ms[i] - candles.open_time_ms[i - 1] == candles.interval.ms:
            r = float(np.log(candles.close[i] / candles.close[i - 1]))
            if len(first) < k:
                first.append(r * r)
                variance = sum(first) / k if len(first) == k else float("nan")
            else:
                variance = a * variance + (1 - a) * r * r
        result.append(max(variance**0.5, SIGMA_FLOOR) if variance == variance else float("nan"))
    return result


@pytest.mark.parametrize("half_life", [24.0, 3.5, 1.0, 100.0])
@pytest.mark.parametrize("without", [(), (0, 5, 30, 31, 32, 200)])
def test_sigma_is_its_documented_recursion(half_life: float, without: tuple[int, ...]) -> None:
    candles = made_candles(400, without=without)
    np.testing.assert_allclose(ewma_sigma(candles, half_life), sigma_by_hand(candles, half_life), rtol=1e-12)


@pytest.mark.shared
def test_sigma_over_all_real_history_is_its_documented_recursion() -> None:
    candles = real_candles("BTCUSDT", "1h", 0, 20_000)
    assert candles.holes()
    np.testing.assert_allclose(ewma_sigma(candles), sigma_by_hand(candles, 24.0), rtol=1e-11)


def test_sigma_of_few_candles_is_unknown_and_of_a_flat_market_tiny() -> None:
    assert np.isnan(ewma_sigma(made_candles(24))).all()
    assert np.isfinite(ewma_sigma(made_candles(25))[-1])
    assert len(ewma_sigma(made_candles(0))) == 0
    flat = Candles.from_columns(
        made_candles(1).symbol, Interval.H1, made_candles(60).open_time_ms.copy(), np.ones((9, 60))
    )
    assert ewma_sigma(flat)[-1] == SIGMA_FLOOR


def test_a_return_is_of_consecutive_candles_only() -> None:
    candles = made_candles(10, without=(4, 5))
    returns, present = log_returns(candles)
    assert present.tolist() == [False, True, True, True, False, True, True, True]
    assert returns[4] == 0
    assert returns[5] == pytest.approx(np.log(candles.close[5] / candles.close[4]))


@settings(max_examples=25, deadline=None)
@given(row=st.integers(WARM_UP, 398), seed=st.integers(0, 50))
def test_no_feature_sees_the_future(row: int, seed: int) -> None:
    candles = made_candles(400, seed=seed)
    other = changed_after(candles, row, seed + 1)
    a, b = feature_matrix(candles), feature_matrix(other)
    for column, name in enumerate(FEATURES):
        np.testing.assert_array_equal(a[: row + 1, column], b[: row + 1, column], err_msg=name)
    np.testing.assert_array_equal(ewma_sigma(candles)[: row + 1], ewma_sigma(other)[: row + 1])
    np.testing.assert_array_equal(a[: row + 1], feature_matrix(candles.slice(0, row + 1)))


@pytest.mark.shared
@pytest.mark.parametrize(("symbol", "interval"), [("BTCUSDT", "1h"), ("ETHUSDT", "5m"), ("TRXUSDT", "1h")])
def test_a_thousand_candles_give_what_all_history_gives(symbol: str, interval: str) -> None:
    candles = real_candles(symbol, interval)
    whole, tail = feature_matrix(candles)[-200:], feature_matrix(candles.tail(1000))[-200:]
    np.testing.assert_allclose(tail, whole, atol=1e-5)
    np.testing.assert_allclose(ewma_sigma(candles.tail(1000))[-200:], ewma_sigma(candles)[-200:], rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize(("symbol", "interval"), [("BTCUSDT", "1h"), ("XRPUSDT", "1h"), ("DOGEUSDT", "1d")])
def test_features_of_real_candles_are_finite_bounded_and_not_constant(symbol: str, interval: str) -> None:
    candles = real_candles(symbol, interval)
    matrix = feature_matrix(candles)
    assert matrix.dtype == np.float32
    assert np.isnan(matrix[:WARM_UP]).all()
    assert np.isfinite(matrix[WARM_UP:]).all()
    assert np.abs(matrix[WARM_UP:]).max() <= LIMIT
    spread = matrix[WARM_UP:].std(axis=0)
    moving = [name for name in FEATURES if interval != "1d" or not name.startswith("hour")]
    assert all(spread[FEATURES.index(name)] > 0.01 for name in moving)


def test_features_are_free_of_scale() -> None:
    candles = made_candles(400)
    prices, volumes = 2.0**-20, 2.0**13
    factors = [prices] * 4 + [volumes, volumes * prices, volumes, volumes, volumes * prices]
    scaled = Candles.from_columns(
        candles.symbol,
        candles.interval,
        candles.open_time_ms.copy(),
        [getattr(candles, name) * factor for name, factor in zip(FLOAT_COLUMNS, factors, strict=True)],
    )
    np.testing.assert_allclose(feature_matrix(scaled)[WARM_UP:], feature_matrix(candles)[WARM_UP:], atol=2e-5)


def test_absent_columns_are_zero_and_change_nothing_else() -> None:
    candles = made_candles(400)
    nothing = np.full(len(candles), np.nan)
    poor = replace(
        candles, quote_volume=nothing, trades=nothing, taker_buy_base=nothing.copy(), taker_buy_quote=nothing.copy()
    )
    rich, bare = feature_matrix(candles), feature_matrix(poor)
    for column, name in enumerate(FEATURES):
        if name in ("trades_24", "imbalance", "imbalance_12"):
            assert (bare[WARM_UP:, column] == 0).all(), name
        else:
            np.testing.assert_array_equal(rich[:, column], bare[:, column], err_msg=name)


def test_a_market_that_stands_still_gives_numbers() -> None:
    count = 400
    times = made_candles(count).open_time_ms.copy()
    still = Candles.from_columns(
        made_candles(1).symbol, Interval.H1, times, [np.ones(count)] * 4 + [np.zeros(count)] * 5
    )
    assert np.isfinite(feature_matrix(still)[WARM_UP:]).all()


def test_the_move_across_a_hole_is_left_out() -> None:
    candles = made_candles(400, without=tuple(range(300, 310)))
    jumped = Candles.from_columns(
        candles.symbol,
        candles.interval,
        candles.open_time_ms.copy(),
        [
            np.where(np.arange(len(candles)) >= 300, 3.0, 1.0) * getattr(candles, name)
            if name in ("open", "high", "low", "close")
            else getattr(candles, name).copy()
            for name in FLOAT_COLUMNS
        ],
    )
    np.testing.assert_allclose(feature_matrix(jumped)[WARM_UP:], feature_matrix(candles)[WARM_UP:], atol=2e-5)


def test_features_come_in_the_order_asked_and_unknown_ones_are_refused() -> None:
    candles = made_candles(300)
    some = feature_matrix(candles, ["range", "return_1"])
    np.testing.assert_array_equal(some[:, 0], feature_matrix(candles)[:, FEATURES.index("range")])
    assert feature_matrix(candles, []).shape == (300, 0)
    assert feature_matrix(made_candles(WARM_UP)).shape == (WARM_UP, len(FEATURES))
    with pytest.raises(SchemaMismatch, match="computes no feature moon_phase; it has return_1, "):
        feature_matrix(candles, ["moon_phase"])


def test_time_of_day_and_week_are_utc() -> None:
    candles = made_candles(24 * 14)
    columns = feature_matrix(candles, ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"])
    row = 24 * 9 + 6
    assert columns[row] == pytest.approx([1.0, 0.0, np.sin(2 * np.pi * 3 / 7), np.cos(2 * np.pi * 3 / 7)], abs=1e-6)


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=60)


@given(VALUES, st.integers(1, 30))
def test_rolling_filters_agree_with_slices(values: list[float], window: int) -> None:
    column = np.array(values)
    for ours, theirs in ((rolling_sum, np.sum), (rolling_max, np.max), (rolling_min, np.min)):
        found = ours(column, window)
        for t in range(len(column)):
            if t < window - 1:
                assert np.isnan(found[t])
            else:
                assert found[t] == pytest.approx(theirs(column[t - window + 1 : t + 1]), rel=1e-9, abs=1e-6)


@given(VALUES, st.floats(0.5, 20))
def test_ewma_agrees_with_its_recursion(values: list[float], half_life: float) -> None:
    column = np.abs(np.array(values))
    found = ewma(column, half_life)
    seeded, keep = int(np.ceil(half_life)), 0.5 ** (1 / half_life)
    assert np.isnan(found[: seeded - 1]).all()
    if len(column) >= seeded:
        value = column[:seeded].mean()
        for t in range(seeded, len(column)):
            value = keep * value + (1 - keep) * column[t]
            assert found[t] == pytest.approx(value, rel=1e-9, abs=1e-9)
