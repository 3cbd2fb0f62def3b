"""Replay: real candles from a folder of Parquet files, served as they are, with their holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.simulated_exchange.candle_series import QUOTE, VOLUME, Series, Values
from data.simulated_exchange.hashing import named_key
from data.simulated_exchange.listings import Listing
from data.simulated_exchange.steps import decimals
from data.symbol import Symbol
from utils.errors import InvalidInput

_PRICES = ("open", "high", "low", "close")
_OPTIONAL = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_USUAL_TRADE = 1_000.0
"""Quote volume of one trade, where trades were not counted."""
_DELISTED_MS = 7 * 86_400_000
"""A market whose data end this long before the others' is no longer traded."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    first_ms: int
    end_ms: int


class ReplaySource:
    """`SYMBOL-INTERVAL.parquet` files of one folder; each is read when it is first needed.

    Columns: `open_time_ms`, `open`, `high`, `low`, `close`, `volume`, and where known `quote_volume`, `trades`,
    `taker_buy_base`, `taker_buy_quote` (else zeros, as on the wire).
    """

    def __init__(self, folder: Path) -> None:
        self._files = _files(folder)
        self._series: dict[tuple[str, Interval], tuple[Series, Series]] = {}
        self._lock = Lock()
        self._end_ms = max(file.end_ms for files in self._files.values() for file in files.values())
        self.listings = {symbol: self._listing(symbol) for symbol in sorted(self._files)}

    def key(self, symbol: str) -> int:
        return named_key("replay", symbol)

    def end_ms(self) -> int | None:
        """One millisecond after the last candle."""
        return self._end_ms

    def coverage(self, symbol: str, interval: Interval) -> tuple[int, int] | None:
        file = self._files[symbol].get(interval)
        return (file.first_ms, file.end_ms) if file else None

    def recorded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        return self._read(symbol, interval)[0].between(start_ms, end_ms)

    def stored(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        return self._read(symbol, interval)[1].between(start_ms, end_ms)

    def warm(self, symbols: Sequence[str], start_ms: int, end_ms: int) -> None:
        """Files are read when they are first needed."""

    def _read(self, symbol: str, interval: Interval) -> tuple[Series, Series]:
        """The rows as they are, and as they are with guesses for what was not recorded."""
        with self._lock:
            kept = self._series.get((symbol, interval))
            if kept is None:
                series = _read(self._files[symbol][interval].path)
                kept = series, Series(series.open_time_ms, _guessed(series.values))
                self._series[symbol, interval] = kept
            return kept

    def _listing(self, symbol: str) -> Listing:
        files = self._files[symbol]
        coarsest = max(files, key=lambda interval: interval.ms)
        first, end = _listed_ms(files), max(file.end_ms for file in files.values())
        recent = self.stored(symbol, coarsest, 0, end).tail(200).values
        base, quote = Symbol(symbol).pair
        return Listing(
            symbol,
            base,
            quote,
            10 ** (8 - decimals(recent[:VOLUME])),
            10 ** (8 - decimals(recent[VOLUME])),
            first,
            ended_ms=end,
            status="BREAK" if end < self._end_ms - _DELISTED_MS else "TRADING",
        )


def _files(folder: Path) -> dict[str, dict[Interval, _File]]:
    found: dict[str, dict[Interval, _File]] = {}
    for path in sorted(folder.glob("*-*.parquet")):
        symbol, _, interval = path.stem.rpartition("-")
        if interval in tuple(Interval):
            found.setdefault(symbol, {})[Interval(interval)] = _span(path, Interval(interval))
    if not found:
        raise InvalidInput(f"{folder} has no candles to replay; give a folder of SYMBOL-INTERVAL.parquet files")
    return found


def _listed_ms(files: dict[Interval, _File]) -> int:
    """The first row; where a finer file begins inside the first row of a coarser one, its first row."""
    first = min(file.first_ms for file in files.values())
    length = max(interval.ms for interval, file in files.items() if file.first_ms == first)
    return max(file.first_ms for file in files.values() if file.first_ms < first + length)


def _span(path: Path, interval: Interval) -> _File:
    times = _columns(path, ["open_time_ms"])["open_time_ms"]
    if not len(times) or bool((np.diff(times) <= 0).any()):
        raise InvalidInput(
            f"{path.name} cannot be replayed; its open_time_ms must be strictly increasing, and not empty"
        )
    return _File(path, int(times[0]), interval.next_open_ms(int(times[-1])))


def _read(path: Path) -> Series:
    columns = _columns(path, ["open_time_ms", *_PRICES, "volume", *_OPTIONAL])
    times = columns["open_time_ms"].astype(np.int64)
    zeros = np.zeros(len(times))
    rows = [np.nan_to_num(columns.get(name, zeros).astype(np.float64)) for name in (*_PRICES, "volume", *_OPTIONAL)]
    values = np.stack(rows)
    values.flags.writeable = False
    return Series(times, values)


def _guessed(values: Values) -> Values:
    """Where something was traded but not all of it recorded: quote volume at the mean price, half of it taken."""
    traded = values[VOLUME] > 0
    quote = values[VOLUME] * values[:VOLUME].mean(axis=0)
    trades = np.ceil(quote / _USUAL_TRADE)
    guesses = (quote, trades, values[VOLUME] * 0.5, quote * 0.5)
    missing = (values[QUOTE:] == 0) & traded
    if not missing.any():
        return values
    filled = values.copy()
    filled[QUOTE:] = np.where(missing, np.stack(guesses), values[QUOTE:])
    filled.flags.writeable = False
    return filled


def _columns(path: Path, names: list[str]) -> dict[str, NDArray[np.generic]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = [name for name in names if name in file.schema_arrow.names]
            missing = set(names) - set(present) - set(_OPTIONAL)
            if missing:
                raise InvalidInput(f"{path.name} cannot be replayed; it lacks the columns {', '.join(sorted(missing))}")
            table = file.read(columns=present)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path.name} cannot be replayed; it is not readable as Parquet: {error}") from error
    return {name: table.column(name).to_numpy() for name in present}
