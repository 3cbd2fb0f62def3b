"""Traits: what each kind of model is called, which numbers of a recipe it reads, their limits, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.scale_catalogue import OWN
from models.scale_inputs import CONTEXT
from models.spec import Kind

Numbers = Mapping[str, float]
PRESET_NAMES = ("quick", "standard", "thorough")
DRIFT_INPUT = "return_168"
YESTERDAY_INPUTS = ("return_1", "log_sigma")
SEASONAL_INPUTS = (
    "hour_sin", "hour_cos", "day_sin_2", "day_cos_2", "day_sin_3", "day_cos_3",
    "weekday_sin", "weekday_cos", "week_sin_1", "week_cos_1", "week_sin_2", "week_cos_2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trait:
    """One kind. `presets` say by name what differs from the default recipe; `limits` what differs from the common ones.

    `meaning`: what a number of the recipe is for this kind, where it is not what it is for a network. `windows`: the
    only ones that fit; empty: any within the limits. `day_window`: it must see a whole day of candles. `inputs`: the
    only ones it reads; empty: any. `steps`: progress reports of a fit; 0: one per epoch. `cost`: numbers whose product
    its time grows with. `speed`: training windows a second and step of the standard preset on two cores, until one was
    measured on this machine.
    """

    title: str
    source: str
    uses: tuple[str, ...]
    presets: Mapping[str, Numbers]
    speed: float
    meaning: Mapping[str, str] = field(default_factory=dict)
    windows: tuple[int, ...] = ()
    day_window: bool = False
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    steps: int = 0
    cost: tuple[str, ...] = ()


_NETWORK_FIELDS = (
    "window", "units", "epochs", "batch_size", "learning_rate", "dropout", "patience", "stride", "half_life_days",
    "seed",
)  # fmt: skip
_QUICK = {"window": 16, "units": 8, "epochs": 3, "stride": 4, "learning_rate": 2e-3, "dropout": 0.1, "patience": 2}
_SCALE = {
    "window": 1, "units": 32, "epochs": 4, "batch_size": 4096, "learning_rate": 3e-3, "dropout": 0.3, "stride": 3,
    "half_life_days": 1095.0, "trees": 60,
}  # fmt: skip
"""An epoch is a member of the ensemble; trees beside them are better than more of them."""
_THOROUGH = {"units": 64, "epochs": 24, "stride": 1, "patience": 5}


def _network(title: str, source: str, speed: float, windows: tuple[int, ...], low: int = 4) -> Trait:
    return Trait(
        title,
        source,
        _NETWORK_FIELDS,
        {"quick": _QUICK, "standard": {}, "thorough": _THOROUGH},
        speed,
        windows=windows,
        limits={"window": (low, 512)},
        cost=("window", "units"),
    )


_STRIDE = {"stride": "every n-th training window is taken; 1 is all"}
_NEWEST = {"window": (1.0, 1.0)}
"""Limits of kinds that read the newest candle's inputs alone."""


def _trees(title: str, source: str, speed: float, presets: Mapping[str, Numbers]) -> Trait:
    learning = ("learning_rate", "patience") if "learning_rate" in presets["standard"] else ()
    return Trait(
        title,
        source,
        ("units", "epochs", *learning, "stride", "half_life_days", "seed"),
        presets,
        speed,
        meaning={
            "units": "leaves per tree",
            "epochs": "trees for each of ten numbers at most" if learning else "trees",
            "learning_rate": "how much of each tree is added",
            "patience": "trees without a better validation loss",
            "half_life_days": "days after which a window is drawn half as often; 0: all alike",
            **_STRIDE,
        },
        limits={**_NEWEST, "units": (2, 256)},
        steps=10 if learning else 1,
        cost=("epochs",),
    )


def _constants(title: str, source: str, speed: float, inputs: tuple[str, ...] = ()) -> Trait:
    presets = _strided({"window": 1, "epochs": 1})
    return Trait(title, source, ("stride",), presets, speed, _STRIDE, limits=_NEWEST, steps=1, inputs=inputs)


