"""Indicator catalogue: what each column is called, where it is drawn, and how it is read. Page, API and docs use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

VERSION = "1"
"""Part of every cache key: raise it whenever a column would hold other numbers for the same candles."""

Group = Literal["trend", "momentum", "volatility", "volume"]
Reading = Callable[[float, float], str]


@dataclass(frozen=True, slots=True)
class Indicator:
    """One column. `pane` is "price" for what is drawn over the candles, else the pane shared by what belongs together.

    `unit`: "price" (of the quote asset), "percent" (0–100 scales and percentages), "fraction", "volume" (of the base
    asset), "sigmas" or "index" (a number without a unit). `warm_up` is how many candles come before the first value.
    """

    name: str
    title: str
    group: Group
    pane: str
    unit: str
    help: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    warm_up: int = 0
    _reading: Reading | None = None

    def reading(self, value: float, close: float) -> str:
        """The value in a word or two, beside the candle's close; "" where words add nothing."""
        return self._reading(value, close) if self._reading is not None and value == value else ""


def _beside_price(value: float, close: float) -> str:
    return "price above" if close > value else "price below" if close < value else "price at it"


def _zone(low: float, high: float, below: str = "oversold", above: str = "overbought") -> Reading:
    def words(value: float, _: float) -> str:
        return above if value >= high else below if value <= low else "neutral"

    return words


def _sign(below: str, above: str) -> Reading:
    def words(value: float, _: float) -> str:
        return above if value > 0 else below if value < 0 else "flat"

    return words


def _band(reached: str, side: int) -> Reading:
    def words(value: float, close: float) -> str:
        return reached if (close - value) * side >= 0 else "inside"

    return words


def _adx(value: float, _: float) -> str:
    return "no trend" if value < 20 else "weak trend" if value < 25 else "trend" if value < 50 else "strong trend"


def _aroon(value: float, _: float) -> str:
    return "fresh extreme" if value >= 70 else "old extreme" if value <= 30 else "neutral"


def _trend(name: str, title: str, help: str, warm_up: int, **parameters: float) -> Indicator:
    return Indicator(name, title, "trend", "price", "price", help, parameters, warm_up, _beside_price)


def _averages() -> list[Indicator]:
    simple = [
        _trend(f"sma_{n}", f"SMA {n}", f"Mean of the last {n} closes; {use}.", n - 1, window=n)
        for n, use in (
            (5, "price crossing it is the quickest of trend signals, and the noisiest"),
            (10, "followed by short-term traders as the near trend"),
            (20, "the middle of the Bollinger bands, a month of trading days on daily candles"),
            (50, "the medium trend; its crossing of the 200 is the golden or the death cross"),
            (200, "the long trend: above it a market is called rising, below it falling"),
        )
    ]
    exponential = [
        _trend(f"ema_{n}", f"EMA {n}", f"Average of closes with weights that fade over {n}; {use}.", n - 1, window=n)
        for n, use in (
            (12, "the quick half of MACD"),
            (26, "the slow half of MACD"),
            (50, "turns sooner than the simple average of the same length"),
        )
    ]
    return simple + exponential


def _bands() -> list[Indicator]:
    bollinger = {"window": 20.0, "deviations": 2.0}
    keltner = {"window": 20.0, "atr_window": 10.0, "multiplier": 2.0}
    donchian = {"window": 20.0}
    rows: list[tuple[str, str, str, dict[str, float], int, Reading]] = [
        ("bollinger_upper_20", "Bollinger upper", "Two standard deviations above the 20-candle mean: a close "
         "beyond it is unusually high for the recent range.", bollinger, 19, _band("above the band", 1)),
        ("bollinger_middle_20", "Bollinger middle", "The 20-candle mean between the Bollinger bands, to which "
         "prices tend to return in quiet markets.", bollinger, 19, _beside_price),
        ("bollinger_lower_20", "Bollinger lower", "Two standard deviations below the 20-candle mean: a close "
         "beyond it is unusually low for the recent range.", bollinger, 19, _band("below the band", -1)),
        ("keltner_upper_20", "Keltner upper", "Two average true ranges above the 20-candle EMA: closes beyond "
         "it speak of a strong rise.", keltner, 19, _band("above the channel", 1)),
        ("keltner_middle_20", "Keltner middle", "The 20-candle EMA in the middle of the Keltner channel.",
         keltner, 19, _beside_price),
        ("keltner_lower_20", "Keltner lower", "Two average true ranges below the 20-candle EMA: closes beyond "
         "it speak of a strong fall.", keltner, 19, _band("below the channel", -1)),
        ("donchian_upper_20", "Donchian upper", "Highest high of the last 20 candles: reaching it is a "
         "breakout upward.", donchian, 19, _band("at the top", 1)),
        ("donchian_middle_20", "Donchian middle", "Half-way between the highest high and the lowest low of the "
         "last 20 candles.", donchian, 19, _beside_price),
        ("donchian_lower_20", "Donchian lower", "Lowest low of the last 20 candles: reaching it is a breakout "
         "downward.", donchian, 19, _band("at the bottom", -1)),
    ]  # fmt: skip
    return [
        Indicator(name, title, "volatility", "price", "price", help, parameters, warm_up, reading)
        for name, title, help, parameters, warm_up, reading in rows
    ]


