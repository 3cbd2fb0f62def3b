"""Pipeline: the steps between candles and a trained model, as one value, so that each can be tried for leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import FEATURES
from models.baseline import horizon_returns
from models.inputs import INPUTS, input_matrix
from models.samples import Inputs, Ints, Samples, joined, known_sigma
from models.scale_catalogue import OWN
from models.scale_inputs import CONTEXT
from models.scaling import fit_scaler
from models.spec import SIGMA_HALF_LIFE
from models.split import Split, split

Floats = NDArray[np.float64]
_ROOT = Path(__file__).resolve().parents[1]
_STEP_FILES = {
    "inputs": "models/inputs.py",
    "sigma": "data/volatility.py",
    "targets": "models/baseline.py",
    "scaler": "models/scaling.py",
    "split": "models/split.py",
}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a model is trained by. Each step is a function that can be replaced, for instance by one that leaks."""

    features: tuple[str, ...]
    inputs: Inputs
    """(n, f); row t may depend on candles up to t."""
    sigma: Callable[[Candles], Floats]
    """(n,); the same."""
    targets: Callable[[Candles, Sequence[int]], Floats]
    """(n, h) log returns from close t to close t + h."""
    scaler: Callable[[NDArray[np.float32], Ints], tuple[Floats, Floats]]
    """Mean and spread (f,) of the given rows alone."""
    split: Callable[[Sequence[Candles], int, int | None], Split]
    files: Callable[[str], str]
    """Where a feature, or a step by its name here, is written: `file.py:line`."""

    def gather(self, markets: Sequence[Candles], horizons: Sequence[int], window: int, warm_up: int) -> Samples:
        """What `models.samples.gather` gives, by these steps."""
        return joined(
            markets,
            window=window,
            warm_up=warm_up,
            inputs=lambda candles: self.inputs(candles, self.features),
            sigma=self.sigma,
            targets=lambda candles: self.targets(candles, horizons),
        )


def real_pipeline(
    features: Sequence[str] = INPUTS, half_life: float = SIGMA_HALF_LIFE, inputs: Inputs = input_matrix
) -> Pipeline:
    """The one that models are trained by."""
    return Pipeline(
        features=tuple(features),
        inputs=inputs,
        sigma=lambda candles: known_sigma(candles, half_life),
        targets=horizon_returns,
        scaler=fit_scaler,
        split=split,
        files=written_in,
    )


def written_in(name: str) -> str:
    """`data/features.py:301` of a feature or a step; only the file where the line is not found."""
    file = _STEP_FILES.get(name) or _feature_file(name)
    return located(_ROOT / file, name)


def _feature_file(name: str) -> str:
    if name in CONTEXT:
        return "models/scale_inputs.py"
    if name in OWN:
        return "models/scale_catalogue.py"
    return "data/features.py" if name in FEATURES else "models/inputs.py"


def located(path: Path, name: str) -> str:
    """The file as seen from the repository, and the line that defines `name` in it (a def or a table's key)."""
    file = path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else path.name
    lines = path.read_text("utf-8").splitlines()
    starts = (f'"{name}":', f"def {name}(")
    at = next((number for number, line in enumerate(lines, 1) if line.strip().startswith(starts)), None)
    return file if at is None else f"{file}:{at}"
