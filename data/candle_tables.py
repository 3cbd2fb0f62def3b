"""Candle tables: series, their candles and their known holes, as the database keeps them."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

SERIES = sa.Table(
    "series",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("interval", sa.String(4), nullable=False),
    sa.Column("candles", sa.BigInteger, nullable=False),
    sa.Column("first_open_ms", sa.BigInteger),
    sa.Column("last_open_ms", sa.BigInteger),
    sa.UniqueConstraint("venue", "symbol", "interval"),
)
"""One row per market and interval of one venue: a simulated exchange's candles never mix with the real ones.

`candles`, `first_open_ms` and `last_open_ms` are kept with every write, so that nothing ever counts a million rows to
say how many there are."""

CANDLES = sa.Table(
    "candles",
    METADATA,
    sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True, autoincrement=False),
    sa.Column("open_time_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Clustered by (series, time): a range of one series is read from neighbouring pages. `packed` is the whole row as
numpy reads it: the open time as a little-endian int64, then the values of FLOAT_COLUMNS as doubles. In ten columns,
1000 candles took three times as long to read, most of it to make Python numbers that numpy takes apart again."""

HOLES = sa.Table(
    "holes",
    METADATA,
    sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True, autoincrement=False),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end_ms", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Ranges [start, end) of open times for which the exchange was asked and has nothing. Disjoint, and free of candles."""
