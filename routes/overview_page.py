"""Overview page: one row per market, how broad the market moves, and whether everything behind it is well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xxhash

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.one_look import one_look
from routes import market_view, wording
from routes.forecast_score import market_skills, models_digest
from routes.ledger_answers import of_ledger
from routes.market_view import Age, Quote
from routes.services import Services, SkillFace
from routes.svg import Sparkline, sparkline
from routes.wording import Outlook, Trend
from utils.errors import NotReady

SPARK_CANDLES = 48
PER_PAGE = 100
"""Rows of one page, so that what it costs does not grow with the number of markets."""
_BOARD_S = 1.0


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
class Column:
    """A sortable column: its title, its unit or meaning, the address that sorts by it, and how it sorts now."""

    key: str
    title: str
    help: str
    sort: str
    sorted: str
    numeric: bool


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


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """Everything the overview shows: `rows` are those of page `number` of `last`; `matching` fit the search."""

    version: str
    interval: Interval
    intervals: tuple[Interval, ...]
    horizon_text: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    total: int
    matching: int
    number: int
    last: int
    search: str
    sort: str
    breadth: Breadth | None
    exchange: str
    feed_state: str
    model: str
    newest: Age
    at_ms: int


_SORTS: dict[str, tuple[str, str, Callable[[Row], Any]]] = {
    "symbol": ("Market", "", lambda row: row.symbol),
    "price": ("Last price", "in the quote asset", lambda row: row.quote.price if row.quote else None),
    "change": ("24 h", "change", lambda row: row.quote.change_fraction if row.quote else None),
    "trend": ("Last 48 candles", "closing prices", lambda row: None),
    "volatility": ("Volatility", "per day, EWMA", lambda row: row.volatility),
    "forecast": ("Forecast", "median and 90 % band", lambda row: row.median),
    "skill": ("Skill", "against no change, scored live", lambda row: row.skill),
    "age": ("Data", "newest news", lambda row: -(row.age.at_ms or 0)),
}
_UNSORTABLE = "trend"


def overview_version(services: Services, interval: Interval) -> str:
    """Changes exactly when the page would: cheap, for it is asked with every request."""
    now_ms = services.clock.now_ms()
    parts = (
        services.market.changes(interval),
        _seen(services, interval, now_ms),
        services.exchange.name,
        feed_state(services),
        models_digest(services, interval),
        services.ledger.version,
        services.app_version,
    )
    return xxhash.xxh3_64_hexdigest("\n".join(parts).encode())


def _seen(services: Services, interval: Interval, now_ms: int) -> str:
    """How old the news of all markets are, in the words of the page, and a look for candles that should have come; of
    very many markets once a second."""

    def look() -> str:
        market = services.market
        ages = [market_view.age(market, symbol, interval, now_ms) for symbol in market.symbols]
        told = [f"{age.state}{age.text}" for age in ages]
        return "|".join([*told, market_view.market_versions(market, market.symbols, interval)])

    return services.data_cache.get_or_load(("ages", interval), look, ttl_s=_BOARD_S) if _is_large(services) else look()


def feed_state(services: Services) -> str:
    return str(services.feed.state) if services.feed is not None else "off"


@one_look()
def overview_page(
    services: Services, interval: Interval, *, sort: str = "", search: str = "", number: int = 1
) -> OverviewPage:
    """Gathers candles, forecasts and scores once for all markets. NotReady while nothing at all is known."""
    version = overview_version(services, interval)
    now_ms = services.clock.now_ms()
    board = _board(services, interval, now_ms)
    rows = board.rows
    shown = _sorted([row for row in rows if search in row.symbol], sort)
    last = max(1, math.ceil(len(shown) / PER_PAGE))
    number = min(number, last)
    here = shown[(number - 1) * PER_PAGE : number * PER_PAGE]
    if _is_large(services):
        here = [_current(services, interval, row, now_ms) for row in here]
    return OverviewPage(
        version=version,
        interval=interval,
        intervals=services.market.intervals,
        horizon_text=board.horizon_text,
        rows=tuple(here),
        columns=_columns(sort),
        total=len(rows),
        matching=len(shown),
        number=number,
        last=last,
        search=search,
        sort=sort,
        breadth=board.breadth,
        exchange=services.exchange.name,
        feed_state=feed_state(services),
        model=_model_text(services, interval),
        newest=max((row.age for row in rows), key=lambda age: age.at_ms or 0),
        at_ms=now_ms,
    )


def _is_large(services: Services) -> bool:
    """More markets than one page holds: what concerns all of them is then gathered once a second for everybody."""
    return len(services.market.symbols) > PER_PAGE


def _board(services: Services, interval: Interval, now_ms: int) -> Board:
    if not _is_large(services):
        return _gather(services, interval, now_ms)
    return of_ledger(
        services,
        ("overview board", interval),
        lambda: _gather(services, interval, now_ms),
        ttl_s=_BOARD_S,
        beside=models_digest(services, interval),
    )


def _gather(services: Services, interval: Interval, now_ms: int) -> Board:
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
        skills = market_skills(services, interval, made)
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


def _current(services: Services, interval: Interval, row: Row, now_ms: int) -> Row:
    """The same row with the price and age of this moment."""
    if row.quote is None:
        return row
    market = services.market
    candles = market.candles(row.symbol, interval)
    quote = market_view.quote(candles, market_view.forming(market, candles), market.ticker(row.symbol))
    return replace(row, quote=quote, age=market_view.age(market, row.symbol, interval, now_ms))


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


def _forecast_part(answer: Any, skill: SkillFace | None) -> dict[str, Any]:
    if skill is None:
        return {"no_forecast": str(answer.reason)}
    value = skill.skill_fraction if skill.count >= wording.MIN_SCORED else None
    text, note = wording.skill_cell(skill)
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


def _model_text(services: Services, interval: Interval) -> str:
    """The one that serves the interval, and how many markets are served by models of their own."""
    entry = services.promotion.champions.of(interval) if services.promotion is not None else None
    told = str(entry.id) if entry is not None else f"none for {interval} candles"
    own = len([symbol for symbol in owners(services, interval) if symbol in services.market.symbols])
    return told + (f", {'1 market by its' if own == 1 else f'{own} markets by their'} own" if own else "")


def owners(services: Services, interval: Interval) -> dict[Symbol, str]:
    """By market the model that serves it alone."""
    found = services.promotion.champions.owners() if services.promotion is not None else {}
    return {symbol: entry.id for (other, symbol), entry in found.items() if other is interval}


def _sorted(rows: Sequence[Row], sort: str) -> list[Row]:
    """By one column, descending with a leading minus; rows without a value come last either way."""
    key = sort.removeprefix("-")
    if key not in _SORTS or key == _UNSORTABLE:
        return list(rows)
    value = _SORTS[key][2]
    known = [row for row in rows if _present(value(row))]
    return sorted(known, key=value, reverse=sort.startswith("-")) + [row for row in rows if not _present(value(row))]


def _present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _columns(sort: str) -> tuple[Column, ...]:
    current = sort.removeprefix("-")
    columns = []
    for key, (title, help_text, _) in _SORTS.items():
        direction = ("descending" if sort.startswith("-") else "ascending") if key == current else "none"
        first = key if key in ("symbol", "age") else f"-{key}"
        turned = {"none": first, "ascending": f"-{key}", "descending": key}[direction]
        columns.append(Column(key, title, help_text, "" if key == _UNSORTABLE else turned, direction, key != "symbol"))
    return tuple(columns)


def parse_sort(text: str | None) -> str:
    """A column that exists, with a leading minus for descending; anything else is the configured order."""
    key = (text or "").removeprefix("-")
    return text or "" if key in _SORTS and key != _UNSORTABLE else ""


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
