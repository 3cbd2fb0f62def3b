"""Digits: computed numbers with as many of them as mean something; what the exchange said is never rounded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIGNIFICANT = 8
"""Of indicators, forecasts and scores: an error of at most 5e-8 of the value, and cents of a price of 100,000 remain.

Two engines of indicators agree to 1e-6, models to far less; the other nine digits of a float64 are noise, which does
not compress: half of the bytes.
"""
DRAWN = 7
"""Of a curve on a screen."""
_WHOLE = 10.0**SIGNIFICANT
_MOST_DECIMALS = 22
"""Powers of ten up to this one are exact, and so is what is divided by them: the text is as short as it can be."""


def significant(values: ArrayLike, digits: int = SIGNIFICANT) -> NDArray[np.float64]:
    """Rounded to so many digits, whole digits before the point all kept; zero, NaN and infinities as they are."""
    given = np.asarray(values, dtype=np.float64)
    size = np.abs(given)
    usual = (size > 0) & np.isfinite(size)
    exponent = np.floor(np.log10(size, out=np.zeros_like(size), where=usual))
    scale = np.power(10.0, np.clip(digits - 1 - exponent, 0, _MOST_DECIMALS))
    rounded: NDArray[np.float64] = np.where(usual, np.rint(given * scale) / scale, given)
    return rounded


def significant_or_none(value: float | None) -> float | None:
    """The same of one number, thirty times faster than by way of an array; None stays None."""
    if value is None or not math.isfinite(value):
        return value
    return float(round(value)) if abs(value) >= _WHOLE else float(f"{value:.{SIGNIFICANT}g}")


def computed(value: Any) -> Any:
    """A value for JSON with every float in it rounded, however deep in mappings and sequences; what counts stays."""
    if isinstance(value, float):
        return significant_or_none(value)
    if isinstance(value, Mapping):
        return {name: computed(item) for name, item in value.items()}
    return [computed(item) for item in value] if isinstance(value, list | tuple) else value
