"""Ledger mixes: which weights each version of an ensemble had, so that every row tells what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from data.database import Database
from models.forecast import Mix
from models.ledger_scores import LedgerModel
from models.ledger_tables import FORECASTS, MIXES, MODELS


@dataclass(frozen=True, slots=True)
class Weighing:
    """One version as it forecast: `forecasts` rows, the first and the newest made then."""

    digest: str
    version: int
    weighed_ms: int
    weights: Mapping[str, float]
    left_out: tuple[str, ...]
    forecasts: int
    first_ms: int
    last_ms: int


def keep_mix(database: Database, connection: sa.Connection, model: LedgerModel, mix: Mix) -> None:
    """With the first forecast of the version, in its transaction; later ones change nothing."""
    row = {
        "model": model.key,
        "record": mix.record,
        "version": mix.version,
        "weighed_ms": mix.weighed_ms,
        "weights": dict(mix.weights),
        "digests": dict(zip((name for name, _ in mix.weights), mix.digests, strict=True)),
        "left_out": list(mix.left_out),
    }
    connection.execute(database.upsert(MIXES, keys=("model",), update=()), [row])


def weighings(connection: sa.Connection, venue: str, record: str, limit: int) -> list[Weighing]:
    """The newest versions that have forecast in this venue, the newest first."""
    made = FORECASTS.c.made_at_ms
    ours = sa.select(MIXES.c.model).where(MIXES.c.record == record)
    rows = (
        sa.select(FORECASTS.c.model, sa.func.count().label("rows"), sa.func.min(made), sa.func.max(made))
        .where(FORECASTS.c.model.in_(ours))
        .group_by(FORECASTS.c.model)
        .subquery()
    )
    query = (
        sa.select(MIXES, MODELS.c.digest, *list(rows.c)[1:])
        .join(MODELS, MODELS.c.key == MIXES.c.model)
        .join(rows, rows.c.model == MIXES.c.model)
        .where(MIXES.c.record == record, MODELS.c.venue == venue)
        .order_by(MIXES.c.model.desc())
        .limit(limit)
    )
    return [
        Weighing(row.digest, row.version, row.weighed_ms, row.weights, tuple(row.left_out), *list(row)[-3:])
        for row in connection.execute(query).all()
    ]
