"""Symbol page: one market, its candles, indicators, forecast and score, gathered once from the same closed candles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from data.candles import Candle, Candles
from data.interval import Interval
from data.symbol import Symbol
from models.champions import symbols_of
from models.one_look import one_look
from routes import market_view, wording
from routes.forecast_score import Believed, Scores, believed, last_skills, models_digest, scores, shown_horizons
from routes.market_view import Age, Quote
from routes.mix_wording import Making, left_out_sentence, making_of, mix_sentence, seen_sentence
from routes.model_record import record_sentence
from routes.overview_page import feed_state
from routes.readings import ReadingGroup, readings
from routes.services import IndicatorsFace, Services, SkillFace
from routes.svg import CandleChart, candle_chart
from routes.wording import Outlook, Verdict

CHART_CANDLES = 500
MOMENT_S = 0.5
"""While the answer after a price has moved is being made, its readers may be given the one before for so long."""
_FALLBACK_CANDLES = 96
_KEPT_S = 900.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """What page, chart, JSON and CSV of one market are made of. `reason` says why there is no forecast."""

    candles: Candles
    forming: Candle | None
    indicators: IndicatorsFace
    forecast: Any
    reason: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class HorizonRow:
    """The forecast at one horizon: texts of the median and bands, and of the naive forecast's median."""

    candles: int
    ahead: str
    outlook: Outlook
    median_price: str
    low_price: str
    high_price: str
    naive_price: str


