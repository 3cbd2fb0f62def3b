"""Candle store: closed candles and known holes in the database, one series per market and interval."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import sqlalchemy as sa

from data.candles import FLOAT_COLUMNS, Candles, Floats, Times
from data.database import Database
from data.interval import Interval
from data.ranges import Range, merged, subtracted
from data.symbol import Symbol
from data.venue import BINANCE, lasts
from utils.errors import InvalidInput

METADATA = sa.MetaData()

SERIES = sa.Table(
    "series",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("interval", sa.String(4), nullable=False),
    sa.Column("candles", sa.BigInteger, nullable=False),
    sa.Column("first_open_ms", sa.BigInteger),
    sa.Column("last_open_ms", sa.BigInteger),
    sa.UniqueConstraint("venue", "symbol", "interval"),
)
"""One row per market and interval of one venue: a simulated exchange's candles never mix with the real ones.

`candles`, `first_open_ms` and `last_open_ms` are kept with every write, so that nothing ever counts a million rows to
say how many there are."""

CANDLES = sa.Table(
    "candles",
    METADATA,
    sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True, autoincrement=False),
    sa.Column("open_time_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Clustered by (series, time): a range of one series is read from neighbouring pages. `packed` is the whole row as
numpy reads it: the open time as a little-endian int64, then the values of FLOAT_COLUMNS as doubles. In ten columns,
1000 candles took three times as long to read, most of it to make Python numbers that numpy takes apart again."""

HOLES = sa.Table(
    "holes",
    METADATA,
    sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end_ms", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Ranges [start, end) of open times for which the exchange was asked and has nothing. Disjoint, and free of candles."""

_PACKED_FLOAT, _PACKED_TIME = np.dtype("<f8"), np.dtype("<i8")
_WIDTH = 1 + len(FLOAT_COLUMNS)
_BATCH_ROWS = 5000
_IN_SERIES = CANDLES.c.series_id == sa.bindparam("id")
_IN_RANGE = CANDLES.c.open_time_ms.between(sa.bindparam("start_ms"), sa.bindparam("end_ms"))
_READ = (
    sa.select(CANDLES.c.packed)
    .where(_IN_SERIES, _IN_RANGE)
    .order_by(CANDLES.c.open_time_ms.desc())
    .limit(sa.bindparam("limit", type_=sa.BigInteger))
)
_TIMES = sa.select(CANDLES.c.open_time_ms).where(_IN_SERIES, _IN_RANGE).order_by(CANDLES.c.open_time_ms)
_THE_SERIES = (
    SERIES.c.venue == sa.bindparam("venue"),
    SERIES.c.symbol == sa.bindparam("symbol"),
    SERIES.c.interval == sa.bindparam("interval"),
)
_SERIES_ID = sa.select(SERIES.c.id).where(*_THE_SERIES)
_LATEST = sa.select(SERIES.c.last_open_ms).where(*_THE_SERIES)
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
_WITH_HOLES = sa.select(HOLES.c.series_id).where(HOLES.c.series_id.in_(sa.bindparam("ids", expanding=True))).distinct()
_NAMES_AT_ONCE = 500
_SERIES_AT_ONCE = 25
_MAX_MS = 2**62
_REQUIRED_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What a write did: rows new, rows already there with the same values, rows whose values were replaced."""

    added: int = 0
    duplicate: int = 0
    replaced: int = 0

    def __add__(self, other: WriteCount) -> WriteCount:
        return WriteCount(self.added + other.added, self.duplicate + other.duplicate, self.replaced + other.replaced)


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
            _refuse_broken(candles)
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
            _shrink_holes(connection, {series_id: candles for series_id, candles, _ in added})
        return counts

    def _write_series(
        self, connection: sa.Connection, series_id: int, candles: Candles, pending: list[dict[str, Any]]
    ) -> WriteCount:
        count = WriteCount()
        for start in range(0, len(candles), _BATCH_ROWS):
            rows, counted = _differing(connection, series_id, candles.slice(start, start + _BATCH_ROWS))
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
            times, floats = _rows(connection, series_id, start_ms, end_ms, limit)
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
                    (pair, _rows(connection, series_id, None, end_ms[pair[1]], limit))
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
            known = [*_stored(connection, series_id, interval, start, end), *_hole_rows(connection, series_id)]
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
            absent = subtracted([(start, end)], _stored(connection, series_id, interval, start, end))
            _replace_holes(connection, series_id, merged([*_hole_rows(connection, series_id), *absent]))

    def holes(self, symbol: Symbol, interval: Interval) -> list[Range]:
        """The recorded holes, oldest first, as [start, end) of open times."""
        with self._database.read() as connection:
            series_id = self._known_id(connection, symbol, interval)
            return [] if series_id is None else _hole_rows(connection, series_id)

    def latest_open_ms(self, symbol: Symbol, interval: Interval) -> int | None:
        """Open time of the newest stored candle."""
        with self._database.read() as connection:
            latest = connection.execute(_LATEST, _place(self._venue, symbol, interval)).scalar()
        return None if latest is None else int(latest)

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


def _differing(connection: sa.Connection, series_id: int, batch: Candles) -> tuple[list[dict[str, Any]], WriteCount]:
    """The rows that are not stored as they are, and how many there are of each kind."""
    times = batch.open_time_ms
    stored_times, stored = _rows(connection, series_id, int(times[0]), int(times[-1]), None)
    floats = _floats(batch)
    if not len(stored_times):
        return _parameters(series_id, times, floats), WriteCount(added=len(times))
    common, in_batch, in_store = np.intersect1d(times, stored_times, assume_unique=True, return_indices=True)
    old, new = stored[:, in_store], floats[:, in_batch]
    new = floats[:, in_batch] = np.where(np.isnan(new), old, new)
    same = ((new == old) | (np.isnan(new) & np.isnan(old))).all(axis=0)
    chosen = np.ones(len(times), dtype=bool)
    chosen[in_batch[same]] = False
    duplicate = int(same.sum())
    count = WriteCount(len(times) - len(common), duplicate, len(common) - duplicate)
    return _parameters(series_id, times[chosen], floats[:, chosen]), count


def _place(venue: str, symbol: Symbol, interval: Interval) -> dict[str, str]:
    return {"venue": venue, "symbol": str(symbol), "interval": str(interval)}


def _refuse_broken(candles: Candles) -> None:
    """The last four columns may be NaN, the others never."""
    broken = ~np.isfinite(_floats(candles)[:_REQUIRED_COLUMNS]).all(axis=0)
    if broken.any():
        at_ms = int(candles.open_time_ms[broken][0])
        raise InvalidInput(
            f"{int(broken.sum())} candles of {candles.symbol} {candles.interval}, the first at {at_ms}, hold a price "
            "or volume that is not a finite number; leave such rows out"
        )


def _floats(candles: Candles) -> Floats:
    """(9, n), a copy."""
    return np.vstack([getattr(candles, name) for name in FLOAT_COLUMNS])


def _rows(
    connection: sa.Connection, series_id: int, start_ms: int | None, end_ms: int | None, limit: int | None
) -> tuple[Times, Floats]:
    """Open times (n,) and values (9, n), oldest first."""
    asked = {
        "id": series_id,
        "start_ms": 0 if start_ms is None else start_ms,
        "end_ms": _MAX_MS if end_ms is None else end_ms,
        "limit": _MAX_MS if limit is None else max(limit, 0),
    }
    rows = _raw_rows(connection, _READ, asked)
    packed = np.frombuffer(b"".join(chain.from_iterable(rows)), dtype=_PACKED_FLOAT).reshape(-1, _WIDTH)[::-1]
    return packed[:, 0].view(_PACKED_TIME), np.ascontiguousarray(packed[:, 1:].T, dtype=np.float64)


def _raw_rows(connection: sa.Connection, statement: sa.Executable, asked: dict[str, int]) -> Sequence[Any]:
    """The driver's own tuples: making Row objects of them would cost as much as the query."""
    result = connection.execute(statement, asked)
    rows = result.cursor.fetchall()
    result.close()
    return rows


def _parameters(series_id: int, times: Times, floats: Floats) -> list[dict[str, Any]]:
    packed = np.empty((len(times), _WIDTH), dtype=_PACKED_FLOAT)
    packed[:, 0] = times.astype(_PACKED_TIME).view(_PACKED_FLOAT)
    packed[:, 1:] = floats.T
    return [
        {"series_id": series_id, "open_time_ms": time, "packed": row.tobytes()}
        for time, row in zip(times.tolist(), packed, strict=True)
    ]


def _stored(
    connection: sa.Connection, series_id: int, interval: Interval, start_ms: int, end_ms: int
) -> Iterator[Range]:
    """Runs of neighbouring stored candles that open in [start_ms, end_ms)."""
    asked = {"id": series_id, "start_ms": start_ms, "end_ms": end_ms - 1}
    rows = _raw_rows(connection, _TIMES, asked)
    times = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows))
    return _runs(interval, times)


