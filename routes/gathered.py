"""Gathered: what page, chart, JSON and CSV of one market are made of, from the very same closed candles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xxhash

from data.candles import Candle, Candles
from data.interval import Interval
from data.symbol import Symbol
from models.one_look import one_look
from routes import market_view
from routes.forecast_score import Scores, models_digest, scores
from routes.ledger_answers import silence_mark
from routes.overview_page import feed_state
from routes.services import IndicatorsFace, Services

CHART_CANDLES = 500
MOMENT_S = 0.5
"""While the answer after a price has moved is being made, its readers may be given the one before for so long."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What page, chart, JSON and CSV of one market are made of. `reason` says why there is no forecast."""

    candles: Candles
    forming: Candle | None
    indicators: IndicatorsFace
    forecast: Any
    reason: str
    scores: Scores


def symbol_version(services: Services, symbol: Symbol, interval: Interval) -> str:
    """Changes exactly when the page would; asked with every request and every poll."""
    age = market_view.age(services.market, symbol, interval, services.clock.now_ms())
    parts = (
        services.market.version(symbol, interval),
        age.state,
        age.text,
        feed_state(services),
        silence_mark(services),
        services.exchange.name,
        models_digest(services, interval),
        services.ledger.version,
        services.app_version,
    )
    return xxhash.xxh3_64_hexdigest("|".join(parts).encode())


def chart_version(services: Services, symbol: Symbol, interval: Interval) -> str:
    """Changes when candles have closed, or what is forecast from them: not with every price, unlike the page."""
    parts = (
        services.market.candles(symbol, interval).digest,
        services.exchange.name,
        models_digest(services, interval),
        services.ledger.version,
        services.app_version,
    )
    return xxhash.xxh3_64_hexdigest("|".join(parts).encode())


@one_look()
def gather(services: Services, symbol: Symbol, interval: Interval, model_id: str | None = None) -> Gathered:
    """Candles, then what follows from those very candles: indicators, forecast, and the model's scores.

    By the model that serves, or by the one named. ModelNotFound where there is none so named.
    """
    span = services.monitor.span
    with span("candles"):
        candles = services.market.candles(symbol, interval)
    with span("indicators"):
        indicators = services.indicators(candles)
    with span("forecast"):
        answer = services.forecaster.answers([candles], model_id)[0]
    known = market_view.is_forecast(answer)
    with span("score"):
        found = scores(services, answer) if known else {}
    return Gathered(
        candles=candles,
        forming=market_view.forming(services.market, candles),
        indicators=indicators,
        forecast=answer if known else None,
        reason="" if known else str(answer.reason),
        scores=found,
    )


def forming_bar(candle: Candle) -> list[float]:
    """[open_time_ms, open, high, low, close, volume]."""
    return [candle.open_time_ms, candle.open, candle.high, candle.low, candle.close, candle.volume]
