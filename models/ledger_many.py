"""Ledger of many: what pages ask of several models at once, in as many questions as for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.ledger_reading import BLOCK_CANDLES, skill_query, skill_row
from models.ledger_rows import unpack
from models.ledger_scores import Latest, LedgerModel, Skill
from models.ledger_sums import EVERY_SYMBOL, WEATHER_SUMS, Course, Detail, weather_of
from models.ledger_tables import DAYS, FORECASTS, MIXES, MODELS, RANKS, WEATHER

SkillKey = tuple[str, str, int]
"""Record of the model, market, horizon."""
Place = tuple[int, int]
"""Key of the model, horizon."""
_DAY_MS = 86_400_000
_COURSE_SUMS = ("scored", "loss", "baseline_loss")


def skills(
    connection: sa.Connection,
    venue: str,
    records: Sequence[str],
    symbols: Sequence[str],
    horizons: Sequence[int],
    interval: Interval | None = None,
) -> dict[SkillKey, Skill]:
    """Of each record (a model's digest, or what an ensemble's versions have in common), market and horizon."""
    query = sa.select(MODELS.c.key, MODELS.c.digest, MODELS.c.interval, MIXES.c.record)
    ours = sa.or_(MODELS.c.digest.in_(records), MIXES.c.record.in_(records))
    query = query.outerjoin(MIXES, MIXES.c.model == MODELS.c.key).where(MODELS.c.venue == venue, ours)
    if interval is not None:
        query = query.where(MODELS.c.interval == str(interval))
    found: dict[SkillKey, Skill] = {}
    plain: dict[str, dict[int, str]] = {}
    mixes: dict[str, dict[int, str]] = {}
    for row in connection.execute(query).all():
        mixed = row.record in records
        of_interval = (mixes if mixed else plain).setdefault(row.interval, {})
        of_interval[row.key] = row.record if mixed else row.digest
    for group, by_interval in (("model", plain), ("record", mixes)):
        for name, owners in by_interval.items():
            days = max(1, BLOCK_CANDLES * Interval(name).ms // _DAY_MS)
            given = {"models": list(owners), "symbols": symbols, "horizons": horizons, "days": days, "since": 0}
            single = days == 1 and group == "model"
            asked = skill_query((group, "symbol", "horizon"), single=single)
            for owner, *place, in_sum in ((*row[:3], row[3:]) for row in connection.execute(asked, given).all()):
                found[owners.get(owner, owner), place[0], place[1]] = skill_row(in_sum)
    return found


def latest(connection: sa.Connection, models: Sequence[LedgerModel]) -> dict[int, dict[Symbol, Latest]]:
    """By key of the model, its newest forecast of each market: the newest of all its versions."""
    owners = _owners(models)
    ours = FORECASTS.c.model.in_(list(owners))
    per_version = (
        sa.select(
            FORECASTS.c.model, FORECASTS.c.symbol, sa.func.max(FORECASTS.c.last_open_time_ms).label("last_open_time_ms")
        )
        .where(ours)
        .group_by(FORECASTS.c.model, FORECASTS.c.symbol)
        .subquery()
    )
    of_model = sa.func.coalesce(MIXES.c.record, sa.cast(per_version.c.model, sa.String))
    place = sa.func.row_number().over(
        partition_by=(of_model, per_version.c.symbol),
        order_by=(per_version.c.last_open_time_ms.desc(), per_version.c.model.desc()),
    )
    ranked = (
        sa.select(per_version, place.label("place")).outerjoin(MIXES, MIXES.c.model == per_version.c.model).subquery()
    )
    same = [FORECASTS.c[name] == ranked.c[name] for name in ("model", "symbol", "last_open_time_ms")]
    query = sa.select(FORECASTS).join(ranked, sa.and_(*same)).where(ranked.c.place == 1).order_by(FORECASTS.c.key)
    found: dict[int, dict[Symbol, Latest]] = {model.key: {} for model in models}
    for row in connection.execute(query).all():
        model, symbol = owners[row.model], Symbol(row.symbol)
        found[model.key][symbol] = Latest(
            symbol, row.last_open_time_ms, row.made_at_ms, row.last_close, row.sigma, unpack(row.log_returns, model)
        )
    return found


def details(
    connection: sa.Connection, models: Sequence[LedgerModel], horizons: Iterable[int], points: int
) -> dict[Place, Detail]:
    """Of each model at each horizon over all its markets; the course in at most so many stretches."""
    owners, wanted = _owners(models), sorted(set(horizons))
    ranks = _gathered(connection, RANKS, owners, wanted, ("rank", "scored"))
    weathers = _gathered(connection, WEATHER, owners, wanted, ("hour", "bin", *WEATHER_SUMS))
    days = _gathered(connection, DAYS, owners, wanted, ("day", *_COURSE_SUMS), DAYS.c.symbol == EVERY_SYMBOL)
    found = {}
    for model in models:
        for horizon in wanted:
            place = model.key, horizon
            hours, bins = weathers[place][:2].astype(np.int64)
            found[place] = Detail(
                _counted(ranks[place], len(model.quantiles) + 1),
                _course(days[place], points),
                weather_of(hours, bins, dict(zip(WEATHER_SUMS, weathers[place][2:], strict=True))),
            )
    return found


def _owners(models: Sequence[LedgerModel]) -> dict[int, LedgerModel]:
    """By key of each version, the model as the ledger shows it."""
    return {key: model for model in models for key in model.keys}


def _gathered(
    connection: sa.Connection,
    table: sa.Table,
    owners: Mapping[int, LedgerModel],
    horizons: Sequence[int],
    names: tuple[str, ...],
    *where: sa.ColumnElement[bool],
) -> dict[Place, NDArray[np.float64]]:
    """(names, n) by place: the rows of all versions of a model together."""
    query = sa.select(table.c.model, table.c.horizon, *(table.c[name] for name in names))
    query = query.where(table.c.model.in_(list(owners)), table.c.horizon.in_(horizons), *where)
    rows: dict[Place, list[Any]] = {(model.key, horizon): [] for model in owners.values() for horizon in horizons}
    for version, horizon, *values in connection.execute(query).all():
        rows[owners[version].key, horizon].append(values)
    return {place: np.array(kept, dtype=np.float64).reshape(-1, len(names)).T for place, kept in rows.items()}


def _counted(ranks: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    counts = np.zeros(size)
    np.add.at(counts, ranks[0].astype(np.int64), ranks[1])
    return counts


def _course(days: NDArray[np.float64], points: int) -> Course:
    """(4, n) days and their sums → stretches of equally many days, without those of which nothing is kept."""
    day = days[0].astype(np.int64)
    first, last = (int(day.min()), int(day.max())) if len(day) else (0, 0)
    width = -(-(last - first + 1) // points)
    stretches, labels = np.unique((day - first) // width, return_inverse=True)
    sums = np.zeros((len(_COURSE_SUMS), len(stretches)))
    np.add.at(sums.T, labels, days[1:].T)
    from_ms = (first + stretches * width) * _DAY_MS
    return Course(from_ms, from_ms + width * _DAY_MS, *sums)
