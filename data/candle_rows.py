"""Candle rows: candles as numpy columns, and as the packed rows of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import sqlalchemy as sa

from data.candle_tables import CANDLES
from data.candles import FLOAT_COLUMNS, Candles, Floats, Times
from utils.errors import InvalidInput

_PACKED_FLOAT, _PACKED_TIME = np.dtype("<f8"), np.dtype("<i8")
_WIDTH = 1 + len(FLOAT_COLUMNS)
_MAX_MS = 2**62
_JOINED_ROWS = 100_000
"""Of more rows SQLite might find the one value too long."""
_REQUIRED_COLUMNS = 5
"""Open, high, low, close and volume, first among FLOAT_COLUMNS; a source may lack the others."""

_IN_SERIES = CANDLES.c.series_id == sa.bindparam("id")
_IN_RANGE = CANDLES.c.open_time_ms.between(sa.bindparam("start_ms"), sa.bindparam("end_ms"))
_READ = (
    sa.select(CANDLES.c.packed)
    .where(_IN_SERIES, _IN_RANGE)
    .order_by(CANDLES.c.open_time_ms.desc())
    .limit(sa.bindparam("limit", type_=sa.BigInteger))
)
_JOINED = sa.select(sa.func.count(), sa.cast(sa.func.group_concat(_READ.subquery().c.packed, ""), sa.LargeBinary))
"""All of a series as one value, which SQLite puts together without holding up Python's other threads: row by row, each
of half a million at a start waits for its turn."""
_READ_TIMES = sa.select(CANDLES.c.open_time_ms).where(_IN_SERIES, _IN_RANGE).order_by(CANDLES.c.open_time_ms)


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What a write did: rows new, rows already there with the same values, rows whose values were replaced."""

    added: int = 0
    duplicate: int = 0
    replaced: int = 0

    def __add__(self, other: WriteCount) -> WriteCount:
        return WriteCount(self.added + other.added, self.duplicate + other.duplicate, self.replaced + other.replaced)


def read_rows(
    connection: sa.Connection, series_id: int, start_ms: int | None, end_ms: int | None, limit: int | None
) -> tuple[Times, Floats]:
    """Open times (n,) and values (9, n), oldest first."""
    asked = {
        "id": series_id,
        "start_ms": 0 if start_ms is None else start_ms,
        "end_ms": _MAX_MS if end_ms is None else end_ms,
        "limit": _MAX_MS if limit is None else max(limit, 0),
    }
    packed = _joined(connection, asked)
    if packed is None:
        packed = _table(b"".join(chain.from_iterable(_raw_rows(connection, _READ, asked))))
    return packed[:, 0].view(_PACKED_TIME), np.ascontiguousarray(packed[:, 1:].T, dtype=np.float64)


def read_times(connection: sa.Connection, series_id: int, start_ms: int, end_ms: int) -> Times:
    """The open times in [start_ms, end_ms], shape (n,), oldest first."""
    rows = _raw_rows(connection, _READ_TIMES, {"id": series_id, "start_ms": start_ms, "end_ms": end_ms})
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows))


def _joined(connection: sa.Connection, asked: dict[str, int]) -> Floats | None:
    """What `_READ` finds, of shape (n, 10) and oldest first; None where the database cannot tell it at once, whole and
    in order."""
    if connection.dialect.name != "sqlite" or asked["limit"] > _JOINED_ROWS:
        return None
    ((count, joined),) = _raw_rows(connection, _JOINED, asked)
    if len(joined or b"") != count * _WIDTH * _PACKED_FLOAT.itemsize:
        return None
    packed = _table(joined or b"")
    return packed if (np.diff(packed[:, 0].view(_PACKED_TIME)) > 0).all() else None


def _table(joined: bytes) -> Floats:
    """Packed rows, the newest first, as an array of shape (n, 10), the oldest first."""
    return np.frombuffer(joined, dtype=_PACKED_FLOAT).reshape(-1, _WIDTH)[::-1]


def _raw_rows(connection: sa.Connection, statement: sa.Executable, asked: dict[str, int]) -> Sequence[Any]:
    """The driver's own tuples: making Row objects of them would cost as much as the query."""
    result = connection.execute(statement, asked)
    rows = result.cursor.fetchall()
    result.close()
    return rows


def differing_rows(
    connection: sa.Connection, series_id: int, batch: Candles
) -> tuple[list[dict[str, Any]], WriteCount]:
    """The rows that are not stored as they are, and how many there are of each kind."""
    times = batch.open_time_ms
    stored_times, stored = read_rows(connection, series_id, int(times[0]), int(times[-1]), None)
    floats = floats_of(batch)
    if not len(stored_times):
        return packed_rows(series_id, times, floats), WriteCount(added=len(times))
    common, in_batch, in_store = np.intersect1d(times, stored_times, assume_unique=True, return_indices=True)
    old, new = stored[:, in_store], floats[:, in_batch]
    new = floats[:, in_batch] = np.where(np.isnan(new), old, new)
    same = ((new == old) | (np.isnan(new) & np.isnan(old))).all(axis=0)
    chosen = np.ones(len(times), dtype=bool)
    chosen[in_batch[same]] = False
    duplicate = int(same.sum())
    count = WriteCount(len(times) - len(common), duplicate, len(common) - duplicate)
    return packed_rows(series_id, times[chosen], floats[:, chosen]), count


def packed_rows(series_id: int, times: Times, floats: Floats) -> list[dict[str, Any]]:
    """Rows of CANDLES; `floats` of shape (9, n)."""
    packed = np.empty((len(times), _WIDTH), dtype=_PACKED_FLOAT)
    packed[:, 0] = times.astype(_PACKED_TIME).view(_PACKED_FLOAT)
    packed[:, 1:] = floats.T
    return [
        {"series_id": series_id, "open_time_ms": time, "packed": row.tobytes()}
        for time, row in zip(times.tolist(), packed, strict=True)
    ]


def floats_of(candles: Candles) -> Floats:
    """(9, n), a copy."""
    return np.vstack([getattr(candles, name) for name in FLOAT_COLUMNS])


def refuse_broken(candles: Candles) -> None:
    """InvalidInput where a price or volume is not a finite number; the last four columns may be NaN."""
    broken = ~np.isfinite(floats_of(candles)[:_REQUIRED_COLUMNS]).all(axis=0)
    if broken.any():
        at_ms = int(candles.open_time_ms[broken][0])
        raise InvalidInput(
            f"{int(broken.sum())} candles of {candles.symbol} {candles.interval}, the first at {at_ms}, hold a price "
            "or volume that is not a finite number; leave such rows out"
        )
