"""Order book: bids and asks around the last price, the same for everyone who looks in the same second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import PLAIN, Bar, text
from data.simulated_exchange.hashing import Floats, keys_at, named_key, normal, uniform
from data.simulated_exchange.market import Market


@dataclass(frozen=True, slots=True)
class Best:
    """Top of the book, in the market's units."""

    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float
    last: float
    last_quantity: float
    update_id: int


def best_prices(market: Market, symbol: str, now_ms: int) -> Best:
    """Best bid and ask at `now_ms`; the last trade lies on one of them."""
    running = market.running(symbol, now_ms) or last_known(market, symbol, now_ms)
    tick, lot = _steps(market, symbol)
    second = now_ms // 1000
    keys = keys_at(named_key("book", symbol), second * 4 + np.arange(4))
    up = uniform(keys)[0] < 0.5
    sizes = _sizes(market, symbol, running, normal(keys))
    bid = running.close - tick if up and running.close > tick else running.close
    first, second_size, third = (max(1.0, float(np.rint(size / lot))) * lot for size in sizes[1:4])
    return Best(bid, first, bid + tick, second_size, running.close, third, update_id(now_ms))


def update_id(now_ms: int) -> int:
    """Counts up with time, ten a second."""
    return now_ms // 100


def depth(market: Market, symbol: str, limit: int, now_ms: int) -> dict[str, object]:
    """`/api/v3/depth`: `limit` levels on each side, best first, each priced on the tick grid."""
    best = best_prices(market, symbol, now_ms)
    price, volume, _ = market.listings[symbol].units
    running = market.running(symbol, now_ms) or last_known(market, symbol, now_ms)
    tick, lot = _steps(market, symbol)
    sides = []
    for side, start, first in ((-1, best.bid, best.bid_quantity), (1, best.ask, best.ask_quantity)):
        keys = keys_at(named_key("depth", symbol, side), now_ms // 5000 * 5003, np.arange(limit))
        gaps = np.floor(np.exp(normal(keys_at(keys, 1)) * 0.8) * 1.2)
        prices = start + side * tick * np.concatenate([[0.0], np.cumsum(1.0 + gaps[1:])])
        sizes = np.maximum(np.rint(_sizes(market, symbol, running, normal(keys)) / lot), 1.0) * lot
        sizes[0] = first
        kept = prices > 0
        sides.append(
            [
                [text(p, price), text(q, volume)]
                for p, q in zip(prices[kept].tolist(), sizes[kept].tolist(), strict=True)
            ]
        )
    return {"lastUpdateId": best.update_id, "bids": sides[0], "asks": sides[1]}


def _sizes(market: Market, symbol: str, running: Bar, noise: Floats) -> Floats:
    """Quantities like those of the trades of the current minute."""
    typical = running.volume / running.trades if running.trades else _steps(market, symbol)[1] * 50
    return np.asarray(typical * np.exp(1.1 * noise))


def last_known(market: Market, symbol: str, now_ms: int) -> Bar:
    """The last known price during an outage of the data."""
    last = market.klines(symbol, Interval.D1, None, now_ms, 1, now_ms)
    return Bar.flat(last.bar(-1).close) if len(last) else Bar.flat(1.0)


def _steps(market: Market, symbol: str) -> tuple[float, float]:
    listing = market.listings[symbol]
    if listing.units != PLAIN:
        return 1, 1
    return listing.tick_e8 / 1e8, listing.lot_e8 / 1e8
