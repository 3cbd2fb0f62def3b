"""Performance store: a day of minutes, and what each version of the software measured in sum, in the database."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from data.database import Database
from utils.minute_codec import pack, unpack
from utils.minutes import MINUTE_MS, Minute

KEPT_MS = 24 * 60 * MINUTE_MS
MOST_VERSIONS = 8

_METADATA = sa.MetaData()
_MINUTES = sa.Table(
    "performance_minutes",
    _METADATA,
    sa.Column("at_ms", sa.BigInteger, primary_key=True),
    sa.Column("worker", sa.String(16), primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)
_VERSIONS = sa.Table(
    "performance_versions",
    _METADATA,
    sa.Column("version", sa.String(40), primary_key=True),
    sa.Column("last_ms", sa.BigInteger, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)


class PerformanceStore:
    """Safe for several processes: each writes minutes under its own name, and adds to its version's sum."""

    def __init__(self, database: Database, *, worker: str) -> None:
        self._database = database
        self._worker = worker
        database.create_tables(_METADATA)

    def add(self, minute: Minute, version: str, into: Callable[[Minute | None, Minute], Minute]) -> None:
        """Keeps the minute, adds it to its version by `into(sum, minute)`, drops what is older than a day."""
        row = {"at_ms": minute.at_ms, "worker": self._worker, "packed": pack(minute)}
        with self._database.write() as connection:
            connection.execute(self._database.upsert(_MINUTES), row)
            connection.execute(sa.delete(_MINUTES).where(_MINUTES.c.at_ms <= minute.at_ms - KEPT_MS))
            found = connection.execute(sa.select(_VERSIONS).where(_VERSIONS.c.version == version)).first()
            summed = into(unpack(found.packed, found.last_ms) if found is not None else None, minute)
            row = {"version": version, "last_ms": minute.at_ms, "packed": pack(summed)}
            connection.execute(self._database.upsert(_VERSIONS), row)
            self._forget_versions(connection)

    def minutes(self, since_ms: int) -> list[Minute]:
        """Oldest first, of all workers; those of the same minute one after the other."""
        query = sa.select(_MINUTES).where(_MINUTES.c.at_ms >= since_ms).order_by(_MINUTES.c.at_ms, _MINUTES.c.worker)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [minute for row in rows if (minute := unpack(row.packed, row.at_ms)) is not None]

    def versions(self) -> list[tuple[str, Minute]]:
        """(version, its sum as of its last minute), the one that ran last first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(_VERSIONS).order_by(_VERSIONS.c.last_ms.desc())).all()
        read = ((row.version, unpack(row.packed, row.last_ms)) for row in rows)
        return [(version, summed) for version, summed in read if summed is not None]

    def _forget_versions(self, connection: sa.Connection) -> None:
        newest = sa.select(_VERSIONS.c.version).order_by(_VERSIONS.c.last_ms.desc()).limit(MOST_VERSIONS)
        connection.execute(sa.delete(_VERSIONS).where(_VERSIONS.c.version.not_in(newest)))
