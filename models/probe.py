"""Probe: a forecaster learned in closed form by numpy alone, in seconds: is there anything to learn at all?

Scale first, shape second: with x the standardised inputs of the newest candle and y the outcome in units of sigma·√h,

    s(x) = exp(ridge of ln(|y| + ε))          how wide, relative to what sigma says (a multiplicative volatility model)
    m(x) = ridge of y, cut at its tails       where the middle lies
    z_τ  = the τ-quantile of (y − m(x)) / s(x) on the training windows
    q_τ  = (m(x) + s(x)·z_τ) · √h

Ridge strengths (Hoerl & Kennard 1970) are chosen by pinball loss on the validation windows, up to infinity, where the
probe is a random walk of constant shape. Quantiles cannot cross, since s > 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.laid import laid, roots, shape_of
from models.samples import Ints, Samples
from models.scaling import fit_scaler
from models.scoring import pinball_loss
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
STRENGTHS = (1e9, 10.0, 1.0, 0.1, 0.01)
"""Ridge penalties per training window, the strongest first: it wins a tie."""
MIN_WINDOWS = 100
CLIP = 6.0
_TAIL = 0.01
_FLOOR = 0.1


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe. Arrays: mean, std (f,); middle, width (f + 1, h), the last row the constant; shape (h, q).

    `reach` (2, 2, h): the least and the most of middle and of log width on the training windows; nothing goes beyond.
    """

    horizons: tuple[int, ...]
    mean: Floats
    std: Floats
    middle: Floats
    width: Floats
    reach: Floats
    shape: Floats

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw windows (b, w, f) → quantiles (b, h, q) in units of sigma."""
        return self.at(windows[:, -1]).astype(np.float32)

    def at(self, rows: NDArray[np.float32]) -> Floats:
        """Raw inputs of the newest candles (b, f) → quantiles (b, h, q) in units of sigma."""
        inputs = _with_one(rows, self.mean, self.std)
        middle, width = (np.clip(inputs @ one, *reach) for one, reach in zip(self.lines, self.reach, strict=True))
        return laid(middle, width, self.shape, self.horizons)

    @property
    def lines(self) -> tuple[Floats, Floats]:
        return self.middle, self.width


def fit_probe(
    samples: Samples,
    train: Ints,
    validation: Ints,
    horizons: Sequence[int],
    quantiles: Sequence[float],
    *,
    still: bool = False,
) -> Probe:
    """Fits to `train` and chooses its strengths on `validation`, ends of `samples` whose outcomes are all known.

    `still`: the middle does not move with the inputs.
    """
    if min(len(train), len(validation)) < MIN_WINDOWS:
        raise InvalidInput(
            f"{len(train)} training and {len(validation)} validation windows are too few; at least {MIN_WINDOWS} of "
            "each are needed: give a longer history or more symbols"
        )
    root = roots(horizons)
    mean, std = fit_scaler(samples.features, train)
    known, unseen = (_with_one(samples.features[rows], mean, std) for rows in (train, validation))
    outcome, unseen_outcome = samples.scaled[train] / root, samples.scaled[validation] / root
    widths = _paths(known, log_size(outcome))
    middles = _paths(known, without_tails(outcome))[: 1 if still else None]

    def loss(middle: Floats, width: Floats) -> float:
        shape = shape_of(outcome, known @ middle, known @ width, quantiles)
        forecast = laid(unseen @ middle, unseen @ width, shape, horizons) / root[:, None]
        return float(pinball_loss(unseen_outcome, forecast, quantiles).mean())

    width = min(widths, key=lambda one: loss(middles[0], one))
    middle = min(middles, key=lambda one: loss(one, width))
    lines = known @ middle, known @ width
    reach = np.array([[line.min(axis=0), line.max(axis=0)] for line in lines])
    return Probe(tuple(horizons), mean, std, middle, width, reach, shape_of(outcome, *lines, quantiles))


def log_size(outcome: Floats) -> Floats:
    """(n, h) ln(|y| + ε), ε a tenth of the mean size: what the log width is learned from."""
    size = np.abs(outcome)
    logs: Floats = np.log(size + _FLOOR * size.mean(axis=0))
    return logs


def without_tails(outcome: Floats) -> Floats:
    """(n, h) cut at the 1 % tails: what the middle is learned from."""
    return np.clip(outcome, *np.quantile(outcome, [_TAIL, 1.0 - _TAIL], axis=0))


def _with_one(rows: NDArray[np.float32], mean: Floats, std: Floats) -> Floats:
    scaled = np.clip((rows.astype(np.float64) - mean) / std, -CLIP, CLIP)
    return np.concatenate([scaled, np.ones((len(rows), 1))], axis=1)


def _paths(inputs: Floats, targets: Floats) -> list[Floats]:
    """(f + 1, h) coefficients for each strength; the constant is not penalised."""
    product, with_targets = inputs.T @ inputs, inputs.T @ targets
    penalty = np.eye(inputs.shape[1])
    penalty[-1, -1] = 0.0
    strengths = [strength * len(inputs) * penalty for strength in STRENGTHS]
    return [np.asarray(np.linalg.solve(product + one, with_targets), dtype=np.float64) for one in strengths]
