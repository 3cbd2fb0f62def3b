"""Candle store: closed candles and known holes in the database, one series per market and interval."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from data.candle_holes import hole_ranges, replace_holes, shrink_holes, stored_ranges
from data.candle_rows import WriteCount, differing_rows, read_rows, refuse_broken
from data.candle_tables import CANDLES, HOLES, METADATA, SERIES
from data.candles import Candles
from data.database import Database
from data.interval import Interval
from data.ranges import Range, merged, subtracted
from data.symbol import Symbol
from data.venue import BINANCE, lasts

_BATCH_ROWS = 5000
_SERIES_AT_ONCE = 25
_THE_SERIES = (
    SERIES.c.venue == sa.bindparam("venue"),
    SERIES.c.symbol == sa.bindparam("symbol"),
    SERIES.c.interval == sa.bindparam("interval"),
)
_SERIES_ID = sa.select(SERIES.c.id).where(*_THE_SERIES)
_FIRST, _LAST = (sa.bindparam(name, type_=sa.BigInteger) for name in ("first", "last"))
_COUNT = (
    sa.update(SERIES)
    .where(SERIES.c.id == sa.bindparam("key"))
    .values(
        candles=SERIES.c.candles + sa.bindparam("more", type_=sa.BigInteger),
        first_open_ms=sa.case((SERIES.c.first_open_ms <= _FIRST, SERIES.c.first_open_ms), else_=_FIRST),
        last_open_ms=sa.case((SERIES.c.last_open_ms >= _LAST, SERIES.c.last_open_ms), else_=_LAST),
    )
)
"""Of a series without candles the bounds are NULL, which is below and above nothing: the new ones are taken."""


@dataclass(frozen=True, slots=True)
class SeriesStats:
    """One series: how many candles, and the open times of its oldest and newest (None before the first candle)."""

    symbol: Symbol
    interval: Interval
    candles: int
    first_open_ms: int | None
    last_open_ms: int | None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Every series of the venue in use, their candles in sum; `holes` and the file are of all venues."""

    series: tuple[SeriesStats, ...]
    candles: int
    holes: int
    file_size_bytes: int


