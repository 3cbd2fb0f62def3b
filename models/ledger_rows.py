"""Ledger rows: forecasts and scores as the tables hold them, and as values. No SQL here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.baseline import naive_log_returns
from models.forecast import Forecast
from models.ledger_scores import Decided, LedgerModel, LedgerRow, State, target_times


@dataclass(frozen=True, slots=True)
class Batch:
    """Forecasts of one model in one market, as columns: (n,), and (n, h, q)."""

    model: LedgerModel
    symbol: Symbol
    starts_ms: NDArray[np.int64]
    made_at_ms: NDArray[np.int64]
    closes: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    log_returns: NDArray[np.float64]
    answers: tuple[NDArray[np.float32] | None, ...]
    """(h, q) each, in sigma, before calibration; None of a forecast that was not calibrated."""

    @property
    def calibrated(self) -> NDArray[np.bool_]:
        """(n,)"""
        return np.array([answer is not None for answer in self.answers], dtype=bool)

    @property
    def raw(self) -> NDArray[np.float64]:
        """(n, h, q) log returns as the model itself gave them."""
        raw = self.log_returns.copy()
        for place, answer in enumerate(self.answers):
            if answer is not None:
                raw[place] = answer.astype(np.float64) * self.sigmas[place]
        return raw

    @property
    def naive(self) -> NDArray[np.float64]:
        return naive_log_returns(self.model.baseline, self.sigmas)


def batch_of(model: LedgerModel, symbol: Symbol, rows: Sequence[Any]) -> Batch:
    """Rows of FORECASTS with the model's own answer of RAW, all of one model and market, in their order."""
    return Batch(
        model=model,
        symbol=symbol,
        starts_ms=np.array([row.last_open_time_ms for row in rows], dtype=np.int64),
        made_at_ms=np.array([row.made_at_ms for row in rows], dtype=np.int64),
        closes=np.array([row.last_close for row in rows]),
        sigmas=np.array([row.sigma for row in rows]),
        log_returns=np.stack([unpack(row.log_returns, model) for row in rows]),
        answers=tuple(
            None if row.answer is None else np.frombuffer(row.answer, dtype="<f4").reshape(model.shape) for row in rows
        ),
    )


def forecast_row(model: int, forecast: Forecast) -> dict[str, object]:
    """As FORECASTS holds it, for the model of that key; every horizon is open until it is scored."""
    return {
        "model": model,
        "symbol": str(forecast.symbol),
        "last_open_time_ms": forecast.last_open_time_ms,
        "made_at_ms": forecast.made_at_ms,
        "last_close": forecast.last_close,
        "sigma": forecast.sigma,
        "log_returns": np.ascontiguousarray(forecast.log_returns, dtype="<f8").tobytes(),
        "open_mask": (1 << len(forecast.horizons)) - 1,
    }


def own_answer(forecast: Forecast) -> bytes | None:
    """What the model itself said, as RAW holds it; None where nothing was calibrated."""
    if forecast.stretch is None:
        return None
    return np.ascontiguousarray(forecast.stretch.answer, dtype="<f4").tobytes()


def unpack(content: bytes, model: LedgerModel) -> NDArray[np.float64]:
    """Log returns (h, q) as they are packed in FORECASTS."""
    return np.frombuffer(content, dtype="<f8").reshape(model.shape)


def score_rows(
    decided: Decided, places: NDArray[np.intp], model: LedgerModel, rows: Sequence[Any], now_ms: int
) -> list[dict[str, Any]]:
    """What was decided of the forecasts `rows`, one row of SCORES for each of `places`, (k, 2): row and horizon."""
    i, j = places.T
    state = decided.state[i, j].tolist()
    realised, loss, baseline_loss = (
        _known(values[i, j]) for values in (decided.realised, decided.loss, decided.baseline_loss)
    )
    return [
        {
            "forecast": rows[row].key,
            "horizon": model.horizons[column],
            "scored_at_ms": now_ms,
            "state": state[place],
            "realised": realised[place],
            "loss": loss[place],
            "baseline_loss": baseline_loss[place],
        }
        for place, (row, column) in enumerate(places.tolist())
    ]


def ledger_rows(model: LedgerModel, interval: Interval, forecast: Any, scores: dict[int, Any]) -> list[LedgerRow]:
    """One stored forecast as its readers want it: a row per horizon, open where `scores` (by horizon) has none."""
    log_returns = unpack(forecast.log_returns, model)
    naive = naive_log_returns(model.baseline, forecast.sigma)
    targets = target_times(interval, np.array(forecast.last_open_time_ms), model.horizons)
    return [
        LedgerRow(
            model_id=model.id,
            model_digest=model.digest,
            symbol=Symbol(forecast.symbol),
            interval=interval,
            last_open_time_ms=forecast.last_open_time_ms,
            made_at_ms=forecast.made_at_ms,
            horizon=horizon,
            target_open_time_ms=int(targets[place]),
            last_close=forecast.last_close,
            sigma=forecast.sigma,
            quantiles=model.quantiles,
            log_returns=tuple(log_returns[place].tolist()),
            baseline_log_returns=tuple(naive[place].tolist()),
            state=State(scores[horizon].state) if horizon in scores else State.OPEN,
            realised=scores[horizon].realised if horizon in scores else None,
            loss=scores[horizon].loss if horizon in scores else None,
            baseline_loss=scores[horizon].baseline_loss if horizon in scores else None,
        )
        for place, horizon in enumerate(model.horizons)
    ]


def _known(values: NDArray[np.float64]) -> list[float | None]:
    """(m,) with None for what is not finite."""
    return [
        value if known else None for value, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]
