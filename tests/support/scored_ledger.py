"""A ledger with a past: forecasts of real candles, written and scored through the ledger's own doors."""

from __future__ import annotations

from dataclasses import replace

from data.features import ewma_sigma
from models.baseline import naive_log_returns
from models.forecaster import Forecast
from models.registry import Registry
from models.spec import ModelSpec
from tests.support.browser import Replay


def give_past(replay: Replay, candles_back: int, *, sharper: float = 0.97, drift: float = 0.0) -> int:
    """One forecast per market and candle, its bands the naive ones times `sharper`, moved by `drift`; how many."""
    parts = replay.app.extensions["parts"]
    registry: Registry = parts.services.registry
    ledger, written = parts.services.ledger, 0
    for symbol in replay.real:
        candles = replay.market.candles(symbol, replay.market.intervals[0])
        entry = registry.default(candles.interval)
        now = parts.services.forecaster.forecast(candles)
        assert entry is not None
        assert entry.spec is not None
        assert now is not None
        sigmas = ewma_sigma(candles)
        past = [
            made_at(now, candles.row(row).open_time_ms, float(candles.close[row]), float(sigmas[row]), entry.spec)
            for row in range(len(candles) - candles_back, len(candles) - 1)
        ]
        written += ledger.append(
            replace(one, log_returns=one.baseline_log_returns * sharper + drift) for one in [*past]
        )
        written += ledger.append([now])
        ledger.score(candles)
    return written


def made_at(now: Forecast, open_ms: int, close: float, sigma: float, spec: ModelSpec) -> Forecast:
    baseline = naive_log_returns(spec.baseline_array, sigma)
    return replace(
        now,
        last_open_time_ms=open_ms,
        last_close=close,
        sigma=sigma,
        made_at_ms=now.interval.close_ms(open_ms) + 500,
        baseline_log_returns=baseline,
    )
