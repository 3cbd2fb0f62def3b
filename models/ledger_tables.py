"""Ledger tables: models, their forecasts, the scores of each, sums of scores, and the heads of the chains."""

from __future__ import annotations

import sqlalchemy as sa

from models.ledger_scores import SUMS
from models.ledger_sums import BAND_SUMS, WEATHER_SUMS

METADATA = sa.MetaData()

MODELS = sa.Table(
    "ledger_models",
    METADATA,
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

FORECASTS = sa.Table(
    "ledger_forecasts",
    METADATA,
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
    FORECASTS.c.symbol,
    FORECASTS.c.model,
    sqlite_where=FORECASTS.c.open_mask != 0,
)
sa.Index("ledger_recent", FORECASTS.c.symbol, FORECASTS.c.last_open_time_ms)

SCORES = sa.Table(
    "ledger_scores",
    METADATA,
    sa.Column("forecast", sa.ForeignKey("ledger_forecasts.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("scored_at_ms", sa.BigInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("realised", sa.Double),
    sa.Column("loss", sa.Double),
    sa.Column("baseline_loss", sa.Double),
    sqlite_with_rowid=False,
)

DAYS = sa.Table(
    "ledger_days",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("symbol", sa.String(20), primary_key=True),  # nothing: all of them together
    sa.Column("horizon", sa.SmallInteger, primary_key=True),  # 0: all of them together
    sa.Column("day", sa.Integer, primary_key=True),  # of the forecast's last candle, since 1970
    *(sa.Column(name, sa.Double, nullable=False) for name in SUMS),
    sqlite_with_rowid=False,
)

RANKS = sa.Table(
    "ledger_ranks",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("rank", sa.SmallInteger, primary_key=True),
    sa.Column("scored", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

WEATHER = sa.Table(
    "ledger_weather",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("horizon", sa.SmallInteger, primary_key=True),
    sa.Column("hour", sa.SmallInteger, primary_key=True),
    sa.Column("bin", sa.SmallInteger, primary_key=True),
    *(sa.Column(name, sa.Double, nullable=False) for name in WEATHER_SUMS),
    sqlite_with_rowid=False,
)

HEADS = sa.Table(
    "ledger_heads",
    METADATA,
    sa.Column("venue", sa.String(80), primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("chain", sa.LargeBinary, nullable=False),
)
RAW = sa.Table(
    "ledger_raw",
    METADATA,
    sa.Column("forecast", sa.ForeignKey("ledger_forecasts.key"), primary_key=True),
    sa.Column("answer", sa.LargeBinary, nullable=False),  # (h, q) little-endian float32, in sigma: before calibration
)

CALIBRATIONS = sa.Table(
    "ledger_calibrations",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("symbol", sa.String(20), primary_key=True),
    sa.Column("moment_ms", sa.BigInteger, nullable=False),
    sa.Column("before", sa.LargeBinary, nullable=False),  # (h, b) little-endian float64
    sa.Column("after", sa.LargeBinary, nullable=False),
    sa.Column("outcomes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

BANDS = sa.Table(
    "ledger_bands",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("symbol", sa.String(20), primary_key=True),  # nothing: all of them together
    sa.Column("horizon", sa.SmallInteger, primary_key=True),  # 0: all of them together
    *(sa.Column(name, sa.Double, nullable=False) for name in BAND_SUMS),
    sqlite_with_rowid=False,
)
"""Of calibrated forecasts alone: their bands, and what the model's own would have been."""

MIXES = sa.Table(
    "ledger_mixes",
    METADATA,
    sa.Column("model", sa.ForeignKey("ledger_models.key"), primary_key=True),
    sa.Column("record", sa.String(64), nullable=False, index=True),  # what all versions of the ensemble have in common
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("weighed_ms", sa.BigInteger, nullable=False),
    sa.Column("weights", sa.JSON, nullable=False),  # by the members' ids
    sa.Column("digests", sa.JSON, nullable=False),
    sa.Column("left_out", sa.JSON, nullable=False),
)
"""Of models that are ensembles: which weights each version has, written with its first forecast."""

SUM_TABLES = (DAYS, RANKS, WEATHER)
"""What is kept of the scores, cell by cell."""
