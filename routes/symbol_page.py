"""Symbol page: one market, its candles, indicators, forecast and score, gathered once from the same closed candles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data.candles import Candle, Candles
from data.interval import Interval
from data.symbol import Symbol
from models.one_look import one_look
from routes import market_view, wording
from routes.forecast_card import ForecastCard, Opinion, forecast_card, opinions
from routes.gathered import CHART_CANDLES, Gathered, gather, symbol_version
from routes.market_view import Age, Quote
from routes.readings import ReadingGroup, readings
from routes.services import Services
from routes.svg import CandleChart, candle_chart
from utils.last_known import Silence

_FALLBACK_CANDLES = 96
_KEPT_S = 900.0


@dataclass(frozen=True, slots=True)
class Settled:
    """What stays as it is from one close to the next, whatever the price does: made once for all the pages between."""

    volatility_text: str
    hole_count: int
    groups: tuple[ReadingGroup, ...]
    chart: CandleChart | None


@dataclass(frozen=True, slots=True)
class SymbolPage:
    """Everything the page of one market shows."""

    version: str
    symbol: Symbol
    base: str
    quote_asset: str
    interval: Interval
    quote: Quote
    age: Age
    forming: Candle | None
    candles_digest: str
    last_open_ms: int
    last_close_ms: int
    candle_count: int
    hole_count: int
    volatility_text: str
    groups: tuple[ReadingGroup, ...]
    forecast: ForecastCard | None
    no_forecast: str
    models: tuple[Opinion, ...]
    chart: CandleChart | None
    silence: Silence | None
    left: str
    """That the exchange no longer knows the market, whose history is shown all the same; empty where it does."""
    at_ms: int


@one_look()
def symbol_page(services: Services, symbol: Symbol, interval: Interval, model_id: str | None = None) -> SymbolPage:
    """Raises NotReady while no candle of the market is known."""
    version = symbol_version(services, symbol, interval)
    gathered = gather(services, symbol, interval, model_id)
    candles = gathered.candles
    quote = market_view.quote(candles, gathered.forming, services.market.ticker(symbol))
    base, quote_asset = symbol.pair
    settled = _settled(services, gathered, quote.decimals)
    now_ms = services.clock.now_ms()
    return SymbolPage(
        version=version,
        symbol=symbol,
        base=base,
        quote_asset=quote_asset,
        interval=interval,
        quote=quote,
        age=market_view.age(services.market, symbol, interval, now_ms),
        forming=gathered.forming,
        candles_digest=candles.digest,
        last_open_ms=candles.last_open_time_ms,
        last_close_ms=candles.last_close_time_ms + 1,
        candle_count=min(len(candles), CHART_CANDLES),
        hole_count=settled.hole_count,
        volatility_text=settled.volatility_text,
        groups=settled.groups,
        forecast=forecast_card(services, gathered, quote.decimals, now_ms),
        no_forecast=gathered.reason,
        models=opinions(services, gathered),
        chart=settled.chart,
        silence=services.known.silence,
        left=services.market.problem(symbol, interval) if symbol in services.market.unknown else "",
        at_ms=now_ms,
    )


def _settled(services: Services, gathered: Gathered, decimals: int) -> Settled:
    candles, forecast = gathered.candles, gathered.forecast
    model, made_at_ms = ("", 0) if forecast is None else (forecast.model_digest, forecast.made_at_ms)
    return services.data_cache.get_or_load(
        ("settled", candles.digest, model, made_at_ms, decimals),
        lambda: Settled(
            volatility_text=wording.percent(market_view.volatility_day(candles), 1),
            hole_count=len(candles.tail(CHART_CANDLES).holes()),
            groups=readings(gathered.indicators, candles.last_close, decimals),
            chart=_fallback(candles.tail(_FALLBACK_CANDLES), forecast),
        ),
        ttl_s=_KEPT_S,
        lane=(("settled", candles.symbol, candles.interval, model), candles.last_open_time_ms),
    )


def _fallback(candles: Candles, forecast: Any) -> CandleChart | None:
    slots = (candles.open_time_ms - candles.open_time_ms[:1]) // candles.interval.ms
    fan = None if forecast is None else np.asarray(forecast.prices, dtype=np.float64)
    naive = None
    if forecast is not None:
        naive = np.asarray(forecast.baseline_prices, dtype=np.float64)[:, list(forecast.quantiles).index(0.5)]
    return candle_chart(slots, candles.open, candles.high, candles.low, candles.close, fan, naive)
