"""Leaks on purpose: the mistakes that make forecasts look wonderful, planted to prove that the checks catch them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.pipeline import Pipeline, located
from models.samples import Ints
from models.scaling import fit_scaler
from models.split import Period, Split, split

Floats = NDArray[np.float64]
_CENTRED = 25


@dataclass(frozen=True, slots=True)
class Plant:
    """A pipeline with one leak: which check has to fail, and which feature or step it has to name."""

    title: str
    check: str
    names: str
    pipeline: Pipeline


def plants(real: Pipeline) -> tuple[Plant, ...]:
    """The real pipeline with one leak each."""
    features = "features see the past alone"
    return (
        Plant("future close as a feature", features, "future_close", _with_feature(real, "future_close", future_close)),
        Plant(
            "centred rolling window",
            features,
            "centred_volatility",
            _with_feature(real, "centred_volatility", centred_volatility),
        ),
        Plant(
            "feature standardised by the whole series",
            features,
            "whole_series_score",
            _with_feature(real, "whole_series_score", whole_series_score),
        ),
        Plant(
            "scaler fitted on all data",
            "scaling knows the training window alone",
            real.features[0],
            replace(real, scaler=scaler_of_everything, files=_here({"scaler": "scaler_of_everything"}, real)),
        ),
        Plant(
            "target off by one",
            "targets begin at t",
            "target at horizon 1",
            replace(
                real,
                targets=lambda candles, horizons: target_off_by_one(real, candles, horizons),
                files=_here({"targets": "target_off_by_one"}, real),
            ),
        ),
        Plant(
            "split without a gap",
            "no outcome crosses a split",
            "train → validation",
            replace(real, split=split_without_gap, files=_here({"split": "split_without_gap"}, real)),
        ),
    )


def future_close(candles: Candles) -> Floats:
    """Leaks: the move to the next close."""
    logs = np.log(candles.close)
    return np.append(np.diff(logs), 0.0)


def centred_volatility(candles: Candles) -> Floats:
    """Leaks: a moving average whose window lies around its row instead of behind it."""
    moves = np.abs(np.diff(np.log(candles.close), prepend=np.log(candles.close[0])))
    return np.convolve(moves, np.full(_CENTRED, 1.0 / _CENTRED), mode="same")


def whole_series_score(candles: Candles) -> Floats:
    """Leaks: the price against the mean and spread of all candles, those to come included."""
    logs = np.log(candles.close)
    scores: Floats = (logs - logs.mean()) / logs.std()
    return scores


def scaler_of_everything(features: NDArray[np.float32], rows: Ints) -> tuple[Floats, Floats]:
    """Leaks: the statistics of all rows, whichever are trained on."""
    return fit_scaler(
        features, np.flatnonzero(np.isfinite(features).all(axis=1) | np.isin(np.arange(len(features)), rows))
    )


def target_off_by_one(real: Pipeline, candles: Candles, horizons: Sequence[int]) -> Floats:
    """Leaks: the return that begins one candle too early, which row t has already seen the first part of."""
    right = real.targets(candles, horizons)
    return np.concatenate([np.full((1, right.shape[1]), np.nan), right[:-1]])


def split_without_gap(markets: Sequence[Candles], horizon: int, until_ms: int | None) -> Split:
    """Leaks: each period begins where the one before it ends."""
    parts = split(markets, horizon, until_ms)
    train = Period(parts.train.from_ms, parts.validation.from_ms)
    return Split(train, Period(parts.validation.from_ms, parts.test.from_ms), parts.test, 0)


def _with_feature(real: Pipeline, name: str, compute: Callable[[Candles], Floats]) -> Pipeline:
    def inputs(candles: Candles, names: Sequence[str]) -> NDArray[np.float32]:
        matrix = real.inputs(candles, [one for one in names if one != name])
        return np.concatenate([matrix, compute(candles).astype(np.float32)[:, None]], axis=1)

    return replace(real, features=(*real.features, name), inputs=inputs, files=_here({name: compute.__name__}, real))


def _here(own: dict[str, str], real: Pipeline) -> Callable[[str], str]:
    """Names that live in this file are found here, the others where they were."""
    return lambda name: located(Path(__file__), own[name]) if name in own else real.files(name)
