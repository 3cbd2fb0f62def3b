"""Market view: what several pages say about one market: last price, age, forecast, score, volatility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.candles import Candle, Candles
from data.features import ewma_sigma
from data.interval import Interval
from data.symbol import Symbol
from data.ticker import Ticker
from routes import wording
from routes.services import ForecastFace, MarketFace
from routes.wording import SHAPES, Outlook, Trend

_DAY_MS = 86_400_000
_MEDIAN = 0.5


@dataclass(frozen=True, slots=True)
class Quote:
    """The newest price that is known and the 24 h around it; texts ready to be shown."""

    price: float
    price_text: str
    decimals: int
    change_fraction: float | None
    change_text: str
    trend: Trend
    shape: str
    high_text: str
    low_text: str
    volume_text: str


@dataclass(frozen=True, slots=True)
class Age:
    """How old the newest news of a market is, in words and as a state: live, late, stale or empty."""

    state: str
    text: str
    at_ms: int | None


def quote(candles: Candles, forming: Candle | None, ticker: Ticker | None, decimals: int | None = None) -> Quote:
    """From the ticker where there is one, else from the candles of the last 24 hours; `decimals` of the closed candles,
    where they are known already."""
    newest = forming.close if forming is not None else candles.last_close
    price = ticker.last_price if ticker is not None else newest
    if decimals is None:
        decimals = wording.price_decimals(candles.close)
    if ticker is not None:
        change, high, low, volume = ticker.change_24h_fraction, ticker.high_24h, ticker.low_24h, ticker.quote_volume_24h
    else:
        change, high, low, volume = _last_day(candles, price)
    trend = wording.trend(change)
    return Quote(
        price=price,
        price_text=wording.price(price, decimals),
        decimals=decimals,
        change_fraction=change,
        change_text=wording.percent(change, signed=True),
        trend=trend,
        shape=SHAPES[trend],
        high_text=wording.price(high, decimals),
        low_text=wording.price(low, decimals),
        volume_text=wording.compact(volume),
    )


def _last_day(candles: Candles, price: float) -> tuple[float | None, float, float, float]:
    since = candles.last_close_time_ms + 1 - _DAY_MS
    first = int(np.searchsorted(candles.open_time_ms, since))
    if first >= len(candles):
        return None, price, price, 0.0
    day = candles.slice(first, None)
    whole = first > 0 or int(day.open_time_ms[0]) == since
    change = price / float(day.open[0]) - 1.0 if whole else None
    return change, float(day.high.max()), float(day.low.min()), float(day.quote_volume.sum())


def age(market: MarketFace, symbol: Symbol, interval: Interval, now_ms: int) -> Age:
    freshness = market.freshness(symbol, interval)
    at_ms = None if freshness.age_s is None else now_ms - round(freshness.age_s * 1000)
    return Age(str(freshness.state), wording.age(freshness.age_s), at_ms)


def volatility_day(candles: Candles) -> float | None:
    """EWMA volatility of log returns (half-life 24 candles) scaled to a day by the root of time; a fraction."""
    if len(candles) < 3:
        return None
    sigma = float(ewma_sigma(candles)[-1])
    return sigma * float(np.sqrt(_DAY_MS / candles.interval.ms)) if np.isfinite(sigma) else None


def outlook(forecast: ForecastFace, horizon_index: int = -1) -> Outlook:
    """One horizon of a forecast in words; the last unless said otherwise."""
    prices = np.asarray(forecast.prices)[horizon_index]
    moves = prices / forecast.last_close - 1.0
    levels = list(forecast.quantiles)
    middle = levels.index(_MEDIAN)
    median, low, high = float(moves[middle]), float(moves[middle - 1]), float(moves[middle + 1])
    return wording.outlook(median, low, high, float(moves[0]), float(moves[-1]))


def is_forecast(answer: Any) -> bool:
    """The forecaster answers a forecast, or a reason why there is none."""
    return not hasattr(answer, "reason")


def forming(market: MarketFace, candles: Candles) -> Candle | None:
    """The candle that is open now, unless it is among the closed ones already."""
    candle = market.forming(candles.symbol, candles.interval)
    return candle if candle is not None and candle.open_time_ms > candles.last_open_time_ms else None


def known_markets(market: MarketFace) -> tuple[Symbol, ...]:
    """The followed markets that the exchange has candles of: all but those it does not know."""
    unknown = set(market.unknown)
    return tuple(symbol for symbol in market.symbols if symbol not in unknown)


def market_versions(market: MarketFace, symbols: Sequence[Symbol], interval: Interval) -> str:
    """Changes when anything that is known of these markets does."""
    return "|".join([market.version(symbol, interval) for symbol in symbols])
