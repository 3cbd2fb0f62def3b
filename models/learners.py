"""Learners: whatever can be fitted to samples and then asked for quantiles, behind one face, by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.baseline import scaled_quantiles
from models.probe import fit_probe
from models.recipe import PRESETS
from models.samples import Ints, Samples, cut
from models.spec import Kind
from utils.errors import InvalidInput

PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned: ends of `samples` to fit and to choose on, all their outcomes known."""

    samples: Samples
    train: Ints
    validation: Ints
    window: int
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    seed: int = 7


Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Raw windows (n, window, f) → quantiles (n, h, q) in units of sigma."""
Learner = Callable[[Task], Predict]


def learner(kind: str, preset: str = "quick") -> Learner:
    """`probe`, or any network of models.spec.Kind with the recipe of that preset. Networks import TensorFlow when they
    are fitted, not before: run those in a process that does not serve."""
    if kind == PROBE:
        return probe
    if kind not in list(Kind) or preset not in PRESETS:
        raise InvalidInput(
            f"kind {kind!r} with preset {preset!r} cannot be learned; use {PROBE}, {', '.join(Kind)} with one of "
            f"{', '.join(PRESETS)}"
        )
    return lambda task: network(task, Kind(kind), preset)


def probe(task: Task) -> Predict:
    """The closed-form judge of models.probe."""
    return fit_probe(task.samples, task.train, task.validation, task.horizons, task.quantiles)


def network(task: Task, kind: Kind, preset: str) -> Predict:
    """A Keras network, exported as it would be for serving and asked through ONNX Runtime."""
    os.putenv("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow's C++ when it is imported
    os.putenv("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels round differently from run to run
    from models.architectures import Head
    from models.export import PARITY_BATCH, checked
    from models.training import fit
    from utils.model_utils import session_of

    baseline = scaled_quantiles(task.samples.scaled[task.train], task.quantiles).astype(np.float32)
    head = Head(task.horizons, baseline, task.quantiles.index(0.5))
    recipe = replace(PRESETS[preset], kind=kind, window=task.window, seed=task.seed)
    recipe.check()
    fitted = fit(recipe, task.samples, task.train, task.validation, head, task.quantiles)
    some = task.train[np.linspace(0, len(task.train) - 1, PARITY_BATCH).astype(np.int64)]
    graph, _ = checked(fitted.model, kind, cut(task.samples.features, some, task.window))
    return session_of(graph, str(kind)).run
