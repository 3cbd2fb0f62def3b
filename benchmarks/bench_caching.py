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
class Count:
    """Since the start: calls for candles that the gateway made, seconds that views have spent on candles and
    indicators, and seconds that whoever it was waited for what the data cache did not have."""

    calls: int
    data_s: float
    loads_s: float


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
    played = {**market(markets), "INTERVALS": "1h"}
    names = played["SYMBOLS"].split(",")
    with ExitStack() as running:
        naive = served(played, program=("-m", "benchmarks.naive"), ENABLE_DATA_CACHING="False", MAX_WORKERS="8")
        off = served(played, ENABLE_DATA_CACHING="False", MAX_WORKERS="8")
        servers = all_served(running, {_NAIVE: naive, _OFF: off, _ON: served(played, MAX_WORKERS="8")})
        at_start = {name: _settled(server) for name, server in servers.items()}
        seen: dict[str, list[Cost]] = {name: [] for name in servers}
        for block in range(blocks):
            paths = [f"/symbol/{names[(block * views + view) % len(names)]}?interval=1h" for view in range(views)]
            for name, server in servers.items() if block % 2 else reversed(servers.items()):
                if name == _ON or block < fewer:
                    seen[name].append(_cost(server, paths))
    warm = at_start[_ON].loads_s
    rows = _rows(seen, views, warm)
    print_rows(f"{blocks * views} views by {_CLIENTS} clients of {market_words(played)}", rows)
    notes = [
        f"{blocks * views} views of {markets} market pages in blocks of {views} by {_CLIENTS} clients, "
        f"{market_words(played)}; calls and data time are sums over all of them, each market's first view included, "
        f"and of the cached way the {warm:.2f} s in which its start computed what first views want. "
        f"The two that keep nothing are given {fewer * views} views, and their sums stand for as many as the other's. "
        "Without the cache setting candles still come from the database, not from the exchange; the naive way is the "
        "data layer of a first draft, where each view asks the exchange for 1000 candles."
    ]
    return result("caching", rows, notes=notes, costs=seen)


def _cost(server: Served, paths: Sequence[str]) -> Cost:
    before = _counted(server)
    views = load_each(server.port, paths, connections=_CLIENTS)
    assert set(views.statuses) == {200}, views.statuses
    after = _counted(server)
    view_s = sum(views.latencies_s) / len(views.latencies_s)
    return Cost(after.calls - before.calls, after.data_s - before.data_s, view_s)


def _settled(server: Served) -> Count:
    """Once the start's own work is over: nothing has been asked, and nothing was loaded, for a second."""
    before = _counted(server)
    for _ in range(_SETTLE_S):
        time.sleep(1.0)
        now = _counted(server)
        if (now.calls, now.loads_s) == (before.calls, before.loads_s):
            return now
        before = now
    raise TimeoutError(f"the application is still at its start's work after {_SETTLE_S} s")


def _counted(server: Served) -> Count:
    status, answer = fetch(server.port, "/api/v1/performance")
    assert status == 200, answer[:300]
    metrics = orjson.loads(answer.partition(b"\r\n\r\n")[2])["metrics"]
    spent = {one["name"]: one["total_s"] for one in metrics["functions"]}
    sources = metrics["sources"]
    return Count(
        sources["exchange"]["calls"].get("klines", 0),
        sum(spent.get(name, 0.0) for name in _DATA_SPANS),
        sources["data_cache"]["load_time_s"],
    )


def _rows(seen: dict[str, list[Cost]], views: int, warm_s: float) -> list[Row]:
    """`warm_s`: what the cached way spent on data before the first view."""

    def total(name: str, field: str, unit: str, more: float = 0.0) -> Reading:
        """Of as many blocks as the longest row has: those of another stand for more of their kind."""
        sums = [getattr(cost, field) for cost in seen[name]]
        return reading([sum(sums) * blocks / len(sums) + more], unit)

    blocks = max(map(len, seen.values()))
    views *= blocks
    calls = {name: total(name, "calls", f"calls in {views} views") for name in seen}
    data = {name: total(name, "data_s", f"s in {views} views", warm_s if name == _ON else 0.0) for name in seen}
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
