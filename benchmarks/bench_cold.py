"""Cold: what an answer costs when it must be made anew, and whether a viewer pays for markets that are not on the page.

Processor time of the thread that answers, and the time it took; each answer asked of the real application in a process
of its own while its feed runs: one replays real klines, two follow 100 and 500 invented markets. What the overview
says of all markets together is made once a second, whatever the number of its viewers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from flask import Flask

from benchmarks.measure import (
    Reading,
    Row,
    at_most,
    faster,
    interleaved,
    print_rows,
    reading,
    readings,
    result,
    shown,
    told,
)
from benchmarks.served import ROOT, market, plain_environment

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
_KEPT = ("cold", "bare")
"""The overview made anew: with what no price changes kept of each market, and with nothing of it."""
_LEAST_KEPT = 1.5
_MOST_GROWTH = 1.25
"""Of 25 times as many markets; the spread of such figures is a tenth."""


def run(*, short: bool = False) -> dict[str, Any]:
    """All applications run all the time and are asked in turns, so that what disturbs one disturbs the others."""
    rounds = 5 if short else 14
    with ExitStack() as running:
        apps = {
            "real": running.enter_context(_application(market(_FEW))),
            "few": running.enter_context(_application(_invented(_FEW))),
            "many": running.enter_context(_application(_invented(150 if short else _MANY))),
        }
        markets = {name: app.markets() for name, app in apps.items()}
        seen = {name: _Seen() for name in apps}
        for kind in ("cold", "warm"):
            works: dict[str, Callable[[], float]] = {
                f"{name} {path}": partial(_note, seen[name], app, kind, path)
                for path in PATHS
                for name, app in apps.items()
                if kind == "cold" or name != "real"
            }
            interleaved(works, rounds)
        kept = readings({kind: partial(apps["real"].cpu_ms, kind, "overview") for kind in _KEPT}, rounds, "ms")
    rows = [
        *_cold_rows(seen["real"]),
        _kept_row(kept, markets["real"]),
        *_growth_rows(seen["few"], seen["many"], markets),
    ]
    print_rows("Answers made anew (processor time of their thread)", rows)
    return result("cold", rows, seen={name: asdict(one) for name, one in seen.items()}, markets=markets)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Milliseconds by path: processor time of the thread that answered, and how long it took."""

    cold_cpu: dict[str, list[float]] = field(default_factory=dict)
    cold_wall: dict[str, list[float]] = field(default_factory=dict)
    warm_cpu: dict[str, list[float]] = field(default_factory=dict)


def _note(seen: _Seen, app: _Application, kind: str, path: str) -> float:
    cpu_ms, wall_ms = app.ask(kind, path)
    (seen.cold_cpu if kind == "cold" else seen.warm_cpu).setdefault(path, []).append(cpu_ms)
    if kind == "cold":
        seen.cold_wall.setdefault(path, []).append(wall_ms)
    return cpu_ms


def _cold_rows(real: _Seen) -> list[Row]:
    rows = []
    for name in PATHS:
        limit = _LIMITS_MS.get(name)
        for seen, words in ((real.cold_cpu, "processor time"), (real.cold_wall, "time")):
            value = reading(seen[name], "ms")
            rows.append(
                at_most(f"{name}, made anew: {words}", value, limit)
                if limit
                else told(f"{name}, made anew: {words}", value)
            )
    return rows


def _kept_row(kept: dict[str, Reading], markets: int) -> Row:
    return faster(
        f"overview of {markets} markets, made anew for new prices, against every part of its rows made anew",
        kept["cold"],
        kept["bare"],
        _LEAST_KEPT,
    )


