"""Indicators by TA-Lib, in C, hundreds of times faster than `ta`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from inspect import unwrap
from types import ModuleType, SimpleNamespace

import numpy as np

from data.candles import Candles, Floats
from data.indicators_own import money_flow_index, per_year, zscore

_KEPT_OUT = ("pandas", "polars")


class _NotHere:
    """Says to one thread, while it imports TA-Lib, that pandas and polars are not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in _KEPT_OUT and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is kept out while TA-Lib is imported", name=name)
        return None


@contextmanager
def _without_frames() -> Iterator[None]:
    """TA-Lib imports pandas and polars where they are installed, only to accept their columns: 90 MB for nothing here.

    Other threads, and later imports, find both as ever.
    """
    finder = _NotHere()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


with _without_frames():
    import talib as _talib

# Where pandas was there before, every function is wrapped to look for its columns; what is wrapped is all we need.
talib = SimpleNamespace(**{name: unwrap(value) for name, value in vars(_talib).items() if name.isupper()})

Columns = tuple[Floats, ...]


def _sma(window: int) -> Callable[[Candles], Columns]:
    return lambda c: (talib.SMA(c.close, window),)


def _ema(window: int) -> Callable[[Candles], Columns]:
    return lambda c: (talib.EMA(c.close, window),)


def _ahead(values: Floats, rows: int) -> Floats:
    """Plotted `rows` later than it was known: at t stands what was known at t - rows."""
    shifted = np.empty(len(values))
    shifted[:rows] = np.nan
    shifted[rows:] = values[: max(0, len(values) - rows)]
    return shifted


def _ichimoku(c: Candles) -> Columns:
    conversion, base, slow = (talib.MIDPRICE(c.high, c.low, window) for window in (9, 26, 52))
    middle = conversion + base
    middle *= 0.5
    return conversion, base, _ahead(middle, 26), _ahead(slow, 26)


def _bollinger(c: Candles) -> Columns:
    """With the simple average, which is the middle band."""
    upper, middle, lower = talib.BBANDS(c.close, 20, 2.0, 2.0)
    width, percent = upper - lower, c.close - lower
    if width[19:].all():  # no window of prices that stand still: no need to look at each
        percent /= width
    else:
        percent = np.divide(percent, width, out=np.where(np.isnan(width), np.nan, 0.5), where=width > 0)
    width /= middle
    return upper, middle, lower, percent, width, middle


def _keltner(c: Candles) -> Columns:
    middle, reach = talib.EMA(c.close, 20), talib.ATR(c.high, c.low, c.close, 10)
    reach *= 2.0
    return middle + reach, middle, middle - reach


def _donchian(c: Candles) -> Columns:
    return talib.MAX(c.high, 20), talib.MIDPRICE(c.high, c.low, 20), talib.MIN(c.low, 20)


def _aroon(c: Candles) -> Columns:
    down, up = talib.AROON(c.high, c.low, 25)
    return up, down


def _rsi(c: Candles) -> Columns:
    """Chande's oscillator is the same two averages on a scale of -100…100, and 0 where TA-Lib's RSI of a price that
    stands still would be 0 too: "oversold". The middle of the scale is the truth."""
    rsi = talib.CMO(c.close, 14)
    rsi *= 0.5
    rsi += 50.0
    return (rsi,)


def _volume_zscore(c: Candles) -> Columns:
    mean, spread = talib.SMA(c.volume, 20), talib.STDDEV(c.volume, 20)
    return (zscore(c.volume, mean, spread, talib.MAX(c.volume, 20)),)


def _realised_volatility(c: Candles) -> Columns:
    logs = np.log(c.close)
    squares = np.empty(len(c))
    squares[0] = 0.0
    steps = np.subtract(logs[1:], logs[:-1], out=squares[1:])
    steps *= steps
    mean = talib.SMA(squares, 24)
    mean[:24] = np.nan
    np.maximum(mean, 0.0, out=mean)
    mean *= per_year(c)
    return (np.sqrt(mean, out=mean),)


FAMILIES: dict[tuple[str, ...], Callable[[Candles], Columns]] = {
    **{(f"sma_{window}",): _sma(window) for window in (5, 10, 50, 200)},
    **{(f"ema_{window}",): _ema(window) for window in (12, 26, 50)},
    (
        "bollinger_upper_20",
        "bollinger_middle_20",
        "bollinger_lower_20",
        "bollinger_percent_20",
        "bollinger_width_20",
        "sma_20",
    ): _bollinger,
    ("keltner_upper_20", "keltner_middle_20", "keltner_lower_20"): _keltner,
    ("donchian_upper_20", "donchian_middle_20", "donchian_lower_20"): _donchian,
    ("ichimoku_conversion_9", "ichimoku_base_26", "ichimoku_span_a", "ichimoku_span_b"): _ichimoku,
    ("psar",): lambda c: (talib.SAR(c.high, c.low, 0.02, 0.2),),
    ("rsi_14",): _rsi,
    ("macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9"): lambda c: talib.MACD(c.close, 12, 26, 9),
    ("stochastic_k_14", "stochastic_d_14"): lambda c: talib.STOCHF(c.high, c.low, c.close, 14, 3),
    ("williams_r_14",): lambda c: (talib.WILLR(c.high, c.low, c.close, 14),),
    ("cci_20",): lambda c: (talib.CCI(c.high, c.low, c.close, 20),),
    ("roc_10",): lambda c: (talib.ROC(c.close, 10),),
    ("trix_15",): lambda c: (talib.TRIX(c.close, 15),),
    ("adx_14",): lambda c: (talib.ADX(c.high, c.low, c.close, 14),),
    ("plus_di_14",): lambda c: (talib.PLUS_DI(c.high, c.low, c.close, 14),),
    ("minus_di_14",): lambda c: (talib.MINUS_DI(c.high, c.low, c.close, 14),),
    ("aroon_up_25", "aroon_down_25"): _aroon,
    ("atr_14",): lambda c: (talib.ATR(c.high, c.low, c.close, 14),),
    ("obv",): lambda c: (talib.OBV(c.close, c.volume),),
    ("mfi_14",): lambda c: (money_flow_index(c, 14),),
    ("volume_zscore_20",): _volume_zscore,
    ("realised_volatility_24",): _realised_volatility,
}
"""Names, and the function that computes them together."""
