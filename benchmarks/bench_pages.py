"""Pages: requests a second of the real application on its own server, beside a route that does nothing."""

from __future__ import annotations

from typing import Any

from benchmarks.load import Load, load
from benchmarks.measure import Row, at_least, interleaved, print_rows, reading, result
from benchmarks.served import COLD, CONSTANT, Served, served

PATHS = {
    "constant route": CONSTANT,
    "overview, warm": "/",
    "overview, cold": COLD,
    "symbol page, warm": "/symbol/BTCUSDT?interval=1h",
    "candles API, 500 rows": "/api/v1/candles/BTCUSDT?interval=1h&limit=500",
    "indicators API, 500 rows": "/api/v1/indicators/BTCUSDT?interval=1h&limit=500",
    "forecast API": "/api/v1/forecast/BTCUSDT?interval=1h",
}

_OF_CONSTANT = 0.8
"""A stored answer against a Flask route that does nothing, on the same server, behind the same walls and measuring."""


def run(*, short: bool = False) -> dict[str, Any]:
    """Everything over HTTP/1.1 on 16 kept connections, in turns."""
    rounds, seconds = (2, 0.3) if short else (4, 1.0)
    with served(compared=True) as server:
        for path in PATHS.values():
            load(server.port, path, seconds=0.3)
        loads, rates = _measure(server, rounds, seconds)
        rows = [*_rows(rates), _watched(server, rounds, seconds)]
    print_rows("Pages (requests a second)", rows)
    latencies = {
        name: {
            "p50_ms": one.latency_ms(0.5),
            "p99_ms": one.latency_ms(0.99),
            "statuses": one.statuses,
            "bytes": one.bytes_per_answer,
        }
        for name, one in loads.items()
    }
    return result("pages", rows, latencies=latencies, rates=rates, connections=16)


def _measure(server: Served, rounds: int, seconds: float) -> tuple[dict[str, Load], dict[str, list[float]]]:
    last: dict[str, Load] = {}

    def one(name: str, path: str) -> float:
        last[name] = load(server.port, path, seconds=seconds)
        assert set(last[name].statuses) == {200}, (name, last[name].statuses)
        return last[name].per_second

    works = {name: (lambda name=name, path=path: one(name, path)) for name, path in PATHS.items()}
    return last, interleaved(works, rounds)


def _watched(server: Served, rounds: int, seconds: float) -> Row:
    """The constant route beside that of a second server whose monitor and access log are off."""
    with served(compared=True, ENABLE_PERFORMANCE_LOGGING="False") as silent:
        works = {
            "on": lambda: load(server.port, CONSTANT, seconds=seconds).per_second,
            "off": lambda: load(silent.port, CONSTANT, seconds=seconds).per_second,
        }
        seen = {name: reading(values, "/s") for name, values in interleaved(works, rounds).items()}
    ratio = seen["on"].median / seen["off"].median
    return at_least("monitoring and access log on, against off", seen["on"], seen["off"], ratio, 0.9)


def _rows(rates: dict[str, list[float]]) -> list[Row]:
    readings = {name: reading(values, "/s") for name, values in rates.items()}
    constant, cold, warm = readings["constant route"], readings["overview, cold"], readings["overview, warm"]
    compared = [name for name in PATHS if name not in ("constant route", "overview, cold")]
    rows = [
        at_least(
            f"{name}, against the constant route",
            readings[name],
            constant,
            readings[name].median / constant.median,
            _OF_CONSTANT,
        )
        for name in compared
    ]
    return [at_least("overview, warm, against rendering it", warm, cold, warm.median / cold.median, 8), *rows]


if __name__ == "__main__":
    run()