def _ichimoku() -> list[Indicator]:
    return [
        _trend("ichimoku_conversion_9", "Ichimoku conversion", "Middle of the 9-candle range; above the base line "
               "momentum is upward.", 8, window=9),
        _trend("ichimoku_base_26", "Ichimoku base", "Middle of the 26-candle range; a level at which pullbacks often "
               "halt.", 25, window=26),
        _trend("ichimoku_span_a", "Ichimoku span A", "One edge of the cloud: mean of conversion and base as of 26 "
               "candles ago.", 51, shift=26),
        _trend("ichimoku_span_b", "Ichimoku span B", "The other edge of the cloud: middle of the 52-candle range as of "
               "26 candles ago.", 77, window=52, shift=26),
    ]  # fmt: skip


def _other_overlays() -> list[Indicator]:
    return [
        _trend("psar", "Parabolic SAR", "Stop-and-reverse level: below the price in a rise, above it in a fall; the "
               "trend is over when price touches it.", 1, step=0.02, maximum=0.2),
        Indicator("vwap_day", "VWAP (UTC day)", "volume", "price", "price", "Average price paid since 00:00 UTC, "
                  "weighted by volume: above it today's buyers are ahead.", {}, 0, _beside_price),
    ]  # fmt: skip


def _momentum() -> list[Indicator]:
    macd = {"fast": 12.0, "slow": 26.0, "signal": 9.0}
    rows: list[tuple[str, str, str, str, str, dict[str, float], int, Reading]] = [
        ("rsi_14", "RSI 14", "rsi", "percent", "Average rise against average fall of 14 candles: above 70 the rise is "
         "stretched (overbought), below 30 the fall is (oversold).", {"window": 14}, 14, _zone(30, 70)),
        ("macd_12_26_9", "MACD", "macd", "price", "EMA 12 less EMA 26: above zero the recent trend is upward.",
         macd, 33, _sign("below zero", "above zero")),
        ("macd_signal_12_26_9", "MACD signal", "macd", "price", "9-candle EMA of MACD; MACD crossing above it is read "
         "as a buy, below it as a sell.", macd, 33, _sign("below zero", "above zero")),
        ("macd_histogram_12_26_9", "MACD histogram", "macd", "price", "MACD less its signal: growing bars mean that "
         "momentum is growing.", macd, 33, _sign("falling momentum", "rising momentum")),
        ("stochastic_k_14", "Stochastic %K", "stochastic", "percent", "Where the close stands in the 14-candle range: "
         "above 80 near the top, below 20 near the bottom.", {"window": 14}, 15, _zone(20, 80)),
        ("stochastic_d_14", "Stochastic %D", "stochastic", "percent", "3-candle mean of %K; %K crossing it is the "
         "signal.", {"window": 14, "smoothing": 3}, 15, _zone(20, 80)),
        ("williams_r_14", "Williams %R", "williams", "percent", "Distance of the close from the 14-candle high, from 0 "
         "to -100: above -20 overbought, below -80 oversold.", {"window": 14}, 13, _zone(-80, -20)),
        ("cci_20", "CCI 20", "cci", "index", "Typical price against its 20-candle mean in mean deviations: beyond ±100 "
         "the move is unusual.", {"window": 20}, 19, _zone(-100, 100, "unusually low", "unusually high")),
        ("roc_10", "ROC 10", "roc", "percent", "Change of the close over 10 candles in percent.", {"window": 10}, 10,
         _sign("falling", "rising")),
        ("trix_15", "TRIX 15", "trix", "percent", "Change per candle of a triple-smoothed EMA 15: crossing zero tells "
         "a turn of the slow trend.", {"window": 15}, 43, _sign("falling", "rising")),
    ]  # fmt: skip
    return [
        Indicator(name, title, "momentum", pane, unit, help, parameters, warm_up, reading)
        for name, title, pane, unit, help, parameters, warm_up, reading in rows
    ]