def _runs(interval: Interval, times: Times) -> Iterator[Range]:
    if not len(times):
        return
    if interval is Interval.MO1:
        yield from merged((time, interval.next_open_ms(time)) for time in times.tolist())
        return
    breaks = np.flatnonzero(np.diff(times) != interval.ms)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(times) - 1], strict=True):
        yield int(times[first]), int(times[last]) + interval.ms


def _hole_rows(connection: sa.Connection, series_id: int) -> list[Range]:
    chosen = sa.select(HOLES.c.start_ms, HOLES.c.end_ms).where(HOLES.c.series_id == series_id)
    return [(row.start_ms, row.end_ms) for row in connection.execute(chosen.order_by(HOLES.c.start_ms))]


def _replace_holes(connection: sa.Connection, series_id: int, holes: Iterable[Range]) -> None:
    connection.execute(sa.delete(HOLES).where(HOLES.c.series_id == series_id))
    rows = [{"series_id": series_id, "start_ms": start, "end_ms": end} for start, end in holes]
    if rows:
        connection.execute(sa.insert(HOLES), rows)


def _shrink_holes(connection: sa.Connection, added: Mapping[int, Candles]) -> None:
    """A hole that has been filled after all, by an import or a correction of the exchange, is one no more."""
    keys = list(added)
    for start in range(0, len(keys), _NAMES_AT_ONCE):
        for series_id in connection.execute(_WITH_HOLES, {"ids": keys[start : start + _NAMES_AT_ONCE]}).scalars().all():
            candles = added[series_id]
            before = _hole_rows(connection, series_id)
            after = subtracted(before, list(_runs(candles.interval, candles.open_time_ms)))
            if after != before:
                _replace_holes(connection, series_id, after)


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
