"""Forecast: what a model says of one market's coming returns, from its closed candles alone; or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """How a forecast's bands were calibrated (models.conformal)."""

    answer: NDArray[np.float32] = field(repr=False)
    """(h, q) what the model itself said, in sigma."""
    factors: Floats = field(repr=False)
    """(h, b) by which its bands were stretched."""
    start: Floats = field(repr=False)
    """(h, b) the factors before the first outcome."""
    split: int
    """Outcomes behind `start`, from a slice that was not trained on; 0: the model's own bands."""
    outcomes: int
    """Outcomes of this market that have moved the factors since."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """The input that lies furthest from what the model was trained on.

    `distance` from the mean of its training, signed, in its standard deviations; `far`: so far that it is a guess.
    """

    feature: str
    distance: float
    far: bool


@dataclass(frozen=True, slots=True)
class Mix:
    """By which members, of which versions and weights, an ensemble's forecast was made."""

    record: str
    """Names all versions of the ensemble together."""
    version: int
    """Which weights they are, counted since its members came together."""
    weighed_ms: int
    weights: tuple[tuple[str, float], ...]
    """By the members' ids, as they made this forecast."""
    digests: tuple[str, ...]
    """Of these members, in the same order."""
    left_out: tuple[str, ...]
    """Members that had no forecast, whose weight the others have got."""


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the coming log returns of one market, made from its closed candles alone."""

    model_id: str
    model_digest: str
    symbol: Symbol
    interval: Interval
    candles_digest: str
    last_open_time_ms: int
    last_close: float
    sigma: float
    """EWMA volatility per candle of log returns."""
    made_at_ms: int
    quantiles: tuple[float, ...]
    horizons: tuple[int, ...]
    """Candles ahead."""
    log_returns: Floats = field(repr=False)
    """(h, q) from the last close, as shown and scored."""
    baseline_log_returns: Floats = field(repr=False)
    """(h, q) of the naive forecast."""
    stretch: Stretch | None = field(default=None, repr=False)
    """None where the model's own bands are shown."""
    novelty: Novelty | None = field(default=None, repr=False)
    """None where it is not known what the model was trained on."""
    mix: Mix | None = field(default=None, repr=False)
    """None where one model alone made it."""

    @property
    def record(self) -> str:
        """Under which the ledger adds up how such forecasts did: a model's version, an ensemble of whatever weights."""
        return self.model_digest if self.mix is None else self.mix.record

    @cached_property
    def prices(self) -> Floats:
        """(h, q) in the quote asset."""
        return np.asarray(self.last_close * np.exp(self.log_returns))

    @cached_property
    def baseline_prices(self) -> Floats:
        """(h, q) in the quote asset."""
        return np.asarray(self.last_close * np.exp(self.baseline_log_returns))


@dataclass(frozen=True, slots=True)
class NoForecast:
    """Why a market has none."""

    symbol: Symbol
    reason: str
    lasting: bool = True
    """It follows from the candles; False where another try may succeed."""
