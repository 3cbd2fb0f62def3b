"""Ledger calibrations: the factors that stretch each model's bands in each market, kept in step with its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.database import Database
from data.symbol import Symbol
from models.conformal import band_levels
from models.following import Following
from models.forecast import Forecast
from models.ledger_models import known_models
from models.ledger_rows import Batch
from models.ledger_scores import LedgerModel, target_times
from models.ledger_sums import BAND_SUMS, Bands
from models.ledger_tables import BANDS, CALIBRATIONS, FORECASTS, RAW


def keep_answers(
    database: Database, connection: sa.Connection, model: LedgerModel, forecasts: Sequence[Forecast]
) -> None:
    """Of calibrated forecasts just written: what the model itself said, and where its factors begin in a new market."""
    stretched = {(str(one.symbol), one.last_open_time_ms): one.stretch for one in forecasts if one.stretch is not None}
    if not stretched:
        return
    earliest = min(at_ms for _, at_ms in stretched)
    query = sa.select(FORECASTS.c.key, FORECASTS.c.symbol, FORECASTS.c.last_open_time_ms)
    keys = connection.execute(
        query.where(FORECASTS.c.model == model.key, FORECASTS.c.last_open_time_ms >= earliest)
    ).all()
    rows = [
        {"forecast": key, "answer": np.ascontiguousarray(stretch.answer, dtype="<f4").tobytes()}
        for key, symbol, at_ms in keys
        if (stretch := stretched.get((symbol, at_ms))) is not None
    ]
    connection.execute(sa.insert(RAW), rows)
    begun = {symbol: Following.begun(stretch.start) for (symbol, _), stretch in stretched.items()}
    connection.execute(
        database.upsert(CALIBRATIONS, update=()), [_row(model, symbol, one) for symbol, one in begun.items()]
    )


def followings(connection: sa.Connection, venue: str, digest: str) -> dict[Symbol, Following]:
    """By market, of one version of a model."""
    models = known_models(connection, venue, digest=digest)
    rows = connection.execute(sa.select(CALIBRATIONS).where(CALIBRATIONS.c.model.in_(list(models)))).all()
    return {Symbol(row.symbol): _following(models[row.model], row) for row in rows}


def follow(connection: sa.Connection, batch: Batch, realised: NDArray[np.float64]) -> None:
    """Moves the market's factors on by what was just decided: (n, h), NaN where nothing was."""
    model, symbol = batch.model, str(batch.symbol)
    place = (CALIBRATIONS.c.model == model.key, CALIBRATIONS.c.symbol == symbol)
    row = connection.execute(sa.select(CALIBRATIONS).where(*place)).one_or_none()
    if row is None:
        return
    targets = target_times(model.interval, batch.starts_ms, model.horizons)
    before = _following(model, row)
    after = before.moved(batch.log_returns, realised, targets, model.horizons, model.quantiles)
    if after is not before:
        values = {name: value for name, value in _row(model, symbol, after).items() if name not in ("model", "symbol")}
        connection.execute(sa.update(CALIBRATIONS).where(*place).values(**values))


def bands(
    connection: sa.Connection, models: Sequence[int], symbols: Sequence[str], horizons: Sequence[int]
) -> dict[tuple[str, int], Bands]:
    """By market and horizon, over these models together."""
    sums = [sa.func.sum(BANDS.c[name]).label(name) for name in BAND_SUMS]
    query = (
        sa.select(BANDS.c.symbol, BANDS.c.horizon, *sums)
        .where(BANDS.c.model.in_(list(models)), BANDS.c.symbol.in_(symbols), BANDS.c.horizon.in_(horizons))
        .group_by(BANDS.c.symbol, BANDS.c.horizon)
    )
    rows = connection.execute(query).mappings().all()
    return {(row["symbol"], row["horizon"]): Bands.of({name: float(row[name]) for name in BAND_SUMS}) for row in rows}


def _row(model: LedgerModel, symbol: str, following: Following) -> dict[str, Any]:
    before, after = following.to_bytes()
    return {
        "model": model.key,
        "symbol": symbol,
        "moment_ms": following.moment_ms,
        "before": before,
        "after": after,
        "outcomes": following.outcomes,
    }


def _following(model: LedgerModel, row: Any) -> Following:
    shape = (len(model.horizons), len(band_levels(model.quantiles)))
    before, after = (np.frombuffer(content, dtype="<f8").reshape(shape) for content in (row.before, row.after))
    return Following(row.moment_ms, before, after, row.outcomes)
