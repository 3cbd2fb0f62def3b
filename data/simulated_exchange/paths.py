"""Paths: multifractal random walks whose value at any hour costs fourteen halvings, wherever it lies.

Each is Brownian motion in the random time of a multiplicative cascade (Mandelbrot, Fisher and Calvet, 1997): from a
span of 2^14 days down, every span's variance is shared out unevenly between its halves and its middle is displaced
(Lévy's construction); then a day is shared out over its hours with a daily rhythm. So volatility clusters on all scales
and returns have fat tails.
"""

from __future__ import annotations

import numpy as np

from data.simulated_exchange.hashing import Floats, Keys, keys_at, normal
from data.simulated_exchange.refinement import Integers

_LEVELS = 14
FIRST_DAY = 14_610
"""2010-01-01, in days since 1970, where the cascade begins."""
END_DAY = FIRST_DAY + 2**_LEVELS
"""In 2054, where it ends."""
_CASCADE = 0.55
"""How unevenly a span's variance is shared between its halves (standard deviation of the log odds)."""
_DAMPED_SPAN_DAYS = 512
_DAMPING = 0.4
"""Spans this long wander less, so that price levels stay near those of the listing for decades."""
_RHYTHM = np.array([
    0.95, 0.92, 0.85, 0.78, 0.74, 0.74, 0.80, 0.90, 1.00, 1.02, 1.00, 1.02,
    1.15, 1.40, 1.55, 1.50, 1.35, 1.20, 1.10, 1.05, 1.05, 1.00, 0.95, 0.98,
])  # fmt: skip
"""Activity by UTC hour: quiet before Asia wakes, busiest while Europe and America trade together."""


def unit_paths(keys: Keys, days: Integers) -> tuple[Floats, Floats]:
    """Paths of variance 1 per day, one for each key (s,), over days (d,) in a row, counted from FIRST_DAY.

    The answer: their values at the hours' edges (s, 24 d + 1) and each hour's variance (s, 24 d).
    """
    left, right, variance = _cascade(keys[:, None], days)
    hours = days[:, None] * 24 + np.arange(24)
    names = keys[:, None, None]
    cells = keys_at(names, 100, hours)
    mood = 0.45 * normal(keys_at(cells, 1))
    mood += 0.45 * normal(keys_at(names, 101, hours // 3)) + 0.35 * normal(keys_at(names, 102, hours // 8))
    weights = _RHYTHM * np.exp(mood)
    shares = weights / weights.sum(axis=2, keepdims=True)
    hour_variance = variance[:, :, None] * shares
    steps = np.sqrt(hour_variance) * normal(keys_at(cells, 2))
    steps += shares * ((right - left)[:, :, None] - steps.sum(axis=2, keepdims=True))
    inner = left[:, :, None] + np.cumsum(steps, axis=2)[:, :, :-1]
    edges = np.concatenate([left[:, :, None], inner], axis=2).reshape(len(keys), -1)
    return np.concatenate([edges, right[:, -1:]], axis=1), hour_variance.reshape(len(keys), -1)


def _cascade(keys: Keys, days: Integers) -> tuple[Floats, Floats, Floats]:
    """Paths at both ends of each day and the days' variances, each (s, d), by halving the whole span around a day."""
    start = np.zeros_like(days)
    left, right = np.zeros((len(keys), len(days))), np.zeros((len(keys), len(days)))
    variance = np.full((len(keys), len(days)), float(2**_LEVELS))
    for level in range(_LEVELS):
        half = 2 ** (_LEVELS - level - 1)
        cells = keys_at(keys, level, start // (2 * half))
        share = 1.0 / (1.0 + np.exp(-_CASCADE * normal(keys_at(cells, 1))))
        damping = _DAMPING if 2 * half >= _DAMPED_SPAN_DAYS else 1.0
        middle = left + (right - left) * share
        middle += damping * np.sqrt(variance * share * (1.0 - share)) * normal(keys_at(cells, 2))
        later = days - start >= half
        left, right = np.where(later, middle, left), np.where(later, right, middle)
        variance = variance * np.where(later, 1.0 - share, share)
        start = start + half * later
    return left, right, variance
