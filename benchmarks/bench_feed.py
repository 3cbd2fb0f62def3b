"""The feed at scale: 500 markets at two intervals live, and a start with them from an empty and from a full store."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil

from benchmarks.load import fetch
from benchmarks.measure import Row, at_least, at_most, own_memory_mb, print_rows, reading, result
from benchmarks.served import ROOT, free_port, plain_environment
from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.candles import Candle, Candles
from data.database import connect
from data.interval import Interval
from data.market_data import MarketData
from data.market_feed import MarketFeed
from data.symbol import Symbol
from utils.data_cache import DataCache
from utils.memory_return import hold_less

_INTERVALS = (Interval.M1, Interval.M5)
_LISTENING = re.compile(r"listening on (http://\S+)")
_START_S = 300.0
_LOOK_S = 0.1
_SETTLE_S = 5.0
_DAY = "2026-03-02"
_EMPTY_START_S = 35
"""Of the exchange's minute: the rest of it is enough to use up what it allows, and the wait for the next one short."""


class Watched(MarketData):
    """Notes of each candle how old the event was that told it when the market's version had changed for it. In arrays:
    ten thousand Python numbers would be half a percent of the process's memory."""

    latencies_ms: array[int]
    closes_ms: array[int]

    def on_forming(self, symbol: Symbol, interval: Interval, candle: Candle, event_ms: int) -> None:
        series = self._followed(symbol, interval)
        before = series.changes
        super().on_forming(symbol, interval, candle, event_ms)
        if series.changes != before:
            self.latencies_ms.append(self._clock.now_ms() - event_ms)

    def on_told(self, closes: Sequence[Candles]) -> list[Candles]:
        """The event of a close is told at the first look at the clock after it: what that waits is not ours."""
        news = super().on_told(closes)
        now_ms = self._clock.now_ms()
        self.closes_ms.extend(now_ms - candles.last_close_time_ms for candles in news)
        return news


def run(*, short: bool = False) -> dict[str, Any]:
    symbols, seconds, full_starts = (60, 8, 1) if short else (500, 30, 2)
    live = _live(symbols, seconds, over_a_turn=not short)
    starts = _starts(symbols, weight_limit=2 * symbols, full_starts=full_starts)
    rows = [*_live_rows(symbols, live), *_start_rows(symbols, starts)]
    print_rows(f"The feed, {symbols} markets", rows)
    return result("feed", rows, live=live, starts=starts)


def _live_rows(symbols: int, live: dict[str, Any]) -> list[Row]:
    what = f"{symbols} markets × {len(_INTERVALS)} intervals"
    p99, cpu = reading([live["p99_ms"]], "ms"), reading([live["cpu_percent"]], "%")
    growth = reading([live["growth_percent"]], "%")
    return [
        at_most(f"event to visible version, p99, {what}", p99, 300),
        at_most(f"of one core for the feed, {what}", cpu, 100),
        at_most(f"growth of its own memory while it runs, {what}", growth, 2),
    ]


def _start_rows(symbols: int, starts: dict[str, Any]) -> list[Row]:
    used, allowed = reading([starts["used_weight"]], "weight"), reading([starts["weight_limit"]], "weight")
    full = reading(starts["full_ready_s"], "s")
    return [
        at_least(f"most request weight used in a minute of an empty start, {symbols} markets × 1000 candles",
                 used, allowed, used.median / allowed.median, 0.9),
        at_most("of the limit at most", reading([100 * used.median / allowed.median], "%"), 100),
        at_most(f"start to ready from a full store, {symbols} markets × 1000 candles", full, 3),
    ]  # fmt: skip


