"""Ledger scoring: open horizons decided by closed candles, each once, and the sums of scores kept in step with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.candles import Candles
from data.database import Database
from data.many_rows import insert_all
from data.symbol import Symbol
from models import ledger_calibrations
from models.ledger_models import known_models
from models.ledger_rows import Batch, batch_of, score_rows
from models.ledger_scores import Decided, LedgerModel, State, decide, judge
from models.ledger_sums import EVERY_HORIZON, band_sums, day_sums, rank_sums, weather_sums
from models.ledger_tables import BANDS, DAYS, FORECASTS, MODELS, RANKS, RAW, SCORES, SUM_TABLES, WEATHER

PATIENCE_CANDLES = 3
"""How many later candles must be there before a missing one counts as a hole: a backfill may still bring it."""
_BATCH = 2_000


def score(database: Database, connection: sa.Connection, venue: str, candles: Candles, now_ms: int) -> int:
    """Every open horizon of the market that these candles decide; how many they were."""
    models = known_models(connection, venue, interval=candles.interval)
    ours = _open_rows(connection, venue, candles)
    return sum(_score(database, connection, models[key], rows, candles, now_ms) for key, rows in ours)


def _open_rows(connection: sa.Connection, venue: str, candles: Candles) -> Iterator[tuple[int, list[Any]]]:
    """The market's forecasts with undecided horizons that end by the newest candle, by model."""
    query = (
        sa.select(FORECASTS, RAW.c.answer)
        .outerjoin(RAW, RAW.c.forecast == FORECASTS.c.key)
        .join(MODELS, MODELS.c.key == FORECASTS.c.model)
        .where(
            MODELS.c.venue == venue,
            MODELS.c.interval == str(candles.interval),
            FORECASTS.c.symbol == candles.symbol,
            FORECASTS.c.open_mask != 0,
            FORECASTS.c.last_open_time_ms < candles.last_open_time_ms,
        )
        .order_by(FORECASTS.c.model)
    )
    for key, rows in groupby(connection.execute(query).all(), key=lambda row: row.model):
        yield key, list(rows)


def _score(
    database: Database,
    connection: sa.Connection,
    model: LedgerModel,
    rows: Sequence[Any],
    candles: Candles,
    now_ms: int,
) -> int:
    """Forecasts of one model in one market."""
    bits = 1 << np.arange(len(model.horizons), dtype=np.int64)
    masks = np.array([row.open_mask for row in rows], dtype=np.int64)
    batch = batch_of(model, candles.symbol, rows)
    decided = decide(
        candles=candles,
        starts_ms=batch.starts_ms,
        made_at_ms=batch.made_at_ms,
        closes=batch.closes,
        log_returns=batch.log_returns,
        naive=batch.naive,
        horizons=model.horizons,
        quantiles=model.quantiles,
        is_open=(masks[:, None] & bits) != 0,
        patience=PATIENCE_CANDLES,
    )
    places = np.argwhere(decided.state != State.OPEN)
    if not len(places):
        return 0
    insert_all(connection, SCORES, score_rows(decided, places, model, rows, now_ms))
    closed = ((decided.state != State.OPEN) * bits).sum(axis=1)
    update = sa.update(FORECASTS).where(FORECASTS.c.key == sa.bindparam("at")).values(open_mask=sa.bindparam("to"))
    left = [{"at": row.key, "to": int(mask & ~shut)} for row, mask, shut in zip(rows, masks, closed, strict=True)]
    connection.execute(update, left)
    add_sums(database, connection, batch, decided, places)
    if batch.calibrated.any():
        _add_calibration(database, connection, batch, decided, places)
    return len(places)


