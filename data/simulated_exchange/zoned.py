"""Zoned klines: candles that begin at another zone's midnight, for the `timeZone` parameter."""

from __future__ import annotations

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import Series, aggregate_zoned, join
from data.simulated_exchange.market import Market

_HOUR_MS = 3_600_000


def zoned_klines(
    market: Market,
    symbol: str,
    interval: Interval,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
    now_ms: int,
    zone_ms: int,
) -> Series:
    """As `Market.klines`, on the grid of a zone `zone_ms` ahead of UTC; every given and returned time is UTC.

    Rows are added up from hours, or from minutes where the zone is not a whole number of hours away.
    """
    finer = Interval.M1 if zone_ms % _HOUR_MS else Interval.H1
    listed = interval.open_ms(market.listings[symbol].listed_ms + zone_ms)
    last = interval.open_ms(now_ms + zone_ms)
    stop = last if end_ms is None else min(interval.open_ms(end_ms + zone_ms), last)
    if start_ms is None:
        first = max(listed, interval.shift_ms(stop, 1 - limit))
    else:
        first = max(listed, interval.open_ms(start_ms + zone_ms - 1 + interval.ms) if start_ms else listed)
        stop = min(stop, interval.shift_ms(first, limit - 1))
    whole_end = min(interval.next_open_ms(stop), last) - zone_ms
    rows = market.rows(symbol, finer, first - zone_ms, whole_end)
    series = aggregate_zoned(rows, interval, zone_ms)
    bar = market.since(symbol, last - zone_ms, now_ms) if first <= last <= stop else None
    if bar is None:
        return series
    column = np.array(bar, dtype=series.values.dtype).reshape(9, 1)
    return join([series, Series(np.array([last - zone_ms], dtype=np.int64), column)])
