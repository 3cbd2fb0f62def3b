"""Memory and start: what `python app.py` holds with 20 symbols × 2 intervals × 1000 candles, every page read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.load import fetch
from benchmarks.measure import at_most, print_rows, reading, result
from benchmarks.served import Served, served

_MB = 1_000_000
SETTLE_S = 10.0
"""After the last page was read: the feed writes, the collector has been, what only passed through is let go of."""


def run(*, short: bool = False) -> dict[str, Any]:
    starts = 1 if short else 2
    seen = [_one() for _ in range(starts)]
    rows = [
        at_most("serving process, resident", reading([one["rss_mb"] for one in seen], "MB"), 150),
        at_most("start to first answer", reading([one["first_answer_s"] for one in seen], "s"), 2),
        at_most("start to every candle there", reading([one["ready_s"] for one in seen], "s"), 30),
    ]
    if all(one["highest_mb"] for one in seen):
        rows.append(
            at_most("the most it ever held, start included", reading([one["highest_mb"] for one in seen], "MB"), 160)
        )
    print_rows("Memory and start", rows)
    return result("memory", rows, starts=seen)


def _one() -> dict[str, Any]:
    with served(ENABLE_MODEL_PRELOADING="True", HISTORY_CANDLES="1000") as server:
        pages = _read_everything(server)
        time.sleep(SETTLE_S)
        memory = server.process.memory_full_info()
        children = sum(child.memory_info().rss for child in server.process.children(recursive=True))
        return {
            "rss_mb": memory.rss / _MB,
            "highest_mb": _highest_mb(server.process.pid),
            "uss_mb": memory.uss / _MB,
            "simulated_exchange_mb": children / _MB,
            "first_answer_s": server.first_answer_s,
            "ready_s": server.ready_s,
            "pages_read": pages,
            "threads": server.process.num_threads(),
        }


def _highest_mb(pid: int) -> float | None:
    """By Linux's own count; None elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) / _MB for line in lines if line.startswith("VmHWM:")), None)


def _read_everything(server: Served) -> int:
    """Every page and forecast of every market, so that what is kept is kept."""
    from config import load_settings

    settings = load_settings()
    paths = ["/", "/performance", "/forecasts", "/models", "/models/train", "/alerts"]
    for symbol in settings.symbols:
        for interval in settings.intervals:
            paths.append(f"/symbol/{symbol}?interval={interval}")
            paths.append(f"/api/v1/indicators/{symbol}?interval={interval}&limit=500")
        paths.append(f"/api/v1/forecast/{symbol}?interval=1h")
    for path in paths:
        status, answer = fetch(server.port, path)
        assert status == 200, (path, answer[:500])
    return len(paths)


if __name__ == "__main__":
    run()