@dataclass(frozen=True, slots=True)
class ForecastCard:
    """The forecast in words, and whether it can be believed."""

    headline: Outlook
    ahead: str
    rows: tuple[HorizonRow, ...]
    believed: Believed
    tested: str
    """What the model's own report says, the evidence until the ledger has some; of an ensemble, what it is made of."""
    left_out: str
    """Which members of the ensemble had no forecast; empty where all had."""
    model_id: str
    role: str
    model_age: str
    making: Making
    seen: str
    """That the model knows what came after this time; nothing where it does not."""
    from_ms: int
    made_at_ms: int


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What one of the models says of this market at its last horizon, and what its record there is."""

    model_id: str
    role: str
    serves: bool
    shown: bool
    outlook: Outlook
    verdict: Verdict
    record: str
    count: str


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
    models: tuple[ModelRow, ...]
    chart: CandleChart | None
    at_ms: int


def symbol_version(services: Services, symbol: Symbol, interval: Interval) -> str:
    """Changes exactly when the page would; asked with every request and every poll."""
    age = market_view.age(services.market, symbol, interval, services.clock.now_ms())
    parts = (
        services.market.version(symbol, interval),
        age.state,
        age.text,
        feed_state(services),
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
        forecast=_card(services, gathered, quote.decimals, now_ms),
        no_forecast=gathered.reason,
        models=_model_rows(services, gathered),
        chart=settled.chart,
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


def _card(services: Services, gathered: Gathered, decimals: int, now_ms: int) -> ForecastCard | None:
    forecast = gathered.forecast
    if forecast is None:
        return None
    entries = _entries(services, gathered)
    entry = next((entry for entry in entries if entry.id == forecast.model_id), None)
    made = making_of(entry)
    horizons = [int(horizon) for horizon in forecast.horizons]
    wanted = [horizons.index(horizon) for horizon in shown_horizons(horizons)]
    return ForecastCard(
        headline=market_view.outlook(forecast),
        ahead=wording.candles_ahead(forecast.interval, horizons[-1]),
        rows=tuple(_horizon_row(forecast, index, horizons[index], decimals) for index in wanted),
        believed=believed(services, forecast, gathered.scores),
        tested=_tested(forecast, entry),
        left_out=left_out_sentence(forecast.mix),
        model_id=forecast.model_id,
        role=_role(services, forecast, entries),
        model_age=_model_age(made.made_ms, now_ms) if made.made_ms is not None else "",
        making=made,
        seen=seen_sentence(made, now_ms),
        from_ms=gathered.candles.last_close_time_ms + 1,
        made_at_ms=forecast.made_at_ms,
    )


def _entries(services: Services, gathered: Gathered) -> Sequence[Any]:
    """The models that can forecast this market, the one that serves it first."""
    return services.forecaster.models(gathered.candles.interval, gathered.candles.symbol)


def _model_rows(services: Services, gathered: Gathered) -> tuple[ModelRow, ...]:
    """Of every model and ensemble that forecasts this market, the serving one first."""
    entries = _entries(services, gathered)
    order = {entry.id: place for place, entry in enumerate(entries)}
    made = sorted(services.forecaster.every([gathered.candles]), key=lambda one: order.get(one.model_id, len(order)))
    skills = last_skills(services, made)
    return tuple(_model_row(services, one, skills[one.record], gathered, entries) for one in made)


def _model_row(
    services: Services, forecast: Any, skill: SkillFace, gathered: Gathered, entries: Sequence[Any]
) -> ModelRow:
    record, count = wording.skill_cell(skill)
    return ModelRow(
        model_id=forecast.model_id,
        role=_role(services, forecast, entries),
        serves=entries[0].id == forecast.model_id,
        shown=gathered.forecast is not None and gathered.forecast.model_id == forecast.model_id,
        outlook=market_view.outlook(forecast),
        verdict=wording.verdict_on(skill),
        record=record,
        count=count,
    )


def _role(services: Services, forecast: Any, entries: Sequence[Any]) -> str:
    """Where the model stands in this market; `entries` are those that can forecast it, the serving one first."""
    entry = next((one for one in entries if one.id == forecast.model_id), None)
    mixed = ", an ensemble" if forecast.mix is not None else ""
    if entry is not None and entry is entries[0]:
        return ("serves this market alone" if symbols_of(entry) else "champion") + mixed
    common = next(iter(services.forecaster.models(forecast.interval)), None)
    if common is not None and common.id == forecast.model_id:
        return f"champion of the other markets{mixed}"
    return "ensemble" if mixed else "challenger"


def _tested(forecast: Any, entry: Any) -> str:
    if forecast.mix is not None:
        return mix_sentence(forecast.mix)
    last = int(forecast.horizons[-1])
    return record_sentence(entry.report if entry else None, last, wording.ahead(forecast.interval, last))


def _model_age(created_ms: int, now_ms: int) -> str:
    """Nothing where the exchange's clock stands before the model was made, as in a replay of the past."""
    return f"{wording.duration((now_ms - created_ms) / 1000)} old" if now_ms >= created_ms else ""


def _horizon_row(forecast: Any, index: int, horizon: int, decimals: int) -> HorizonRow:
    prices = forecast.prices[index]
    middle = list(forecast.quantiles).index(0.5)
    return HorizonRow(
        candles=horizon,
        ahead=wording.candles_ahead(forecast.interval, horizon),
        outlook=market_view.outlook(forecast, index),
        median_price=wording.price(float(prices[middle]), decimals),
        low_price=wording.price(float(prices[0]), decimals),
        high_price=wording.price(float(prices[-1]), decimals),
        naive_price=wording.price(float(forecast.baseline_prices[index][middle]), decimals),
    )


def _fallback(candles: Candles, forecast: Any) -> CandleChart | None:
    slots = (candles.open_time_ms - candles.open_time_ms[:1]) // candles.interval.ms
    fan = None if forecast is None else np.asarray(forecast.prices, dtype=np.float64)
    naive = None
    if forecast is not None:
        naive = np.asarray(forecast.baseline_prices, dtype=np.float64)[:, list(forecast.quantiles).index(0.5)]
    return candle_chart(slots, candles.open, candles.high, candles.low, candles.close, fan, naive)


def forming_bar(candle: Candle) -> list[float]:
    """[open_time_ms, open, high, low, close, volume]."""
    return [candle.open_time_ms, candle.open, candle.high, candle.low, candle.close, candle.volume]
