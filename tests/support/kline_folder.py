"""Candles as kline files, as the commands read them from a folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.candles import FLOAT_COLUMNS, Candles


def write(folder: Path, candles: Candles) -> None:
    columns = {"open_time_ms": candles.open_time_ms} | {name: getattr(candles, name) for name in FLOAT_COLUMNS}
    pq.write_table(pa.table(columns), folder / f"{candles.symbol}-{candles.interval}.parquet")
