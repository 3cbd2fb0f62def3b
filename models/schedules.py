"""Schedules: which models are retrained by themselves, how often, and how far the newest retraining is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from data.database import Database
from data.interval import Interval
from utils.errors import InvalidInput

HOURS, CANDLES = "hours", "candles"
UNITS = (HOURS, CANDLES)
MOST = {HOURS: 24 * 365, CANDLES: 100_000}
MIN_MS = 3_600_000
"""Retraining oftener than each hour would find nothing new to learn."""

_METADATA = sa.MetaData()

_SCHEDULES = sa.Table(
    "model_schedules",
    _METADATA,
    sa.Column("model_id", sa.String(64), primary_key=True),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("every", sa.Integer, nullable=False),
    sa.Column("unit", sa.String(8), nullable=False),
    sa.Column("last_ms", sa.BigInteger, nullable=False),  # when it was set, or the last retraining was asked for
    sa.Column("challenger", sa.String(64), nullable=False),  # being trained or judged; empty: none
    sa.Column("note", sa.Text, nullable=False),  # what became of the last one
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One model's. `every` hours, or closed candles of the model's interval."""

    model_id: str
    venue: str
    every: int
    unit: str
    last_ms: int
    challenger: str
    note: str

    def due_ms(self, interval: Interval) -> int:
        """When the next retraining is to begin."""
        if self.unit == CANDLES:
            return interval.open_ms(self.last_ms) + self.every * interval.ms
        return self.last_ms + self.every * 3_600_000

    @property
    def words(self) -> str:
        return f"every {self.every:,} {self.unit}" if self.every > 1 else f"every {self.unit.removesuffix('s')}"


class ScheduleStore:
    """One row per model that has a schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create_tables(_METADATA)

    def set(self, model_id: str, interval: Interval, every: int, unit: str, *, venue: str, now_ms: int) -> Schedule:
        """From now on; what runs already goes on. InvalidInput where it does not fit."""
        _check(interval, every, unit)
        before = self.get(model_id)
        last_ms = before.last_ms if before else now_ms
        challenger, note = (before.challenger, before.note) if before else ("", "")
        row = Schedule(model_id, venue, every, unit, last_ms, challenger, note)
        self._put(row)
        return row

    def get(self, model_id: str) -> Schedule | None:
        return next((one for one in self.all() if one.model_id == model_id), None)

    def all(self) -> list[Schedule]:
        with self._database.read() as connection:
            rows = connection.execute(sa.select(_SCHEDULES).order_by(_SCHEDULES.c.model_id)).mappings().all()
        return [Schedule(**dict(row)) for row in rows]

    def remove(self, model_id: str) -> bool:
        with self._database.write() as connection:
            return connection.execute(sa.delete(_SCHEDULES).where(_SCHEDULES.c.model_id == model_id)).rowcount == 1

    def change(self, model_id: str, **values: Any) -> None:
        """Nothing where the schedule was taken away meanwhile."""
        update = sa.update(_SCHEDULES).where(_SCHEDULES.c.model_id == model_id).values(**values)
        with self._database.write() as connection:
            connection.execute(update)

    def pass_on(self, model_id: str, heir: str, note: str) -> None:
        """The schedule is the heir's from now on, in one step; a schedule that the heir had is replaced."""
        with self._database.write() as connection:
            connection.execute(sa.delete(_SCHEDULES).where(_SCHEDULES.c.model_id == heir))
            update = sa.update(_SCHEDULES).where(_SCHEDULES.c.model_id == model_id)
            connection.execute(update.values(model_id=heir, challenger="", note=note))

    def _put(self, one: Schedule) -> None:
        row = {name: getattr(one, name) for name in Schedule.__dataclass_fields__}
        with self._database.write() as connection:
            connection.execute(self._database.upsert(_SCHEDULES), row)


def _check(interval: Interval, every: int, unit: str) -> None:
    if unit not in UNITS:
        raise InvalidInput(f"a model is retrained every so many hours or candles, not {unit[:20]!r}")
    if not 1 <= every <= MOST[unit]:
        raise InvalidInput(f"every {every} {unit} does not fit; use 1 to {MOST[unit]:,}")
    if unit == CANDLES and every * interval.ms < MIN_MS:
        least = -(-MIN_MS // interval.ms)
        raise InvalidInput(f"every {every} candles of {interval} is less than an hour; use {least} or more")
