"""Indicators by `ta`, in pandas: the engine where TA-Lib has no wheel, and the reference it is tested against."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import ta

from data.candles import Candles, Floats
from data.indicator_catalogue import BY_NAME

Columns = tuple[Floats, ...]


class _Frame:
    """The columns as pandas has them."""

    def __init__(self, candles: Candles) -> None:
        self.high = pd.Series(candles.high)
        self.low = pd.Series(candles.low)
        self.close = pd.Series(candles.close)
        self.volume = pd.Series(candles.volume)


def _sma(window: int) -> Callable[[_Frame], list[Any]]:
    return lambda f: [ta.trend.sma_indicator(f.close, window)]


def _ema(window: int) -> Callable[[_Frame], list[Any]]:
    return lambda f: [ta.trend.ema_indicator(f.close, window)]


def _bollinger(f: _Frame) -> list[Any]:
    bands = ta.volatility.BollingerBands(f.close, 20, 2)
    upper, middle, lower = bands.bollinger_hband(), bands.bollinger_mavg(), bands.bollinger_lband()
    percent = ((f.close - lower) / (upper - lower)).where(upper > lower, middle * 0.0 + 0.5)
    return [upper, middle, lower, percent, (upper - lower) / middle]


def _keltner(f: _Frame) -> list[Any]:
    bands = ta.volatility.KeltnerChannel(f.high, f.low, f.close, 20, 10, original_version=False, multiplier=2)
    return [bands.keltner_channel_hband(), bands.keltner_channel_mband(), bands.keltner_channel_lband()]


def _donchian(f: _Frame) -> list[Any]:
    bands = ta.volatility.DonchianChannel(f.high, f.low, f.close, 20)
    return [bands.donchian_channel_hband(), bands.donchian_channel_mband(), bands.donchian_channel_lband()]


def _ichimoku(f: _Frame) -> list[Any]:
    lines = ta.trend.IchimokuIndicator(f.high, f.low, 9, 26, 52)
    spans = [lines.ichimoku_a().shift(26), lines.ichimoku_b().shift(26)]
    return [lines.ichimoku_conversion_line(), lines.ichimoku_base_line(), *spans]


def _macd(f: _Frame) -> list[Any]:
    lines = ta.trend.MACD(f.close, 26, 12, 9)
    return [lines.macd(), lines.macd_signal(), lines.macd_diff()]


def _stochastic(f: _Frame) -> list[Any]:
    lines = ta.momentum.StochasticOscillator(f.high, f.low, f.close, 14, 3)
    return [lines.stoch(), lines.stoch_signal()]


def _adx(f: _Frame) -> list[Any]:
    lines = ta.trend.ADXIndicator(f.high, f.low, f.close, 14)
    enough = len(f.close) > 2 * 14
    return [lines.adx() if enough else f.close * np.nan, lines.adx_pos(), lines.adx_neg()]


def _aroon(f: _Frame) -> list[Any]:
    lines = ta.trend.AroonIndicator(f.high, f.low, 25)
    return [lines.aroon_up(), lines.aroon_down()]


_COMPUTE: dict[tuple[str, ...], Callable[[_Frame], list[Any]]] = {
    **{(f"sma_{window}",): _sma(window) for window in (5, 10, 20, 50, 200)},
    **{(f"ema_{window}",): _ema(window) for window in (12, 26, 50)},
    (
        "bollinger_upper_20",
        "bollinger_middle_20",
        "bollinger_lower_20",
        "bollinger_percent_20",
        "bollinger_width_20",
    ): _bollinger,
    ("keltner_upper_20", "keltner_middle_20", "keltner_lower_20"): _keltner,
    ("donchian_upper_20", "donchian_middle_20", "donchian_lower_20"): _donchian,
    ("ichimoku_conversion_9", "ichimoku_base_26", "ichimoku_span_a", "ichimoku_span_b"): _ichimoku,
    ("psar",): lambda f: [ta.trend.PSARIndicator(f.high, f.low, f.close, 0.02, 0.2).psar()],
    ("rsi_14",): lambda f: [ta.momentum.rsi(f.close, 14)],
    ("macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9"): _macd,
    ("stochastic_k_14", "stochastic_d_14"): _stochastic,
    ("williams_r_14",): lambda f: [ta.momentum.williams_r(f.high, f.low, f.close, 14)],
    ("cci_20",): lambda f: [ta.trend.cci(f.high, f.low, f.close, 20)],
    ("roc_10",): lambda f: [ta.momentum.roc(f.close, 10)],
    ("trix_15",): lambda f: [ta.trend.trix(f.close, 15)],
    ("adx_14", "plus_di_14", "minus_di_14"): _adx,
    ("aroon_up_25", "aroon_down_25"): _aroon,
    ("atr_14",): lambda f: [ta.volatility.average_true_range(f.high, f.low, f.close, 14)],
    ("obv",): lambda f: [ta.volume.on_balance_volume(f.close, f.volume)],
    ("mfi_14",): lambda f: [ta.volume.money_flow_index(f.high, f.low, f.close, f.volume, 14)],
}


@contextmanager
def _quiet() -> Iterator[None]:
    """`ta` 0.11 divides by zero and uses calls that pandas has deprecated; neither is news to the reader of a log."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _compute(names: tuple[str, ...], compute: Callable[[_Frame], list[Any]], candles: Candles) -> Columns:
    """`ta` gives zeros or half-filled windows while some columns warm up; here all are NaN until their time."""
    with _quiet():
        columns = tuple(np.array(column, dtype=np.float64) for column in compute(_Frame(candles)))
    for name, column in zip(names, columns, strict=True):
        column[: BY_NAME[name].warm_up] = np.nan
    return columns


FAMILIES: dict[tuple[str, ...], Callable[[Candles], Columns]] = {
    names: partial(_compute, names, compute) for names, compute in _COMPUTE.items()
}
"""Names, and the function that computes them together."""
