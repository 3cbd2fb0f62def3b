"""Candle codec: candles as bytes for a shared cache, a header and numpy's own columns, checked by their digest."""

from __future__ import annotations

import numpy as np
import orjson

from data.candles import FLOAT_COLUMNS, Candles
from data.interval import Interval
from data.symbol import Symbol
from utils.cache_codecs import Codec
from utils.errors import InvalidInput

_TIME, _FLOAT = np.dtype("<i8"), np.dtype("<f8")
_WIDTH = 1 + len(FLOAT_COLUMNS)


def encode_candles(candles: Candles) -> bytes:
    """One JSON line (symbol, interval, rows, digest), then the open times and the nine columns, each little-endian."""
    header = orjson.dumps([str(candles.symbol), str(candles.interval), len(candles), candles.digest])
    columns = [np.ascontiguousarray(getattr(candles, name), dtype=_FLOAT).data for name in FLOAT_COLUMNS]
    return b"".join((header, b"\n", np.ascontiguousarray(candles.open_time_ms, dtype=_TIME).data, *columns))


def decode_candles(content: bytes) -> Candles:
    """The same candles, their columns as views of `content`. ValueError where a byte is not as it was written."""
    header, _, body = content.partition(b"\n")
    try:
        symbol, interval, rows, digest = orjson.loads(header)
        columns = np.frombuffer(body, dtype=_FLOAT).reshape(_WIDTH, rows)
        candles = Candles.from_columns(
            Symbol.parse(symbol), Interval.parse(interval), columns[0].view(_TIME), list(columns[1:])
        )
    except (ValueError, TypeError, InvalidInput) as error:
        raise ValueError(f"these are no candles: {error}") from error
    if candles.digest != digest:
        raise ValueError(f"candles of {symbol} {interval} have the digest {candles.digest}, not {digest}")
    return candles


CANDLE_CODEC = Codec(tag=b"candles-1", kind=Candles, encode=encode_candles, decode=decode_candles)
