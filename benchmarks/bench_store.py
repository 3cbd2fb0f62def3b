"""Candle store and data cache: reading 1000 candles into numpy columns, appending one, a cache hit."""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.bench_indicators import walk
from benchmarks.measure import Row, at_least, at_most, interleaved, print_rows, reading, result, seconds_per_call
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import connect
from utils.data_cache import DataCache

_STORED = 50_000


def run(*, short: bool = False) -> dict[str, Any]:
    rounds, calls = (5, 20) if short else (15, 50)
    candles = walk(_STORED + 2 * rounds * calls)
    with tempfile.TemporaryDirectory() as folder:
        database = connect(f"sqlite:///{folder}/bench.db")
        try:
            rows = _rows(CandleStore(database), candles, rounds, calls)
        finally:
            database.close()
    print_rows("Candle store and data cache", rows)
    return result("store", rows)


def _rows(store: CandleStore, candles: Candles, rounds: int, calls: int) -> list[Row]:
    written = seconds_per_call(lambda: store.write(candles.slice(0, _STORED)), 1)
    more = iter(range(_STORED, len(candles)))
    cache = DataCache("bench")
    key = ("candles", "BTCUSDT", "1h")
    cache.set(key, candles)

    def append() -> None:
        row = next(more)
        store.write(candles.slice(row, row + 1))

    works = {
        "read": lambda: 1e3 * seconds_per_call(lambda: store.read(candles.symbol, candles.interval, limit=1000), calls),
        "append": lambda: 1e3 * seconds_per_call(append, calls),
        "hit": lambda: 1e3 * seconds_per_call(lambda: cache.get(key), calls * 500),
    }
    seen = {name: reading(values, "ms") for name, values in interleaved(works, rounds).items()}
    return [
        at_most("read 1000 candles from SQLite into columns", seen["read"], 2),
        at_most("append one candle", seen["append"], 5),
        at_most("write one of 50,000 candles", reading([1e3 * written / _STORED], "ms"), 0.1),
        at_most("data cache hit", seen["hit"], 0.005),
        at_least(
            "1000 candles from memory, against SQLite",
            seen["hit"],
            seen["read"],
            seen["read"].median / seen["hit"].median,
            30,
        ),
    ]


if __name__ == "__main__":
    run()
