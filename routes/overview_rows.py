"""Overview rows: one per market, from candles, forecast and score, and what is said of all markets together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from routes import market_view, wording
from routes.forecast_score import market_skills
from routes.market_view import Age, Quote
from routes.services import ForecastFace, Services, SkillFace
from routes.svg import Sparkline, sparkline
from routes.wording import Outlook, Trend
from utils.errors import NotReady, StoreError

SPARK_CANDLES = 48
_NO_AGE = Age("empty", "never", None)


@dataclass(frozen=True, slots=True)
class Row:
    """One market; what is unknown is None and shown as missing. `waiting` says for what, where there are no candles."""

    symbol: Symbol
    base: str
    quote_asset: str
    quote: Quote | None = None
    spark: Sparkline | None = None
    spark_trend: Trend = "flat"
    volatility: float | None = None
    volatility_text: str = wording.NOTHING
    outlook: Outlook | None = None
    median: float | None = None
    no_forecast: str = ""
    skill: float | None = None
    skill_text: str = wording.NOTHING
    skill_note: str = ""
    own_model: str = ""
    """The model that serves this market alone; empty where the one of the interval does."""
    age: Age = _NO_AGE
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Breadth:
    """How many markets rise and fall over 24 h, and how many the model expects to."""

    rising: int
    falling: int
    flat: int
    rising_share: float
    falling_share: float
    median_text: str
    median_trend: Trend
    leaning_up: int
    leaning_down: int
    no_lean: int


@dataclass(frozen=True, slots=True)
class Board:
    """All markets, in their configured order, and what is said of all together."""

    rows: tuple[Row, ...]
    breadth: Breadth | None
    horizon_text: str


def gather_board(services: Services, interval: Interval, now_ms: int) -> Board:
    """Candles, forecasts and scores of all markets, once each. NotReady while nothing at all is known."""
    span = services.monitor.span
    with span("candles"):
        known, waiting = _candles(services, interval)
    if not known:
        awaited = services.connection.waiting_for or next(iter(waiting.values()), "no markets are followed")
        raise NotReady(f"no candles are known yet; waiting for: {awaited}")
    with span("forecasts"):
        answers = dict(zip(known, services.forecaster.answers(list(known.values())), strict=True))
    with span("score"):
        made = [answer for answer in answers.values() if market_view.is_forecast(answer)]
        skills = _skills(services, interval, made)
    with span("rows"):
        own = owners(services, interval)
        forecast_parts = {
            symbol: _forecast_part(answer, skills.get(symbol)) | {"own_model": own.get(symbol, "")}
            for symbol, answer in answers.items()
        }
        rows = tuple(
            _row(services, interval, symbol, known, forecast_parts, waiting, now_ms)
            for symbol in services.market.symbols
        )
    return Board(rows, _breadth(rows), _horizon_text(interval, answers.values()))


def _candles(services: Services, interval: Interval) -> tuple[dict[Symbol, Candles], dict[Symbol, str]]:
    known, waiting = {}, {}
    for symbol in services.market.symbols:
        try:
            known[symbol] = services.market.candles(symbol, interval)
        except NotReady as error:
            waiting[symbol] = str(error)
    return known, waiting


def _row(
    services: Services,
    interval: Interval,
    symbol: Symbol,
    known: dict[Symbol, Candles],
    forecast_parts: dict[Symbol, dict[str, Any]],
    waiting: dict[Symbol, str],
    now_ms: int,
) -> Row:
    base, quote_asset = symbol.pair
    candles = known.get(symbol)
    if candles is None or not len(candles):
        return Row(symbol, base, quote_asset, waiting=waiting.get(symbol, "no candles"))
    market = services.market
    spark, volatility = services.data_cache.get_or_load(
        ("overview", candles.digest),
        lambda: _closed_part(candles),
        ttl_s=interval.ms / 1000,
        lane=(("overview", symbol, interval), candles.last_open_time_ms),
    )
    closes = candles.close[-SPARK_CANDLES:]
    return Row(
        symbol=symbol,
        base=base,
        quote_asset=quote_asset,
        quote=market_view.quote(candles, market_view.forming(market, candles), market.ticker(symbol)),
        spark=spark,
        spark_trend=wording.trend(float(closes[-1] / closes[0] - 1)),
        volatility=volatility,
        volatility_text=wording.percent(volatility, 1),
        age=market_view.age(market, symbol, interval, now_ms),
        **forecast_parts[symbol],
    )


def _closed_part(candles: Candles) -> tuple[Sparkline | None, float | None]:
    """What follows from closed candles alone."""
    return sparkline(candles.close[-SPARK_CANDLES:]), market_view.volatility_day(candles)


def _skills(services: Services, interval: Interval, made: Sequence[ForecastFace]) -> Mapping[Symbol, SkillFace]:
    """Prices and forecasts come from memory: a database that does not answer takes the scores at most."""
    try:
        return market_skills(services, interval, made)
    except StoreError:
        return {}


def _forecast_part(answer: Any, skill: SkillFace | None) -> dict[str, Any]:
    if not market_view.is_forecast(answer):
        return {"no_forecast": str(answer.reason)}
    value = skill.skill_fraction if skill is not None and skill.count >= wording.MIN_SCORED else None
    text, note = wording.skill_cell(skill) if skill is not None else wording.SKILL_NOT_KNOWN
    return {
        "outlook": market_view.outlook(answer),
        "median": float(np.asarray(answer.log_returns)[-1][list(answer.quantiles).index(0.5)]),
        "skill": value,
        "skill_text": text,
        "skill_note": note,
    }


def _horizon_text(interval: Interval, answers: Any) -> str:
    ahead = next((int(answer.horizons[-1]) for answer in answers if market_view.is_forecast(answer)), 0)
    return f"next {wording.candles_ahead(interval, ahead)}" if ahead else "none"


def owners(services: Services, interval: Interval) -> dict[Symbol, str]:
    """By market the model that serves it alone."""
    found = services.promotion.champions.owners() if services.promotion is not None else {}
    return {symbol: entry.id for (other, symbol), entry in found.items() if other is interval}


def _breadth(rows: Sequence[Row]) -> Breadth | None:
    changes = [row.quote.change_fraction for row in rows if row.quote and row.quote.change_fraction is not None]
    if not changes:
        return None
    trends = [wording.trend(change) for change in changes]
    leans = [row.outlook.trend for row in rows if row.outlook]
    median = float(np.median(changes))
    rising, falling = trends.count("rise"), trends.count("fall")
    return Breadth(
        rising=rising,
        falling=falling,
        flat=trends.count("flat"),
        rising_share=rising / len(trends) * 100,
        falling_share=falling / len(trends) * 100,
        median_text=wording.percent(median, signed=True),
        median_trend=wording.trend(median),
        leaning_up=leans.count("rise"),
        leaning_down=leans.count("fall"),
        no_lean=leans.count("flat"),
    )


def with_news(services: Services, interval: Interval, row: Row, now_ms: int) -> Row:
    """The same row with the price and age of this moment."""
    if row.quote is None:
        return row
    market = services.market
    candles = market.candles(row.symbol, interval)
    quote = market_view.quote(candles, market_view.forming(market, candles), market.ticker(row.symbol))
    return replace(row, quote=quote, age=market_view.age(market, row.symbol, interval, now_ms))