def _growth_rows(few: _Seen, many: _Seen, markets: dict[str, int]) -> list[Row]:
    """No limit for the overview made anew: each of these few renders pays for all markets, once a second at most."""
    rows = []
    against = f"with {markets['many']} markets against {markets['few']}"
    for here_all, there_all, words in (
        (many.cold_cpu, few.cold_cpu, "made anew"),
        (many.warm_cpu, few.warm_cpu, "from stored bytes"),
    ):
        for name in ("symbol page", "its living part", "overview"):
            here, there = reading(here_all[name], "ms"), reading(there_all[name], "ms")
            grown, judged = here.median / there.median, (words, name) != ("made anew", "overview")
            target, met = (f"<= {_MOST_GROWTH:g}×", grown <= _MOST_GROWTH) if judged else ("", None)
            what = f"{name}, {words}, {against}"
            rows.append(Row(what, shown(here), shown(there), grown, target, met, here.median, there.median, "ms"))
    return rows


class _Application:
    """One in a process of its own, asked by lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._to, self._of = process, process.stdin, process.stdout

    def markets(self) -> int:
        """How many it follows, once it is ready."""
        return int(self._answer())

    def ask(self, kind: str, path: str) -> tuple[float, float]:
        """Milliseconds of the thread, and in all."""
        self._to.write(f"{kind}|{path}\n")
        self._to.flush()
        cpu_ms, wall_ms = json.loads(self._answer())
        return cpu_ms, wall_ms

    def cpu_ms(self, kind: str, path: str) -> float:
        return self.ask(kind, path)[0]

    def _answer(self) -> str:
        line = self._of.readline()
        if not line:
            raise RuntimeError(f"the application ended with {self._process.wait(20)}")
        return line


@contextmanager
def _application(played: dict[str, str]) -> Iterator[_Application]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bench_cold", "--asked"],
            cwd=ROOT,
            env={**plain_environment(), **played, "INSTANCE_PATH": f"{folder}/instance", "INTERVALS": "1h"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield _Application(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _invented(markets: int) -> dict[str, str]:
    names = ["BTCUSDT", *(f"COIN{number:03d}USDT" for number in range(1, markets))]
    return {"EXCHANGE": "simulated", "SYMBOLS": ",".join(names)}


def answer_lines() -> None:
    """In this process: the application with its feed, asked without a server between, as long as lines come in."""
    import app as application
    from config import load_settings
    from routes.wiring.parts import PARTS, background, leading
    from routes.wiring.serving import SWITCH_S

    settings = load_settings()
    sys.setswitchinterval(SWITCH_S)  # as the server does: else the feed has threads wait 5 ms at a time
    with ExitStack() as running:
        app = application.create_app(settings)
        parts = app.extensions[PARTS]
        running.callback(parts.database.close)
        for part in [*background(settings, parts), *leading(settings, parts)]:
            part.start()
            running.callback(part.close)
        _wait(lambda: parts.connection.ready and _get(app, "/ready")[0] == 200)
        paths = {name: path.format(settings.symbols[0]) for name, path in PATHS.items()}
        for path in [*paths.values()] * 2:
            status, body = _get(app, path)
            assert status == 200, (path, body[:300])
        print(len(settings.symbols), flush=True)
        for line in sys.stdin:
            kind, _, name = line.strip().partition("|")
            print(json.dumps(_asked(app, kind, paths[name])), flush=True)


def _asked(app: Flask, kind: str, path: str) -> tuple[float, float]:
    """(processor time of this thread, time) in milliseconds: once with nothing stored; or the median of twenty with,
    so that a price that comes meanwhile, for which the page is made anew, counts where that is judged."""
    if kind in _KEPT:
        app.extensions["services"].pages.clear()
        if kind == "bare":
            for region in ("overview", "page parts"):
                app.extensions["services"].data_cache.clear(region)
        return _timed(app, path)
    _get(app, path)
    cpu_ms, wall_ms = zip(*(_timed(app, path) for _ in range(20)), strict=True)
    return statistics.median(cpu_ms), statistics.median(wall_ms)


def _timed(app: Flask, path: str) -> tuple[float, float]:
    cpu_s, wall_s = time.thread_time(), time.perf_counter()
    _get(app, path)
    return 1e3 * (time.thread_time() - cpu_s), 1e3 * (time.perf_counter() - wall_s)


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
    parser.add_argument("--asked", action="store_true", help="be one of the applications")
    answer_lines() if parser.parse_args().asked else run()
