"""Ledger: every forecast written before its outcome is known, scored once when the candles arrive, never rewritten.

A row per forecast holds all its horizons; a row per decided horizon its score; daily sums beside them, written in the
same transaction, keep the skill over a million scores a matter of milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from models.baseline import naive_log_returns
from models.forecaster import Forecast
from models.ledger_scores import SUMS, Decided, LedgerRow, Skill, State, decide, skill_of, target_times
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
    sa.Column("chain", sa.LargeBinary),  # the hash over this row and the one before it, once rows are chained
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
    sa.Column("symbol", sa.String(20), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),  # of the forecast's last candle, since 1970
    *(sa.Column(name, sa.Double, nullable=False) for name in SUMS),
    sqlite_with_rowid=False,
)
_PLACE = ("model", "symbol", "horizon", "day")


@dataclass(frozen=True, slots=True)
class _Model:
    key: int
    id: str
    digest: str
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    baseline: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.horizons), len(self.quantiles)


class Ledger:
    """Append-only. Its promises hold over restarts and clock steps: they rest on unique keys, not on memory."""

    def __init__(self, database: Database, clock: Clock, *, venue: str = BINANCE) -> None:
        self._database = database
        self._clock = clock
        self._venue = venue
        database.create_tables(_METADATA)

    def use(self, venue: str) -> None:
        """From now on keeps the score of this venue: what was forecast of an invented market says nothing of the real.

        The scores of past simulations that do not last go: their time has begun anew.
        """
        self._venue = venue
        with self._database.write() as connection:
            kept = connection.execute(sa.select(_MODELS.c.key, _MODELS.c.venue)).all()
            gone = [row.key for row in kept if row.venue != venue and not lasts(row.venue)]
            forecasts = sa.select(_FORECASTS.c.key).where(_FORECASTS.c.model.in_(gone))
            connection.execute(sa.delete(_SCORES).where(_SCORES.c.forecast.in_(forecasts)))
            connection.execute(sa.delete(_FORECASTS).where(_FORECASTS.c.model.in_(gone)))
            connection.execute(sa.delete(_DAYS).where(_DAYS.c.model.in_(gone)))
            connection.execute(sa.delete(_MODELS).where(_MODELS.c.key.in_(gone)))

    def append(self, forecasts: Iterable[Forecast]) -> int:
        """Writes those not yet there (by model digest, market, interval, last candle); returns how many were new."""
        ordered = sorted(forecasts, key=lambda one: (one.model_digest, one.interval))
        if not ordered:
            return 0
        with self._database.write() as connection:
            groups = groupby(ordered, key=lambda one: (one.model_digest, one.interval))
            return sum(self._append(connection, list(group)) for _, group in groups)

    def score(self, candles: Candles) -> int:
        """Decides each open horizon that these closed candles can decide, once; returns how many were decided.

        The outcome is the log return from the close the forecast started at to the candle exactly `horizon` later.
        Where that candle is a hole, or the forecast was made after it closed, the horizon is unscorable.
        """
        if not len(candles):
            return 0
        with self._database.write() as connection:
            models = _models(connection, self._venue, candles.interval)
            ours = _open(connection, self._venue, candles)
            return sum(self._score(connection, models[key], rows, candles) for key, rows in ours)

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
        wanted = (
            (_DAYS.c.symbol, symbol),
            (_DAYS.c.horizon, horizon),
            (_MODELS.c.interval, interval),
            (_MODELS.c.digest, digest),
        )
        sums = [sa.func.sum(_DAYS.c[name]) for name in SUMS]
        query = (
            sa.select(_MODELS.c.interval, _DAYS.c.day, *sums)
            .join(_MODELS, _MODELS.c.key == _DAYS.c.model)
            .where(_MODELS.c.model_id == model_id, _MODELS.c.venue == self._venue)
            .where(*(column == value for column, value in wanted if value is not None))
            .group_by(_MODELS.c.interval, _DAYS.c.day)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        blocks = np.array([_block(name, day) for name, day, *_ in rows], dtype=np.int64)
        columns = np.array([row[2:] for row in rows], dtype=np.float64).reshape(-1, len(SUMS)).T
        return skill_of(dict(zip(SUMS, columns, strict=True)), blocks)

    def recent(self, symbol: Symbol, interval: Interval, limit: int) -> list[LedgerRow]:
        """The newest `limit` rows of a market, newest forecast first, then by horizon."""
        with self._database.read() as connection:
            models = _models(connection, self._venue, interval)
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
        with self._database.read() as connection:
            forecasts = connection.execute(sa.select(sa.func.count()).select_from(_FORECASTS)).scalar_one()
            scored, unscorable = connection.execute(sums).one()
        return {"forecasts": forecasts, "scored": int(scored or 0), "unscorable": int(unscorable or 0)}

    def _append(self, connection: sa.Connection, forecasts: Sequence[Forecast]) -> int:
        """Forecasts of one model and interval."""
        model = self._stored_model(connection, forecasts[0])
        earliest = min(one.last_open_time_ms for one in forecasts)
        known = connection.execute(
            sa.select(_FORECASTS.c.symbol, _FORECASTS.c.last_open_time_ms).where(
                _FORECASTS.c.model == model, _FORECASTS.c.last_open_time_ms >= earliest
            )
        ).all()
        there = {(symbol, at_ms) for symbol, at_ms in known}
        new = {(str(one.symbol), one.last_open_time_ms): one for one in forecasts}
        rows = [_forecast_row(model, one) for place, one in new.items() if place not in there]
        if rows:
            connection.execute(sa.insert(_FORECASTS), rows)
        return len(rows)

    def _stored_model(self, connection: sa.Connection, forecast: Forecast) -> int:
        """The key of the forecast's model, written on first sight."""
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
        found = sa.select(_MODELS.c.key).where(*(_MODELS.c[name] == row[name] for name in keys))
        return int(connection.execute(found).scalar_one())

    def _score(self, connection: sa.Connection, model: _Model, rows: Sequence[Any], candles: Candles) -> int:
        """Forecasts of one model in one market."""
        bits = 1 << np.arange(len(model.horizons), dtype=np.int64)
        masks = np.array([row.open_mask for row in rows], dtype=np.int64)
        decided = decide(
            candles=candles,
            starts_ms=np.array([row.last_open_time_ms for row in rows], dtype=np.int64),
            made_at_ms=np.array([row.made_at_ms for row in rows], dtype=np.int64),
            closes=np.array([row.last_close for row in rows]),
            log_returns=np.stack([_unpack(row.log_returns, model) for row in rows]),
            naive=naive_log_returns(model.baseline, np.array([row.sigma for row in rows])),
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
        self._add_to_days(connection, _day_sums(decided, places, model, rows, candles.symbol))
        return len(places)

    def _add_to_days(self, connection: sa.Connection, sums: Sequence[dict[str, Any]]) -> None:
        zeros = [row | dict.fromkeys(SUMS, 0.0) for row in sums]
        connection.execute(self._database.upsert(_DAYS, keys=_PLACE, update=()), zeros)
        update = (
            sa.update(_DAYS)
            .where(*(_DAYS.c[name] == sa.bindparam(f"at_{name}") for name in _PLACE))
            .values({name: _DAYS.c[name] + sa.bindparam(f"add_{name}") for name in SUMS})
        )
        connection.execute(
            update,
            [{f"{'at' if name in _PLACE else 'add'}_{name}": value for name, value in row.items()} for row in sums],
        )


def _models(connection: sa.Connection, venue: str, interval: Interval) -> dict[int, _Model]:
    ours = sa.select(_MODELS).where(_MODELS.c.venue == venue, _MODELS.c.interval == str(interval))
    rows = connection.execute(ours).all()
    return {
        row.key: _Model(
            row.key, row.model_id, row.digest, tuple(row.horizons), tuple(row.quantiles), np.array(row.baseline)
        )
        for row in rows
    }


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


def _unpack(content: bytes, model: _Model) -> NDArray[np.float64]:
    return np.frombuffer(content, dtype="<f8").reshape(model.shape)


def _score_rows(
    decided: Decided, places: NDArray[np.intp], model: _Model, rows: Sequence[Any], now_ms: int
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


def _day_sums(
    decided: Decided, places: NDArray[np.intp], model: _Model, rows: Sequence[Any], symbol: Symbol
) -> list[dict[str, Any]]:
    """What these scores add to each horizon and day."""
    i, j = places.T
    days = np.array([row.last_open_time_ms // _DAY_MS for row in rows], dtype=np.int64)[i]
    scored = decided.state[i, j] == State.SCORED
    spoken = scored & (decided.direction[i, j] != 0)
    columns = {
        "scored": scored,
        "unscorable": ~scored,
        "loss": np.where(scored, decided.loss[i, j], 0.0),
        "baseline_loss": np.where(scored, decided.baseline_loss[i, j], 0.0),
        "inside_50": scored & decided.inside_50[i, j],
        "inside_90": scored & decided.inside_90[i, j],
        "directional": spoken,
        "hits": spoken & (decided.direction[i, j] > 0),
    }
    cells, labels = np.unique(np.stack([j, days]), axis=1, return_inverse=True)
    sums = {name: np.bincount(labels.ravel(), weights=column) for name, column in columns.items()}
    return [
        {"model": model.key, "symbol": str(symbol), "horizon": model.horizons[place], "day": day}
        | {name: float(sums[name][cell]) for name in SUMS}
        for cell, (place, day) in enumerate(cells.T.tolist())
    ]


def _ledger_rows(model: _Model, interval: Interval, forecast: Any, scores: dict[int, Any]) -> list[LedgerRow]:
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


def _block(interval: str, day: int) -> int:
    """The block a day belongs to: a day, or 24 candles where they are longer."""
    return day * _DAY_MS // max(_DAY_MS, BLOCK_CANDLES * Interval(interval).ms)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
