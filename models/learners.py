"""Learners: whatever can be fitted to samples and then asked for quantiles, behind one face, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.kinds import LEARNED, Task, fit
from models.probe import fit_probe
from models.recipe import Recipe
from models.recipe import preset as named
from models.spec import Kind
from models.traits import PRESET_NAMES
from utils.errors import InvalidInput
from utils.model_utils import session_of

PROBE = "probe"

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Raw windows (n, window, f) → quantiles (n, h, q) in units of sigma."""
Learner = Callable[[Task], Predict]


def learner(kind: str, preset: str = "quick") -> Learner:
    """`probe`, or any kind with its recipe of that preset. What a kind learns with is imported when it is fitted, not
    before: run those in a process that does not serve."""
    if kind == PROBE:
        return probe
    if kind not in LEARNED or preset not in PRESET_NAMES:
        raise InvalidInput(
            f"kind {kind!r} with preset {preset!r} cannot be learned; use {PROBE}, {', '.join(LEARNED)} with one of "
            f"{', '.join(PRESET_NAMES)}"
        )
    return follow(named(preset, Kind(kind)))


def follow(recipe: Recipe) -> Learner:
    """Fits that recipe, with the task's window and seed."""
    return lambda task: session_of(fit(recipe, task).graph, str(recipe.kind)).run


def probe(task: Task) -> Predict:
    """The closed-form judge of models.probe."""
    return fit_probe(task.samples, task.train, task.validation, task.horizons, task.quantiles)
