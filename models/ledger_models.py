"""Ledger models: which models have forecast where, as the ledger knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from data.database import Database
from data.interval import Interval
from models import ledger_chain
from models.forecast import Forecast
from models.ledger_scores import LedgerModel
from models.ledger_tables import MIXES, MODELS


def known_models(
    connection: sa.Connection,
    venue: str | None = None,
    *,
    interval: Interval | None = None,
    model_id: str | None = None,
    digest: str | None = None,
) -> dict[int, LedgerModel]:
    """By key, those that fit every name given; a venue of None is every venue."""
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
            row.digest,
            (row.key,),
        )
        for row in connection.execute(query).all()
    }


def matching(
    query: sa.Select[Any], venue: str | None, interval: Interval | None, model_id: str | None, digest: str | None
) -> sa.Select[Any]:
    """Of the models, those that fit what is given; `digest` is a model's, or the record of an ensemble's versions."""
    if digest is not None:
        versions = sa.select(MIXES.c.model).where(MIXES.c.record == digest)
        query = query.where(sa.or_(MODELS.c.digest == digest, MODELS.c.key.in_(versions)))
    wanted = (
        (MODELS.c.venue, venue),
        (MODELS.c.interval, interval),
        (MODELS.c.model_id, model_id),
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


def newest_models(connection: sa.Connection, venue: str, interval: Interval) -> dict[str, LedgerModel]:
    """By id each model's newest version, an ensemble's with the keys of all that share its record."""
    known = known_models(connection, venue, interval=interval)
    newest = {known[key].id: known[key] for key in sorted(known)}
    record_of = records(connection, list(known))
    versions: dict[str, list[int]] = {}
    for key, record in sorted(record_of.items()):
        versions.setdefault(record, []).append(key)
    return {
        name: replace(one, record=record_of[one.key], keys=tuple(versions[record_of[one.key]]))
        if one.key in record_of
        else one
        for name, one in sorted(newest.items())
    }


def records(connection: sa.Connection, keys: list[int]) -> dict[int, str]:
    """Of those of these models that are versions of an ensemble: by key, what names all its versions."""
    query = sa.select(MIXES.c.model, MIXES.c.record).where(MIXES.c.model.in_(keys))
    return {row.model: row.record for row in connection.execute(query).all()}


def model_hash(model: LedgerModel, venue: str) -> bytes:
    return ledger_chain.model_hash(
        model.id, model.digest, venue, model.interval, model.horizons, model.quantiles, model.baseline.tolist()
    )
