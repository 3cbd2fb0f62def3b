"""API: latencies of the JSON interface at 16 clients that never pause, while prices move and pages are made anew."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from benchmarks.load import Load, load_each
from benchmarks.measure import Reading, Row, at_least, at_most, interleaved, print_rows, reading, result
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


def run(*, short: bool = False) -> dict[str, Any]:
    """Each round asks every path for each of 20 markets a few times, all paths mixed, and a route that does nothing."""
    rounds, times = (2, 2) if short else (7, 25)
    played = market(20)
    names = played["SYMBOLS"].split(",")
    questions = {name: [path.format(symbol) for symbol in names] * times for name, path in PATHS.items()}
    questions[_MIX] = [one for group in zip(*questions.values(), strict=True) for one in group]
    questions[_NOTHING] = [CONSTANT] * (len(names) * times)
    spent_us: dict[str, list[float]] = {name: [] for name in questions}
    seen: dict[str, list[Load]] = {name: [] for name in questions}
    with served(played, compared=True) as server:
        for paths in questions.values():
            load_each(server.port, paths[: len(names)], connections=_CLIENTS)

        def ask(name: str) -> float:
            began_s = time.process_time()
            found = load_each(server.port, questions[name], connections=_CLIENTS)
            spent_us[name].append(1e6 * (time.process_time() - began_s) / found.requests)
            assert set(found.statuses) <= {200, 204}, (name, found.statuses)
            seen[name].append(found)
            return found.latency_ms(0.99)

        interleaved({name: partial(ask, name) for name in questions}, rounds)
    p99 = {name: _latency(loads, 0.99) for name, loads in seen.items()}
    nothing = p99.pop(_NOTHING)
    rows = [at_most(f"p99 of {name}, {_CLIENTS} clients", value, 20) for name, value in p99.items()]
    rows.append(at_least(f"{_NOTHING}, for comparison: p99", nothing, nothing, 1.0, None))
    rows.append(_client_row(reading(spent_us[_MIX], "µs")))
    print_rows(f"JSON interface, {market_words(played)}", rows)
    notes = [
        f"{_CLIENTS} connections without pauses, {len(questions[_MIX]):,} mixed requests a round, while prices arrive "
        "and pages are made anew. Application, exchange and client share the machine; the client is one thread that "
        "waits for all connections, nothing of what it costs is taken off, and what it costs is in the last row."
    ]
    rates = {name: reading([one.per_second for one in loads], "/s") for name, loads in seen.items()}
    return result("api", rows, notes=notes, rates=rates, plots={"latency": _plot(seen)})


def _client_row(spent: Reading) -> Row:
    return at_least("the client's own processor time per mixed request", spent, spent, 1.0, None)


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
