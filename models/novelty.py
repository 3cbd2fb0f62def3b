"""Novelty: how far a market's newest inputs lie from what a model was trained on, in standard deviations.

Mean and spread of the training rows are constants of the graph, which scales its inputs by them. Inputs of hourly
candles lie beyond FAR in a quarter of a percent of all forecasts (three coins, a year): rarer than a reader forgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.forecast import Novelty
from models.graph_constants import float_constants
from models.registry_entry import GRAPH, RegistryEntry
from utils.errors import ModelCorrupt

FAR = 8.0
_NAMES = ("mean", "inverse_std")


@dataclass(frozen=True, slots=True)
class Known:
    """What a model was trained on: means and inverse standard deviations (f,) of its inputs."""

    mean: NDArray[np.float32]
    inverse_std: NDArray[np.float32]


def known_by(entry: RegistryEntry) -> Known | None:
    """Out of the model's graph; None where it does not scale its inputs, so that nothing is known."""
    if entry.spec is None:
        return None
    try:
        found = float_constants((entry.path / GRAPH).read_bytes(), _NAMES)
    except (OSError, ModelCorrupt):
        return None
    if any(found.get(name) is None or len(found[name]) != len(entry.spec.features) for name in _NAMES):
        return None
    return Known(found["mean"], found["inverse_std"])


def novelties(known: Known, rows: NDArray[np.float32], features: Sequence[str]) -> list[Novelty]:
    """One for each of the newest rows (n, f)."""
    distances = (rows - known.mean) * known.inverse_std
    worst = np.abs(distances).argmax(axis=1)
    return [
        Novelty(features[at], float(row[at]), far=bool(abs(row[at]) > FAR))
        for row, at in zip(distances, worst, strict=True)
    ]
