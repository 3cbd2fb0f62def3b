"""Scale trees: gradient boosting of the quantiles themselves, beside the scale kind's networks. Imports scikit-learn.

Trees err elsewhere than networks do, so the mean of both is better than either (docs/experiments.md, part 5). They see
the networks' standardised inputs, with and without the other market, and learn each quantile of the outcome in units of
sigma·√h at three horizons; between these it follows log horizon. Quantiles that cross are sorted (Chernozhukov,
Fernández-Val & Galichon 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from models.kinds import Task
from models.laid import roots
from models.scale_training import CLIP, Fitted
from models.tree_graph import Tree, booster_tree
from models.tree_kinds import between, drawn_places, knots

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
SHARE = 0.4
"""How much the trees count beside the networks."""
LEAVES = 15
KNOTS = 3
_RATE = 0.1
_FEATURE_PART = 0.3
"""Of the inputs, drawn anew at each node."""
_LEAST_LEAF = 200
_LEAF_PART = 50
"""Where there are few rows, a leaf holds at least one of so many."""
_BINS = 127


@dataclass(frozen=True, slots=True)
class Trees:
    """Sums of trees, from `base` (knots · q,) on: quantiles at the knots, in units of sigma·√h, before they are sorted.

    `boosters` are scikit-learn's own, by knot, then by quantile.
    """

    knots: tuple[int, ...]
    boosters: tuple[HistGradientBoostingRegressor, ...]

    @property
    def trees(self) -> tuple[Tree, ...]:
        return tuple(
            booster_tree(stage[0].nodes, target)
            for target, one in enumerate(self.boosters)
            for stage in one._predictors
        )

    @property
    def base(self) -> Floats:
        return np.array([float(one._baseline_prediction.item()) for one in self.boosters])

    @property
    def parameters(self) -> int:
        """A value for each leaf, an input and a threshold for each branch."""
        return sum(int(np.count_nonzero(one.leaf) + 2 * np.count_nonzero(~one.leaf)) for one in self.trees)


def as_in_graph(features: Rows, fitted: Fitted) -> Rows:
    """Raw (n, f), standardised to the bit as the graph does it, so that each row takes the same way in training and in
    serving. Training of the networks divides, which rounds otherwise."""
    scaled = np.clip((features - fitted.mean) * (np.float32(1.0) / fitted.std), -CLIP, CLIP)
    if fitted.gate.any():
        known = features[:, np.argmax(fitted.gate)][:, None]
        scaled *= known * fitted.gate + (np.float32(1.0) - fitted.gate)
    return np.asarray(scaled, dtype=np.float32)


def fit_trees_beside(task: Task, inputs: Rows, weights: Rows, rounds: int, stride: int) -> Trees:
    """Of the training rows' `inputs` (n, f), standardised, some without the other market already; every `stride`-th on
    average is drawn, by its weight (n,)."""
    chosen = knots(task.horizons, KNOTS)
    places = drawn_places(weights, stride, task.seed)
    known, outcomes = inputs[places], (task.samples.scaled[task.train[places]] / roots(task.horizons)).T
    with threadpool_limits(task.threads):
        fitted = [
            _booster(level, rounds, len(known), task.seed).fit(known, outcomes[task.horizons.index(knot)])
            for knot in chosen
            for level in task.quantiles
        ]
    return Trees(chosen, tuple(fitted))


def _booster(level: float, rounds: int, rows: int, seed: int) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        loss="quantile",
        quantile=level,
        max_iter=rounds,
        learning_rate=_RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=max(2, min(_LEAST_LEAF, rows // _LEAF_PART)),
        max_features=_FEATURE_PART,
        max_bins=_BINS,
        early_stopping=False,
        random_state=seed,
    )


def forecast_of(trees: Trees, inputs: Rows, horizons: Sequence[int]) -> Rows:
    """Standardised (n, f) → (n, h, q) in units of sigma."""
    found = np.stack([one.predict(inputs) for one in trees.boosters], axis=1)
    at = np.sort(found.reshape(len(inputs), len(trees.knots), -1), axis=2)
    spread = between(trees.knots, horizons)
    return np.asarray(np.einsum("nkq,kh->nhq", at, spread) * roots(horizons)[:, None], dtype=np.float32)
