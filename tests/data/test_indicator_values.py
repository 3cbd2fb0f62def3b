"""Values of the indicators: what `ta` says of the same real candles, what their formulas say, and golden numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.candles import FLOAT_COLUMNS, Candles
from data.data_processor import (
    compute_indicators,
    compute_with,
)
from data.indicator_catalogue import NAMES
from data.interval import Interval
from tests.support.made_candles import made_candles
from tests.support.real_candles import real_candles

ENGINES = ("talib", "ta")
SETTLED = 600
"""Rows after which averages that never forget agree whatever they began with (EMA 50: 0.5 ** (600 / 17) = 2e-11)."""
DIFFERENT = {"psar", "obv", "aroon_up_25", "aroon_down_25"}
"""Differences that last, each with its own test below and its lines in docs/indicators.md."""


@pytest.fixture(scope="module", params=[("BTCUSDT", "1h"), ("XRPUSDT", "1h"), ("BTCUSDT", "5m"), ("DOGEUSDT", "1d")])
def real(request: pytest.FixtureRequest) -> Candles:
    symbol, interval = request.param
    return real_candles(symbol, interval, -2000, None)


@pytest.mark.shared
def test_talib_agrees_with_ta_on_real_candles(real: Candles) -> None:
    names = tuple(name for name in NAMES if name not in DIFFERENT)
    ours, theirs = compute_with("talib", real, names), compute_with("ta", real, names)
    for name, a, b in zip(names, ours, theirs, strict=True):
        scale = np.abs(b[SETTLED:]).max()
        np.testing.assert_allclose(a[SETTLED:], b[SETTLED:], rtol=1e-9, atol=1e-9 * scale, err_msg=name)


@pytest.mark.shared
def test_what_needs_no_settling_agrees_from_the_first_value(real: Candles) -> None:
    names = tuple(
        name
        for name in NAMES
        if name.startswith(("sma", "bollinger", "donchian", "stochastic", "williams", "cci", "roc", "mfi", "ichimoku"))
    )
    ours, theirs = compute_with("talib", real, names), compute_with("ta", real, names)
    for name, a, b in zip(names, ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7 * np.nanmax(np.abs(b)), err_msg=name)


@pytest.mark.shared
def test_obv_moves_as_in_ta_but_for_unchanged_closes(real: Candles) -> None:
    (ours,), (theirs,) = (compute_with(engine, real, ("obv",)) for engine in ENGINES)
    moved = np.diff(real.close) != 0
    tolerance = 1e-9 * np.abs(theirs).max()
    np.testing.assert_allclose(np.diff(ours)[moved], np.diff(theirs)[moved], rtol=1e-9, atol=tolerance)
    np.testing.assert_allclose(np.diff(ours)[~moved], 0.0, atol=tolerance)
    np.testing.assert_allclose(np.diff(theirs)[~moved], real.volume[1:][~moved], rtol=1e-6, atol=tolerance)


@pytest.mark.shared
def test_aroon_is_that_of_ta_where_the_extreme_was_reached_once(real: Candles) -> None:
    for name, column, extreme in (("aroon_up_25", real.high, np.max), ("aroon_down_25", real.low, np.min)):
        (ours,), (theirs,) = (compute_with(engine, real, (name,)) for engine in ENGINES)
        views = np.lib.stride_tricks.sliding_window_view(column, 26)
        once = (views == extreme(views, axis=1, keepdims=True)).sum(axis=1) == 1
        np.testing.assert_allclose(ours[25:][once], theirs[25:][once], rtol=1e-12)
        assert (ours[25:][~once] >= theirs[25:][~once]).all(), "TA-Lib counts from the later of equal extremes"


@pytest.mark.shared
def test_psar_is_mostly_that_of_ta_and_stands_on_the_same_side(real: Candles) -> None:
    (ours,), (theirs,) = (compute_with(engine, real, ("psar",)) for engine in ENGINES)
    same = np.isclose(ours[SETTLED:], theirs[SETTLED:], rtol=1e-9)
    same_side = ((ours > real.close) == (theirs > real.close))[SETTLED:]
    assert same.mean() > 0.6
    assert same_side.mean() > 0.9
    reach = np.abs(ours - real.close)[SETTLED:]
    assert np.abs(ours - theirs)[SETTLED:].max() < 3 * reach.max()


def test_our_own_indicators_are_what_they_say() -> None:
    candles = made_candles(400, start_ms=1_704_067_200_000 + 5 * 3_600_000)
    columns = compute_indicators(candles)
    volume = pd.Series(candles.volume)
    z = (volume - volume.rolling(20).mean()) / volume.rolling(20).std(ddof=0)
    np.testing.assert_allclose(columns.column("volume_zscore_20"), z, rtol=1e-9, atol=1e-12)
    squares = pd.Series(np.log(candles.close)).diff().pow(2)
    volatility = np.sqrt(squares.rolling(24).mean() * 365 * 24)
    np.testing.assert_allclose(columns.column("realised_volatility_24"), volatility, rtol=1e-9)
    price = (candles.high + candles.low + candles.close) / 3
    day = pd.Series(candles.open_time_ms // 86_400_000)
    paid, traded = (pd.Series(x).groupby(day).cumsum() for x in (price * candles.volume, candles.volume))
    vwap = (paid / traded).to_numpy(copy=True)
    vwap[:19] = np.nan
    np.testing.assert_allclose(columns.column("vwap_day"), vwap, rtol=1e-12)


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M15, Interval.H1, Interval.H12, Interval.D1, Interval.W1])
def test_vwap_with_holes_is_that_of_the_candles_there_are(interval: Interval) -> None:
    dense = made_candles(400, start_ms=1_704_067_200_000 + 3_600_000)
    times = interval.open_ms(1_704_067_200_000 + 5 * 3_600_000) + interval.ms * np.arange(400)
    kept = np.delete(np.arange(400), [*range(60, 66), 100, *range(200, 300)])
    candles = Candles.from_columns(
        dense.symbol, interval, times[kept], [getattr(dense, name)[kept] for name in FLOAT_COLUMNS]
    )
    day, price = candles.open_time_ms // 86_400_000, (candles.high + candles.low + candles.close) / 3
    expected = np.full(len(candles), np.nan)
    for row in range(len(candles)):
        of_day = np.flatnonzero(day[: row + 1] == day[row])
        if day[row] != day[0] or candles.open_time_ms[0] % 86_400_000 == 0:
            expected[row] = np.average(price[of_day], weights=candles.volume[of_day])
    got = compute_indicators(candles, ["vwap_day"]).columns[0]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(compute_indicators(candles.slice(0, 50), ["vwap_day"]).columns[0], got[:50])


def test_money_flow_is_that_of_each_window_alone() -> None:
    made = made_candles(120)
    volume = made.volume * 1e-9
    volume[40], volume[70:95] = 1e9, 0.0
    columns = [volume if name == "volume" else getattr(made, name) for name in FLOAT_COLUMNS]
    candles = Candles.from_columns(made.symbol, made.interval, made.open_time_ms, columns)
    got = compute_indicators(candles, ["mfi_14"]).columns[0]
    price = (candles.high + candles.low + candles.close) / 3
    for row in range(14, 120):
        flow, step = (price * volume)[row - 13 : row + 1], np.diff(price)[row - 14 : row]
        whole = flow[step != 0].sum()
        assert got[row] == pytest.approx(100 * flow[step > 0].sum() / whole if whole else 50.0, rel=1e-12), row


def test_vwap_of_candles_within_one_day_is_unknown() -> None:
    candles = made_candles(10, start_ms=1_704_067_200_000 + 5 * 3_600_000)
    assert np.isnan(compute_indicators(candles, ["vwap_day"]).columns).all()


def test_golden_values() -> None:
    """Numbers that must not change unnoticed: if they should, raise the catalogue's VERSION."""
    columns = compute_indicators(made_candles(300, seed=7))
    got = {name: float(columns.column(name)[-1]) for name in GOLDEN}
    assert got == pytest.approx(GOLDEN, rel=1e-9)