def _add_calibration(
    database: Database, connection: sa.Connection, batch: Batch, decided: Decided, places: NDArray[np.intp]
) -> None:
    """What the scores of calibrated forecasts say of the bands, and where they move the factors."""
    model, ours = batch.model, batch.calibrated
    realised = np.where(ours[:, None], decided.realised, np.nan)
    raw = judge(decided.state, realised, batch.raw, batch.naive, model.quantiles)
    rows = band_sums(decided, raw, places[ours[places[:, 0]]], model.horizons, str(batch.symbol))
    _add(database, connection, BANDS, model, rows)
    ledger_calibrations.follow(connection, batch, realised)


def add_sums(
    database: Database, connection: sa.Connection, batch: Batch, decided: Decided, places: NDArray[np.intp]
) -> None:
    model = batch.model
    at = (model.horizons, batch.starts_ms)
    _add(database, connection, DAYS, model, day_sums(decided, places, *at, str(batch.symbol)))
    _add(database, connection, RANKS, model, rank_sums(decided, places, model.horizons))
    _add(database, connection, WEATHER, model, weather_sums(decided, places, *at, batch.sigmas, model.interval))


def _add(
    database: Database,
    connection: sa.Connection,
    table: sa.Table,
    model: LedgerModel,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Adds to the sums of these cells, which begin at nothing."""
    if not rows:
        return
    insert: Any = database.upsert(table, update=())
    place = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns if column.name not in place]
    connection.execute(insert, [{"model": model.key, **row, **dict.fromkeys(names, 0.0)} for row in rows])
    update = (
        sa.update(table)
        .where(table.c.model == model.key)
        .where(*(table.c[name] == sa.bindparam(f"at_{name}") for name in place if name != "model"))
        .values({name: table.c[name] + sa.bindparam(f"add_{name}") for name in names})
    )
    given = [{f"{'add' if name in names else 'at'}_{name}": value for name, value in row.items()} for row in rows]
    connection.execute(update, given)


def complete_sums(database: Database) -> None:
    """Writes the sums of a ledger from before some of them were kept: once, from the scores themselves."""
    whole = sa.select(DAYS.c.day).where(DAYS.c.horizon == EVERY_HORIZON).limit(1)
    with database.write() as connection:
        scored = connection.execute(sa.select(SCORES.c.forecast).limit(1)).first()
        if scored is None or connection.execute(whole).first() is not None:
            return
        for table in SUM_TABLES:
            connection.execute(sa.delete(table))
        for model in known_models(connection).values():
            _sum_up(database, connection, model)


def _sum_up(database: Database, connection: sa.Connection, model: LedgerModel) -> None:
    """The sums of one model, from its scores."""
    ours = sa.select(FORECASTS, sa.null().label("answer")).where(FORECASTS.c.model == model.key)
    symbols = sa.select(FORECASTS.c.symbol).where(FORECASTS.c.model == model.key).distinct()
    for symbol in connection.execute(symbols).scalars().all():
        query = ours.where(FORECASTS.c.symbol == symbol).order_by(FORECASTS.c.key)
        for rows in connection.execute(query).partitions(_BATCH):
            state, realised = _outcomes_of(connection, model, rows)
            batch = batch_of(model, Symbol(symbol), rows)
            decided = judge(state, realised, batch.log_returns, batch.naive, model.quantiles)
            add_sums(database, connection, batch, decided, np.argwhere(state != State.OPEN))


def _outcomes_of(
    connection: sa.Connection, model: LedgerModel, rows: Sequence[Any]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """(n, h) states and realised log returns of these forecasts, as they were scored."""
    place = {row.key: number for number, row in enumerate(rows)}
    state = np.full((len(rows), len(model.horizons)), State.OPEN, dtype=np.int8)
    realised = np.full(state.shape, np.nan)
    first, last = min(place), max(place)
    for score in connection.execute(sa.select(SCORES).where(SCORES.c.forecast.between(first, last))):
        if score.forecast in place:
            where = place[score.forecast], model.horizons.index(score.horizon)
            state[where] = score.state
            realised[where] = np.nan if score.realised is None else score.realised
    return state, realised
