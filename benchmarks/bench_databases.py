"""Databases: candles written and read by the store on SQLite and on a real PostgreSQL of this machine."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from typing import Any

from benchmarks.bench_indicators import walk
from benchmarks.measure import Row, at_most, faster, print_rows, readings, result, seconds_per_call
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import connect
from tests.support.servers import postgres_server

_STORED = 10_000
_BLOCK = 1000


def run(*, short: bool = False) -> dict[str, Any]:
    """Both in turns; PostgreSQL is reached over TCP on this machine, with durability off as in the tests."""
    rounds, calls = (3, 5) if short else (11, 20)
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server, ExitStack() as running:
        stores = {}
        for name, address in (("SQLite", f"sqlite:///{folder}/bench.db"), ("PostgreSQL", server.new_database())):
            database = connect(address)
            running.callback(database.close)
            stores[name] = CandleStore(database)
        rows = _rows(stores, rounds, calls)
    print_rows("Candle store on both databases", rows)
    notes = ["PostgreSQL over TCP on this machine with `fsync` off; across a network each statement costs its way too."]
    return result("databases", rows, notes=notes)


def _rows(stores: dict[str, CandleStore], rounds: int, calls: int) -> list[Row]:
    candles = walk(_STORED + rounds * (_BLOCK + calls) + 1)
    places = {}
    for name, store in stores.items():
        store.write(candles.slice(0, _STORED))
        places[name] = _STORED

    def write(name: str, count: int) -> None:
        start = places[name]
        places[name] = start + count
        stores[name].write(candles.slice(start, start + count))

    def read(name: str) -> Candles:
        return stores[name].read(candles.symbol, candles.interval, limit=1000)

    works = {}
    for name in stores:
        works[name, "1000"] = lambda name=name: 1e3 * seconds_per_call(lambda: write(name, _BLOCK), 1)
        works[name, "1"] = lambda name=name: 1e3 * seconds_per_call(lambda: write(name, 1), calls)
        works[name, "read"] = lambda name=name: 1e3 * seconds_per_call(lambda: read(name), calls)
    seen = readings({f"{name} {what}": work for (name, what), work in works.items()}, rounds, "ms")
    words = {"1000": "1000 candles written", "1": "one candle written", "read": "1000 candles read"}
    limits = {"1000": 60.0, "1": 10.0, "read": 10.0}
    rows = [at_most(f"PostgreSQL: {words[what]}", seen[f"PostgreSQL {what}"], limits[what]) for what in words]
    return rows + [
        faster(f"SQLite: {words[what]}, against PostgreSQL", seen[f"SQLite {what}"], seen[f"PostgreSQL {what}"], None)
        for what in words
    ]


if __name__ == "__main__":
    run()
