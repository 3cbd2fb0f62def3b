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
from routes.overview_settled import Settled, settled
from routes.services import ForecastFace, MarketFace, Services, SkillFace
from routes.wording import Trend
from utils.errors import NotFound, NotReady, StoreError

_NO_AGE = Age("empty", "never", None)


@dataclass(frozen=True, slots=True)
class Row:
    """One market; what is unknown is None and shown as missing. `waiting` says for what, where there are no candles."""

    symbol: Symbol
    base: str
    quote_asset: str
    quote: Quote | None = None
    settled: Settled | None = None
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
        still = {
            symbol: settled(services, known[symbol], answer, skills.get(symbol), own.get(symbol, ""))
            for symbol, answer in answers.items()
        }
        rows = tuple(
            _row(services, interval, symbol, known.get(symbol), still.get(symbol), waiting, now_ms)
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
        except NotFound:
            waiting[symbol] = services.market.problem(symbol, interval)
    return known, waiting


def _row(
    services: Services,
    interval: Interval,
    symbol: Symbol,
    candles: Candles | None,
    still: Settled | None,
    waiting: Mapping[Symbol, str],
    now_ms: int,
) -> Row:
    base, quote_asset = symbol.pair
    if candles is None or still is None:
        return Row(symbol, base, quote_asset, waiting=waiting.get(symbol, "no candles"))
    return Row(
        symbol=symbol,
        base=base,
        quote_asset=quote_asset,
        quote=_quote(services.market, candles, still),
        settled=still,
        age=market_view.age(services.market, symbol, interval, now_ms),
    )


def _quote(market: MarketFace, candles: Candles, still: Settled) -> Quote:
    return market_view.quote(
        candles, market_view.forming(market, candles), market.ticker(candles.symbol), still.decimals
    )


def _skills(services: Services, interval: Interval, made: Sequence[ForecastFace]) -> Mapping[Symbol, SkillFace]:
    """Prices and forecasts come from memory: a database that does not answer takes the scores at most."""
    try:
        return market_skills(services, interval, made)
    except StoreError:
        return {}


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
    leans = [row.settled.outlook.trend for row in rows if row.settled and row.settled.outlook]
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
    if row.settled is None:
        return row
    candles = services.market.candles(row.symbol, interval)
    age = market_view.age(services.market, row.symbol, interval, now_ms)
    return replace(row, quote=_quote(services.market, candles, row.settled), age=age)
