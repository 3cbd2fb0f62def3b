"""Kline files: raw rows of Parquet, CSV and zip files, and the candles among them with what was refused and why.

Parquet has `open_time_ms` and the columns of `data.candles`, of which the last four may be absent; CSV is Binance's
public data: 12 columns, with or without a header, times in milliseconds or microseconds. Market and interval come from
the file's name, `BTCUSDT-1h.parquet` or `BTCUSDT-1h-2024-01.zip`.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from data.candles import FLOAT_COLUMNS, Candles, Floats
from data.interval import Interval
from data.symbol import Symbol
from utils.errors import DashboardError

ENDINGS = (".parquet", ".csv", ".zip")
MAX_UNPACKED_BYTES = 2 * 1024**3
"""More than any month of one-second candles; a zip that unpacks to more is not one of klines."""

_MAX_LINE_BYTES = 4096
_MAX_MEMBERS = 1000
_CSV_COLUMNS = 12
_CSV_PLACES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)
_OPTIONAL = FLOAT_COLUMNS[5:]
_NAME = re.compile(
    r"(?P<symbol>[^-/\\]+)-(?P<interval>1mo|\d{1,2}[smhdwM])(?:-\d{4}(?:-\d{2}){0,2})?\.(?:parquet|csv|zip)"
)
_EARLIEST_MS, _EARLIEST_US, _LATEST_US = 10**11, 10**14, 10**16


class UnreadableFile(DashboardError):
    """A file is not one of klines; the text says why."""


@dataclass(frozen=True)
class RawKlines:
    """Rows as a file has them: (10, n), open time and the nine floats; and lines that were not even rows, by reason."""

    symbol: Symbol
    interval: Interval
    rows: Floats
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class CleanKlines:
    """The candles among the rows, and how many rows were refused for which reason, or were there twice."""

    candles: Candles
    refused: Counter[str]
    duplicate: int


def kline_files(path: Path) -> list[Path]:
    """The file itself, or the kline files anywhere below a folder, by name. UnreadableFile where there is nothing."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    if not path.exists():
        raise UnreadableFile("no such file or folder")
    return [path]


def read_klines(path: Path) -> Iterator[RawKlines]:
    """Each table of klines in a file: one, or one per CSV in a zip. UnreadableFile where it is not one of klines."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        yield _read_parquet(path)
    elif ending == ".csv":
        symbol, interval = market_of(path.name)
        with _unreadable(), path.open("rb") as stream:
            yield _read_csv(stream, symbol, interval)
    elif ending == ".zip":
        yield from _read_zip(path)
    else:
        raise UnreadableFile(f"a {ending or 'nameless'} file; give {', '.join(ENDINGS)}")


def market_of(name: str) -> tuple[Symbol, Interval]:
    """Market and interval that a file name tells; UnreadableFile where it tells none."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UnreadableFile(f"the name {name[:80]!r} tells no market; call it like BTCUSDT-1h-2024-01.zip")
    try:
        interval = match["interval"].replace("1mo", "1M")
        return Symbol.parse(match["symbol"]), Interval.parse(interval)
    except DashboardError as error:
        raise UnreadableFile(str(error)) from error


def cleaned(raw: RawKlines, now_ms: int) -> CleanKlines:
    """The closed, sane candles on the grid, in order. Of rows with one open time the last counts."""
    times = _milliseconds(raw.rows[0])
    floats = raw.rows[1:]
    refused = Counter(raw.refused)
    good = np.ones(len(times), dtype=bool)
    for reason, bad in _faults(raw.interval, times, floats, now_ms):
        refused[reason] += int((good & bad).sum())
        good &= ~bad
    times, floats = times[good], floats[:, good]
    order = np.argsort(times, kind="stable")
    times, floats = times[order], floats[:, order]
    last = np.append(np.diff(times) != 0, True)[: len(times)]
    candles = Candles.from_columns(raw.symbol, raw.interval, times[last], floats[:, last])
    return CleanKlines(candles, +refused, int((~last).sum()))


