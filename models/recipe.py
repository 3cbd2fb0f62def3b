"""Recipe: how a network is trained, with presets and limits."""

from __future__ import annotations

from dataclasses import dataclass

from models.spec import Kind
from utils.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Recipe:
    """`stride` takes every n-th window of an epoch; `half_life_days` weighs older samples down (0: not at all)."""

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

    def check(self) -> None:
        """InvalidInput names the first number that does not fit."""
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInput(f"--{name.replace('_', '-')} {value:g} is outside {low:g} … {high:g}")
        if self.kind is Kind.TCN and self.window not in TCN_WINDOWS:
            fitting = ", ".join(map(str, TCN_WINDOWS))
            raise InvalidInput(f"--window {self.window} does not fit a TCN; use one of {fitting}")


TCN_WINDOWS = (4, 16, 64, 256)
"""Powers of the kernel: the last step then sees exactly the window."""

LIMITS: dict[str, tuple[float, float]] = {
    "window": (4, 512),
    "units": (2, 256),
    "epochs": (1, 500),
    "batch_size": (16, 65_536),
    "learning_rate": (1e-6, 0.1),
    "dropout": (0.0, 0.9),
    "patience": (1, 100),
    "stride": (1, 1000),
    "half_life_days": (0.0, 36_500.0),
    "seed": (0, 2**31 - 1),
}

PRESETS = {
    "quick": Recipe(window=16, units=8, epochs=3, stride=4, learning_rate=2e-3, dropout=0.1, patience=2),
    "standard": Recipe(),
    "thorough": Recipe(units=64, epochs=24, stride=1, patience=5),
}
