"""Kinds: every kind of model behind one face: samples and a recipe in, a serving graph with its evidence out.

`fit` is the only door. What a kind needs to learn (TensorFlow, scikit-learn) is imported when it is fitted, never
before: this file may be read by a serving process, and a fit must run in another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from models.baseline import scaled_quantiles
from models.recipe import Recipe
from models.samples import Ints, Samples, cut, decided
from models.spec import Kind
from models.traits import NETWORKS, TRAITS
from utils.errors import InvalidInput, ModelCorrupt

Windows = NDArray[np.float32]
MIN_SAMPLES = 500
MAX_DIFFERENCE = 1e-5
PARITY_WINDOWS = 256
OnEpoch = Callable[[int, float, float], None]
"""Hears of each epoch (or tree, or step): its number, training loss, validation loss."""


def unheard(epoch: int, train_loss: float, validation_loss: float) -> None:
    """For those who do not listen."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned: ends of `samples` to fit and to choose on, all their outcomes known.

    `features` name the columns of `samples.features`; `threads` is how many processors may be used.
    """

    samples: Samples
    train: Ints
    validation: Ints
    window: int
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    seed: int = 7
    features: tuple[str, ...] = ()
    interval: Interval = Interval.H1
    threads: int = 2

    @property
    def naive(self) -> NDArray[np.float32]:
        """(h, q) quantiles of the training outcomes in units of sigma: the naive forecast."""
        return scaled_quantiles(self.samples.scaled[self.train], self.quantiles).astype(np.float32)

    @property
    def median(self) -> int:
        """Where 0.5 stands among the quantiles."""
        return self.quantiles.index(0.5)

    def parity_windows(self) -> Windows:
        """Real windows, evenly spread over the training span."""
        chosen = self.train[np.linspace(0, len(self.train) - 1, PARITY_WINDOWS).astype(np.int64)]
        return cut(self.samples.features, chosen, self.window)


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted kind: its graph's bytes, float32 (n, window, f) → (n, h, q) in units of sigma, and how it came about.

    `difference`: the largest one between the graph and what was trained, in sigma, relative where above 1, on
    PARITY_WINDOWS real windows. Losses are by epoch; `best_epoch` counts from 0 and is the one that is kept.
    """

    graph: bytes
    difference: float
    parameters: int
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    best_epoch: int
    sizes: Mapping[str, int]
    scaler: str
    packages: tuple[str, ...]
    """Those whose versions shaped it, beside numpy and onnx."""
    notes: Mapping[str, float | str] = field(default_factory=dict)
    """What else its report should tell."""
    calibrated: bool = False
    """Whether the graph's bands are already as wide as the validation period calls for. Split factors from that same
    period would only take back what a kind adds to them for markets and months it has not seen."""


Fit = Callable[[Recipe, Task, OnEpoch], Trained]


def fit(recipe: Recipe, task: Task, on_epoch: OnEpoch = unheard) -> Trained:
    """Fits the recipe's kind, lays out its graph and compares both; window and seed are the task's.

    InvalidInput where the recipe or the samples do not fit; ModelCorrupt where the graph answers otherwise than what
    was trained. Same recipe, task and machine: same bytes.
    """
    chosen = replace(recipe, window=task.window, seed=task.seed)
    chosen.check()
    known = replace(task, train=decided(task.samples, task.train), validation=decided(task.samples, task.validation))
    if len(known.train) < MIN_SAMPLES or not len(known.validation):
        raise InvalidInput(
            f"only {len(known.train)} training and {len(known.validation)} validation windows can be used; at least "
            f"{MIN_SAMPLES} and 1 are needed: give a longer history or more symbols"
        )
    made = _FITS[chosen.kind](chosen, known, on_epoch)
    check_parity(chosen.kind, made.difference)
    return made


def difference_of(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """The largest difference of two answers, relative where above 1."""
    return float(np.max(np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))))


def check_parity(kind: Kind, difference: float) -> None:
    """ModelCorrupt where the graph differs too much (or not by a number) from what was trained."""
    if not difference <= MAX_DIFFERENCE:
        raise ModelCorrupt(
            f"the exported {kind} graph differs from what was trained by {difference:.2e} (at most "
            f"{MAX_DIFFERENCE:.0e} is allowed); nothing was written"
        )


def _network(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    os.putenv("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow's C++ when it is imported
    os.putenv("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels round differently from run to run
    from models.keras_kinds import fit_network

    return fit_network(recipe, task, on_epoch)


def _scale(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    os.putenv("TF_CPP_MIN_LOG_LEVEL", "3")
    os.putenv("TF_ENABLE_ONEDNN_OPTS", "0")
    os.putenv("OMP_WAIT_POLICY", "passive")
    from models.scale_kind import fit_scale_kind

    return fit_scale_kind(recipe, task, on_epoch)


def _trees(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    os.putenv("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve a busy machine
    from models.tree_kinds import fit_trees

    return fit_trees(recipe, task, on_epoch)


def _plain(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    from models.plain_kinds import PLAIN

    return PLAIN[recipe.kind](recipe, task, on_epoch)


_FITS: Mapping[Kind, Fit] = {
    **dict.fromkeys(NETWORKS, _network),
    Kind.SCALE: _scale,
    Kind.BOOSTING: _trees,
    Kind.FOREST: _trees,
    Kind.RIDGE: _plain,
    Kind.RANDOM_WALK: _plain,
    Kind.DRIFT: _plain,
    Kind.YESTERDAY: _plain,
    Kind.SEASONAL: _plain,
}

LEARNED: tuple[Kind, ...] = tuple(_FITS)
"""Kinds that learn from samples."""


def inputs_of(kind: Kind) -> tuple[str, ...]:
    """The only inputs that the kind reads; empty: any that there are."""
    return TRAITS[kind].inputs


def steps(recipe: Recipe) -> int:
    """How often a fit of that recipe reports, at most."""
    trait = TRAITS[recipe.kind]
    return (trait.steps or recipe.epochs) + int("trees" in trait.uses and recipe.trees > 0)
