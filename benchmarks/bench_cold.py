"""Cold: what an answer costs when it must be made anew, and whether a viewer pays for markets that are not on the page.

Processor time of the thread that answers, and the time it took; each answer asked of the real application in its own
process while its feed runs. The second application follows 500
markets; what the overview says of all markets together is made once a second, whatever the number of its viewers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import Flask

from benchmarks.measure import Reading, Row, at_least, at_most, interleaved, print_rows, reading, result, shown
from benchmarks.served import ROOT, market

_FEW, _MANY = 100, 500
"""A page of the overview holds a hundred markets."""
_TIMEOUT_S = 300.0
PATHS = {
    "symbol page": "/symbol/{}?interval=1h",
    "its living part": "/symbol/{}/live?interval=1h",
    "its chart's data": "/symbol/{}/chart.json?interval=1h",
    "overview": "/?interval=1h",
    "candles API": "/api/v1/candles/{}?interval=1h&limit=500",
    "indicators API": "/api/v1/indicators/{}?interval=1h&limit=500",
    "forecast API": "/api/v1/forecast/{}?interval=1h",
}
_LIMITS_MS = {"symbol page": 15.0}
_MOST_GROWTH = 1.25
"""Of 25 times as many markets; the spread of such figures is a tenth."""


def run(*, short: bool = False) -> dict[str, Any]:
    rounds = 5 if short else 20
    few = _asked(_FEW, rounds)
    many = _asked(40 if short else _MANY, rounds)
    rows = [*_cold_rows(few), *_growth_rows(few, many)]
    print_rows("Answers made anew (processor time of their thread)", rows)
    return result("cold", rows, seen={"few": few, "many": many})


def _cold_rows(few: dict[str, Any]) -> list[Row]:
    rows = []
    for name in PATHS:
        limit = _LIMITS_MS.get(name)
        for kind, words in (("cold_cpu", "processor time"), ("cold_wall", "time")):
            value = reading(few[kind][name], "ms")
            rows.append(
                at_most(f"{name}, made anew: {words}", value, limit) if limit else _told(f"{name}: {words}", value)
            )
    return rows


def _told(what: str, value: Reading) -> Row:
    return at_least(f"{what}, made anew", value, value, 1.0, None)


def _growth_rows(few: dict[str, Any], many: dict[str, Any]) -> list[Row]:
    """No limit for the overview made anew: each of these few renders pays for all markets, once a second at most."""
    rows = []
    for kind, words in (("cold_cpu", "made anew"), ("warm_cpu", "from stored bytes")):
        for name in ("symbol page", "its living part", "overview"):
            here, there = reading(many[kind][name], "ms"), reading(few[kind][name], "ms")
            what = f"{name}, {words}, with {many['markets']} markets against {few['markets']}"
            grown, judged = here.median / there.median, (kind, name) != ("cold_cpu", "overview")
            target, met = (f"<= {_MOST_GROWTH:g}×", grown <= _MOST_GROWTH) if judged else ("", None)
            rows.append(Row(what, shown(here), shown(there), grown, target, met, here.median, there.median, "ms"))
    return rows


def _asked(markets: int, rounds: int) -> dict[str, Any]:
    """What a process of its own found that follows so many markets."""
    played = market(markets) if markets == _FEW else _invented(markets)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_cold", "--rounds", str(rounds)],
            cwd=ROOT,
            env={**os.environ, **played, "INSTANCE_PATH": f"{folder}/instance", "INTERVALS": "1h"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the application with {markets} markets failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _invented(markets: int) -> dict[str, str]:
    names = ["BTCUSDT", *(f"COIN{number:03d}USDT" for number in range(1, markets))]
    return {"EXCHANGE": "simulated", "SYMBOLS": ",".join(names)}


def measure(rounds: int) -> dict[str, Any]:
    """In this process: the application with its feed, asked without a server between."""
    import app as application
    from config import load_settings
    from routes.wiring.parts import PARTS, background, leading

    settings = load_settings()
    with ExitStack() as running:
        app = application.create_app(settings)
        parts = app.extensions[PARTS]
        running.callback(parts.database.close)
        for part in [*background(settings, parts), *leading(settings, parts)]:
            part.start()
            running.callback(part.close)
        _wait(lambda: parts.connection.ready and _get(app, "/ready")[0] == 200)
        return {"markets": len(settings.symbols), **_measured(app, settings.symbols, rounds)}


def _measured(app: Flask, symbols: tuple[str, ...], rounds: int) -> dict[str, Any]:
    pages = app.extensions["services"].pages
    paths = {name: path.format(symbols[0]) for name, path in PATHS.items()}
    for path in [*paths.values()] * 2:
        status, body = _get(app, path)
        assert status == 200, (path, body[:300])
    walls: dict[str, list[float]] = {name: [] for name in paths}

    def cold(name: str) -> float:
        pages.clear()
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        _get(app, paths[name])
        walls[name].append(1e3 * (time.perf_counter() - wall_s))
        return 1e3 * (time.thread_time() - cpu_s)

    def warm(name: str) -> float:
        _get(app, paths[name])
        cpu_s = time.thread_time()
        for _ in range(20):
            _get(app, paths[name])
        return 1e3 * (time.thread_time() - cpu_s) / 20

    colds = interleaved({name: partial(cold, name) for name in paths}, rounds)
    warms = interleaved({name: partial(warm, name) for name in paths}, rounds)
    return {"cold_cpu": colds, "cold_wall": walls, "warm_cpu": warms}


def _get(app: Flask, path: str) -> tuple[int, bytes]:
    path_only, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path_only,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:5000",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input": None,
    }
    statuses: list[str] = []

    def start(status: str, _headers: object, _exc_info: object = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes

    body = app.wsgi_app(environ, start)
    return int(statuses[0][:3]), b"".join(body)


def _wait(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _TIMEOUT_S / 2
    while not true():
        if time.monotonic() > until_s:
            raise TimeoutError(f"the market was not there within {_TIMEOUT_S / 2:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.rounds))) if asked.rounds else run()
