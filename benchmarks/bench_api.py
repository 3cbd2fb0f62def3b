"""API: latencies of the JSON interface at 16 clients, each asking again as soon as it is answered."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.load import Load, load_each
from benchmarks.measure import Reading, at_most, interleaved, print_rows, reading, result
from benchmarks.served import market, market_words, served

_CLIENTS = 16
PATHS = {
    "candles, 500": "/api/v1/candles/{}?interval=1h&limit=500",
    "indicators, 500": "/api/v1/indicators/{}?interval=1h&limit=500",
    "forecast": "/api/v1/forecast/{}?interval=1h",
    "chart data": "/symbol/{}/chart.json?interval=1h",
    "live fragment": "/symbol/{}/live?interval=1h",
}
_MIX = "all of them mixed"


def run(*, short: bool = False) -> dict[str, Any]:
    """Each round asks every path for each of 20 markets a few times, and then all paths mixed."""
    rounds, times = (2, 2) if short else (7, 10)
    played = market(20)
    names = played["SYMBOLS"].split(",")
    questions = {name: [path.format(symbol) for symbol in names] * times for name, path in PATHS.items()}
    questions[_MIX] = [one for group in zip(*questions.values(), strict=True) for one in group]
    with served(played) as server:
        for paths in questions.values():
            load_each(server.port, paths[: len(names)], connections=_CLIENTS)
        seen: dict[str, list[Load]] = {name: [] for name in questions}

        def ask(name: str) -> float:
            found = load_each(server.port, questions[name], connections=_CLIENTS)
            assert set(found.statuses) <= {200, 204}, (name, found.statuses)
            seen[name].append(found)
            return found.latency_ms(0.99)

        interleaved({name: partial(ask, name) for name in questions}, rounds)
    p99 = {name: _latency(loads, 0.99) for name, loads in seen.items()}
    rows = [at_most(f"p99 of {name}, {_CLIENTS} clients", value, 20) for name, value in p99.items()]
    print_rows(f"JSON interface, {market_words(played)}", rows)
    notes = [f"{_CLIENTS} connections without pauses, {len(questions[_MIX]):,} mixed requests a round."]
    rates = {name: reading([one.per_second for one in loads], "/s") for name, loads in seen.items()}
    return result("api", rows, notes=notes, rates=rates, plots={"latency": _plot(seen)})


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
