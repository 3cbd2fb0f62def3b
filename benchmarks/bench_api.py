"""API: latencies of the JSON interface at 16 clients that never pause, while prices move and pages are made anew.

Two questions: what such readers wait while they go on for seconds, and what they wait when all come at once after a
pause in which everything they ask for has grown old.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from benchmarks.load import Load, load_each
from benchmarks.measure import Reading, at_most, interleaved, print_rows, reading, result, told
from benchmarks.served import CONSTANT, market, market_words, served

_CLIENTS = 16
PATHS = {
    "candles, 500": "/api/v1/candles/{}?interval=1h&limit=500",
    "indicators, 500": "/api/v1/indicators/{}?interval=1h&limit=500",
    "forecast": "/api/v1/forecast/{}?interval=1h",
    "chart data": "/symbol/{}/chart.json?interval=1h",
    "live fragment": "/symbol/{}/live?interval=1h",
}
_MIX = "all of them mixed"
_NOTHING = "a route that does nothing"
_RUSH = "live fragment"
"""What grows old soonest: with every price."""
_RUSH_TIMES = 25


def run(*, short: bool = False) -> dict[str, Any]:
    """In each round every path in turn is asked for 20 markets over and over, then all paths mixed, and a route that
    does nothing."""
    rounds, seconds = (2, 0.1) if short else (4, 1.5)
    played = market(20)
    names = played["SYMBOLS"].split(",")
    questions = {name: [path.format(symbol) for symbol in names] for name, path in PATHS.items()}
    questions[_MIX] = [one for group in zip(*questions.values(), strict=True) for one in group]
    questions[_NOTHING] = [CONSTANT]
    spent_us: list[float] = []
    seen: dict[str, list[Load]] = {name: [] for name in questions}
    rushes: list[Load] = []
    with served(played, compared=True) as server:
        for paths in questions.values():
            _asked(server.port, paths)

        def ask(name: str) -> float:
            began_s = time.process_time()
            found = _asked(server.port, questions[name], seconds)
            if name == _MIX:
                spent_us.append(1e6 * (time.process_time() - began_s) / found.requests)
            seen[name].append(found)
            return found.latency_ms(0.99)

        def rush() -> float:
            rushes.append(_asked(server.port, questions[_RUSH] * _RUSH_TIMES))
            return rushes[-1].latency_ms(0.99)

        interleaved({name: partial(ask, name) for name in questions} | {"rush": rush}, rounds)
    p99 = {name: _latency(loads, 0.99) for name, loads in seen.items()}
    nothing = p99.pop(_NOTHING)
    rows = [at_most(f"p99 of {name}, {_CLIENTS} clients", value, 20) for name, value in p99.items()]
    rows.append(told(f"{_NOTHING}, for comparison: p99", nothing))
    many = len(questions[_RUSH]) * _RUSH_TIMES
    rows.append(
        told(f"the first {many} of {_RUSH} after a pause, all {len(names)} grown old: p99", _latency(rushes, 0.99))
    )
    rows.append(told("the client's own processor time per mixed request", reading(spent_us, "µs")))
    print_rows(f"JSON interface, {market_words(played)}", rows)
    notes = [
        f"{_CLIENTS} connections without pauses, {rounds} times {seconds} s of each path, while prices arrive "
        "and pages are made anew. Application, exchange and client share the machine; the client is one thread that "
        "waits for all connections, nothing of what it costs is taken off, and what it costs is in the last row."
    ]
    rates = {name: reading([one.per_second for one in loads], "/s") for name, loads in seen.items()}
    return result("api", rows, notes=notes, rates=rates, plots={"latency": _plot(seen)})


def _asked(port: int, paths: list[str], seconds: float | None = None) -> Load:
    found = load_each(port, paths, connections=_CLIENTS, seconds=seconds)
    assert set(found.statuses) <= {200, 204}, (paths[0], found.statuses)
    return found


def _latency(loads: list[Load], fraction: float) -> Reading:
    return reading([one.latency_ms(fraction) for one in loads], "ms")


def _plot(seen: dict[str, list[Load]]) -> dict[str, Any]:
    lines = []
    for name, loads in seen.items():
        half, most = _latency(loads, 0.5).median, _latency(loads, 0.99).median
        text = f"{half:.1f} / {most:.1f} ms"
        lines.append({"name": name, "value": half, "second": most, "tick": 20.0, "text": text})
    return {"title": "API at 16 clients: p50 (narrow bar), p99 (wide bar), target (red)", "unit": "ms", "lines": lines}


if __name__ == "__main__":
    run()
