"""Candle holes: which stretches of a series are stored, and which the exchange was asked for and has not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import sqlalchemy as sa

from data.candle_rows import read_times
from data.candle_tables import HOLES
from data.candles import Candles, Times
from data.interval import Interval
from data.ranges import Range, merged, subtracted

_NAMES_AT_ONCE = 500
_WITH_HOLES = sa.select(HOLES.c.series_id).where(HOLES.c.series_id.in_(sa.bindparam("ids", expanding=True))).distinct()


def stored_ranges(
    connection: sa.Connection, series_id: int, interval: Interval, start_ms: int, end_ms: int
) -> Iterator[Range]:
    """Runs of neighbouring stored candles that open in [start_ms, end_ms)."""
    return _runs(interval, read_times(connection, series_id, start_ms, end_ms - 1))


def _runs(interval: Interval, times: Times) -> Iterator[Range]:
    if not len(times):
        return
    if interval is Interval.MO1:
        yield from merged((time, interval.next_open_ms(time)) for time in times.tolist())
        return
    breaks = np.flatnonzero(np.diff(times) != interval.ms)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(times) - 1], strict=True):
        yield int(times[first]), int(times[last]) + interval.ms


def hole_ranges(connection: sa.Connection, series_id: int) -> list[Range]:
    chosen = sa.select(HOLES.c.start_ms, HOLES.c.end_ms).where(HOLES.c.series_id == series_id)
    return [(row.start_ms, row.end_ms) for row in connection.execute(chosen.order_by(HOLES.c.start_ms))]


def replace_holes(connection: sa.Connection, series_id: int, holes: Iterable[Range]) -> None:
    connection.execute(sa.delete(HOLES).where(HOLES.c.series_id == series_id))
    rows = [{"series_id": series_id, "start_ms": start, "end_ms": end} for start, end in holes]
    if rows:
        connection.execute(sa.insert(HOLES), rows)


def shrink_holes(connection: sa.Connection, added: Mapping[int, Candles]) -> None:
    """A hole that has been filled after all, by an import or a correction of the exchange, is one no more."""
    keys = list(added)
    for start in range(0, len(keys), _NAMES_AT_ONCE):
        for series_id in connection.execute(_WITH_HOLES, {"ids": keys[start : start + _NAMES_AT_ONCE]}).scalars().all():
            candles = added[series_id]
            before = hole_ranges(connection, series_id)
            after = subtracted(before, list(_runs(candles.interval, candles.open_time_ms)))
            if after != before:
                replace_holes(connection, series_id, after)
