"""Scaling: mean and spread of the inputs, from the training rows alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_scaler(features: NDArray[np.float32], rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean and standard deviation (1 where nothing varies) of the training rows alone, cut at their 0.1 % tails."""
    sample = features[rows].astype(np.float64)
    low, high = np.quantile(sample, [0.001, 0.999], axis=0)
    sample = np.clip(sample, low, high)
    std = sample.std(axis=0)
    return sample.mean(axis=0), np.where(std > 1e-12, std, 1.0)
