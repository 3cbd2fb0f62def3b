"""Two whole applications on one Redis, one database and one simulated exchange, and what readers see of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import fetch, load_each
from benchmarks.served import Served, served
from data.simulated_process import SimulatedProcess, Simulation

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
INTERVAL = "1s"
"""A candle a second, so that the shared values change while one looks."""
_CONNECTIONS = 4
_ROUND = 60


@dataclass
class Seen:
    """What readers of both applications have met since it was begun."""

    statuses: dict[int, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def latency_ms(self, fraction: float) -> float:
        ordered = sorted(self.latencies_s)
        return 1e3 * ordered[min(int(fraction * len(ordered)), len(ordered) - 1)]


class Readers:
    """One thread per application that asks for pages and candles without a pause; `turn()` begins a new count."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._seen = Seen()
        self._threads = [threading.Thread(target=self._read, args=(port,), name=f"readers-{port}") for port in ports]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def turn(self, seconds: float) -> Seen:
        """What is seen from now on for so long."""
        with self._lock:
            self._seen = seen = Seen()
        self._over.wait(seconds)
        with self._lock:
            self._seen = Seen()
        return seen

    def _read(self, port: int) -> None:
        paths = itertools.cycle(
            path.format(symbol)
            for symbol in SYMBOLS
            for path in (f"/symbol/{{}}?interval={INTERVAL}", f"/api/v1/candles/{{}}?interval={INTERVAL}&limit=50")
        )
        while not self._over.is_set():
            with self._lock:
                seen = self._seen
            try:
                found = load_each(port, itertools.islice(paths, _ROUND), connections=_CONNECTIONS)
            except OSError as error:
                seen.problems.append(f"{port}: {error}")
                return
            with self._lock:
                seen.latencies_s += found.latencies_s
                for status, count in found.statuses.items():
                    seen.statuses[status] = seen.statuses.get(status, 0) + count


@contextmanager
def two_apps(folder: Path, redis_url: str) -> Iterator[tuple[Served, Served]]:
    """Both ready. Each has a process, a feed and memory of its own."""
    with ExitStack() as running:
        exchange = SimulatedProcess.start(Simulation(symbols=SYMBOLS), timeout_s=120.0)
        running.callback(exchange.close)
        settings = {
            "EXCHANGE": "binance",
            "BINANCE_REST_URL": exchange.rest_url,
            "BINANCE_STREAM_URL": exchange.stream_url,
            "DATABASE_URL": f"sqlite:///{folder / 'shared.db'}",
            "REDIS_URL": redis_url,
            "SYMBOLS": ",".join(SYMBOLS),
            "INTERVALS": INTERVAL,
            "HISTORY_CANDLES": "100",
            "ENABLE_MODEL_PRELOADING": "False",
        }
        yield running.enter_context(served(settings)), running.enter_context(served(settings))


def redis_stats(server: Served) -> dict[str, Any]:
    """What the application says of its shared cache."""
    status, answer = fetch(server.port, "/api/v1/performance")
    assert status == 200, answer[:300]
    stats: dict[str, Any] = orjson.loads(answer.partition(b"\r\n\r\n")[2])["metrics"]["sources"]["redis"]
    return stats