def _strided(numbers: Numbers) -> Mapping[str, Numbers]:
    return {name: {**numbers, "stride": stride} for name, stride in zip(PRESET_NAMES, (12, 4, 1), strict=True)}


TRAITS: Mapping[Kind, Trait] = {
    Kind.TCN: _network(
        "TCN: temporal convolutions", "Bai, Kolter & Koltun 2018", 11_000, (4, 16, 64, 256)
    ),  # powers of the kernel: the last step then sees exactly the window
    Kind.LSTM: _network("LSTM: recurrent, three gates", "Hochreiter & Schmidhuber 1997", 8000, ()),
    Kind.GRU: _network("GRU: recurrent, two gates", "Cho et al. 2014", 7500, ()),
    Kind.CNN_LSTM: _network(
        "CNN-LSTM: a convolution, then recurrent", "Shi et al. 2015", 10_000, tuple(range(4, 513, 4))
    ),
    Kind.TRANSFORMER: _network("Transformer encoder: attention", "Vaswani et al. 2017", 3500, (), low=2),
    Kind.BOOSTING: _trees(
        "Gradient boosting: trees that mend each other",
        "Friedman 2001; histograms as in Ke et al. 2017",
        25_000,
        {
            "quick": {"window": 1, "units": 15, "epochs": 40, "learning_rate": 0.08, "patience": 8, "stride": 12},
            "standard": {"window": 1, "units": 31, "epochs": 120, "learning_rate": 0.05, "patience": 10, "stride": 4},
            "thorough": {"window": 1, "units": 31, "epochs": 400, "learning_rate": 0.02, "patience": 25, "stride": 2},
        },
    ),
    Kind.FOREST: _trees(
        "Random forest: the mean of many trees",
        "Breiman 2001",
        2200,
        {
            "quick": {"window": 1, "units": 32, "epochs": 20, "stride": 12},
            "standard": {"window": 1, "units": 128, "epochs": 60, "stride": 4},
            "thorough": {"window": 1, "units": 256, "epochs": 150, "stride": 2},
        },
    ),
    Kind.RIDGE: _constants("Ridge regression: scale first, shape second", "Hoerl & Kennard 1970", 16_000),
    Kind.RANDOM_WALK: _constants(
        "Random walk: the naive forecast itself", "RiskMetrics 1996", 400_000, inputs=("return_1",)
    ),
    Kind.DRIFT: _constants(
        "Drift: the last 168 candles' mean goes on", "Hyndman & Athanasopoulos 2021", 100_000, inputs=(DRIFT_INPUT,)
    ),
    Kind.YESTERDAY: Trait(
        "Same hour yesterday: the day repeats itself",
        "Hyndman & Athanasopoulos 2021, seasonal naive",
        ("window", "stride"),
        _strided({"window": 24, "epochs": 1}),
        100_000,
        meaning={**_STRIDE, "window": "candles of a whole day, as many days as the longest horizon"},
        day_window=True,
        limits={"window": (2.0, 512.0)},
        inputs=YESTERDAY_INPUTS,
        steps=1,
    ),
    Kind.SEASONAL: _constants(
        "Seasonal volatility: the hour and the weekday scale the band",
        "Andersen & Bollerslev 1997",
        19_000,
        inputs=SEASONAL_INPUTS,
    ),
    Kind.SCALE: Trait(
        "Scale first: volatility, then shape; several small networks, and trees if asked for",
        "docs/experiments.md, part 3",
        ("units", "epochs", "batch_size", "learning_rate", "dropout", "stride", "half_life_days", "seed", "trees"),
        {
            "quick": {**_SCALE, "units": 16, "epochs": 1, "stride": 9, "trees": 0},
            "standard": _SCALE,
            "thorough": {**_SCALE, "epochs": 12},
        },
        speed=12_000,
        windows=(1,),
        limits={"window": (1, 1), "epochs": (1, 32), "units": (2, 128)},
        inputs=(*OWN, *CONTEXT),
        meaning={"epochs": "members of the ensemble", "units": "neurons of a narrow member"},
        cost=("units",),
    ),
}
NETWORKS = (Kind.TCN, Kind.LSTM, Kind.GRU, Kind.CNN_LSTM, Kind.TRANSFORMER)
