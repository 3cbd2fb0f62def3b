"""Served: the real application in a process of its own, on the simulated exchange."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import pyarrow.parquet as parquet
from flask import Flask, Response, request

from benchmarks.load import fetch
from utils.response_cache import ADDRESS

ROOT = Path(__file__).resolve().parents[1]
CONSTANT = "/benchmark/constant"
COLD = "/benchmark/cold"
KLINES = ROOT.parent / "shared" / "klines"
"""Real candles to replay, where there are some: `SYMBOL-INTERVAL.parquet`."""
_START_S = 120.0
_MONTH_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and how long it took to its first answer, its first page, and to have every candle."""

    port: int
    process: psutil.Process
    first_answer_s: float
    ready_s: float


def market(count: int = 20) -> dict[str, str]:
    """Settings of a simulated exchange with `count` markets: a replay of real klines where they are, else invented."""
    if not KLINES.is_dir():
        return {"EXCHANGE": "simulated", "SYMBOLS": ",".join(_invented(count))}
    hourly, daily = (
        {path.name.partition("-")[0] for path in KLINES.glob(f"*USDT-{end}.parquet")} for end in ("1h", "1d")
    )
    names = ["BTCUSDT", *sorted(hourly - {"BTCUSDT"}), *sorted(daily - hourly)]
    real = [name for name in names if name in daily]
    real = sorted(real, key=lambda name: _ends_long_before(name, real[0]))[:count]
    return {"EXCHANGE": "simulated", "SIMULATED_REPLAY_PATH": str(KLINES), "SYMBOLS": ",".join(real)}


@cache
def _ends_long_before(name: str, other: str) -> bool:
    """Whether that market's candles end a month or more before the other's: nothing would ever happen in it."""
    ends_ms = []
    for each in (name, other):
        rows = parquet.read_metadata(KLINES / f"{each}-1d.parquet")
        ends_ms.append(max(rows.row_group(place).column(0).statistics.max for place in range(rows.num_row_groups)))
    return bool(ends_ms[0] < ends_ms[1] - _MONTH_MS)


def market_words(settings: Mapping[str, str]) -> str:
    """Which market the settings of `market()` play."""
    played = "a replay of real klines" if "SIMULATED_REPLAY_PATH" in settings else "an invented market"
    return f"{len(settings['SYMBOLS'].split(','))} markets of the simulated exchange ({played})"


def _invented(count: int) -> list[str]:
    return ["BTCUSDT", *(f"COIN{number:03d}USDT" for number in range(1, count))]


@contextmanager
def served(
    settings: Mapping[str, str] | None = None,
    *,
    compared: bool = False,
    program: Sequence[str] = ("app.py",),
    port: int | None = None,
    **environment: str,
) -> Iterator[Served]:
    """`compared` adds CONSTANT and COLD; otherwise it is `python app.py` (or `program`) and nothing else."""
    port = port or free_port()
    program = ["-m", "benchmarks.served"] if compared else program
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        log = running.enter_context((Path(folder) / "output").open("w+b"))
        given = {"EXCHANGE": "simulated", "PORT": str(port), "INSTANCE_PATH": f"{folder}/instance"}
        given |= {**(settings or {}), **environment}
        started_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env={**plain_environment(), **given},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        running.callback(_end, process)
        try:
            first_answer_s = _wait(port, "/health", process, started_s)
            ready_s = _wait(port, "/ready", process, started_s)
        except TimeoutError as error:
            log.seek(0)
            raise TimeoutError(f"{error}; it said: {log.read()[-2000:].decode(errors='replace')}") from None
        yield Served(port, psutil.Process(process.pid), first_answer_s, ready_s)


def all_served(running: ExitStack, starts: Mapping[str, AbstractContextManager[Served]]) -> dict[str, Served]:
    """Several started at the same time, which takes less than one after the other; all end with `running`."""
    with ThreadPoolExecutor(len(starts)) as pool:
        return dict(zip(starts, pool.map(running.enter_context, starts.values()), strict=True))


def plain_environment() -> dict[str, str]:
    """A shell in which modules are not kept compiled would have every start compile them: no user's has."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(port: int, path: str, process: subprocess.Popen[bytes], started_s: float) -> float:
    """Seconds from the start until the path answers 200."""
    while time.perf_counter() - started_s < _START_S and process.poll() is None:
        try:
            if fetch(port, path)[0] == 200:
                return time.perf_counter() - started_s
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{path} did not answer 200 within {_START_S:.0f} s (exit code {process.poll()})")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve_compared() -> None:
    """The application as `app.py` serves it, with two more routes: a constant, and the overview rendered anew."""
    import app as application

    create = application.create_app

    def create_compared(*args: object, **kwargs: object) -> Flask:
        made = create(*args, **kwargs)  # type: ignore[arg-type]  # passed on as given
        add_compared(made)
        return made

    application.create_app = create_compared
    sys.exit(application.main([]))


def add_compared(made: Flask) -> None:
    """Two more routes, behind the same walls and measuring as every other."""
    page = made.view_functions["overview.page"]

    def cold() -> object:
        request.environ.pop(ADDRESS, None)  # else it would be learned where the page lies, and given from there
        made.extensions["services"].pages.clear()
        return page()

    made.add_url_rule(CONSTANT, view_func=lambda: Response("constant", mimetype="text/plain"))
    made.add_url_rule(COLD, view_func=cold)  # type: ignore[arg-type]  # what the view itself answers


if __name__ == "__main__":
    serve_compared()
