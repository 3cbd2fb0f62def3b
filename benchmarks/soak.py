"""Soak: half a simulated month at high speed under a steady reader; does the process hold more at its end than before?

`python -m benchmarks.soak [--minutes 13] [--days 16.5] [--requests 120000]` or `make soak`; the result becomes part of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.alone import facts, keep
from benchmarks.load import fetch
from benchmarks.measure import Row, at_least, at_most, own_memory_mb, print_rows, reading, result
from benchmarks.served import Served, served
from utils.plain import plain

_MB = 1_000_000
_LOOK_S = 15.0
_PACE_S = 0.002
_DAY_S = 86_400.0
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
_INTERVALS = ("1h", "15m")
_MINUTES = {"1h": 60, "15m": 15}


def soak(*, minutes: float, days: float, requests: int) -> dict[str, Any]:
    """The first fifth of the time fills what is bounded, and is not judged. `requests` come at an even pace."""
    began_s = time.monotonic()
    speed = days * _DAY_S / (60 * minutes)
    given = {"SIMULATED_SPEED": f"{speed:.6g}", "SIMULATED_START": "2026-03-02", "SIMULATED_REPLAY_PATH": ""}
    given |= {"SYMBOLS": ",".join(_SYMBOLS), "INTERVALS": ",".join(_INTERVALS), "LOG_LEVEL": "ERROR"}
    with served(given) as server:
        seen = _read_on(server, 60 * minutes, requests)
    rows = _rows(seen, days)
    about = (
        f"{days:g} days of the simulated exchange in {minutes:g} minutes ({speed:.0f} times as fast as time): "
        f"{len(_SYMBOLS)} markets at {' and '.join(_INTERVALS)}, live by its streams, while one reader asks for pages "
        f"and answers one after the other at an even pace, {seen['asked']:,} in all."
    )
    notes = [
        "Judged from the end of the first fifth, when every cache is filled: the median of the next tenth of what is "
        "left against that of the last."
    ]
    more = {"notes": notes, "seen": seen, "days": days, "speed": speed, "plots": _plots(seen["rss_mb"], days)}
    return {**plain(result("soak", rows, **more)), **facts("soak", about, began_s), "short": False}


def _growth_row(what: str, each_second_mb: Sequence[float]) -> Row:
    judged = each_second_mb[len(each_second_mb) // 5 :]
    edge = max(3, len(judged) // 10)
    first, last = statistics.median(judged[:edge]), statistics.median(judged[-edge:])
    return at_most(f"{what}, from {first:.0f} to {last:.0f} MB", reading([100 * (last - first) / first], "%"), 2)


def _rows(seen: dict[str, Any], days: float) -> list[Row]:
    due = len(_SYMBOLS) * days * sum(_DAY_S / 60 / _MINUTES[interval] for interval in _INTERVALS)
    closes = reading([seen["closes"]], "candles")
    return [
        _growth_row("growth of memory", seen["rss_mb"]),
        _growth_row("growth of its own memory, without pages of library files", seen["own_mb"]),
        at_least("closed candles taken in, of those that closed", closes, reading([due], "candles"),
                 seen["closes"] / due, 0.95),
        at_most("requests that failed", reading([seen["failed"]], f"of {seen['asked']:,} requests"), 0),
    ]  # fmt: skip


def _plots(rss_mb: Sequence[float], days: float) -> dict[str, dict[str, Any]]:
    """The median of each quarter of a day."""
    parts = max(1, min(len(rss_mb), round(days * 4)))
    cuts = [round(len(rss_mb) * number / parts) for number in range(parts + 1)]
    medians = [statistics.median(rss_mb[start:end]) for start, end in pairwise(cuts) if end > start]
    lines = [
        {"name": f"day {days * number / parts:.2f}", "value": value, "text": f"{value:.1f} MB"}
        for number, value in enumerate(medians)
    ]
    return {"soak_memory": {"title": "Memory of the process over the simulated days", "unit": "MB", "lines": lines}}


def _read_on(server: Served, seconds: float, requests: int) -> dict[str, Any]:
    paths = ["/", "/performance", "/forecasts", "/health"]
    for symbol in _SYMBOLS:
        paths += [f"/symbol/{symbol}?interval={interval}" for interval in _INTERVALS]
        paths += [f"/api/v1/candles/{symbol}?interval=15m&limit=500", f"/api/v1/indicators/{symbol}?interval=1h"]
    filled = _sources(server)["market"]["closes"]
    began_s = sampled_s = time.perf_counter()
    rss, own, course, count, failed = [], [], list[dict[str, Any]](), 0, 0
    while (now_s := time.perf_counter()) - began_s < seconds:
        if count < requests * (now_s - began_s) / seconds:
            failed += not _answered(server.port, paths[count % len(paths)])
            count += 1
        else:
            time.sleep(_PACE_S)
        if now_s - sampled_s >= 1:
            sampled_s = now_s
            rss.append(round(server.process.memory_info().rss / _MB, 2))
            own.append(round(own_memory_mb(server.process), 2))
            if now_s - began_s >= _LOOK_S * len(course):
                course.append({"at_s": round(now_s - began_s, 1), **_news(server, filled)})
    told = _sources(server)
    return {"asked": count, "failed": failed, "rss_mb": rss, "own_mb": own, "closes": told["market"]["closes"] - filled,
            "course": course, "holders": told.get("memory_holders")}  # fmt: skip


def _news(server: Served, filled: int) -> dict[str, Any]:
    """How the market fares and who holds the memory: where candles stop or memory grows, this tells when and why."""
    try:
        told = _sources(server)
    except OSError as error:
        return {"state": f"no answer: {error}"}
    feed, exchange = told["feed"], told["exchange"]
    return {"closes": told["market"]["closes"] - filled, "state": feed["state"], "events": feed["events"],
            "reconnects": feed["reconnects"], "errors": exchange["errors"],
            "trouble": feed["last_error"] or exchange["last_error"],
            "held_bytes": {one["name"]: one["size_bytes"] for one in told["memory_holders"]["holders"]}}  # fmt: skip


def _answered(port: int, path: str) -> bool:
    """Whether there was an answer that is not the server's failure."""
    try:
        return fetch(port, path)[0] < 500
    except OSError:
        return False


def _sources(server: Served) -> dict[str, Any]:
    answer = fetch(server.port, "/api/v1/performance")[1]
    sources: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])["metrics"]["sources"]
    return sources


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when memory stays flat, the candles come and no request fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=13.0, help="how long it may take")
    parser.add_argument("--days", type=float, default=16.5, help="how many days of the market pass meanwhile")
    parser.add_argument("--requests", type=int, default=120_000, help="how many are spread over that time")
    parser.add_argument("--into", type=Path, default=report.RESULTS, help="folder of the result")
    options = parser.parse_args(arguments)
    if not (0.1 <= options.minutes <= 10_000 and 0.01 <= options.days <= 400 and options.requests > 0):
        parser.error("from 0.1 to 10,000 minutes, from 0.01 to 400 days, at least one request")
    found = soak(minutes=options.minutes, days=options.days, requests=options.requests)
    print_rows(found["about"], [Row(**row) for row in found["rows"]])
    options.into.mkdir(parents=True, exist_ok=True)
    keep(options.into / "soak.json", found)
    if options.into == report.RESULTS:
        report.write(report.read())
    return 1 if any(row["met"] is False for row in found["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
