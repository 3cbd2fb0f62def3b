"""Tables: what the page of one market shows, as CSV for a spreadsheet. Times are UTC milliseconds, gaps are empty."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.candles import FLOAT_COLUMNS
from routes.digits import significant
from routes.gathered import CHART_CANDLES, Gathered


def candles_csv(gathered: Gathered) -> str:
    candles = gathered.candles.tail(CHART_CANDLES)
    columns = [candles.open_time_ms.tolist(), *(getattr(candles, name).tolist() for name in FLOAT_COLUMNS)]
    return csv_text(("open_time_ms", *FLOAT_COLUMNS), zip(*columns, strict=True))


def indicators_csv(gathered: Gathered) -> str:
    times = gathered.candles.tail(CHART_CANDLES).open_time_ms
    names = tuple(gathered.indicators.names)
    columns = significant([gathered.indicators.column(name)[-len(times) :] for name in names]).tolist()
    return csv_text(("open_time_ms", *names), zip(times.tolist(), *columns, strict=True))


def forecast_csv(gathered: Gathered) -> str:
    """One row per horizon: the model's quantile prices, then the naive forecast's. Only the heading without a model."""
    forecast = gathered.forecast
    if forecast is None:
        return csv_text(("horizon", "open_time_ms"), ())
    levels = [f"{level * 100:02.0f}" for level in forecast.quantiles]
    header = ["horizon", "open_time_ms", *(f"q{level}" for level in levels), *(f"naive_q{level}" for level in levels)]
    rows = significant(np.concatenate([forecast.prices, forecast.baseline_prices], axis=1)).tolist()
    times = [forecast.interval.shift_ms(forecast.last_open_time_ms, int(ahead)) for ahead in forecast.horizons]
    return csv_text(header, ([*pair, *row] for *pair, row in zip(forecast.horizons, times, rows, strict=True)))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value
