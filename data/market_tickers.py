"""Market tickers: the last 24 hours of each followed market, and how often its numbers have changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from data.symbol import Symbol
from data.ticker import Ticker


class MarketTickers:
    """Safe for many threads. A ticker that is older than the known one changes nothing."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self._known: dict[Symbol, Ticker] = {}
        self._changes = dict.fromkeys(symbols, 0)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, symbol: Symbol) -> Ticker | None:
        return self._known.get(symbol)

    def all(self) -> list[Ticker]:
        """Those that have been told."""
        return list(self._known.values())

    def changes_of(self, symbol: Symbol) -> int:
        return self._changes[symbol]

    @property
    def all_changes(self) -> int:
        with self._lock:
            return sum(self._changes.values())

    @property
    def changes(self) -> dict[Symbol, int]:
        """How often each market's numbers have changed."""
        with self._lock:
            return dict(self._changes)

    def put(self, ticker: Ticker) -> None:
        with self._lock:
            known = self._known.get(ticker.symbol)
            if ticker.symbol not in self._changes or (known is not None and ticker.at_ms < known.at_ms):
                return
            self._known[ticker.symbol] = ticker
            if known is None or _numbers(known) != _numbers(ticker):
                self._changes[ticker.symbol] += 1

    def take_changes(self, counts: Mapping[str, int]) -> None:
        """The counts of the process that has the feed."""
        with self._lock:
            self._changes |= {Symbol(name): count for name, count in counts.items()}


def _numbers(ticker: Ticker) -> tuple[float, ...]:
    return (
        ticker.last_price,
        ticker.open_24h,
        ticker.high_24h,
        ticker.low_24h,
        ticker.volume_24h,
        ticker.quote_volume_24h,
    )
