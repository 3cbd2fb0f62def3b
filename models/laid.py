"""Laid quantiles: a middle, a log width and a shape for each horizon, as a forecast (models.graph lays out the same).

    q[h, τ] = (middle[h] + exp(width[h]) · shape[h, τ]) · √h        in units of sigma

Shapes increase with τ and exp(…) is positive, so that quantiles cannot cross, in single precision either: rounding
keeps the order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def roots(horizons: Sequence[int]) -> Floats:
    """(h,) √h."""
    return np.sqrt(np.array(horizons, dtype=np.float64))


def laid(middle: Floats, width: Floats, shape: Floats, horizons: Sequence[int]) -> Floats:
    """(n, h), (n, h) log widths and (h, q) → (n, h, q)."""
    whole: Floats = (middle[..., None] + np.exp(width)[..., None] * shape) * roots(horizons)[:, None]
    return whole


def shape_of(outcome: Floats, middle: Floats, width: Floats, quantiles: Sequence[float]) -> Floats:
    """(h, q): quantiles of what is left of outcomes (n, h), in units of sigma·√h, once moved and scaled."""
    return np.asarray(np.quantile((outcome - middle) / np.exp(width), quantiles, axis=0).T)
