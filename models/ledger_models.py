"""Ledger models: which models have forecast where, as the ledger knows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import sqlalchemy as sa

from data.database import Database
from data.interval import Interval
from models import ledger_chain
from models.forecast import Forecast
from models.ledger_scores import LedgerModel
from models.ledger_tables import MODELS


def known_models(
    connection: sa.Connection,
    venue: str | None = None,
    *,
    interval: Interval | None = None,
    model_id: str | None = None,
    digest: str | None = None,
) -> dict[int, LedgerModel]:
    query = matching(sa.select(MODELS), venue, interval, model_id, digest)
    return {
        row.key: LedgerModel(
            row.key,
            row.model_id,
            row.digest,
            Interval(row.interval),
            tuple(row.horizons),
            tuple(row.quantiles),
            np.array(row.baseline),
        )
        for row in connection.execute(query).all()
    }


def matching(
    query: sa.Select[Any], venue: str | None, interval: Interval | None, model_id: str | None, digest: str | None
) -> sa.Select[Any]:
    """Of the models, those that fit what is given."""
    wanted = (
        (MODELS.c.venue, venue),
        (MODELS.c.interval, interval),
        (MODELS.c.model_id, model_id),
        (MODELS.c.digest, digest),
    )
    return query.where(*(column == str(value) for column, value in wanted if value is not None))


def store_model(database: Database, connection: sa.Connection, venue: str, forecast: Forecast) -> LedgerModel:
    """The forecast's model, written on first sight."""
    row = {
        "model_id": forecast.model_id,
        "digest": forecast.model_digest,
        "venue": venue,
        "interval": str(forecast.interval),
        "horizons": list(forecast.horizons),
        "quantiles": list(forecast.quantiles),
        "baseline": (forecast.baseline_log_returns / forecast.sigma).tolist(),
    }
    keys = ("digest", "venue", "interval")
    connection.execute(database.upsert(MODELS, keys=keys, update=()), [row])
    found = known_models(connection, venue, interval=forecast.interval, digest=forecast.model_digest)
    return next(iter(found.values()))


def model_hash(model: LedgerModel, venue: str) -> bytes:
    return ledger_chain.model_hash(
        model.id, model.digest, venue, model.interval, model.horizons, model.quantiles, model.baseline.tolist()
    )
