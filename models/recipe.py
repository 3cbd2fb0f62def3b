"""Recipe: how a model is trained, with presets and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from data.interval import Interval
from models.spec import HORIZONS, Kind
from models.traits import PRESET_NAMES, TRAITS
from utils.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Recipe:
    """`stride` takes every n-th window of an epoch; `half_life_days` weighs older samples down (0: not at all).

    A kind reads those numbers that its trait names (models.traits); the others change nothing.
    """

    kind: Kind = Kind.TCN
    window: int = 16
    units: int = 32
    epochs: int = 8
    batch_size: int = 1024
    learning_rate: float = 5e-4
    dropout: float = 0.2
    patience: int = 3
    stride: int = 3
    half_life_days: float = 730.0
    seed: int = 7
    trees: int = 0

    def check(self) -> None:
        """InvalidInput names the first number that does not fit."""
        for name in LIMITS:
            low, high = limits(self.kind, name)
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInput(f"--{name.replace('_', '-')} {value:g} is outside {low:g} … {high:g}")
        fitting = TRAITS[self.kind].windows
        if fitting and self.window not in fitting:
            few = list(map(str, fitting[:5])) + ["…"] * (len(fitting) > 5)
            raise InvalidInput(
                f"--window {self.window} does not fit a {str(self.kind).upper()}; use one of {', '.join(few)}"
            )


_DAY_MS = 86_400_000

LIMITS: dict[str, tuple[float, float]] = {
    "window": (1, 512),
    "units": (2, 256),
    "epochs": (1, 500),
    "batch_size": (16, 65_536),
    "learning_rate": (1e-6, 0.1),
    "dropout": (0.0, 0.9),
    "patience": (1, 100),
    "stride": (1, 1000),
    "half_life_days": (0.0, 36_500.0),
    "seed": (0, 2**31 - 1),
    "trees": (0, 200),
}
"""Of any kind; those of one kind may be narrower."""


def limits(kind: Kind, name: str) -> tuple[float, float]:
    """The least and the most of a number for that kind."""
    return TRAITS[kind].limits.get(name, LIMITS[name])


def preset(name: str, kind: Kind = Kind.TCN, interval: Interval = Interval.H1) -> Recipe:
    """A kind's recipe of that name, for candles of that length; InvalidInput where there is none."""
    if name not in PRESET_NAMES:
        raise InvalidInput(f"preset {name[:20]!r} is unknown; use one of {', '.join(PRESET_NAMES)}")
    trait = TRAITS[kind]
    numbers: dict[str, Any] = dict(trait.presets[name])
    if trait.day_window:
        day = max(1, _DAY_MS // interval.ms)
        numbers["window"] = max(2, day * math.ceil(max(HORIZONS) / day))
    return replace(Recipe(kind=kind), **numbers)
