"""Tape: single trades inside the seconds of the candles, with ids that count up and never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    CLOSE,
    HIGH,
    LOW,
    PLAIN,
    TAKER,
    TRADES,
    VOLUME,
    Series,
    text,
)
from data.simulated_exchange.hashing import keys_at, named_key, normal, uniform
from data.simulated_exchange.market import Market

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_IDS_PER_DAY = 100_000_000
"""Each UTC day has its own range of ids, so that an id is known without counting from the listing on."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade, in the market's units."""

    id: int
    price: float
    quantity: float
    at_ms: int
    buyer_is_maker: bool


def first_trade_id(market: Market, symbol: str, at_ms: int) -> int:
    """Id of the first trade at or after `at_ms` (on the minute grid)."""
    day = at_ms // _DAY_MS * _DAY_MS
    before = market.fold(symbol, day, at_ms) if day < at_ms else None
    return day // _DAY_MS * _IDS_PER_DAY + (int(before.trades) if before else 0)


def day_of_trade(trade_id: int) -> int:
    """UTC milliseconds at which the day of this id begins."""
    return trade_id // _IDS_PER_DAY * _DAY_MS


def trades_between(market: Market, symbol: str, start_ms: int, end_ms: int) -> list[Trade]:
    """Every trade with start <= time < end, oldest first; whole seconds of the candles are cut to the range."""
    second = start_ms // 1000 * 1000
    minute = second // _MINUTE_MS * _MINUTE_MS
    rows = market.traded(symbol, Interval.S1, minute, -(-end_ms // 1000) * 1000)
    if not len(rows):
        return []
    made = _trades(market, symbol, rows, first_trade_id(market, symbol, minute))
    return [trade for trade in made if start_ms <= trade.at_ms < end_ms]


def newest_trades(market: Market, symbol: str, limit: int, now_ms: int) -> list[Trade]:
    """The last `limit` trades before `now_ms` (within the last day)."""
    end = now_ms // 1000 * 1000
    span = _MINUTE_MS
    while True:
        found = trades_between(market, symbol, max(end - span, end // _DAY_MS * _DAY_MS - _DAY_MS), end)
        if len(found) >= limit or span >= _DAY_MS:
            return found[-limit:]
        span *= 4


def trades_from_id(market: Market, symbol: str, trade_id: int, limit: int, now_ms: int) -> list[Trade]:
    """Up to `limit` trades from an id on, before `now_ms`."""
    start = max(day_of_trade(trade_id), market.listings[symbol].listed_ms)
    found: list[Trade] = []
    while start < now_ms and len(found) < limit:
        end = min(start + _DAY_MS, -(-now_ms // _MINUTE_MS) * _MINUTE_MS)
        minutes = market.traded(symbol, Interval.M1, start, end)
        ids = first_trade_id(market, symbol, start) + np.cumsum(minutes.values[TRADES])
        for at in minutes.open_time_ms[ids > trade_id].tolist():
            part = trades_between(market, symbol, at, min(at + _MINUTE_MS, now_ms // 1000 * 1000))
            found += [trade for trade in part if trade.id >= trade_id]
            if len(found) >= limit:
                break
        start = start // _DAY_MS * _DAY_MS + _DAY_MS
    return found[:limit]


def trade_row(trade: Trade, market: Market, symbol: str) -> dict[str, Any]:
    """As `/api/v3/trades` writes it."""
    price, volume, _ = market.listings[symbol].units
    return {
        "id": trade.id,
        "price": text(trade.price, price),
        "qty": text(trade.quantity, volume),
        "quoteQty": _worth(trade, market, symbol),
        "time": trade.at_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate_row(trade: Trade, market: Market, symbol: str) -> dict[str, Any]:
    """As `/api/v3/aggTrades` writes it; here every trade is its own aggregate."""
    price, volume, _ = market.listings[symbol].units
    return {
        "a": trade.id,
        "p": text(trade.price, price),
        "q": text(trade.quantity, volume),
        "f": trade.id,
        "l": trade.id,
        "T": trade.at_ms,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def _worth(trade: Trade, market: Market, symbol: str) -> str:
    units = market.listings[symbol].units
    return text(trade.price * trade.quantity, units.quote_e8)


def _trades(market: Market, symbol: str, rows: Series, first_id: int) -> list[Trade]:
    exact = market.listings[symbol].units != PLAIN
    counts = rows.values[TRADES].astype(np.int64)
    owner = np.repeat(np.arange(len(rows)), counts)
    if not len(owner):
        return []
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = keys_at(named_key("tape", symbol), rows.open_time_ms[owner], place)
    values, last = rows.values[:, owner], place == counts[owner] - 1
    prices = _trade_prices(values, place, last, uniform(keys), exact)
    sizes = _trade_sizes(values, owner, counts, np.exp(1.2 * normal(keys_at(keys, 1))), exact)
    sells = uniform(keys_at(keys, 2)) * values[VOLUME] >= values[TAKER]
    times = rows.open_time_ms[owner] + ((place + uniform(keys_at(keys, 3))) / counts[owner] * 1000).astype(np.int64)
    columns = (prices.tolist(), sizes.tolist(), times.tolist(), sells.tolist())
    return [Trade(first_id + index, *row) for index, row in enumerate(zip(*columns, strict=True))]


def _trade_prices(
    values: NDArray[Any], place: NDArray[np.int64], last: NDArray[np.bool_], noise: NDArray[np.float64], exact: bool
) -> NDArray[Any]:
    """Somewhere in the second's range: the first two trades touch its high and low, the last is its close."""
    drawn = values[LOW] + (values[HIGH] - values[LOW]) * noise
    drawn = np.rint(drawn).astype(np.int64) if exact else np.clip(np.round(drawn, 8), values[LOW], values[HIGH])
    drawn = np.where(place == 0, values[HIGH], np.where(place == 1, values[LOW], drawn))
    return np.asarray(np.where(last, values[CLOSE], drawn))


def _trade_sizes(
    values: NDArray[Any], owner: NDArray[np.int64], counts: NDArray[np.int64], weights: NDArray[np.float64], exact: bool
) -> NDArray[Any]:
    """Shares of each second's volume that add up to it; at least one lot each where volumes are whole lots."""
    whole = np.bincount(owner, weights, minlength=len(counts))[owner]
    if not exact:
        return np.asarray(np.round(values[VOLUME] * weights / whole, 8))
    extra = values[VOLUME] - counts[owner]
    running = np.cumsum(weights)
    before = np.concatenate([[0.0], running])[(np.cumsum(counts) - counts)[owner]]
    edges = np.floor(extra * np.minimum((running - before) / whole, 1.0)).astype(np.int64)
    first = np.concatenate([[True], owner[1:] != owner[:-1]])
    final = np.concatenate([first[1:], [True]])
    edges = np.where(final, extra, edges)
    return np.asarray(1 + edges - np.where(first, 0, np.concatenate([[0], edges[:-1]])))
