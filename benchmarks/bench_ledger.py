"""Ledger: a million scores behind the pages, the chain walked, all markets asked at once against one by one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import (
    Row,
    at_least,
    at_most,
    faster,
    interleaved,
    print_rows,
    reading,
    readings,
    result,
    seconds_per_call,
)
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models.forecaster import Forecast
from models.ledger import Ledger
from models.ledger_sums import SHOWN_HORIZONS
from utils.clock import SystemClock

_MARKETS = tuple(Symbol(f"M{number:02d}USDT") for number in range(20))
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_HORIZONS = tuple(range(1, 25))
_NAIVE = np.outer(np.sqrt(_HORIZONS), [-1.6, -0.6, 0.0, 0.6, 1.6])
_PAGE_MS = 500.0
_START_MS = 1_704_067_200_000


def run(*, short: bool = False) -> dict[str, Any]:
    """20 markets at 24 horizons: 2,084 hours make a million scores; `short` makes a tenth of that."""
    hours, rounds = (210, 5) if short else (2_084, 9)
    with tempfile.TemporaryDirectory() as folder:
        database = connect(f"sqlite:///{folder}/bench.db")
        try:
            ledger = Ledger(database, SystemClock())
            filled_s = _fill(ledger, hours)
            counts = ledger.counts()
            rows = [*_rows(ledger, counts, rounds), *_page_rows(folder, counts, min(rounds, 5))]
            size_bytes = database.file_size_bytes
        finally:
            database.close()
    print_rows(f"Ledger of {counts['scored']:,} scores", rows)
    return result("ledger", rows, counts=counts, filled_s=filled_s, size_bytes=size_bytes)


def _fill(ledger: Ledger, hours: int) -> float:
    began_s = time.perf_counter()
    for number, symbol in enumerate(_MARKETS):
        candles = _walk(symbol, number, hours + len(_HORIZONS) + 4)
        for first in range(0, hours, 500):
            ledger.append([_forecast(candles, row) for row in range(first, min(hours, first + 500))])
        ledger.score(candles)
    return time.perf_counter() - began_s


def _rows(ledger: Ledger, counts: dict[str, int], rounds: int) -> list[Row]:
    (model,) = ledger.models(Interval.H1)
    scored = f"{counts['scored']:,} scores"
    works: dict[str, Callable[[], object]] = {
        "one": lambda: ledger.skill(model_id="bench", symbol=_MARKETS[3]),
        "each": lambda: [ledger.skill(model_id="bench", symbol=symbol) for symbol in _MARKETS],
        "all": lambda: ledger.skills(model_id="bench", symbols=_MARKETS),
        "table": lambda: ledger.skills_by_horizon(model_id="bench", symbols=(None, *_MARKETS), horizons=SHOWN_HORIZONS),
        "latest": lambda: ledger.latest([model]),
        "detail": lambda: ledger.details([model], [6], 60),
        "check": lambda: ledger.check(most=20_000),
        "recent": lambda: ledger.recent(_MARKETS[3], Interval.H1, 100),
    }
    timed = {name: (lambda work=work: 1e3 * seconds_per_call(work, 3)) for name, work in works.items()}
    seen = {name: reading(values, "ms") for name, values in interleaved(timed, rounds).items()}
    walked = seconds_per_call(ledger.verify, 1) / counts["forecasts"]
    return [
        at_least(
            f"skills of 20 markets at once, against one by one ({scored})",
            seen["all"],
            seen["each"],
            seen["each"].median / seen["all"].median,
            2,
        ),
        at_most("skill of one market", seen["one"], 10),
        at_most("skills of 20 markets at 5 horizons, for the page", seen["table"], 150),
        at_most("newest forecast of 20 markets", seen["latest"], 25),
        at_most("outcomes, course and hours of one horizon", seen["detail"], 25),
        at_most("100 newest rows of a market", seen["recent"], 25),
        at_most("20,000 rows of the chain walked", seen["check"], 1_000),
        at_most("whole chain walked, per forecast", reading([1e6 * walked], "µs"), 50),
    ]


def _page_rows(folder: str, counts: dict[str, int], rounds: int) -> list[Row]:
    """What readers ask of it, of the real application without a market: the page and the file of all forecasts, made
    anew as they are after each score, and the page from its stored bytes."""
    from app import create_app
    from config import load_settings

    symbols, address = ",".join(_MARKETS), f"sqlite:///{folder}/bench.db"
    settings = load_settings({}, None, instance_path=folder, database_url=address, symbols=symbols, intervals="1h")
    app = create_app(settings)
    services, client = app.extensions["services"], app.test_client()
    try:
        services.ledger.use(BINANCE)

        def asked(path: str, *, anew: bool = True, walked: bool = False) -> float:
            if anew:
                services.pages.clear()
                services.ledger.told_changes(services.ledger.changes + 1)
            if walked:
                services.data_cache.clear("long ledger chain")
            began_s = time.perf_counter()
            answer = client.get(path)
            took_s = time.perf_counter() - began_s
            assert answer.status_code == 200, answer.text[:300]
            assert str(_MARKETS[-1]) in answer.text
            return 1e3 * took_s

        asked("/forecasts")
        works = {
            "page": partial(asked, "/forecasts"),
            "walked": partial(asked, "/forecasts", walked=True),
            "stored": partial(asked, "/forecasts", anew=False),
            "file": partial(asked, "/forecasts.csv"),
        }
        seen = readings(works, rounds, "ms")
    finally:
        app.extensions["parts"].database.close()
    scored, walked = f"{counts['scored']:,} scores", f"{min(20_000, counts['forecasts']):,} rows of the chain"
    return [
        at_most(f"/forecasts made anew after a score ({scored})", seen["page"], _PAGE_MS),
        at_most(f"/forecasts.csv made anew after a score ({scored})", seen["file"], _PAGE_MS),
        faster(
            f"/forecasts made anew, against following {walked} with it",
            seen["page"],
            seen["walked"],
            1.3,
        ),
        faster("/forecasts from stored bytes, against made anew", seen["stored"], seen["page"], 10),
    ]


def _walk(symbol: Symbol, seed: int, count: int) -> Candles:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    times = _START_MS + np.arange(count, dtype=np.int64) * Interval.H1.ms
    unknown = np.full(count, np.nan)
    columns = [close, close * 1.001, close * 0.999, close, np.ones(count), *(unknown.copy() for _ in range(4))]
    return Candles.from_columns(symbol, Interval.H1, times, columns)


def _forecast(candles: Candles, row: int) -> Forecast:
    open_ms = int(candles.open_time_ms[row])
    sigma = 0.01 * (1 + 0.3 * np.sin(row / 50))
    return Forecast(
        model_id="bench",
        model_digest="b" * 64,
        symbol=candles.symbol,
        interval=candles.interval,
        candles_digest="",
        last_open_time_ms=open_ms,
        last_close=float(candles.close[row]),
        sigma=sigma,
        made_at_ms=candles.interval.close_ms(open_ms) + 500,
        quantiles=_QUANTILES,
        horizons=_HORIZONS,
        log_returns=_NAIVE * sigma * 0.98,
        baseline_log_returns=_NAIVE * sigma,
    )


if __name__ == "__main__":
    run()