GOLDEN: dict[str, float] = {
    "sma_5": 27840.6886673479,
    "sma_10": 27846.675909501304,
    "sma_20": 27827.080670139032,
    "sma_50": 28123.804372778657,
    "sma_200": 29530.43305698207,
    "ema_12": 27831.3791621842,
    "ema_26": 27911.13200318861,
    "ema_50": 28126.834682267432,
    "bollinger_upper_20": 28239.158009922347,
    "bollinger_middle_20": 27827.080670139032,
    "bollinger_lower_20": 27415.003330355717,
    "keltner_upper_20": 28429.10394367631,
    "keltner_middle_20": 27869.180172641045,
    "keltner_lower_20": 27309.25640160578,
    "donchian_upper_20": 28538.48563925341,
    "donchian_middle_20": 27854.33789592782,
    "donchian_lower_20": 27170.190152602234,
    "ichimoku_conversion_9": 27922.993271588268,
    "ichimoku_base_26": 27941.92652150675,
    "ichimoku_span_a": 28225.62136631616,
    "ichimoku_span_b": 28941.25612192514,
    "psar": 27353.426017113095,
    "vwap_day": 27840.856529282475,
    "rsi_14": 43.368913801752946,
    "macd_12_26_9": -79.75284100441058,
    "macd_signal_12_26_9": -99.50071754521998,
    "macd_histogram_12_26_9": 19.7478765408094,
    "stochastic_k_14": 45.629113037098236,
    "stochastic_d_14": 59.81271235844222,
    "williams_r_14": -54.370886962901764,
    "cci_20": -44.23670418084098,
    "roc_10": -1.1904401835299283,
    "trix_15": -0.051299248046310364,
    "adx_14": 10.226889250913766,
    "plus_di_14": 24.8799729027359,
    "minus_di_14": 27.067166962805906,
    "aroon_up_25": 16.0,
    "aroon_down_25": 56.0,
    "atr_14": 291.5840557046489,
    "bollinger_percent_20": 0.31315811735527943,
    "bollinger_width_20": 0.02961700112692818,
    "realised_volatility_24": 0.7499832452852939,
    "obv": -768.4202381822236,
    "mfi_14": 36.91771942075699,
    "volume_zscore_20": -0.5580333066769995,
}
