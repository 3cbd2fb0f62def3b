"""Traits: what each kind of model is called, which numbers of a recipe it reads, their limits, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.scale_inputs import CONTEXT, OWN
from models.spec import Kind

Numbers = Mapping[str, float]
TCN_WINDOWS = (4, 16, 64, 256)
"""Powers of the kernel: the last step then sees exactly the window."""
PRESET_NAMES = ("quick", "standard", "thorough")
_NETWORK_FIELDS = (
    "window", "units", "epochs", "batch_size", "learning_rate", "dropout", "patience", "stride", "half_life_days",
    "seed",
)  # fmt: skip
_QUICK = {"window": 16, "units": 8, "epochs": 3, "stride": 4, "learning_rate": 2e-3, "dropout": 0.1, "patience": 2}
_SCALE = {
    "window": 1, "units": 32, "epochs": 4, "batch_size": 4096, "learning_rate": 3e-3, "dropout": 0.3, "stride": 3,
    "half_life_days": 1095.0,
}  # fmt: skip
"""An epoch is a member of the ensemble."""
_THOROUGH = {"units": 64, "epochs": 24, "stride": 1, "patience": 5}


@dataclass(frozen=True, slots=True)
class Trait:
    """One kind. `presets` say by name what differs from the default recipe; `limits` what differs from the common ones.

    `windows`: the only ones that fit; empty: any within the limits. `speed`: training windows a second and epoch at the
    standard preset, of two cores, until one was measured on this machine. `inputs`: the only ones it reads; empty: any.
    """

    title: str
    uses: tuple[str, ...]
    presets: Mapping[str, Numbers]
    speed: float
    windows: tuple[int, ...] = ()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()


TRAITS: Mapping[Kind, Trait] = {
    Kind.TCN: Trait(
        "TCN: temporal convolutions",
        _NETWORK_FIELDS,
        {"quick": _QUICK, "standard": {}, "thorough": _THOROUGH},
        speed=11_000,
        windows=TCN_WINDOWS,
    ),
    Kind.LSTM: Trait(
        "LSTM: recurrent",
        _NETWORK_FIELDS,
        {"quick": _QUICK, "standard": {}, "thorough": _THOROUGH},
        speed=11_000,
    ),
    Kind.SCALE: Trait(
        "Scale first: volatility, then shape; several small networks",
        ("units", "epochs", "batch_size", "learning_rate", "dropout", "stride", "half_life_days", "seed"),
        {
            "quick": {**_SCALE, "units": 16, "epochs": 1, "stride": 9},
            "standard": _SCALE,
            "thorough": {**_SCALE, "epochs": 12},
        },
        speed=60_000,
        windows=(1,),
        limits={"epochs": (1, 32), "units": (2, 128)},
        inputs=(*OWN, *CONTEXT),
    ),
}
