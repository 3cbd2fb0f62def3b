"""Sums beside the scores: what a page needs of a million of them, in as many rows as there are cells. No SQL here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from models.ledger_scores import Decided, State

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHOWN_HORIZONS = (1, 3, 6, 12, 24)
"""Candles ahead of which pages keep more than the daily sums."""
EVERY_HORIZON = 0
EVERY_SYMBOL = ""
WEATHER_SUMS = ("scored", "loss", "baseline_loss")
BAND_SUMS = ("scored", "shown_50", "shown_90", "shown_loss", "raw_50", "raw_90", "raw_loss")
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
_BINS_PER_OCTAVE = 8
_THIRDS = 3


@dataclass(frozen=True, slots=True)
class Weather:
    """Sums by UTC hour of the forecast (24) and third of the forecasts by volatility (3): calm, usual, lively.

    `edges` are the EWMA volatilities per candle between the thirds, as fractions.
    """

    count: Floats
    loss: Floats
    baseline_loss: Floats
    edges: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Bands:
    """What calibration did to the forecasts that were scored: shares of outcomes in the bands, and mean losses, of the
    bands as shown and as the model itself gave them. None of nothing."""

    scored: int
    shown_50: float | None
    shown_90: float | None
    shown_loss: float | None
    raw_50: float | None
    raw_90: float | None
    raw_loss: float | None

    @classmethod
    def of(cls, sums: Mapping[str, float]) -> Bands:
        count = int(sums["scored"])
        means = {name: sums[name] / count if count else None for name in BAND_SUMS[1:]}
        return cls(count, **means)


@dataclass(frozen=True, slots=True)
class Course:
    """How the loss went: from the oldest to the newest stretch of days, each (m,)."""

    from_ms: Ints
    until_ms: Ints
    count: Floats
    loss: Floats
    baseline_loss: Floats


@dataclass(frozen=True, slots=True)
class Detail:
    """What is kept of one model at one horizon over all markets; `ranks` (q + 1,) count the outcomes below the lowest
    quantile, between each two, and above the highest."""

    ranks: Floats
    course: Course
    weather: Weather


def day_sums(
    decided: Decided, places: NDArray[np.intp], horizons: tuple[int, ...], starts_ms: Ints, symbol: str
) -> list[dict[str, Any]]:
    """What these scores add to each horizon and day, of the market and of all, at the horizon and at any."""
    i, j = places.T
    scored = decided.state[i, j] == State.SCORED
    spoken = scored & (decided.direction[i, j] != 0)
    columns = {
        "scored": scored,
        "unscorable": ~scored,
        "loss": np.where(scored, decided.loss[i, j], 0.0),
        "baseline_loss": np.where(scored, decided.baseline_loss[i, j], 0.0),
        "inside_50": scored & decided.inside_50[i, j],
        "inside_90": scored & decided.inside_90[i, j],
        "directional": spoken,
        "hits": spoken & (decided.direction[i, j] > 0),
    }
    cells = np.stack([np.array(horizons)[j], (starts_ms // _DAY_MS)[i]])
    whole = np.stack([np.full(len(j), EVERY_HORIZON), cells[1]])
    found = [*_cells(cells, columns, ("horizon", "day")), *_cells(whole, columns, ("horizon", "day"))]
    return [{"symbol": name, **row} for name in (symbol, EVERY_SYMBOL) for row in found]


def rank_sums(decided: Decided, places: NDArray[np.intp], horizons: tuple[int, ...]) -> list[dict[str, Any]]:
    """How many outcomes fell between which quantiles: rank 0 is below the lowest."""
    i, j = _scored(decided, places, horizons)
    cells = np.stack([np.array(horizons)[j], decided.rank[i, j]])
    return _cells(cells, {"scored": np.ones(len(i))}, ("horizon", "rank"))


def weather_sums(
    decided: Decided,
    places: NDArray[np.intp],
    horizons: tuple[int, ...],
    starts_ms: Ints,
    sigmas: Floats,
    interval: Interval,
) -> list[dict[str, Any]]:
    """By UTC hour at which the forecast starts, and volatility in eighths of an octave."""
    i, j = _scored(decided, places, horizons)
    hours = (starts_ms + interval.ms) // _HOUR_MS % 24
    bins = np.floor(_BINS_PER_OCTAVE * np.log2(sigmas)).astype(np.int64)
    columns = {
        "scored": np.ones(len(i)),
        "loss": decided.loss[i, j],
        "baseline_loss": decided.baseline_loss[i, j],
    }
    return _cells(np.stack([np.array(horizons)[j], hours[i], bins[i]]), columns, ("horizon", "hour", "bin"))


def band_sums(
    shown: Decided, raw: Decided, places: NDArray[np.intp], horizons: tuple[int, ...], symbol: str
) -> list[dict[str, Any]]:
    """What the scores of calibrated forecasts add, of the market and of all, at the horizon and at any."""
    i, j = places[shown.state[tuple(places.T)] == State.SCORED].T
    columns = {"scored": np.ones(len(i))}
    for name, decided in (("shown", shown), ("raw", raw)):
        columns |= {
            f"{name}_50": decided.inside_50[i, j],
            f"{name}_90": decided.inside_90[i, j],
            f"{name}_loss": decided.loss[i, j],
        }
    found = []
    for ahead in (np.array(horizons)[j], np.full(len(j), EVERY_HORIZON)):
        found += _cells(ahead[None], columns, ("horizon",))
    return [{"symbol": name, **row} for name in (symbol, EVERY_SYMBOL) for row in found]


def weather_of(hours: Ints, bins: Ints, sums: Mapping[str, Floats]) -> Weather:
    """From the cells of one horizon, each (m,): the bins are put into thirds of about equally many forecasts."""
    shape = (24, _THIRDS)
    tables = {name: np.zeros(shape) for name in WEATHER_SUMS}
    if not len(bins):
        return Weather(tables["scored"], tables["loss"], tables["baseline_loss"], None)
    known, labels = np.unique(bins, return_inverse=True)
    counts = np.bincount(labels, weights=sums["scored"])
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    thirds = np.minimum((middle * _THIRDS).astype(np.int64), _THIRDS - 1)
    for name, table in tables.items():
        np.add.at(table, (hours, thirds[labels]), sums[name])
    edges = [float(2.0 ** ((known[thirds <= third].max(initial=known[0]) + 1) / _BINS_PER_OCTAVE)) for third in (0, 1)]
    return Weather(tables["scored"], tables["loss"], tables["baseline_loss"], (edges[0], edges[1]))


def _scored(
    decided: Decided, places: NDArray[np.intp], horizons: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    i, j = places.T
    wanted = (decided.state[i, j] == State.SCORED) & np.isin(np.array(horizons)[j], SHOWN_HORIZONS)
    return i[wanted], j[wanted]


def _cells(cells: Ints, columns: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """cells (k, m), columns (m,) → one row per distinct cell, with the sum of each column."""
    if not cells.shape[1]:
        return []
    known, labels = np.unique(cells, axis=1, return_inverse=True)
    sums = {name: np.bincount(labels.ravel(), weights=column).tolist() for name, column in columns.items()}
    return [
        dict(zip(names, place, strict=True)) | {name: sums[name][cell] for name in columns}
        for cell, place in enumerate(known.T.tolist())
    ]
