"""Kline files (`SYMBOL-INTERVAL.parquet`) for training and evaluation; the serving process never imports this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.candles import FLOAT_COLUMNS, Candles
from data.interval import Interval
from data.symbol import Symbol
from utils.errors import InvalidInput, NotFound

_NEEDED = ("open_time_ms", "open", "high", "low", "close", "volume")


def read_market(path: Path) -> Candles:
    """One file as candles; optional columns that are absent or null become NaN. Refuses what is no sane kline file."""
    name, _, interval = path.stem.rpartition("-")
    symbol = Symbol.parse(name)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path.name} is no readable Parquet file: {error}") from error
    if missing := [column for column in _NEEDED if column not in table.column_names]:
        raise InvalidInput(f"{path.name} lacks the columns {', '.join(missing)}")
    times = np.asarray(table.column("open_time_ms").to_numpy(), dtype=np.int64)
    candles = Candles.from_columns(
        symbol, Interval.parse(interval), times, [_column(table, column) for column in FLOAT_COLUMNS]
    )
    _check(candles, path.name)
    return candles


def markets(folder: Path, interval: Interval, symbols: Sequence[Symbol] = ()) -> list[Candles]:
    """The chosen markets of a folder (all, if none is named), by name; NotFound says what is there."""
    if not folder.is_dir():
        raise NotFound(
            f"the data folder {folder} does not exist; --data names a folder of SYMBOL-INTERVAL.parquet files"
        )
    files = {path.stem.rpartition("-")[0]: path for path in sorted(folder.glob(f"*-{interval}.parquet"))}
    # a case-insensitive file system would let 1M match 1m
    files = {name: path for name, path in files.items() if path.stem.endswith(f"-{interval}")}
    if missing := [symbol for symbol in symbols if symbol not in files]:
        raise NotFound(
            f"{folder} has no {interval} candles of {', '.join(missing)}; it has {', '.join(files) or 'none'}"
        )
    chosen: Sequence[str] = symbols or list(files)
    if not chosen:
        raise NotFound(f"{folder} has no file named SYMBOL-{interval}.parquet")
    return [read_market(files[symbol]) for symbol in chosen]


def parse_symbols(names: Sequence[str]) -> list[Symbol]:
    """Market names, given one by one or joined by commas, each once."""
    return list(dict.fromkeys(Symbol.parse(name) for part in names for name in part.split(",") if name))


def between(candles: Candles, from_ms: int | None, until_ms: int | None) -> Candles:
    """Those that open in [from_ms, until_ms)."""
    times = candles.open_time_ms
    start = 0 if from_ms is None else int(np.searchsorted(times, from_ms))
    stop = len(times) if until_ms is None else int(np.searchsorted(times, until_ms))
    return candles.slice(start, stop)


def _column(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise InvalidInput(f"column {name} holds {column.type}; numbers are needed")
    return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _check(candles: Candles, name: str) -> None:
    if not len(candles):
        raise InvalidInput(f"{name} holds no candles")
    if np.any(np.diff(candles.open_time_ms) <= 0):
        raise InvalidInput(f"{name}: open_time_ms must increase strictly; sort it and drop duplicates")
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    if not (np.all(np.isfinite(prices)) and np.all(prices > 0) and np.all(np.isfinite(candles.volume))):
        raise InvalidInput(f"{name}: prices must be positive numbers and volumes numbers")
