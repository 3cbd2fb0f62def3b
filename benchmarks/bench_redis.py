"""Redis: a candle series from the shared cache, and two applications whose readers see it killed and come back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench_indicators import walk
from benchmarks.measure import Reading, Row, at_most, faster, print_rows, readings, result, seconds_per_call
from benchmarks.two_apps import Readers, Seen, redis_stats, two_apps
from data.candle_codec import CANDLE_CODEC
from tests.support.servers import redis_server
from utils.cache_codecs import Codecs
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel

_KEY = ("candles", "BTCUSDT", "1h")


def run(*, short: bool = False) -> dict[str, Any]:
    rounds, calls, seconds = (3, 50, 2.0) if short else (15, 200, 5.0)
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        rows, sizes = _one_value(server.url, rounds, calls)
        with two_apps(Path(folder), server.url) as apps, Readers([app.port for app in apps]) as readers:
            readers.turn(seconds)
            there = readers.turn(seconds)
            server.kill()
            gone = readers.turn(seconds)
            server.start()
            readers.turn(2.0)
            back = readers.turn(seconds)
            stats = [redis_stats(app) for app in apps]
    rows += _seen_rows(there, gone, back)
    print_rows("Redis", rows)
    answers = sum(len(seen.latencies_s) for seen in (there, gone, back))
    notes = [
        f"A series of 1000 candles is {sizes['bytes'] / 1000:.0f} KB in Redis. Two applications on one Redis, one "
        f"database and one exchange answered {answers:,} requests while Redis was there, killed and back; the times "
        "are those of readers who never pause."
    ]
    return result("redis", rows, notes=notes, stats=stats)


def _one_value(url: str, rounds: int, calls: int) -> tuple[list[Row], dict[str, int]]:
    codecs = Codecs(CANDLE_CODEC)
    level = RedisLevel(url, namespace="bench", regions=("candles",), codecs=codecs)
    level.start()
    try:
        candles = walk(1000)
        own = DataCache("bench")
        own.set(_KEY, candles)
        level.attach(own)
        level.set(_KEY, candles, 3600.0)
        assert level.get(_KEY) is not None
        packed = codecs.encode(candles)
        assert packed is not None
        works = {
            "redis": lambda: 1e3 * seconds_per_call(lambda: level.get(_KEY), calls),
            "memory": lambda: 1e3 * seconds_per_call(lambda: own.get(_KEY), calls * 100),
            "encode": lambda: 1e3 * seconds_per_call(lambda: codecs.encode(candles), calls),
            "decode": lambda: 1e3 * seconds_per_call(lambda: codecs.decode(packed), calls),
        }
        seen = readings(works, rounds, "ms")
    finally:
        level.close()
    return [
        at_most("1000 candles out of Redis", seen["redis"], 2.0),
        faster("1000 candles from memory, against Redis", seen["memory"], seen["redis"], 100),
        at_most("1000 candles written as bytes", seen["encode"], 0.2),
        at_most("1000 candles read from bytes", seen["decode"], 0.2),
    ], {"bytes": len(packed)}


def _seen_rows(there: Seen, gone: Seen, back: Seen) -> list[Row]:
    errors = sum(
        count for seen in (there, gone, back) for status, count in seen.statuses.items() if status != 200
    ) + sum(len(seen.problems) for seen in (there, gone, back))
    rows = [at_most("error answers of two applications while Redis is killed", Reading(errors, 0.0, "answers"), 0)]
    for name, seen in (("while Redis is killed", gone), ("with Redis back", back)):
        ours, usual = (Reading(one.latency_ms(0.99), 0.0, "ms") for one in (seen, there))
        rows.append(faster(f"p99 {name}, against Redis there", ours, usual, None))
    return rows


if __name__ == "__main__":
    run()
