"""Events: what each kind of stream has to say now, made once for everyone who listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.interval import Interval
from data.simulated_exchange.book import best_prices
from data.simulated_exchange.candle_series import Bar, text
from data.simulated_exchange.market import Market
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.tape import aggregate_row, first_trade_id, trades_between
from data.simulated_exchange.tickers import day_bar, full_ticker, mini_ticker_event, ticker_event

Event = Any
_LATE_CANDLES = 1_000
"""Closes that a stream makes up for at most, where the clock leaps."""
_LATE_MS = 10_000
"""Trades of at most this long are told, where the clock leaps."""


class KlineStream:
    """`<symbol>@kline_<interval>`: changed forming candles at the period, and every close exactly once."""

    def __init__(self, market: Market, symbol: str, interval: Interval, settings: ExchangeSettings) -> None:
        self.symbols = [symbol]
        self._market = market
        self._symbol = symbol
        self._interval = interval
        self._period_ms = 1_000 if interval is Interval.S1 else settings.kline_period_ms
        self._open_ms = -1
        self._told_ms = -1
        self._bar: Bar | None = None
        self._first_id = -1

    def due(self, now_ms: int) -> list[Event]:
        opened = self._interval.open_ms(now_ms)
        events = self._closes(opened, now_ms) if 0 <= self._open_ms < opened else []
        if self._open_ms != opened:
            self._open_ms, self._bar = opened, None
            self._first_id = first_trade_id(self._market, self._symbol, opened // 60_000 * 60_000)
        if now_ms // self._period_ms != self._told_ms // self._period_ms:
            bar = self._market.forming(self._symbol, self._interval, now_ms)
            if bar is not None and bar != self._bar:
                self._bar, self._told_ms = bar, now_ms
                events.append(self._event(opened, bar, self._first_id, now_ms, closed=False))
        return events

    def _closes(self, opened: int, now_ms: int) -> list[Event]:
        start = max(self._open_ms, self._interval.shift_ms(opened, -_LATE_CANDLES))
        rows = self._market.rows(self._symbol, self._interval, start, opened)
        events = []
        for index, at in enumerate(rows.open_time_ms.tolist()):
            first = first_trade_id(self._market, self._symbol, at // 60_000 * 60_000)
            events.append(self._event(at, rows.bar(index), first, now_ms, closed=True))
        return events

    def _event(self, opened: int, bar: Bar, first: int, now_ms: int, *, closed: bool) -> Event:
        price, volume, quote = self._market.listings[self._symbol].units
        count = int(bar.trades)
        candle = {
            "t": opened,
            "T": self._interval.close_ms(opened),
            "s": self._symbol,
            "i": str(self._interval),
            "f": first if count else -1,
            "L": first + count - 1 if count else -1,
            "o": text(bar.open, price),
            "c": text(bar.close, price),
            "h": text(bar.high, price),
            "l": text(bar.low, price),
            "v": text(bar.volume, volume),
            "n": count,
            "x": closed,
            "q": text(bar.quote, quote),
            "V": text(bar.taker, volume),
            "Q": text(bar.taker_quote, quote),
            "B": "0",
        }
        return {"e": "kline", "E": now_ms, "s": self._symbol, "k": candle}


class TickerStream:
    """Streams of the last 24 hours, of one market or of all that changed."""

    def __init__(
        self, market: Market, symbols: list[str], settings: ExchangeSettings, *, full: bool, many: bool
    ) -> None:
        self._market = market
        self.symbols = symbols
        self._period_ms = settings.ticker_period_ms
        self._full = full
        self._many = many
        self._told_ms = -1
        self._bars: dict[str, Bar] = {}

    def due(self, now_ms: int) -> list[Event]:
        if now_ms // self._period_ms == self._told_ms // self._period_ms:
            return []
        self._told_ms = now_ms
        changed = [event for symbol in self.symbols if (event := self._one(symbol, now_ms))]
        return [changed] if self._many and changed else changed

    def _one(self, symbol: str, now_ms: int) -> Event | None:
        if self._market.listings[symbol].listed_ms > now_ms:
            return None
        bar = day_bar(self._market, symbol, now_ms)
        if bar is None or self._bars.get(symbol) == bar:
            return None
        self._bars[symbol] = bar
        if self._full:
            return ticker_event(full_ticker(self._market, symbol, bar, now_ms), now_ms)
        return mini_ticker_event(self._market, symbol, bar, now_ms)


class BookStream:
    """`<symbol>@bookTicker`."""

    def __init__(self, market: Market, symbol: str) -> None:
        self.symbols = [symbol]
        self._market = market
        self._symbol = symbol
        self._second = -1

    def due(self, now_ms: int) -> list[Event]:
        if now_ms // 1000 == self._second or self._market.running(self._symbol, now_ms) is None:
            return []
        self._second = now_ms // 1000
        price, volume, _ = self._market.listings[self._symbol].units
        best = best_prices(self._market, self._symbol, now_ms)
        return [{
            "u": best.update_id,
            "s": self._symbol,
            "b": text(best.bid, price),
            "B": text(best.bid_quantity, volume),
            "a": text(best.ask, price),
            "A": text(best.ask_quantity, volume),
        }]  # fmt: skip


class TradeStream:
    """`<symbol>@aggTrade` and `<symbol>@trade`: every trade of the seconds that have passed."""

    def __init__(self, market: Market, symbol: str, *, aggregated: bool) -> None:
        self.symbols = [symbol]
        self._market = market
        self._symbol = symbol
        self._aggregated = aggregated
        self._until_ms = -1

    def due(self, now_ms: int) -> list[Event]:
        end = now_ms // 1000 * 1000
        start, self._until_ms = self._until_ms, end
        if not 0 <= start < end:
            return []
        found = trades_between(self._market, self._symbol, max(start, end - _LATE_MS), end)
        return [self._event(aggregate_row(trade, self._market, self._symbol), now_ms) for trade in found]

    def _event(self, row: dict[str, Any], now_ms: int) -> Event:
        if self._aggregated:
            return {"e": "aggTrade", "E": now_ms, "s": self._symbol, **row}
        named = {"t": row["a"], "p": row["p"], "q": row["q"], "T": row["T"], "m": row["m"], "M": row["M"]}
        return {"e": "trade", "E": now_ms, "s": self._symbol, **named}


Stream = KlineStream | TickerStream | BookStream | TradeStream


def open_stream(name: str, market: Market, settings: ExchangeSettings) -> Stream | None:
    """The stream of this name; None for a name that means nothing, which the exchange answers with silence."""
    if name.startswith("!"):
        known = name in ("!miniTicker@arr", "!miniTicker@arr@1000ms")
        return TickerStream(market, list(market.listings), settings, full=False, many=True) if known else None
    symbol, _, kind = name.partition("@")
    if symbol != symbol.lower() or symbol.upper() not in market.listings:
        return None
    symbol = symbol.upper()
    if kind.startswith("kline_"):
        interval = kind.removeprefix("kline_")
        return KlineStream(market, symbol, Interval(interval), settings) if interval in tuple(Interval) else None
    make = _KINDS.get(kind)
    return make(market, symbol, settings) if make else None


_KINDS: dict[str, Callable[[Market, str, ExchangeSettings], Stream]] = {
    "miniTicker": lambda market, symbol, settings: TickerStream(market, [symbol], settings, full=False, many=False),
    "ticker": lambda market, symbol, settings: TickerStream(market, [symbol], settings, full=True, many=False),
    "bookTicker": lambda market, symbol, settings: BookStream(market, symbol),
    "aggTrade": lambda market, symbol, settings: TradeStream(market, symbol, aggregated=True),
    "trade": lambda market, symbol, settings: TradeStream(market, symbol, aggregated=False),
}
