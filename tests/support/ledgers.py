"""Forecasts for the ledger, and ledgers that have scored some, for tests."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from data.candles import Candles
from data.database import Database
from data.symbol import Symbol
from models import conformal
from models.forecast import Forecast, Stretch
from models.ledger import Ledger
from tests.support import tiny_model

HOUR_MS = 3_600_000
BTC = Symbol("BTCUSDT")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def forecast(candles: Candles, row: int, *, bias: float = 0.001, **changes: object) -> Forecast:
    """Made at the close of candle `row`; its bands are the naive ones moved by `bias`."""
    naive = tiny_model.NAIVE * 0.01
    whole = Forecast(
        model_id="tiny",
        model_digest="d" * 64,
        symbol=candles.symbol,
        interval=candles.interval,
        candles_digest="c",
        last_open_time_ms=int(candles.open_time_ms[row]),
        last_close=float(candles.close[row]),
        sigma=0.01,
        made_at_ms=candles.interval.close_ms(int(candles.open_time_ms[row])) + 500,
        quantiles=(0.05, 0.25, 0.5, 0.75, 0.95),
        horizons=tuple(range(1, 25)),
        log_returns=naive + bias,
        baseline_log_returns=naive,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def written(
    ledger: Ledger, *, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"), count: int = 150
) -> dict[str, Candles]:
    """Forecasts of two markets at every candle but the last 30, none judged yet."""
    markets = {name: tiny_model.candles(count + 30, symbol=name, seed=seed) for seed, name in enumerate(symbols, 7)}
    for candles in markets.values():
        ledger.append([forecast(candles, row, sigma=0.005 * (1 + row % 3)) for row in range(count)])
    return markets


def scored(
    ledger: Ledger, *, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"), count: int = 150
) -> dict[str, Candles]:
    """The same, all decided and judged."""
    markets = written(ledger, symbols=symbols, count=count)
    for candles in markets.values():
        ledger.score(candles)
    return markets


def change(database: Database, statement: str) -> None:
    """SQLite's word for zero bytes is put into PostgreSQL's words."""
    if database.engine.dialect.name == "postgresql":
        statement = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
    with database.write() as connection:
        assert connection.execute(sa.text(statement)).rowcount > 0


def stretched(candles: Candles, row: int, factors: NDArray[np.float64], start: NDArray[np.float64]) -> Forecast:
    """What the model says is twice as narrow as the naive bands."""
    answer = (0.5 * tiny_model.NAIVE).astype(np.float32)
    shown = conformal.stretched(answer.astype(np.float64) * 0.01, factors, QUANTILES)
    made = forecast(candles, row)
    return replace(made, log_returns=shown, stretch=Stretch(answer, factors, start, 0, 0))
