"""Naive: the application with the data layer of a first draft, where every view asks the exchange for its candles."""

from __future__ import annotations

import itertools
import sys

from flask import has_request_context


def serve_naive() -> None:
    """`app.py` with two methods of MarketData replaced: nothing is read from memory or database, no page is kept."""
    import app as application
    from data.candles import Candles
    from data.interval import Interval
    from data.market_data import MarketData
    from data.symbol import Symbol

    numbers = itertools.count()
    stored = MarketData.candles

    def candles(self: MarketData, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles:
        if not has_request_context():  # the start is as ever
            return stored(self, symbol, interval, limit)
        page = self._gateway.klines(symbol, interval, limit=min(1000, self.history_candles + 1), deadline_s=10.0)
        return page.closed if limit is None else page.closed.tail(limit)

    def version(self: MarketData, symbol: Symbol, interval: Interval) -> str:
        return f"{next(numbers)}"

    MarketData.candles = candles  # type: ignore[method-assign]  # that is the point
    MarketData.version = version  # type: ignore[method-assign]
    sys.exit(application.main([]))


if __name__ == "__main__":
    serve_naive()
