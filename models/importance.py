"""Importance: how much skill is lost where one input is dealt out at random among the windows.

Permutation importance: Breiman 2001, Random Forests, §10; Fisher, Rudin & Dominici 2019, for any model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.samples import Ints, Samples, cut, decided
from models.scoring import pinball_loss

MOST_WINDOWS = 4000


OnStep = Callable[[int, int], None]
"""Told how many steps are over, and of how many."""


def nobody(_over: int, _of: int) -> None:
    """Tells nobody."""


class Frame(Protocol):
    """What the model takes and gives: a ModelSpec, a Plan or a Task."""

    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def window(self) -> int: ...
    @property
    def horizons(self) -> tuple[int, ...]: ...
    @property
    def quantiles(self) -> tuple[float, ...]: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Importance:
    """How much skill (a fraction, all horizons pooled) is lost where one input is dealt out at random."""

    feature: str
    skill_lost: float
    spread: float = 0.0
    """Standard deviation of the loss over several deals; 0 of a single one."""


def permuted(
    samples: Samples,
    ends: Ints,
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    frame: Frame,
    most: int = MOST_WINDOWS,
    rounds: int = 1,
    on_step: OnStep = nobody,
) -> tuple[Importance, ...]:
    """Each feature's, the greatest first, on at most `most` of the windows that end at `ends`; empty of none. Each is
    dealt out `rounds` times; what is lost is the mean. `on_step` is told after each
    deal how many are over, and of how many.

    Skill is against the windows' own outcomes' quantiles: a scale alone, so it needs no training data.
    """
    known = decided(samples, ends)
    if not len(known):
        return ()
    some = known[np.unique(np.linspace(0, len(known) - 1, most).astype(np.int64))]
    root = np.sqrt(np.array(frame.horizons, dtype=np.float64))
    outcome, windows = samples.scaled[some] / root, cut(samples.features, some, frame.window)
    random = np.random.default_rng(frame.seed)

    def loss() -> float:
        return float(pinball_loss(outcome, predict(windows) / root[:, None], frame.quantiles).mean())

    still = np.quantile(outcome, frame.quantiles, axis=0).T
    whole, naive = loss(), float(pinball_loss(outcome, still[None], frame.quantiles).mean())
    found = []
    for place, name in enumerate(frame.features):
        column = windows[:, :, place].copy()
        lost = []
        for deal in range(rounds):
            windows[:, :, place] = column[random.permutation(len(column))]
            lost.append((loss() - whole) / naive)
            on_step(place * rounds + deal + 1, len(frame.features) * rounds)
        windows[:, :, place] = column
        found.append(Importance(name, float(np.mean(lost)), float(np.std(lost, ddof=1)) if rounds > 1 else 0.0))
    return tuple(sorted(found, key=lambda one: -one.skill_lost))
