"""Data caching: 1000 page views by 20 clients over 50 markets within one candle, with and without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.load import fetch, load_each
from benchmarks.measure import Reading, Row, faster, print_rows, reading, result, saves
from benchmarks.served import Served, all_served, market, market_words, served

_CLIENTS = 20
_SETTLE_S = 60
_DATA_SPANS = ("candles", "indicators")
_NAIVE, _OFF, _ON = "every view asks the exchange", "ENABLE_DATA_CACHING=False", "cached"


@dataclass(frozen=True, slots=True)
class Cost:
    """What some page views cost one server: calls to the exchange, time in the data layer, and the views themselves."""

    calls: int
    data_s: float
    view_s: float


def run(*, short: bool = False) -> dict[str, Any]:
    """Blocks of views in turn over three servers, each with an exchange of its own that counts what it is asked. A view
    costs the two that keep nothing the same each time, so that fewer blocks tell."""
    blocks, fewer, views, markets = (2, 2, 50, 10) if short else (10, 3, 100, 50)
    played = {**market(markets), "INTERVALS": "1h", "ENABLE_MODEL_PRELOADING": "False"}
    names = played["SYMBOLS"].split(",")
    with ExitStack() as running:
        naive = served(played, program=("-m", "benchmarks.naive"), ENABLE_DATA_CACHING="False", MAX_WORKERS="8")
        off = served(played, ENABLE_DATA_CACHING="False", MAX_WORKERS="8")
        servers = all_served(running, {_NAIVE: naive, _OFF: off, _ON: served(played, MAX_WORKERS="8")})
        for server in servers.values():
            _settle(server)
        seen: dict[str, list[Cost]] = {name: [] for name in servers}
        for block in range(blocks):
            paths = [f"/symbol/{names[(block * views + view) % len(names)]}?interval=1h" for view in range(views)]
            for name, server in servers.items() if block % 2 else reversed(servers.items()):
                if name == _ON or block < fewer:
                    seen[name].append(_cost(server, paths))
    rows = _rows(seen, views)
    print_rows(f"{blocks * views} views by {_CLIENTS} clients of {market_words(played)}", rows)
    notes = [
        f"{blocks * views} views of {markets} market pages in blocks of {views} by {_CLIENTS} clients, "
        f"{market_words(played)}; calls and data time are sums over all of them, each market's first view included. "
        f"The two that keep nothing are given {fewer * views} views, and their sums stand for as many as the other's. "
        "Without the cache setting candles still come from the database, not from the exchange; the naive way is the "
        "data layer of a first draft, where each view asks the exchange for 1000 candles."
    ]
    return result("caching", rows, notes=notes, costs=seen)


def _cost(server: Served, paths: Sequence[str]) -> Cost:
    calls, data_s = _counted(server)
    views = load_each(server.port, paths, connections=_CLIENTS)
    assert set(views.statuses) == {200}, views.statuses
    calls_after, data_after_s = _counted(server)
    return Cost(calls_after - calls, data_after_s - data_s, sum(views.latencies_s) / len(views.latencies_s))


def _settle(server: Served) -> None:
    """Until start-up's own calls are over: the streams are up and nothing has been asked for a second."""
    before = -1
    for _ in range(_SETTLE_S):
        calls, _ = _counted(server)
        if calls == before:
            return
        before = calls
        time.sleep(1.0)
    raise TimeoutError(f"the application still asks its exchange {_SETTLE_S} s after its start")


def _counted(server: Served) -> tuple[int, float]:
    """Calls for candles that the gateway has made, and seconds that views have spent on candles and indicators."""
    status, answer = fetch(server.port, "/api/v1/performance")
    assert status == 200, answer[:300]
    metrics = orjson.loads(answer.partition(b"\r\n\r\n")[2])["metrics"]
    spent = {one["name"]: one["total_s"] for one in metrics["functions"]}
    return metrics["sources"]["exchange"]["calls"].get("klines", 0), sum(spent.get(name, 0.0) for name in _DATA_SPANS)


def _rows(seen: dict[str, list[Cost]], views: int) -> list[Row]:
    def total(name: str, field: str, unit: str) -> Reading:
        """Of as many blocks as the longest row has: those of another stand for more of their kind."""
        sums = [getattr(cost, field) for cost in seen[name]]
        return reading([sum(sums) * blocks / len(sums)], unit)

    blocks = max(map(len, seen.values()))
    views *= blocks
    calls = {name: total(name, "calls", f"calls in {views} views") for name in seen}
    data = {name: total(name, "data_s", f"s in {views} views") for name in seen}
    took = {name: reading([1e3 * cost.view_s for cost in costs], "ms") for name, costs in seen.items()}
    return [
        saves(f"exchange calls, against the way in which {_NAIVE}", calls[_ON], calls[_NAIVE], 0.99),
        saves(f"data time (candles and indicators), against {_OFF}", data[_ON], data[_OFF], 0.95),
        saves(f"data time (candles and indicators), against the way in which {_NAIVE}", data[_ON], data[_NAIVE], 0.95),
        faster(f"a view as {_CLIENTS} clients see it, against {_OFF}", took[_ON], took[_OFF], None),
        faster(
            f"a view as {_CLIENTS} clients see it, against the way in which {_NAIVE}", took[_ON], took[_NAIVE], None
        ),
    ]


if __name__ == "__main__":
    run()
