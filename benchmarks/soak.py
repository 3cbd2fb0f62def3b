"""Soak: a simulated week at high speed under steady readers; does the process hold more at its end than at its begin?

`python -m benchmarks.soak [--minutes 10] [--days 7]` keeps its result in benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.load import fetch
from benchmarks.measure import Row, at_least, at_most, print_rows, reading, result
from benchmarks.report import RESULTS
from benchmarks.served import Served, served
from utils.plain import plain

_MB = 1_000_000
_DAY_S = 86_400.0
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")


def soak(*, minutes: float, days: float) -> dict[str, Any]:
    """The first fifth of the time fills what is bounded, and is not judged."""
    speed = days * _DAY_S / (60 * minutes)
    given = {"SIMULATED_SPEED": f"{speed:.6g}", "SIMULATED_START": "2026-03-02", "SIMULATED_REPLAY_PATH": ""}
    given |= {"SYMBOLS": ",".join(_SYMBOLS), "INTERVALS": "1h,15m", "LOG_LEVEL": "ERROR"}
    with served(given) as server:
        seen = _read_on(server, 60 * minutes)
    judged = seen["rss_mb"][len(seen["rss_mb"]) // 5 :]
    edge = max(3, len(judged) // 10)
    first, last = statistics.median(judged[:edge]), statistics.median(judged[-edge:])
    return {**seen, "speed": speed, "days": days, "first_mb": first, "last_mb": last,
            "growth_percent": 100 * (last - first) / first}  # fmt: skip


def rows_of(seen: dict[str, Any]) -> list[Row]:
    growth = reading([seen["growth_percent"]], "%")
    days = seen["days"]
    return [
        at_most(f"growth of memory in {days:g} simulated days, {seen['requests']} requests", growth, 2),
        at_least("closed candles taken in meanwhile", reading([seen["closes"]], "candles"),
                 reading([10_000], "candles"), seen["closes"] / 10_000, None),
        at_most("requests that failed meanwhile", reading([seen["failed"]], "requests"), 0),
    ]  # fmt: skip


def _read_on(server: Served, seconds: float) -> dict[str, Any]:
    paths = ["/", "/performance", "/forecasts", "/health"]
    for symbol in _SYMBOLS:
        paths += [f"/symbol/{symbol}?interval=1h", f"/symbol/{symbol}?interval=15m"]
        paths += [f"/api/v1/candles/{symbol}?interval=15m&limit=500", f"/api/v1/indicators/{symbol}?interval=1h"]
    began_s = sampled_s = time.perf_counter()
    rss, count, failed = [], 0, 0
    while (now_s := time.perf_counter()) - began_s < seconds:
        failed += fetch(server.port, paths[count % len(paths)])[0] >= 500
        count += 1
        if now_s - sampled_s >= 1:
            sampled_s = now_s
            rss.append(server.process.memory_info().rss / _MB)
    told = json.loads(fetch(server.port, "/api/v1/performance")[1].partition(b"\r\n\r\n")[2])["metrics"]["sources"]
    return {"requests": count, "failed": failed, "rss_mb": rss, "closes": told["market"]["closes"],
            "holders": told.get("memory_holders")}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it may take")
    parser.add_argument("--days", type=float, default=7.0, help="how many days of the market pass meanwhile")
    options = parser.parse_args(arguments)
    seen = soak(minutes=options.minutes, days=options.days)
    rows = rows_of(seen)
    print_rows("Soak", rows)
    RESULTS.mkdir(exist_ok=True)
    found = plain(result("soak", rows, **seen))
    (RESULTS / "soak.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", "utf-8")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