def _strength() -> list[Indicator]:
    window = {"window": 14.0}
    rows: list[tuple[str, str, str, str, dict[str, float], int, Reading | None]] = [
        ("adx_14", "ADX 14", "adx", "How strong the trend is, whichever its direction: below 20 none, above 25 a "
         "trend.", window, 27, _adx),
        ("plus_di_14", "+DI 14", "adx", "Strength of upward moves; above −DI the rise prevails.", window, 14, None),
        ("minus_di_14", "−DI 14", "adx", "Strength of downward moves; above +DI the fall prevails.", window, 14, None),
        ("aroon_up_25", "Aroon up", "aroon", "How recent the 25-candle high is: 100 now, 0 as old as can be.",
         {"window": 25.0}, 25, _aroon),
        ("aroon_down_25", "Aroon down", "aroon", "How recent the 25-candle low is: 100 now, 0 as old as can be.",
         {"window": 25.0}, 25, _aroon),
    ]  # fmt: skip
    return [
        Indicator(name, title, "trend", pane, "percent", help, parameters, warm_up, reading)
        for name, title, pane, help, parameters, warm_up, reading in rows
    ]


def _volatility_and_volume() -> list[Indicator]:
    return [
        Indicator("atr_14", "ATR 14", "volatility", "atr", "price", "Average true range: how far price travels within "
                  "a candle, gaps included; stops are often set in multiples of it.", {"window": 14}, 14),
        Indicator("bollinger_percent_20", "Bollinger %b", "volatility", "bollinger_percent", "fraction", "Where the "
                  "close stands between the bands: 0 at the lower, 1 at the upper.", {"window": 20, "deviations": 2},
                  19, _zone(0, 1, "below the band", "above the band")),
        Indicator("bollinger_width_20", "Bollinger width", "volatility", "bollinger_width", "fraction", "Distance "
                  "between the bands relative to the middle: a squeeze (small) often precedes a large move.",
                  {"window": 20, "deviations": 2}, 19),
        Indicator("realised_volatility_24", "Realised volatility 24", "volatility", "realised_volatility", "fraction",
                  "Root mean square of the last 24 log returns, scaled to a year: 0.6 is 60 % a year.",
                  {"window": 24}, 24),
        Indicator("obv", "OBV", "volume", "obv", "volume", "Running sum of volume, added in a rise and taken off in a "
                  "fall; its direction counts, not its level, which depends on where the candles begin."),
        Indicator("mfi_14", "MFI 14", "volume", "mfi", "percent", "RSI weighted by the money that flowed: above 80 "
                  "overbought, below 20 oversold.", {"window": 14}, 14, _zone(20, 80)),
        Indicator("volume_zscore_20", "Volume z-score 20", "volume", "volume_zscore", "sigmas", "Volume against its "
                  "20-candle mean in standard deviations: above 2 something is happening.", {"window": 20}, 19,
                  _zone(-2, 2, "unusually quiet", "unusually busy")),
    ]  # fmt: skip


CATALOGUE: tuple[Indicator, ...] = (
    *_averages(),
    *_bands(),
    *_ichimoku(),
    *_other_overlays(),
    *_momentum(),
    *_strength(),
    *_volatility_and_volume(),
)
"""Every column, in the order of tables and of the API."""

NAMES: tuple[str, ...] = tuple(indicator.name for indicator in CATALOGUE)
BY_NAME: dict[str, Indicator] = {indicator.name: indicator for indicator in CATALOGUE}
