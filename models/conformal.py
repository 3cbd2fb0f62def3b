"""Conformal calibration: bands widened until as many outcomes fall inside as was said, and kept so as outcomes arrive.

**Split** (Papadopoulos et al. 2002; for quantile bands Romano, Patterson & Candès 2019, here in multiples of the band's
own half-widths): on a calibration slice that was not trained on, the score of an outcome y and a band [lo, hi] around
the median m is the factor by which the band must be stretched to hold it,

    E = max((m − y) / (m − lo), (y − m) / (hi − m)),

and the band's factor is the ⌈(n + 1)(1 − α)⌉-th smallest score, per horizon, for the inner (50 %) and the outer (90 %)
band.

**Online** (adaptive conformal inference, Gibbs & Candès 2021, in its quantile-tracking form, Angelopoulos, Candès &
Tibshirani 2023): after each moment's outcomes, with err the share of them outside the band that was given,

    ln factor ← ln factor + γ/h · (err − α),

so that over time the share outside tends to α whatever the market does: |mean err − α| ≤ h · range of ln factor / γt.
γ is divided by the horizon h because the outcomes of h neighbouring forecasts overlap and are wrong together: without
that the bands at 24 candles chase the last day, and coverage is bought with skill (docs/judging.md has the numbers).

The state is three arrays of plain numbers. The median never moves, and quantiles never cross.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.errors import InvalidInput

Floats = NDArray[np.float64]
GAMMA = 0.02
"""At one candle ahead a miss widens the 90 % band by 1.8 % and a hit narrows it by 0.2 %; at 24, by a 24th of that. The
largest of those tried that costs no more than 0.1 percentage point of skill at any horizon (docs/judging.md)."""
FACTOR_LIMITS = (0.25, 4.0)
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors (h, b) of each horizon's bands, the inner one (b = 0) first, and how many outcomes made them.

    `levels`: the central coverage of each band, increasing (0.5, 0.9).
    """

    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    levels: tuple[float, ...]
    factors: Floats
    count: int = 0

    @classmethod
    def neutral(cls, horizons: Sequence[int], quantiles: Sequence[float]) -> Calibration:
        """Every factor 1: the model's own bands."""
        levels = band_levels(quantiles)
        return cls(tuple(horizons), tuple(quantiles), levels, np.ones((len(horizons), len(levels))))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Calibration:
        """What `to_dict` gave; InvalidInput where it is something else."""
        try:
            factors = np.array(value["factors"], dtype=np.float64)
            made = cls.neutral([int(one) for one in value["horizons"]], [float(one) for one in value["quantiles"]])
            count = int(value["count"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"this is no calibration: {error!r}; it needs horizons, quantiles, factors, count"
            ) from error
        if factors.shape != made.factors.shape or not np.all(factors > 0):
            raise InvalidInput(
                f"factors of shape {factors.shape} do not fit; positive ones of {made.factors.shape} are needed"
            )
        return cls(made.horizons, made.quantiles, made.levels, factors, count)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, as for a spec or a ledger."""
        return {
            "horizons": list(self.horizons),
            "quantiles": list(self.quantiles),
            "factors": self.factors.tolist(),
            "count": self.count,
        }

    def apply(self, forecast: ArrayLike) -> Floats:
        """Quantiles (…, h, q) → the same with each band stretched around the median; ordered as they were."""
        given = np.asarray(forecast, dtype=np.float64)
        return stretched(given, self.factors, self.quantiles)

    def observed(self, forecast: ArrayLike, realised: ArrayLike, gamma: float = GAMMA) -> Calibration:
        """After one moment's outcomes: `forecast` (n, h, q) as it was given, already stretched; `realised` (n, h).

        Horizons without an outcome (NaN) keep their factors. A forecast that has been scored must not come again.
        """
        given, outcome = np.asarray(forecast, dtype=np.float64), np.asarray(realised, dtype=np.float64)
        known: NDArray[np.bool_] = np.isfinite(outcome)
        share_outside = missed(given, outcome, self.quantiles)
        seen = np.asarray(known.any(axis=0))
        steps = np.where(seen[:, None], share_outside - (1.0 - np.array(self.levels)), 0.0)
        rates = gamma / np.array(self.horizons, dtype=np.float64)[:, None]
        factors = bounded(self.factors * np.exp(rates * steps))
        return Calibration(self.horizons, self.quantiles, self.levels, factors, self.count + int(known.sum()))


def calibrate(
    forecast: ArrayLike, realised: ArrayLike, horizons: Sequence[int], quantiles: Sequence[float]
) -> Calibration:
    """Split conformal factors from forecasts (n, h, q) and outcomes (n, h) of a slice that was not trained on."""
    given, outcome = np.asarray(forecast, dtype=np.float64), np.asarray(realised, dtype=np.float64)
    levels = band_levels(quantiles)
    factors = np.ones((len(horizons), len(levels)))
    for (band, level), place in itertools.product(enumerate(levels), range(len(horizons))):
        scores = stretch_needed(given[:, place], outcome[:, place], quantiles, band)
        scores = scores[np.isfinite(scores)]
        rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
        if rank > len(scores):
            raise InvalidInput(
                f"{len(scores)} outcomes at horizon {horizons[place]} cannot calibrate a {100 * level:g} % band; at "
                f"least {int(np.ceil(level / (1 - level) - 1e-9))} are needed"
            )
        factors[place, band] = np.partition(scores, rank - 1)[rank - 1]
    count = int(np.isfinite(outcome).sum())
    return Calibration(tuple(horizons), tuple(quantiles), levels, bounded(factors), count)


def band_levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Central coverage of each pair of quantiles around the median, the inner one first: five give (0.5, 0.9)."""
    count = len(quantiles)
    paired = all(abs(low + high - 1.0) < 1e-9 for low, high in zip(quantiles, reversed(quantiles), strict=True))
    if count % 2 == 0 or count < 3 or not paired:
        raise InvalidInput(
            f"quantiles {list(quantiles)} are not symmetric around a median; use for instance 0.05 … 0.95"
        )
    middle = count // 2
    return tuple(round(quantiles[middle + step] - quantiles[middle - step], 9) for step in range(1, middle + 1))


def stretch_needed(forecast: Floats, realised: Floats, quantiles: Sequence[float], band: int) -> Floats:
    """E (n,) of outcomes (n,) and quantiles (n, q) for one band, 0 the innermost; NaN where an outcome is not known."""
    middle = len(quantiles) // 2
    centre = forecast[:, middle]
    below = np.maximum(centre - forecast[:, middle - 1 - band], _TINY)
    above = np.maximum(forecast[:, middle + 1 + band] - centre, _TINY)
    return np.asarray(np.maximum((centre - realised) / below, (realised - centre) / above))


def stretched(forecast: Floats, factors: Floats, quantiles: Sequence[float]) -> Floats:
    """(…, h, q) and factors (…, h, b) → (…, h, q); a band that would cross the one inside it takes that one's edge."""
    middle = len(quantiles) // 2
    result = forecast.copy()
    centre = forecast[..., middle]
    for band in range(middle):
        for side in (-1, 1):
            place = middle + side * (band + 1)
            moved = centre + factors[..., band] * (forecast[..., place] - centre)
            inner = result[..., place - side]
            result[..., place] = np.minimum(moved, inner) if side < 0 else np.maximum(moved, inner)
    return result


def outside(forecast: Floats, realised: Floats, quantiles: Sequence[float]) -> NDArray[np.bool_]:
    """(…, h, b): whether outcomes (…, h) lie outside each band of quantiles (…, h, q); an unknown one does not."""
    middle = len(quantiles) // 2
    bands = [
        (realised < forecast[..., middle - band]) | (realised > forecast[..., middle + band])
        for band in range(1, middle + 1)
    ]
    return np.stack(bands, axis=-1)


def missed(forecast: Floats, realised: Floats, quantiles: Sequence[float]) -> Floats:
    """(h, b): the share of known outcomes (n, h) outside each band of quantiles (n, h, q); 0 where none is known."""
    counts = np.maximum(np.isfinite(realised).sum(axis=0), 1)
    shares: Floats = outside(forecast, realised, quantiles).sum(axis=0) / counts[:, None]
    return shares


def bounded(factors: Floats) -> Floats:
    """Inside FACTOR_LIMITS: what a market does in a month must not blow a band up for good."""
    kept: Floats = np.clip(factors, *FACTOR_LIMITS)
    return kept
