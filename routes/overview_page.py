"""Overview page: a page of markets, how broad the market moves, and whether everything behind it is well."""

from __future__ import annotations

import math
from dataclasses import dataclass

import xxhash

from data.interval import Interval
from models.ensemble_entry import EnsembleEntry
from models.one_look import one_look
from routes import market_view
from routes.forecast_score import models_digest
from routes.ledger_answers import of_ledger, silence_mark
from routes.market_view import Age
from routes.overview_columns import Column, columns_of, sorted_rows
from routes.overview_rows import Board, Breadth, Row, gather_board, owners, with_news
from routes.services import Services
from utils.errors import InvalidInput
from utils.last_known import Silence

PER_PAGE = 100
"""Rows of one page, so that what it costs does not grow with the number of markets."""
_BOARD_S = 1.0


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
    silence: Silence | None
    model: str
    newest: Age
    at_ms: int


def overview_version(services: Services, interval: Interval) -> str:
    """Changes exactly when the page would: cheap, for it is asked with every request."""
    now_ms = services.clock.now_ms()
    parts = (
        services.market.changes(interval),
        _seen(services, interval, now_ms),
        services.exchange.name,
        feed_state(services),
        silence_mark(services),
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
    services: Services, interval: Interval, *, sort: str = "", search: str = "", number: int = 1, version: str = ""
) -> OverviewPage:
    """Gathers candles, forecasts and scores once for all markets. NotReady while nothing at all is known,
    InvalidInput for a page beyond the last. `version` where it was asked for a moment ago."""
    version = version or overview_version(services, interval)
    now_ms = services.clock.now_ms()
    board = _board(services, interval, now_ms)
    rows = board.rows
    shown = sorted_rows([row for row in rows if search in row.symbol], sort)
    last = max(1, math.ceil(len(shown) / PER_PAGE))
    if number > last:
        raise InvalidInput(f"page is {number}; use a whole number from 1 to {last}")
    here = shown[(number - 1) * PER_PAGE : number * PER_PAGE]
    if _is_large(services):
        here = [with_news(services, interval, row, now_ms) for row in here]
    return OverviewPage(
        version=version,
        interval=interval,
        intervals=services.market.intervals,
        horizon_text=board.horizon_text,
        rows=tuple(here),
        columns=columns_of(sort),
        total=len(rows),
        matching=len(shown),
        number=number,
        last=last,
        search=search,
        sort=sort,
        breadth=board.breadth,
        exchange=services.exchange.name,
        feed_state=feed_state(services),
        silence=services.known.silence,
        model=_model_text(services, interval),
        newest=max((row.age for row in rows), key=lambda age: age.at_ms or 0),
        at_ms=now_ms,
    )


def _is_large(services: Services) -> bool:
    """More markets than one page holds: what concerns all of them is then gathered once a second for everybody."""
    return len(services.market.symbols) > PER_PAGE


def _board(services: Services, interval: Interval, now_ms: int) -> Board:
    if not _is_large(services):
        return gather_board(services, interval, now_ms)
    return of_ledger(
        services,
        ("overview board", interval),
        lambda: gather_board(services, interval, now_ms),
        ttl_s=_BOARD_S,
        beside=models_digest(services, interval),
    )


def _model_text(services: Services, interval: Interval) -> str:
    """The one that serves the interval, of an ensemble without whom, and how many markets have models of their own."""
    entry = services.promotion.champions.of(interval) if services.promotion is not None else None
    told = str(entry.id) if entry is not None else f"none for {interval} candles"
    if isinstance(entry, EnsembleEntry) and entry.missing:
        told += f", without {', '.join(entry.missing)}"
    own = len([symbol for symbol in owners(services, interval) if symbol in services.market.symbols])
    return told + (f", {'1 market by its' if own == 1 else f'{own} markets by their'} own" if own else "")