class CandleStore:
    """Closed candles on disk. Safe for many threads; every failure is a StoreError.

    Callers promise that candles are closed: the store has no clock. Of differing duplicates the later write wins, but a
    value that a source lacks (NaN) never overwrites one that is known.
    """

    def __init__(self, database: Database, *, venue: str = BINANCE) -> None:
        self._database = database
        database.create_tables(METADATA)
        self._put = database.put_rows(CANDLES)
        self._venue = venue
        self._ids: dict[tuple[str, str, str], int] = {}

    def use(self, venue: str) -> None:
        """From now on reads and writes the candles of this venue; those of past simulations that do not last go."""
        self._venue = venue
        with self._database.write() as connection:
            kept = connection.execute(sa.select(SERIES.c.id, SERIES.c.venue)).all()
            for gone in [row.id for row in kept if row.venue != venue and not lasts(row.venue)]:
                for table, column in (
                    (CANDLES, CANDLES.c.series_id),
                    (HOLES, HOLES.c.series_id),
                    (SERIES, SERIES.c.id),
                ):
                    connection.execute(sa.delete(table).where(column == gone))

    def write(self, candles: Candles) -> WriteCount:
        """Store the candles, all or none. InvalidInput where a price or volume is not a finite number."""
        return self.write_all([candles])[0]

    def write_all(self, several: Sequence[Candles]) -> list[WriteCount]:
        """The same for several series, each given once, in one transaction: all or none of all of them."""
        for candles in several:
            refuse_broken(candles)
        if not any(map(len, several)):
            return [WriteCount() for _ in several]
        counts, pending = [], list[dict[str, Any]]()
        with self._database.write() as connection:
            ids = [self._begun_series(connection, one.symbol, one.interval) if len(one) else 0 for one in several]
            for series_id, candles in zip(ids, several, strict=True):
                counts.append(self._write_series(connection, series_id, candles, pending))
            self._put_rows(connection, pending)
            added = [
                (key, one, count.added) for key, one, count in zip(ids, several, counts, strict=True) if count.added
            ]
            _count_series(connection, added)
            shrink_holes(connection, {series_id: candles for series_id, candles, _ in added})
        return counts

    def _write_series(
        self, connection: sa.Connection, series_id: int, candles: Candles, pending: list[dict[str, Any]]
    ) -> WriteCount:
        count = WriteCount()
        for start in range(0, len(candles), _BATCH_ROWS):
            rows, counted = differing_rows(connection, series_id, candles.slice(start, start + _BATCH_ROWS))
            count += counted
            pending += rows
            if len(pending) >= _BATCH_ROWS:
                self._put_rows(connection, pending)
        return count

    def _put_rows(self, connection: sa.Connection, pending: list[dict[str, Any]]) -> None:
        if pending:
            self._put(connection, pending)
            pending.clear()

    def read(
        self,
        symbol: Symbol,
        interval: Interval,
        *,
        limit: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Candles:
        """The newest `limit` candles (all by default) that open in [start_ms, end_ms], oldest first; empty if none."""
        with self._database.read() as connection:
            series_id = self._known_id(connection, symbol, interval)
            if series_id is None:
                return Candles.empty(symbol, interval)
            times, floats = read_rows(connection, series_id, start_ms, end_ms, limit)
        return Candles.from_columns(symbol, interval, times, floats)

    def read_newest(
        self, several: Collection[tuple[Symbol, Interval]], *, limit: int, end_ms: Mapping[Interval, int]
    ) -> Iterator[Candles]:
        """The same for many series, without those that have none: the newest `limit` candles up to `end_ms`.

        A transaction holds some of them, so that a reader who stops to work does not keep the database from tidying.
        """
        ids = self._ids_of(several)
        for start in range(0, len(ids), _SERIES_AT_ONCE):
            with self._database.read() as connection:
                found = [
                    (pair, read_rows(connection, series_id, None, end_ms[pair[1]], limit))
                    for pair, series_id in ids[start : start + _SERIES_AT_ONCE]
                ]
            for pair, (times, floats) in found:
                if len(times):
                    yield Candles.from_columns(*pair, times, floats)

    def missing(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> list[Range]:
        """Ranges [a, b) of open times in [start_ms, end_ms), neither stored nor known holes: what to ask for."""
        start, end = _on_grid(interval, start_ms), _on_grid(interval, end_ms)
        if start >= end:
            return []
        with self._database.read() as connection:
            series_id = self._known_id(connection, symbol, interval)
            if series_id is None:
                return [(start, end)]
            known = [*stored_ranges(connection, series_id, interval, start, end), *hole_ranges(connection, series_id)]
        return subtracted([(start, end)], merged(known))

    def record_hole(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> None:
        """The exchange was asked for the open times in [start_ms, end_ms) and has nothing there beyond what is stored.

        Never record the future: candles yet to come are not a hole.
        """
        start, end = _on_grid(interval, start_ms), _on_grid(interval, end_ms)
        if start >= end:
            return
        with self._database.write() as connection:
            series_id = self._begun_series(connection, symbol, interval)
            absent = subtracted([(start, end)], stored_ranges(connection, series_id, interval, start, end))
            replace_holes(connection, series_id, merged([*hole_ranges(connection, series_id), *absent]))

    def holes(self, symbol: Symbol, interval: Interval) -> list[Range]:
        """The recorded holes, oldest first, as [start, end) of open times."""
        with self._database.read() as connection:
            series_id = self._known_id(connection, symbol, interval)
            return [] if series_id is None else hole_ranges(connection, series_id)

    def stats(self) -> StoreStats:
        """Of the venue in use; the file holds the others too."""
        ours = sa.select(SERIES).where(SERIES.c.venue == self._venue).order_by(SERIES.c.symbol, SERIES.c.interval)
        with self._database.read() as connection:
            rows = connection.execute(ours).all()
            holes = connection.execute(sa.select(sa.func.count()).select_from(HOLES)).scalar_one()
        series = tuple(
            SeriesStats(Symbol(row.symbol), Interval(row.interval), row.candles, row.first_open_ms, row.last_open_ms)
            for row in rows
        )
        return StoreStats(series, sum(one.candles for one in series), holes, self._database.file_size_bytes)

    def _ids_of(self, several: Collection[tuple[Symbol, Interval]]) -> list[tuple[tuple[Symbol, Interval], int]]:
        venue = self._venue
        with self._database.read() as connection:
            rows = connection.execute(sa.select(SERIES).where(SERIES.c.venue == venue)).all()
        self._ids |= {(venue, row.symbol, row.interval): row.id for row in rows}
        return [(pair, known) for pair in several if (known := self._ids.get((venue, *pair))) is not None]

    def _known_id(self, connection: sa.Connection, symbol: Symbol, interval: Interval) -> int | None:
        venue = self._venue
        known = self._ids.get((venue, symbol, interval))
        if known is None:
            known = connection.execute(_SERIES_ID, _place(venue, symbol, interval)).scalar()
            if known is not None:
                self._ids[venue, symbol, interval] = known
        return known

    def _begun_series(self, connection: sa.Connection, symbol: Symbol, interval: Interval) -> int:
        """The series' id, made if need be; not remembered before the transaction is through."""
        known = self._known_id(connection, symbol, interval)
        if known is not None:
            return known
        values = {**_place(self._venue, symbol, interval), "candles": 0}
        key = connection.execute(sa.insert(SERIES).values(values)).inserted_primary_key
        return int(key[0]) if key else 0


def _place(venue: str, symbol: Symbol, interval: Interval) -> dict[str, str]:
    return {"venue": venue, "symbol": str(symbol), "interval": str(interval)}


def _count_series(connection: sa.Connection, added: Sequence[tuple[int, Candles, int]]) -> None:
    rows = [
        {"key": key, "more": count, "first": int(candles.open_time_ms[0]), "last": candles.last_open_time_ms}
        for key, candles, count in added
    ]
    if rows:
        connection.execute(_COUNT, rows)


def _on_grid(interval: Interval, at_ms: int) -> int:
    """The first open time at or after `at_ms`."""
    opened = interval.open_ms(at_ms)
    return opened if opened == at_ms else interval.next_open_ms(at_ms)
