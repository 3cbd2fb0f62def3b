"""Ledger calibrations: the factors that stretch each model's bands in each market, kept in step with its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.many_rows import insert_all
from data.symbol import Symbol
from models.conformal import band_levels
from models.following import Following
from models.forecast import Forecast
from models.ledger_models import known_models
from models.ledger_rows import Batch, own_answer
from models.ledger_scores import LedgerModel, target_times
from models.ledger_sums import BAND_SUMS, Bands
from models.ledger_tables import BANDS, CALIBRATIONS, FORECASTS, RAW


def keep_answers(connection: sa.Connection, model: LedgerModel, forecasts: Sequence[Forecast]) -> None:
    """Of calibrated forecasts just written: what the model itself said, and where its factors begin in a new market."""
    calibrated = {(str(one.symbol), one.last_open_time_ms): one for one in forecasts if one.stretch is not None}
    if not calibrated:
        return
    earliest = min(at_ms for _, at_ms in calibrated)
    query = sa.select(FORECASTS.c.key, FORECASTS.c.symbol, FORECASTS.c.last_open_time_ms)
    keys = connection.execute(
        query.where(FORECASTS.c.model == model.key, FORECASTS.c.last_open_time_ms >= earliest)
    ).all()
    rows = [
        {"forecast": key, "answer": own_answer(calibrated[symbol, at_ms])}
        for key, symbol, at_ms in keys
        if (symbol, at_ms) in calibrated
    ]
    insert_all(connection, RAW, rows)
    known = connection.execute(sa.select(CALIBRATIONS.c.symbol).where(CALIBRATIONS.c.model == model.key)).scalars()
    begun = {symbol: Following.begun(one.stretch.start) for (symbol, _), one in calibrated.items() if one.stretch}
    if new := begun.keys() - set(known):
        connection.execute(sa.insert(CALIBRATIONS), [_row(model, symbol, begun[symbol]) for symbol in sorted(new)])


def followings(connection: sa.Connection, venue: str, digest: str) -> dict[Symbol, Following]:
    """By market, of one version of a model."""
    models = known_models(connection, venue, digest=digest)
    found: dict[Symbol, Following] = {}
    for key, model in models.items():
        rows = connection.execute(sa.select(CALIBRATIONS).where(CALIBRATIONS.c.model == key)).all()
        before, after = (_factors(model, b"".join(getattr(row, name) for row in rows)) for name in ("before", "after"))
        found |= {
            Symbol(row.symbol): Following(row.moment_ms, before[place], after[place], row.outcomes)
            for place, row in enumerate(rows)
        }
    return found


def follow(connection: sa.Connection, batch: Batch, realised: NDArray[np.float64]) -> None:
    """Moves the market's factors on by what was just decided: (n, h), NaN where nothing was."""
    model, symbol = batch.model, str(batch.symbol)
    place = (CALIBRATIONS.c.model == model.key, CALIBRATIONS.c.symbol == symbol)
    row = connection.execute(sa.select(CALIBRATIONS).where(*place)).one_or_none()
    if row is None:
        return
    targets = target_times(model.interval, batch.starts_ms, model.horizons)
    before = Following(row.moment_ms, _factors(model, row.before)[0], _factors(model, row.after)[0], row.outcomes)
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


def _factors(model: LedgerModel, content: bytes) -> NDArray[np.float64]:
    """(n, h, b) of n states laid end to end."""
    return np.frombuffer(content, dtype="<f8").reshape(-1, len(model.horizons), len(band_levels(model.quantiles)))