@contextmanager
def exchange(*arguments: str, port: int = 0) -> Iterator[tuple[str, psutil.Process]]:
    """A simulated exchange in a process of its own: its address, and the process. `port` 0: any that is free."""
    command = [sys.executable, "-m", "data.simulated_exchange", "--port", str(port), "--with-parent", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = next(filter(None, map(_LISTENING.search, process.stdout)))
        yield found[1].rstrip("/"), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _live(count: int, seconds: int, *, over_a_turn: bool) -> dict[str, Any]:
    """The market layer alone in this process, so that what is measured is the feed and nothing else. `over_a_turn`: in
    the middle of the time candles of all markets close at once, those of five minutes too, and not for the first time:
    what that takes of memory once, before it is used again at every turn, is no growth."""
    hold_less()
    with (
        exchange("--symbols", str(count), "--start", f"{_DAY}T12:04:30") as (url, _),
        tempfile.TemporaryDirectory() as folder,
    ):
        gateway = BinanceGateway(rest_url=f"{url}/api", stream_url=url.replace("http", "ws", 1))
        database = connect(f"sqlite:///{folder}/feed.db")
        cache = DataCache("feed")
        cache.configure(max_entries=10 * count, timer=gateway.clock.monotonic)
        gateway.start()
        try:
            listed = [info.symbol for info in gateway.exchange_info()][:count]
            market = Watched(store=CandleStore(database), gateway=gateway, cache=cache, clock=gateway.clock,
                             symbols=listed, intervals=_INTERVALS, history_candles=50)  # fmt: skip
            market.latencies_ms, market.closes_ms = array("q"), array("q")
            feed = MarketFeed(gateway=gateway, market=market)
            feed.start()
            try:
                market.prime()
                time.sleep(_SETTLE_S)
                if over_a_turn:
                    time.sleep(_until_second(gateway, 60) + _SETTLE_S)
                    time.sleep(_until_second(gateway, 60 - seconds // 2))
                return _observed(market, feed, seconds)
            finally:
                feed.close()
        finally:
            gateway.close()
            database.close()


def _until_second(gateway: BinanceGateway, second: int) -> float:
    """Seconds until that one of the exchange's minute."""
    return (second - gateway.clock.now_ms() / 1000) % 60


def _observed(market: Watched, feed: MarketFeed, seconds: int) -> dict[str, Any]:
    process = psutil.Process()
    gc.collect()
    del market.latencies_ms[:], market.closes_ms[:]
    events, own_mb, closes = feed.status().events, own_memory_mb(process), market.status().closes
    cpu_s, began_s = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    taken_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    gc.collect()
    after_mb, status, latencies = own_memory_mb(process), feed.status(), np.array(market.latencies_ms)
    return {
        "events_per_s": (status.events - events) / taken_s,
        "closes": market.status().closes - closes,
        "cpu_percent": 100 * used_s / taken_s,
        "versions": len(latencies),
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
        "max_ms": float(latencies.max()),
        "closes_p50_ms": float(np.percentile(market.closes_ms or [0], 50)),
        "closes_p99_ms": float(np.percentile(market.closes_ms or [0], 99)),
        "own_mb": after_mb,
        "growth_percent": max(0.0, 100 * (after_mb - own_mb) / own_mb),
        "connections": status.connections,
        "streams": status.streams,
        "reconnects": status.reconnects,
        "gaps": status.gaps,
        "bad_frames": status.bad_frames,
        "state": status.state,
    }


def _starts(count: int, weight_limit: int, full_starts: int) -> dict[str, Any]:
    """The whole application. The exchange allows so little weight a minute that an empty start takes more than one:
    what is left of its first is time enough to use all of it. The full starts are held up by no limit, and lie within
    the same hour: what is stored is all there is."""
    from data.simulated_exchange.synthetic import SyntheticSource

    symbols = ",".join(SyntheticSource(symbols=count).listings)
    port = free_port()  # candles are kept by the exchange's address: at another, the full store would be empty
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "EXCHANGE": "binance", "INSTANCE_PATH": f"{folder}/instance", "SYMBOLS": symbols, "INTERVALS": "1h",
            "HISTORY_CANDLES": "1000", "ENABLE_MODEL_PRELOADING": "False",
        }  # fmt: skip
        limited = ("--weight-limit", str(weight_limit), "--start", f"{_DAY}T12:10:{_EMPTY_START_S}")
        with exchange("--symbols", symbols, *limited, port=port) as (url, _):
            empty = _start({**given, **_addresses(url)}, watched=True)
        with exchange("--symbols", symbols, "--start", f"{_DAY}T12:30:00", port=port) as (url, _):
            _let_invent(port)
            full = [_start({**given, **_addresses(url)}, watched=False) for _ in range(full_starts)]
    return {
        "weight_limit": weight_limit,
        "used_weight": empty["used"],
        "errors": empty["errors"],
        "said": empty["said"],
        "empty_ready_s": empty["ready_s"],
        "full_ready_s": [one["ready_s"] for one in full],
        "full_cpu_s": [one["cpu_s"] for one in full],
        "full_calls": [one["calls"] for one in full],
    }


def _let_invent(port: int) -> None:
    """The exchange makes up the last day of its markets when it is first asked: a real one has had them all along."""
    assert fetch(port, "/api/v3/ticker/24hr")[0] == 200


def _addresses(url: str) -> dict[str, str]:
    return {"BINANCE_REST_URL": f"{url}/api", "BINANCE_STREAM_URL": url.replace("http", "ws", 1)}


def _start(given: dict[str, str], *, watched: bool) -> dict[str, Any]:
    """Until it is ready. `watched`: asks meanwhile how much weight is used, which costs the start some time."""
    port = free_port()
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT, env={**plain_environment(), **given}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    used, said = 0.0, [""]
    try:
        while True:
            assert time.perf_counter() - began_s < _START_S, f"not ready within {_START_S:.0f} s; it says {said[-1]}"
            time.sleep(_LOOK_S)
            try:
                status, body = fetch(port, "/ready")
                ready_s = time.perf_counter() - began_s
                told = fetch(port, "/api/v1/performance")[1] if status == 200 or watched else b""
            except OSError:
                continue
            if told:
                exchange_told = _json(told)["metrics"]["sources"]["exchange"]
                used = max(used, exchange_told["used_weight"])
            if status == 200:
                calls, errors = exchange_told["calls"], exchange_told["errors"]
                return {"ready_s": ready_s, "used": used, "said": said[1:], "calls": calls, "errors": errors,
                        "cpu_s": sum(psutil.Process(process.pid).cpu_times()[:2])}  # fmt: skip
            said += [text for text in _json(body)["waiting_for"][:1] if text != said[-1]]
    finally:
        process.terminate()
        process.wait(30)


def _json(answer: bytes) -> Any:
    """Of a whole answer, head and body."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])


if __name__ == "__main__":
    run(short="--short" in sys.argv)
