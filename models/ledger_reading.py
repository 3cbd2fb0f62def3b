"""Ledger reading: what pages ask of the ledger, each as one question to the database."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.ledger_models import known_models, matching
from models.ledger_rows import ledger_rows
from models.ledger_scores import RATIOS, SUMS, LedgerRow, Skill, skill_of
from models.ledger_sums import EVERY_HORIZON, EVERY_SYMBOL
from models.ledger_tables import DAYS, FORECASTS, MIXES, MODELS, SCORES

BLOCK_CANDLES = 24
_DAY_MS = 86_400_000


def recent(connection: sa.Connection, venue: str, symbol: Symbol, interval: Interval, limit: int) -> list[LedgerRow]:
    """The newest `limit` rows of a market, newest forecast first, then by horizon."""
    models = known_models(connection, venue, interval=interval)
    query = (
        sa.select(FORECASTS)
        .where(FORECASTS.c.symbol == symbol, FORECASTS.c.model.in_(list(models)))
        .order_by(FORECASTS.c.last_open_time_ms.desc(), FORECASTS.c.model.desc())
        .limit(limit)
    )
    rows: list[LedgerRow] = []
    for forecast in connection.execute(query).all():
        if len(rows) >= limit:
            break
        found = connection.execute(sa.select(SCORES).where(SCORES.c.forecast == forecast.key)).all()
        rows += ledger_rows(models[forecast.model], interval, forecast, {one.horizon: one for one in found})
    return rows[:limit]


def counts(connection: sa.Connection) -> dict[str, int]:
    """Of every venue: how many forecasts are stored, and how many horizons were scored or found unscorable."""
    sums = sa.select(sa.func.sum(DAYS.c.scored), sa.func.sum(DAYS.c.unscorable))
    whole = (DAYS.c.symbol == EVERY_SYMBOL, DAYS.c.horizon == EVERY_HORIZON)
    forecasts = connection.execute(sa.select(sa.func.count()).select_from(FORECASTS)).scalar_one()
    scored, unscorable = connection.execute(sums.where(*whole)).one()
    return {"forecasts": forecasts, "scored": int(scored or 0), "unscorable": int(unscorable or 0)}


def skills(
    connection: sa.Connection,
    venue: str,
    groups: tuple[str, ...],
    symbols: Sequence[str],
    horizons: Sequence[int],
    model_id: str,
    interval: Interval | None,
    digest: str | None,
    since_ms: int | None = None,
) -> dict[tuple[Any, ...], Skill]:
    """By `groups`, from the daily sums: a block is a day, or 24 candles where they are longer."""
    models = connection.execute(
        matching(sa.select(MODELS.c.key, MODELS.c.interval), venue, interval, model_id, digest)
    ).all()
    if not models:
        return {}
    days = max(max(1, BLOCK_CANDLES * Interval(row.interval).ms // _DAY_MS) for row in models)
    given = {"models": [row.key for row in models], "symbols": symbols, "horizons": horizons, "days": days}
    given["since"] = 0 if since_ms is None else since_ms // _DAY_MS
    asked = {"symbol": symbols, "horizon": horizons}
    single = days == len(models) == 1 and all(len(asked[name]) == 1 for name in asked.keys() - set(groups))
    rows = connection.execute(skill_query(groups, single=single), given).all()
    return {tuple(row[: len(groups)]): skill_row(row[len(groups) :]) for row in rows if row[-1] is not None}


def against(connection: sa.Connection, venue: str, record: str, other: str) -> Skill:
    """Skill whose baseline is the other's loss, over the days of which both have as many scored forecasts."""
    mine, theirs = (_days(connection, venue, digest) for digest in (record, other))
    width = max(mine[0], theirs[0])
    sums = dict.fromkeys(SUMS, 0.0)
    blocks: dict[int, NDArray[np.float64]] = {}
    for day in sorted(mine[1].keys() & theirs[1].keys()):
        (count, loss), (count_there, loss_there) = mine[1][day], theirs[1][day]
        if count and count == count_there:
            blocks[day // width] = blocks.get(day // width, np.zeros(2)) + np.array([loss, loss_there])
            sums["scored"] += count
    pairs = np.array(list(blocks.values())).reshape(-1, 2)
    sums["loss"], sums["baseline_loss"] = pairs.sum(axis=0).tolist()
    a, b = pairs.T
    products = [(float(a @ a), float(a @ b), float(b @ b)), *[(0.0, 0.0, 0.0)] * (len(RATIOS) - 1)]
    return skill_of(sums, products, len(pairs))


def _days(connection: sa.Connection, venue: str, digest: str) -> tuple[int, dict[int, tuple[int, float]]]:
    """How many days a block has; by day, how many were scored over all markets and horizons, and their loss."""
    models = known_models(connection, venue, digest=digest)
    query = sa.select(DAYS.c.day, sa.func.sum(DAYS.c.scored), sa.func.sum(DAYS.c.loss)).where(
        DAYS.c.model.in_(list(models)), DAYS.c.symbol == EVERY_SYMBOL, DAYS.c.horizon == EVERY_HORIZON
    )
    rows = connection.execute(query.group_by(DAYS.c.day)).all()
    width = max((BLOCK_CANDLES * one.interval.ms // _DAY_MS for one in models.values()), default=1)
    return max(1, width), {day: (int(count), float(loss)) for day, count, loss in rows}


@functools.cache
def skill_query(groups: tuple[str, ...], *, single: bool) -> sa.Select[Any]:
    """Sums, products of RATIOS and number of blocks, by `groups`; built once, for building it costs more than asking.

    Where models of several intervals are asked for at once, the longest block is everybody's. `single`: each row of the
    table is a block by itself already, which saves half the time.
    """
    chosen = (
        DAYS.c.model.in_(sa.bindparam("models", expanding=True)),
        DAYS.c.symbol.in_(sa.bindparam("symbols", expanding=True)),
        DAYS.c.horizon.in_(sa.bindparam("horizons", expanding=True)),
        DAYS.c.day >= sa.bindparam("since", type_=sa.Integer),
    )
    blocks = sa.select(DAYS).where(*chosen).subquery() if single else _blocks(groups, chosen)
    products = [blocks.c[a] * blocks.c[b] for pair in RATIOS for a, b in _products(pair)]
    counted = sa.func.sum(sa.case((blocks.c.scored > 0, 1), else_=0))
    sums = [*(sa.func.sum(blocks.c[name]) for name in SUMS), *map(sa.func.sum, products), counted]
    names = [blocks.c[name] for name in groups]
    return sa.select(*names, *sums).group_by(*names) if names else sa.select(*sums)


def _blocks(groups: tuple[str, ...], chosen: Sequence[sa.ColumnElement[bool]]) -> sa.Subquery:
    """One row per block of days, over all models, markets and horizons that are not told apart; `record` tells
    ensembles apart, each of all its versions."""
    columns = [MIXES.c.record if name == "record" else DAYS.c[name] for name in groups]
    rows = DAYS.join(MIXES, MIXES.c.model == DAYS.c.model) if "record" in groups else DAYS
    block = (DAYS.c.day // sa.bindparam("days", type_=sa.Integer)).label("block")
    sums = (sa.func.sum(DAYS.c[name]).label(name) for name in SUMS)
    return sa.select(*columns, block, *sums).select_from(rows).where(*chosen).group_by(*columns, block).subquery()


def _products(pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    a, b = pair
    yield from ((a, a), (a, b), (b, b))


def skill_row(row: Sequence[Any]) -> Skill:
    """From the sums, the products of each ratio, and the number of blocks."""
    sums = dict(zip(SUMS, map(float, row), strict=False))
    products = np.array(row[len(SUMS) : -1], dtype=np.float64).reshape(len(RATIOS), 3).tolist()
    return skill_of(sums, [(aa, ab, bb) for aa, ab, bb in products], int(row[-1]))
