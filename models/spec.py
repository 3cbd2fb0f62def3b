"""ModelSpec: everything needed to feed a trained model and to read its answer, as a frozen value and as strict JSON."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.season import Season
from utils.errors import DashboardError, InvalidInput, ModelCorrupt

SCHEMA = 1
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZONS = tuple(range(1, 25))
SIGMA_HALF_LIFE = 24.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ALL = "all"


class Kind(StrEnum):
    """The kinds of model, a closed set; every one passes the same tests. `models.traits` describes them."""

    TCN = "tcn"
    LSTM = "lstm"
    GRU = "gru"
    CNN_LSTM = "cnn-lstm"
    TRANSFORMER = "transformer"
    SCALE = "scale"
    BOOSTING = "boosting"
    FOREST = "forest"
    RIDGE = "ridge"
    RANDOM_WALK = "random-walk"
    DRIFT = "drift"
    YESTERDAY = "same-hour-yesterday"
    SEASONAL = "seasonal-volatility"


def parse_id(text: str) -> str:
    """A model id is also a folder's name, so it is held to letters, digits, `_` and `-`."""
    if not _ID.fullmatch(text):
        shown = text if len(text) <= 70 else text[:70] + "…"
        raise InvalidInput(f"model id {shown!r} cannot be used; take 1 to 64 letters, digits, '_' or '-'")
    return text


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model is. Times are UTC milliseconds.

    Input: float32 (n, window, features), raw values of `models.inputs.input_matrix`; scaling is inside the graph.
    Output: float32 (n, horizons, quantiles), log returns from the last close divided by sigma, the EWMA volatility
    per candle with half-life `sigma_half_life` candles; multiply by sigma to have log returns.
    """

    id: str
    kind: Kind
    interval: Interval
    symbols: tuple[Symbol, ...]
    """The markets it serves; empty: any."""
    trained_on: tuple[Symbol, ...]
    features: tuple[str, ...]
    warm_up: int
    """Candles before the window that the features need to settle."""
    window: int
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    sizes: Mapping[str, int]
    seed: int
    train_from_ms: int
    train_until_ms: int
    data_hash: str
    """Hash of the candles trained on."""
    sigma_half_life: float
    baseline: tuple[tuple[float, ...], ...]
    """(horizons, quantiles): quantiles of log return / sigma on the training window: the naive forecast."""
    scaler: str
    created_ms: int
    versions: Mapping[str, str]
    season: Season | None = None
    """How large returns and volumes usually are in each hour of the week, for inputs held against it."""
    context: Symbol | None = None
    """The market whose moves are inputs too, where its candles are at hand."""

    @property
    def history(self) -> int:
        """How many candles one forecast needs."""
        return self.window + self.warm_up

    @property
    def baseline_array(self) -> NDArray[np.float64]:
        """(horizons, quantiles), in units of sigma."""
        return np.array(self.baseline, dtype=np.float64)

    def serves(self, symbol: Symbol) -> bool:
        return not self.symbols or symbol in self.symbols

    def to_json(self) -> str:
        """Canonical: sorted keys, no NaN."""
        value: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        value |= {"schema": SCHEMA, "symbols": list(self.symbols) or ALL, "sizes": dict(self.sizes)}
        value["versions"] = dict(self.versions)
        value["season"] = self.season and {"scale": self.season.scale, "volume": self.season.volume}
        return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelSpec:
        """Strict: every field, no other, each of its type and in its range; else ModelCorrupt that names the field."""
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelCorrupt(f"spec.json is not strict JSON: {error}") from error
        if not isinstance(value, dict):
            raise ModelCorrupt(f"spec.json holds a {type(value).__name__}; an object is needed")
        _check_names(value)
        parsed = {name: _read(name, parse, value[name]) for name, parse in _PARSERS.items() if name in value}
        spec = cls(**parsed)
        _check_shapes(spec)
        return spec


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _check_names(value: dict[str, Any]) -> None:
    if value.get("schema") != SCHEMA:
        raise ModelCorrupt(f"spec.json has schema {value.get('schema')!r}; this version reads {SCHEMA}")
    expected = {*_PARSERS, "schema"}
    if missing := sorted(expected - value.keys() - _LATER):
        raise ModelCorrupt(f"spec.json lacks {', '.join(missing)}")
    if unknown := sorted(value.keys() - expected):
        raise ModelCorrupt(f"spec.json has unknown fields {', '.join(unknown)}")


def _read(name: str, parse: Any, value: Any) -> Any:
    try:
        return parse(value)
    except (TypeError, ValueError, DashboardError) as error:
        raise ModelCorrupt(f"spec.json: {name} is {str(value)[:80]!r}: {error}") from error


def _check_shapes(spec: ModelSpec) -> None:
    baseline = spec.baseline_array if len({len(row) for row in spec.baseline}) == 1 else np.empty(())
    if baseline.shape != (len(spec.horizons), len(spec.quantiles)):
        raise ModelCorrupt(f"spec.json: baseline must be {len(spec.horizons)} rows of {len(spec.quantiles)} numbers")
    if np.any(np.diff(baseline, axis=1) <= 0):
        raise ModelCorrupt("spec.json: the quantiles of each baseline row must increase")
    if 0.5 not in spec.quantiles:
        raise ModelCorrupt("spec.json: quantiles must hold 0.5, the median")
    if spec.train_from_ms >= spec.train_until_ms:
        raise ModelCorrupt("spec.json: train_from_ms must be before train_until_ms")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _natural(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a whole number from 0 is needed")
    return value


def _positive(value: Any) -> int:
    if _natural(value) < 1:
        raise ValueError("a whole number from 1 is needed")
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("a number is needed")
    return float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise TypeError("a list with at least one entry is needed")
    return value


def _increasing(values: tuple[float, ...]) -> None:
    if any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError("the entries must increase")


def _horizons(value: Any) -> tuple[int, ...]:
    horizons = tuple(_positive(entry) for entry in _list(value))
    _increasing(horizons)
    return horizons


def _quantiles(value: Any) -> tuple[float, ...]:
    quantiles = tuple(_number(entry) for entry in _list(value))
    _increasing(quantiles)
    if not 0 < quantiles[0] <= quantiles[-1] < 1:
        raise ValueError("quantiles lie between 0 and 1")
    return quantiles


def _features(value: Any) -> tuple[str, ...]:
    names = tuple(_text(entry) for entry in _list(value))
    if len(set(names)) != len(names):
        raise ValueError("a feature is named twice")
    return names


def _symbols(value: Any) -> tuple[Symbol, ...]:
    return () if value == ALL else tuple(Symbol.parse(_text(entry)) for entry in _list(value))


def _baseline(value: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(_number(entry) for entry in _list(row)) for row in _list(value))


def _season(value: Any) -> Season | None:
    if value is None:
        return None
    tables = _mapping(value)
    if tables.keys() != {"scale", "volume"}:
        raise ValueError("it holds scale and volume")
    season = Season(*(tuple(_number(entry) for entry in _list(tables[name])) for name in ("scale", "volume")))
    season.check()
    return season


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is needed")
    return value


_PARSERS: dict[str, Any] = {
    "id": lambda value: parse_id(_text(value)),
    "kind": lambda value: Kind(_text(value)),
    "interval": lambda value: Interval.parse(_text(value)),
    "symbols": _symbols,
    "trained_on": _symbols,
    "features": _features,
    "warm_up": _natural,
    "window": _positive,
    "horizons": _horizons,
    "quantiles": _quantiles,
    "sizes": lambda value: {name: _natural(size) for name, size in _mapping(value).items()},
    "seed": _natural,
    "train_from_ms": _natural,
    "train_until_ms": _natural,
    "data_hash": _text,
    "sigma_half_life": _number,
    "baseline": _baseline,
    "scaler": _text,
    "created_ms": _natural,
    "versions": lambda value: {name: _text(version) for name, version in _mapping(value).items()},
    "season": _season,
    "context": lambda value: None if value is None else Symbol.parse(_text(value)),
}
_LATER = {"season", "context"}
"""Fields that models written before them lack."""
