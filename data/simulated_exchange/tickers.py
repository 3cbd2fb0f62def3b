"""Tickers: the last 24 hours of each market, as REST and as stream events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.simulated_exchange.book import best_prices
from data.simulated_exchange.candle_series import Bar, text
from data.simulated_exchange.market import Market
from data.simulated_exchange.tape import first_trade_id

DAY_MS = 86_400_000
_MINUTE_MS = 60_000


def day_bar(market: Market, symbol: str, now_ms: int) -> Bar | None:
    """The last 24 hours (begun at a full minute), or None where the market was not there."""
    return market.since(symbol, (now_ms - DAY_MS) // _MINUTE_MS * _MINUTE_MS, now_ms)


def full_ticker(market: Market, symbol: str, bar: Bar, now_ms: int) -> dict[str, Any]:
    """`/api/v3/ticker/24hr` of one market, type FULL."""
    units = market.listings[symbol].units
    price, volume, _ = units
    best = best_prices(market, symbol, now_ms)
    mini = mini_ticker(market, symbol, bar, now_ms)
    last, opened, quote, base = (float(mini[name]) for name in ("lastPrice", "openPrice", "quoteVolume", "volume"))
    mean = quote / base if base else 0.0
    return {
        "symbol": symbol,
        "priceChange": signed(bar.close - bar.open, price),
        "priceChangePercent": f"{(last / opened - 1) * 100:.3f}",
        "weightedAvgPrice": f"{mean:.8f}",
        "prevClosePrice": text(bar.open, price),
        "lastPrice": mini["lastPrice"],
        "lastQty": text(best.last_quantity, volume),
        "bidPrice": text(best.bid, price),
        "bidQty": text(best.bid_quantity, volume),
        "askPrice": text(best.ask, price),
        "askQty": text(best.ask_quantity, volume),
        **{name: value for name, value in mini.items() if name not in ("symbol", "lastPrice")},
    }


def mini_ticker(market: Market, symbol: str, bar: Bar, now_ms: int) -> dict[str, Any]:
    """`/api/v3/ticker/24hr` of one market, type MINI."""
    price, volume, quote = market.listings[symbol].units
    opened_ms = (now_ms - DAY_MS) // _MINUTE_MS * _MINUTE_MS
    first = first_trade_id(market, symbol, opened_ms) if bar.trades else -1
    return {
        "symbol": symbol,
        "lastPrice": text(bar.close, price),
        "openPrice": text(bar.open, price),
        "highPrice": text(bar.high, price),
        "lowPrice": text(bar.low, price),
        "volume": text(bar.volume, volume),
        "quoteVolume": text(bar.quote, quote),
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": first,
        "lastId": first + int(bar.trades) - 1 if bar.trades else -1,
        "count": int(bar.trades),
    }


def mini_ticker_event(market: Market, symbol: str, bar: Bar, now_ms: int) -> dict[str, Any]:
    """A `24hrMiniTicker` event."""
    price, volume, quote = market.listings[symbol].units
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": symbol,
        "c": text(bar.close, price),
        "o": text(bar.open, price),
        "h": text(bar.high, price),
        "l": text(bar.low, price),
        "v": text(bar.volume, volume),
        "q": text(bar.quote, quote),
    }


def ticker_event(full: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """A `24hrTicker` event from the full ticker."""
    names = {
        "s": "symbol", "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
        "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty",
        "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime",
        "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
    }  # fmt: skip
    return {"e": "24hrTicker", "E": now_ms, **{short: full[long] for short, long in names.items()}}


def signed(value: float, unit_e8: int) -> str:
    return "-" + text(-value, unit_e8) if value < 0 else text(value, unit_e8)