def _faults(
    interval: Interval, times: NDArray[np.int64], floats: Floats, now_ms: int
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    opened, high, low, close = floats[:4]
    faults = {
        "time neither in ms nor µs": times < _EARLIEST_MS,
        "not a number": ~np.isfinite(floats[:5]).all(axis=0),
        "infinite": np.isinf(floats).any(axis=0),
        "price not positive": (floats[:4] <= 0).any(axis=0),
        "negative volume or count": (floats[4:] < 0).any(axis=0),
        "high below low": high < low,
        "open or close outside high and low": (np.maximum(opened, close) > high) | (np.minimum(opened, close) < low),
        "off the grid": _off_grid(interval, times),
        "not closed yet": _close_ms(interval, times) >= now_ms,
    }
    for reason, bad in faults.items():
        yield reason, np.asarray(bad)


def _milliseconds(times: Floats) -> NDArray[np.int64]:
    """By magnitude, as Binance's files are in microseconds since 2025; -1 for what cannot be either."""
    usable = np.isfinite(times) & (times >= _EARLIEST_MS) & (times < _LATEST_US)
    whole = np.where(usable, times, -1).astype(np.int64)
    in_ms = np.where(whole >= _EARLIEST_US, whole // 1000, whole)
    exact = np.where(whole >= _EARLIEST_US, whole % 1000 == 0, True)
    return np.where(exact, in_ms, in_ms + 1).astype(np.int64)


def _off_grid(interval: Interval, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    if interval is Interval.MO1:
        return np.array([interval.open_ms(time) != time for time in times.tolist()], dtype=bool)
    off: NDArray[np.bool_] = (times - interval.open_ms(0)) % interval.ms != 0
    return off


def _close_ms(interval: Interval, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of times on the grid."""
    if interval is Interval.MO1:
        return np.array([interval.close_ms(time) for time in times.tolist()], dtype=np.int64)
    return times + (interval.ms - 1)


def _read_parquet(path: Path) -> RawKlines:
    import pyarrow as pa
    import pyarrow.parquet as pq

    symbol, interval = market_of(path.name)
    try:
        table = pq.read_table(path)
        absent = [name for name in ("open_time_ms", *FLOAT_COLUMNS[:5]) if name not in table.column_names]
        if absent:
            raise UnreadableFile(f"wrong columns: {', '.join(absent)} are not there")
        columns = [
            table[name].cast(pa.float64()).to_numpy() if name in table.column_names else np.full(len(table), np.nan)
            for name in ("open_time_ms", *FLOAT_COLUMNS)
        ]
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"not a Parquet file of klines: {_first_line(error)}") from error
    return RawKlines(symbol, interval, np.array(columns, dtype=np.float64))


def _read_zip(path: Path) -> Iterator[RawKlines]:
    with _unreadable(), zipfile.ZipFile(path) as packed:
        members = [member for member in packed.infolist() if member.filename.lower().endswith(".csv")]
        if not members or len(members) > _MAX_MEMBERS:
            raise UnreadableFile(f"a zip with {len(members)} CSV files; 1 to {_MAX_MEMBERS} are read")
        left = MAX_UNPACKED_BYTES
        for member in members:
            symbol, interval = _market_in_zip(path, member.filename)
            with packed.open(member) as stream:
                raw = _read_csv(stream, symbol, interval, left)
                left -= stream.tell()
            yield raw


def _market_in_zip(path: Path, member: str) -> tuple[Symbol, Interval]:
    """From the CSV's own name, without its folders; where that tells nothing, from the zip's."""
    try:
        return market_of(member.replace("\\", "/").rsplit("/", 1)[-1])
    except UnreadableFile:
        return market_of(path.name)


def _read_csv(stream: IO[bytes], symbol: Symbol, interval: Interval, max_bytes: int = MAX_UNPACKED_BYTES) -> RawKlines:
    """Line by line into one growing array, so that neither a long file nor a long line costs more than its numbers."""
    values, refused, first = array("d"), Counter[str](), True
    while line := stream.readline(_MAX_LINE_BYTES):
        max_bytes -= len(line)
        if max_bytes < 0:
            raise UnreadableFile("unpacks to more than a file of klines can hold")
        if len(line) == _MAX_LINE_BYTES:
            raise UnreadableFile(f"a line is longer than {_MAX_LINE_BYTES} bytes")
        reason = _take(line, values)
        if reason is not None and not (first and reason == "not a number"):
            refused[reason] += 1
        first = False
    rows = np.array(values, dtype=np.float64).reshape(-1, len(_CSV_PLACES)).T
    if not rows.size and refused:
        reason, count = refused.most_common(1)[0]
        raise UnreadableFile(f"no row of klines among {refused.total()} lines ({count} × {reason})")
    return RawKlines(symbol, interval, rows, refused)


def _take(line: bytes, values: array[float]) -> str | None:
    """Append the numbers of a line; the reason where it is not a row."""
    cells = line.split(b",")
    if not line.strip():
        return None
    if len(cells) != _CSV_COLUMNS:
        return "wrong columns"
    try:
        values.extend([float(cells[place]) for place in _CSV_PLACES])
    except ValueError:
        return "not a number"
    return None


@contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise UnreadableFile(f"cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
