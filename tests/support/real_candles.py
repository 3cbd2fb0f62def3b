"""Real candles from the shared Parquet files, as Candles, for tests that hold numbers against the market's own."""

from __future__ import annotations

import numpy as np

from data.candles import FLOAT_COLUMNS, Candles
from data.interval import Interval
from data.symbol import Symbol
from tests.support.shared_data import klines_dir


def real_candles(symbol: str, interval: str, start: int | None = None, stop: int | None = None) -> Candles:
    """Rows [start:stop] of a shared file; skips the test where the files are missing."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(klines_dir() / f"{symbol}-{interval}.parquet")
    count = table.num_rows
    columns = [
        table[name].to_numpy() if name in table.column_names else np.full(count, np.nan) for name in FLOAT_COLUMNS
    ]
    times = table["open_time_ms"].to_numpy()
    whole = Candles.from_columns(
        Symbol.parse(symbol),
        Interval.parse(interval),
        times.copy(),
        [np.array(column, dtype=float) for column in columns],
    )
    return whole.slice(start, stop)
