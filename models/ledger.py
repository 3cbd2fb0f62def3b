"""Ledger: every forecast written before its outcome is known, scored once when the candles arrive, never rewritten.

A row per forecast holds all its horizons; a row per decided horizon its score; daily sums beside them, written in the
same transaction, keep the skill over a million scores a matter of milliseconds.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.candles import Candles
from data.database import Database
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE, lasts
from models import ledger_chain
from models.baseline import naive_log_returns
from models.forecaster import Forecast
from models.ledger_chain import Verification, Walk
from models.ledger_scores import (
    NOTHING_SCORED,
    RATIOS,
    SUMS,
    Decided,
    Latest,
    LedgerModel,
    LedgerRow,
    Skill,
    State,
    decide,
    judge,
    skill_of,
    target_times,
)
from models.ledger_sums import (
    EVERY_HORIZON,
    EVERY_SYMBOL,
    WEATHER_SUMS,
    Course,
    Weather,
    day_sums,
    rank_sums,
    weather_of,
    weather_sums,
)
from utils.clock import Clock

PATIENCE_CANDLES = 3
"""How many later candles must be there before a missing one counts as a hole: a backfill may still bring it."""
BLOCK_CANDLES = 24
_DAY_MS = 86_400_000

_METADATA = sa.MetaData()

_MODELS = sa.Table(
    "ledger_models",
    _METADATA,
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.String(64), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("interval", sa.String(4), nullable=False),
    sa.Column("horizons", sa.JSON, nullable=False),
    sa.Column("quantiles", sa.JSON, nullable=False),
    sa.Column("baseline", sa.JSON, nullable=False),  # (h, q) in sigma
    sa.UniqueConstraint("digest", "venue", "interval"),
)

_FORECASTS = sa.Table(
    "ledger_forecasts",
    _METADATA,
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("model", sa.ForeignKey("ledger_models.key"), nullable=False),
    sa.Column("symbol", sa.String(20), nullable=False),
    sa.Column("last_open_time_ms", sa.BigInteger, nullable=False),
    sa.Column("made_at_ms", sa.BigInteger, nullable=False),
    sa.Column("last_close", sa.Double, nullable=False),
    sa.Column("sigma", sa.Double, nullable=False),
    sa.Column("log_returns", sa.LargeBinary, nullable=False),  # (h, q) little-endian float64
    sa.Column("open_mask", sa.BigInteger, nullable=False),  # bit i: the model's i-th horizon is undecided
    sa.Column("chain", sa.LargeBinary),  # over this row and the one before it; none in rows from before the chain
    sa.UniqueConstraint("model", "symbol", "last_open_time_ms"),
)
sa.Index(
    "ledger_open",
    _FORECASTS.c.symbol,
    _FORECASTS.c.model,
    sqlite_where=_FORECASTS.c.open_mask != 0,
    postgresql_where=_FORECASTS.c.open_mask != 0,
)
sa.Index("ledger_recent", _FORECASTS.c.symbol, _FORECASTS.c.last_open_time_ms)

_SCORES = sa.Table(
    "ledger_scores",
    _METADATA,
    sa.Column("forecast", sa.ForeignKey("ledger_forecasts.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("scored_at_ms", sa.BigInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("realised", sa.Double),
    sa.Column("loss", sa.Double),
    sa.Column("baseline_loss", sa.Double),
    sqlite_with_rowid=False,
)

_DAYS = sa.Table(
    "ledger_days",
    _METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("symbol", sa.String(20), primary_key=True),  # nothing: all of them together
    sa.Column("horizon", sa.SmallInteger, primary_key=True),  # 0: all of them together
    sa.Column("day", sa.Integer, primary_key=True),  # of the forecast's last candle, since 1970
    *(sa.Column(name, sa.Double, nullable=False) for name in SUMS),
    sqlite_with_rowid=False,
)

_RANKS = sa.Table(
    "ledger_ranks",
    _METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("rank", sa.SmallInteger, primary_key=True),
    sa.Column("scored", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

_WEATHER = sa.Table(
    "ledger_weather",
    _METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("hour", sa.SmallInteger, primary_key=True),
    sa.Column("bin", sa.SmallInteger, primary_key=True),
    *(sa.Column(name, sa.Double, nullable=False) for name in WEATHER_SUMS),
    sqlite_with_rowid=False,
)

_HEADS = sa.Table(
    "ledger_heads",
    _METADATA,
    sa.Column("venue", sa.String(80), primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("chain", sa.LargeBinary, nullable=False),
)
_SUM_TABLES = (_DAYS, _RANKS, _WEATHER)
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class _Batch:
    """Forecasts of one model in one market, as columns: (n,), and (n, h, q)."""

    model: LedgerModel
    symbol: Symbol
    starts_ms: NDArray[np.int64]
    made_at_ms: NDArray[np.int64]
    closes: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    log_returns: NDArray[np.float64]

    @property
    def naive(self) -> NDArray[np.float64]:
        return naive_log_returns(self.model.baseline, self.sigmas)


class Ledger:
    """Append-only. Its promises hold over restarts and clock steps: they rest on unique keys, not on memory."""

    def __init__(self, database: Database, clock: Clock, *, venue: str = BINANCE) -> None:
        self._database = database
        self._clock = clock
        self._venue = venue
        self._changes = 0
        self._walk = Walk(venue)
        self._walking = threading.Lock()
        database.create_tables(_METADATA)
        self._complete_sums()

    @property
    def version(self) -> str:
        """Changes whenever this process writes something down, and with the venue."""
        return f"{self._venue} {self._changes}"

    def use(self, venue: str) -> None:
        """From now on keeps the score of this venue: what was forecast of an invented market says nothing of the real.

        The scores of past simulations that do not last go: their time has begun anew.
        """
        self._venue = venue
        self._changes += 1
        with self._walking:
            self._walk = Walk(venue)
        with self._database.write() as connection:
            kept = connection.execute(sa.select(_MODELS.c.key, _MODELS.c.venue)).all()
            gone = [row.key for row in kept if row.venue != venue and not lasts(row.venue)]
            venues = {row.venue for row in kept if row.key in set(gone)}
            forecasts = sa.select(_FORECASTS.c.key).where(_FORECASTS.c.model.in_(gone))
            connection.execute(sa.delete(_SCORES).where(_SCORES.c.forecast.in_(forecasts)))
            for table in (_FORECASTS, *_SUM_TABLES):
                connection.execute(sa.delete(table).where(table.c.model.in_(gone)))
            connection.execute(sa.delete(_MODELS).where(_MODELS.c.key.in_(gone)))
            connection.execute(sa.delete(_HEADS).where(_HEADS.c.venue.in_(venues)))

    def append(self, forecasts: Iterable[Forecast]) -> int:
        """Writes those not yet there (by model digest, market, interval, last candle); returns how many were new."""
        ordered = sorted(forecasts, key=lambda one: (one.model_digest, one.interval))
        if not ordered:
            return 0
        with self._database.write() as connection:
            groups = groupby(ordered, key=lambda one: (one.model_digest, one.interval))
            added = sum(self._append(connection, list(group)) for _, group in groups)
        self._changes += added > 0
        return added

    def score(self, candles: Candles) -> int:
        """Decides each open horizon that these closed candles can decide, once; returns how many were decided.

        The outcome is the log return from the close the forecast started at to the candle exactly `horizon` later.
        Where that candle is a hole, or the forecast was made after it closed, the horizon is unscorable.
        """
        if not len(candles):
            return 0
        with self._database.write() as connection:
            models = _models(connection, self._venue, interval=candles.interval)
            ours = _open(connection, self._venue, candles)
            decided = sum(self._score(connection, models[key], rows, candles) for key, rows in ours)
        self._changes += decided > 0
        return decided

    def skill(
        self,
        *,
        model_id: str,
        symbol: Symbol | None = None,
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> Skill:
        """Over the scored forecasts of the model (every digest of that id, unless one is named) that fit."""
        name = EVERY_SYMBOL if symbol is None else str(symbol)
        found = self._skills((), [name], [horizon or EVERY_HORIZON], model_id, interval, digest)
        return found.get((), NOTHING_SCORED)

    def skills(
        self,
        *,
        model_id: str,
        symbols: Sequence[Symbol],
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> dict[Symbol, Skill]:
        """The same for each of these markets, asked at once."""
        names = [str(symbol) for symbol in symbols]
        found = self._skills(("symbol",), names, [horizon or EVERY_HORIZON], model_id, interval, digest)
        return {symbol: found.get((str(symbol),), NOTHING_SCORED) for symbol in symbols}

    def skills_by_horizon(
        self,
        *,
        model_id: str,
        horizons: Sequence[int],
        symbols: Sequence[Symbol | None],
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> dict[tuple[Symbol | None, int], Skill]:
        """For each market (None: all together) and horizon, asked at once."""
        names = [EVERY_SYMBOL if symbol is None else str(symbol) for symbol in symbols]
        found = self._skills(("symbol", "horizon"), names, horizons, model_id, interval, digest)
        return {
            (symbol, horizon): found.get((name, horizon), NOTHING_SCORED)
            for symbol, name in zip(symbols, names, strict=True)
            for horizon in horizons
        }

    def models(self, interval: Interval) -> tuple[LedgerModel, ...]:
        """Those that have forecast here, each id with its newest version, by id."""
        with self._database.read() as connection:
            known = _models(connection, self._venue, interval=interval)
        newest = {known[key].id: known[key] for key in sorted(known)}
        return tuple(newest[name] for name in sorted(newest))

    def latest(self, model: LedgerModel) -> dict[Symbol, Latest]:
        """The model's newest forecast of each market."""
        newest = (
            sa.select(_FORECASTS.c.symbol, sa.func.max(_FORECASTS.c.last_open_time_ms).label("at_ms"))
            .where(_FORECASTS.c.model == model.key)
            .group_by(_FORECASTS.c.symbol)
            .subquery()
        )
        query = sa.select(_FORECASTS).join(
            newest,
            (_FORECASTS.c.symbol == newest.c.symbol) & (_FORECASTS.c.last_open_time_ms == newest.c.at_ms),
        )
        with self._database.read() as connection:
            rows = connection.execute(query.where(_FORECASTS.c.model == model.key)).all()
        return {
            Symbol(row.symbol): Latest(
                Symbol(row.symbol),
                row.last_open_time_ms,
                row.made_at_ms,
                row.last_close,
                row.sigma,
                _unpack(row.log_returns, model),
            )
            for row in rows
        }

    def ranks(self, model: LedgerModel, horizon: int) -> NDArray[np.float64]:
        """(q + 1,) how many outcomes lay below the lowest quantile, between each two, above the highest."""
        query = sa.select(_RANKS.c.rank, _RANKS.c.scored)
        with self._database.read() as connection:
            rows = connection.execute(query.where(_RANKS.c.model == model.key, _RANKS.c.horizon == horizon)).all()
        counts = np.zeros(len(model.quantiles) + 1)
        for rank, scored in rows:
            counts[rank] = scored
        return counts

    def weather(self, model: LedgerModel, horizon: int) -> Weather:
        """Where the model does well: by UTC hour and third of the forecasts by volatility."""
        names = ("hour", "bin", *WEATHER_SUMS)
        query = sa.select(*(_WEATHER.c[name] for name in names))
        with self._database.read() as connection:
            rows = connection.execute(query.where(_WEATHER.c.model == model.key, _WEATHER.c.horizon == horizon)).all()
        columns = np.array(rows, dtype=np.float64).reshape(-1, len(names)).T
        hours, bins = columns[:2].astype(np.int64)
        return weather_of(hours, bins, dict(zip(WEATHER_SUMS, columns[2:], strict=True)))

    def course(self, model: LedgerModel, horizon: int, points: int) -> Course:
        """Over all markets, in at most so many stretches of equally many days."""
        names = ("scored", "loss", "baseline_loss")
        ours = (_DAYS.c.model == model.key, _DAYS.c.symbol == EVERY_SYMBOL, _DAYS.c.horizon == horizon)
        with self._database.read() as connection:
            ends = sa.select(sa.func.min(_DAYS.c.day), sa.func.max(_DAYS.c.day)).where(*ours)
            first, last = connection.execute(ends).one()
            width = -(-(last - first + 1) // points) if first is not None else 1
            stretch = ((_DAYS.c.day - (first or 0)) // width).label("stretch")
            query = sa.select(stretch, *(sa.func.sum(_DAYS.c[name]) for name in names)).where(*ours)
            rows = connection.execute(query.group_by(stretch).order_by(stretch)).all()
        columns = np.array(rows, dtype=np.float64).reshape(-1, 1 + len(names)).T
        from_ms = ((first or 0) + columns[0].astype(np.int64) * width) * _DAY_MS
        return Course(from_ms, from_ms + width * _DAY_MS, *columns[1:])

    def recent(self, symbol: Symbol, interval: Interval, limit: int) -> list[LedgerRow]:
        """The newest `limit` rows of a market, newest forecast first, then by horizon."""
        with self._database.read() as connection:
            models = _models(connection, self._venue, interval=interval)
            query = (
                sa.select(_FORECASTS)
                .where(_FORECASTS.c.symbol == symbol, _FORECASTS.c.model.in_(list(models)))
                .order_by(_FORECASTS.c.last_open_time_ms.desc(), _FORECASTS.c.model.desc())
                .limit(limit)
            )
            rows: list[LedgerRow] = []
            for forecast in connection.execute(query).all():
                if len(rows) >= limit:
                    break
                found = connection.execute(sa.select(_SCORES).where(_SCORES.c.forecast == forecast.key)).all()
                rows += _ledger_rows(models[forecast.model], interval, forecast, {one.horizon: one for one in found})
        return rows[:limit]

    def counts(self) -> dict[str, int]:
        """Of every venue: how many forecasts are stored, and how many horizons were scored or found unscorable."""
        sums = sa.select(sa.func.sum(_DAYS.c.scored), sa.func.sum(_DAYS.c.unscorable))
        whole = (_DAYS.c.symbol == EVERY_SYMBOL, _DAYS.c.horizon == EVERY_HORIZON)
        with self._database.read() as connection:
            forecasts = connection.execute(sa.select(sa.func.count()).select_from(_FORECASTS)).scalar_one()
            scored, unscorable = connection.execute(sums.where(*whole)).one()
        return {"forecasts": forecasts, "scored": int(scored or 0), "unscorable": int(unscorable or 0)}

    def verify(self) -> Verification:
        """Walks the whole chain of this venue; takes some seconds for a million forecasts."""
        with self._database.read() as connection:
            return self._walked(connection, Walk(self._venue), most=None)

    def check(self, most: int = 20_000) -> Verification:
        """Walks on by at most so many rows from where the last call stopped, and begins anew after the end."""
        with self._walking, self._database.read() as connection:
            found = self._walked(connection, self._walk, most=most)
            if found.complete:
                self._walk = Walk(self._venue)
            return found

    def _walked(self, connection: sa.Connection, walk: Walk, *, most: int | None) -> Verification:
        head = connection.execute(sa.select(_HEADS).where(_HEADS.c.venue == self._venue)).one_or_none()
        models = _models(connection, self._venue)
        ours = _FORECASTS.c.model.in_(list(models))
        rows = connection.execute(sa.select(sa.func.count()).select_from(_FORECASTS).where(ours)).scalar_one()
        hashes = {key: _model_hash(model, self._venue) for key, model in models.items()}
        columns = [_FORECASTS.c[name] for name in ("key", "model", "chain", *ledger_chain.CONTENT)]
        query = sa.select(*columns).where(ours, _FORECASTS.c.key > walk.key).order_by(_FORECASTS.c.key).limit(most)
        found = connection.execution_options(yield_per=_BATCH).execute(query)
        seen = 0
        for key, model, chained, *content in found:
            seen += 1
            if not walk.step(key, models[model].id, hashes[model], chained, content):
                break
        found.close()
        complete = walk.broken is not None or most is None or seen < most
        if complete:
            walk.finish(head.rows if head else 0, head.chain if head else None)
        return Verification(rows, walk.checked, walk.unchained, complete, head.chain.hex() if head else "", walk.broken)

    def _skills(
        self,
        groups: tuple[str, ...],
        symbols: Sequence[str],
        horizons: Sequence[int],
        model_id: str,
        interval: Interval | None,
        digest: str | None,
    ) -> dict[tuple[Any, ...], Skill]:
        """By `groups`, from the daily sums: a block is a day, or 24 candles where they are longer."""
        with self._database.read() as connection:
            models = connection.execute(
                _matching(sa.select(_MODELS.c.key, _MODELS.c.interval), self._venue, interval, model_id, digest)
            ).all()
            if not models:
                return {}
            days = max(max(1, BLOCK_CANDLES * Interval(row.interval).ms // _DAY_MS) for row in models)
            given = {"models": [row.key for row in models], "symbols": symbols, "horizons": horizons, "days": days}
            rows = connection.execute(_skill_query(groups), given).all()
        return {tuple(row[: len(groups)]): _skill(row[len(groups) :]) for row in rows if row[-1] is not None}

    def _append(self, connection: sa.Connection, forecasts: Sequence[Forecast]) -> int:
        """Forecasts of one model and interval."""
        model = self._stored_model(connection, forecasts[0])
        earliest = min(one.last_open_time_ms for one in forecasts)
        known = connection.execute(
            sa.select(_FORECASTS.c.symbol, _FORECASTS.c.last_open_time_ms).where(
                _FORECASTS.c.model == model.key, _FORECASTS.c.last_open_time_ms >= earliest
            )
        ).all()
        there = {(symbol, at_ms) for symbol, at_ms in known}
        new = {(str(one.symbol), one.last_open_time_ms): one for one in forecasts}
        rows = [_forecast_row(model.key, one) for place, one in new.items() if place not in there]
        if rows:
            self._chain(connection, model, rows)
            connection.execute(sa.insert(_FORECASTS), rows)
        return len(rows)

    def _chain(self, connection: sa.Connection, model: LedgerModel, rows: Sequence[dict[str, Any]]) -> None:
        """Gives each row its hash and moves the venue's head on."""
        head = connection.execute(sa.select(_HEADS).where(_HEADS.c.venue == self._venue)).one_or_none()
        last = ledger_chain.beginning(self._venue) if head is None else head.chain
        hashed = _model_hash(model, self._venue)
        for row in rows:
            last = row["chain"] = ledger_chain.link(last, hashed, *(row[name] for name in ledger_chain.CONTENT))
        moved = {"venue": self._venue, "rows": (head.rows if head else 0) + len(rows), "chain": last}
        connection.execute(self._database.upsert(_HEADS), [moved])

    def _stored_model(self, connection: sa.Connection, forecast: Forecast) -> LedgerModel:
        """The forecast's model, written on first sight."""
        row = {
            "model_id": forecast.model_id,
            "digest": forecast.model_digest,
            "venue": self._venue,
            "interval": str(forecast.interval),
            "horizons": list(forecast.horizons),
            "quantiles": list(forecast.quantiles),
            "baseline": (forecast.baseline_log_returns / forecast.sigma).tolist(),
        }
        keys = ("digest", "venue", "interval")
        connection.execute(self._database.upsert(_MODELS, keys=keys, update=()), [row])
        found = _models(connection, self._venue, interval=forecast.interval, digest=forecast.model_digest)
        return next(iter(found.values()))

    def _score(self, connection: sa.Connection, model: LedgerModel, rows: Sequence[Any], candles: Candles) -> int:
        """Forecasts of one model in one market."""
        bits = 1 << np.arange(len(model.horizons), dtype=np.int64)
        masks = np.array([row.open_mask for row in rows], dtype=np.int64)
        batch = _batch(model, candles.symbol, rows)
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
        connection.execute(sa.insert(_SCORES), _score_rows(decided, places, model, rows, self._clock.now_ms()))
        closed = ((decided.state != State.OPEN) * bits).sum(axis=1)
        update = (
            sa.update(_FORECASTS).where(_FORECASTS.c.key == sa.bindparam("at")).values(open_mask=sa.bindparam("to"))
        )
        left = [{"at": row.key, "to": int(mask & ~shut)} for row, mask, shut in zip(rows, masks, closed, strict=True)]
        connection.execute(update, left)
        self._add_sums(connection, batch, decided, places)
        return len(places)

    def _add_sums(self, connection: sa.Connection, batch: _Batch, decided: Decided, places: NDArray[np.intp]) -> None:
        model = batch.model
        at = (model.horizons, batch.starts_ms)
        self._add(connection, _DAYS, model, day_sums(decided, places, *at, str(batch.symbol)))
        self._add(connection, _RANKS, model, rank_sums(decided, places, model.horizons))
        self._add(connection, _WEATHER, model, weather_sums(decided, places, *at, batch.sigmas, model.interval))

    def _add(
        self, connection: sa.Connection, table: sa.Table, model: LedgerModel, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Adds to the sums of these cells, which begin at nothing."""
        if not rows:
            return
        insert: Any = self._database.upsert(table, update=())
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

    def _complete_sums(self) -> None:
        """Writes the sums of a ledger from before some of them were kept: once, from the scores themselves."""
        whole = sa.select(_DAYS.c.day).where(_DAYS.c.horizon == EVERY_HORIZON).limit(1)
        with self._database.write() as connection:
            scored = connection.execute(sa.select(_SCORES.c.forecast).limit(1)).first()
            if scored is None or connection.execute(whole).first() is not None:
                return
            for table in _SUM_TABLES:
                connection.execute(sa.delete(table))
            for model in _models(connection).values():
                self._sum_up(connection, model)

    def _sum_up(self, connection: sa.Connection, model: LedgerModel) -> None:
        """The sums of one model, from its scores."""
        ours = sa.select(_FORECASTS).where(_FORECASTS.c.model == model.key)
        symbols = sa.select(_FORECASTS.c.symbol).where(_FORECASTS.c.model == model.key).distinct()
        for symbol in connection.execute(symbols).scalars().all():
            query = ours.where(_FORECASTS.c.symbol == symbol).order_by(_FORECASTS.c.key)
            for rows in connection.execute(query).partitions(_BATCH):
                state, realised = _outcomes(connection, model, rows)
                batch = _batch(model, Symbol(symbol), rows)
                decided = judge(state, realised, batch.log_returns, batch.naive, model.quantiles)
                self._add_sums(connection, batch, decided, np.argwhere(state != State.OPEN))


def _models(
    connection: sa.Connection,
    venue: str | None = None,
    *,
    interval: Interval | None = None,
    model_id: str | None = None,
    digest: str | None = None,
) -> dict[int, LedgerModel]:
    query = _matching(sa.select(_MODELS), venue, interval, model_id, digest)
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


def _matching(
    query: sa.Select[Any], venue: str | None, interval: Interval | None, model_id: str | None, digest: str | None
) -> sa.Select[Any]:
    """Of the models, those that fit what is given."""
    wanted = (
        (_MODELS.c.venue, venue),
        (_MODELS.c.interval, interval),
        (_MODELS.c.model_id, model_id),
        (_MODELS.c.digest, digest),
    )
    return query.where(*(column == str(value) for column, value in wanted if value is not None))


@functools.cache
def _skill_query(groups: tuple[str, ...]) -> sa.Select[Any]:
    """Sums, products of RATIOS and number of blocks, by `groups`; built once, for building it costs more than asking.

    Where models of several intervals are asked for at once, the longest block is everybody's.
    """
    columns = [_DAYS.c[name] for name in groups]
    block = (_DAYS.c.day // sa.bindparam("days", type_=sa.Integer)).label("block")
    blocks = (
        sa.select(*columns, block, *(sa.func.sum(_DAYS.c[name]).label(name) for name in SUMS))
        .where(
            _DAYS.c.model.in_(sa.bindparam("models", expanding=True)),
            _DAYS.c.symbol.in_(sa.bindparam("symbols", expanding=True)),
            _DAYS.c.horizon.in_(sa.bindparam("horizons", expanding=True)),
        )
        .group_by(*columns, block)
        .subquery()
    )
    products = [blocks.c[a] * blocks.c[b] for pair in RATIOS for a, b in _products(pair)]
    counted = sa.func.sum(sa.case((blocks.c.scored > 0, 1), else_=0))
    sums = [*(sa.func.sum(blocks.c[name]) for name in SUMS), *map(sa.func.sum, products), counted]
    names = [blocks.c[name] for name in groups]
    return sa.select(*names, *sums).group_by(*names) if names else sa.select(*sums)


def _model_hash(model: LedgerModel, venue: str) -> bytes:
    return ledger_chain.model_hash(
        model.id, model.digest, venue, model.interval, model.horizons, model.quantiles, model.baseline.tolist()
    )


def _products(pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    a, b = pair
    yield from ((a, a), (a, b), (b, b))


def _skill(row: Sequence[Any]) -> Skill:
    """From the sums, the products of each ratio, and the number of blocks."""
    sums = dict(zip(SUMS, map(float, row), strict=False))
    products = np.array(row[len(SUMS) : -1], dtype=np.float64).reshape(len(RATIOS), 3).tolist()
    return skill_of(sums, [(aa, ab, bb) for aa, ab, bb in products], int(row[-1]))


def _batch(model: LedgerModel, symbol: Symbol, rows: Sequence[Any]) -> _Batch:
    return _Batch(
        model=model,
        symbol=symbol,
        starts_ms=np.array([row.last_open_time_ms for row in rows], dtype=np.int64),
        made_at_ms=np.array([row.made_at_ms for row in rows], dtype=np.int64),
        closes=np.array([row.last_close for row in rows]),
        sigmas=np.array([row.sigma for row in rows]),
        log_returns=np.stack([_unpack(row.log_returns, model) for row in rows]),
    )


def _outcomes(
    connection: sa.Connection, model: LedgerModel, rows: Sequence[Any]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """(n, h) states and realised log returns of these forecasts, as they were scored."""
    place = {row.key: number for number, row in enumerate(rows)}
    state = np.full((len(rows), len(model.horizons)), State.OPEN, dtype=np.int8)
    realised = np.full(state.shape, np.nan)
    first, last = min(place), max(place)
    for score in connection.execute(sa.select(_SCORES).where(_SCORES.c.forecast.between(first, last))):
        if score.forecast in place:
            where = place[score.forecast], model.horizons.index(score.horizon)
            state[where] = score.state
            realised[where] = np.nan if score.realised is None else score.realised
    return state, realised


def _open(connection: sa.Connection, venue: str, candles: Candles) -> Iterator[tuple[int, list[Any]]]:
    """The market's forecasts with undecided horizons that end by the newest candle, by model."""
    query = (
        sa.select(_FORECASTS)
        .join(_MODELS, _MODELS.c.key == _FORECASTS.c.model)
        .where(
            _MODELS.c.venue == venue,
            _MODELS.c.interval == str(candles.interval),
            _FORECASTS.c.symbol == candles.symbol,
            _FORECASTS.c.open_mask != 0,
            _FORECASTS.c.last_open_time_ms < candles.last_open_time_ms,
        )
        .order_by(_FORECASTS.c.model)
    )
    for key, rows in groupby(connection.execute(query).all(), key=lambda row: row.model):
        yield key, list(rows)


def _forecast_row(model: int, forecast: Forecast) -> dict[str, object]:
    return {
        "model": model,
        "symbol": str(forecast.symbol),
        "last_open_time_ms": forecast.last_open_time_ms,
        "made_at_ms": forecast.made_at_ms,
        "last_close": forecast.last_close,
        "sigma": forecast.sigma,
        "log_returns": np.ascontiguousarray(forecast.log_returns, dtype="<f8").tobytes(),
        "open_mask": (1 << len(forecast.horizons)) - 1,
    }


def _unpack(content: bytes, model: LedgerModel) -> NDArray[np.float64]:
    return np.frombuffer(content, dtype="<f8").reshape(model.shape)


def _score_rows(
    decided: Decided, places: NDArray[np.intp], model: LedgerModel, rows: Sequence[Any], now_ms: int
) -> list[dict[str, Any]]:
    return [
        {
            "forecast": rows[i].key,
            "horizon": model.horizons[j],
            "scored_at_ms": now_ms,
            "state": int(decided.state[i, j]),
            "realised": _known(decided.realised[i, j]),
            "loss": _known(decided.loss[i, j]),
            "baseline_loss": _known(decided.baseline_loss[i, j]),
        }
        for i, j in places.tolist()
    ]


def _ledger_rows(model: LedgerModel, interval: Interval, forecast: Any, scores: dict[int, Any]) -> list[LedgerRow]:
    log_returns = _unpack(forecast.log_returns, model)
    naive = naive_log_returns(model.baseline, forecast.sigma)
    targets = target_times(interval, np.array(forecast.last_open_time_ms), model.horizons)
    return [
        LedgerRow(
            model_id=model.id,
            model_digest=model.digest,
            symbol=Symbol(forecast.symbol),
            interval=interval,
            last_open_time_ms=forecast.last_open_time_ms,
            made_at_ms=forecast.made_at_ms,
            horizon=horizon,
            target_open_time_ms=int(targets[place]),
            last_close=forecast.last_close,
            sigma=forecast.sigma,
            quantiles=model.quantiles,
            log_returns=tuple(log_returns[place].tolist()),
            baseline_log_returns=tuple(naive[place].tolist()),
            state=State(scores[horizon].state) if horizon in scores else State.OPEN,
            realised=scores[horizon].realised if horizon in scores else None,
            loss=scores[horizon].loss if horizon in scores else None,
            baseline_loss=scores[horizon].baseline_loss if horizon in scores else None,
        )
        for place, horizon in enumerate(model.horizons)
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
