"""Small real models and made candles for the tests of the model layer, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.model_writing import write_model
from models.spec import HORIZONS, QUANTILES, Kind, ModelSpec

START_MS = 1_704_067_200_000
"""2024-01-01 UTC."""
NAIVE = np.outer(np.sqrt(HORIZONS), [-1.6, -0.6, 0.0, 0.6, 1.6])


def candles(
    count: int,
    *,
    symbol: str = "BTCUSDT",
    seed: int = 1,
    start_ms: int = START_MS,
    interval: Interval = Interval.H1,
    volatility: float = 0.01,
) -> Candles:
    """A geometric random walk with highs, lows and volumes; equal arguments, equal candles."""
    random = np.random.default_rng(seed)
    return from_returns(
        random.normal(0.0, volatility, count), symbol=symbol, seed=seed, start_ms=start_ms, interval=interval
    )


def from_returns(
    returns: NDArray[np.float64],
    *,
    symbol: str = "BTCUSDT",
    seed: int = 1,
    start_ms: int = START_MS,
    interval: Interval = Interval.H1,
) -> Candles:
    """Candles whose closes have these log returns."""
    random = np.random.default_rng(seed + 1000)
    close = 100.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[100.0], close[:-1]])
    wick = np.exp(np.abs(random.normal(0.0, 0.002, (2, len(close)))))
    high, low = np.maximum(opened, close) * wick[0], np.minimum(opened, close) / wick[1]
    volume = random.gamma(2.0, 50.0, len(close))
    unknown = np.full(len(close), np.nan)
    times = start_ms + np.arange(len(close), dtype=np.int64) * interval.ms
    columns = [opened, high, low, close, volume, unknown, unknown.copy(), unknown.copy(), unknown.copy()]
    return Candles.from_columns(Symbol(symbol), interval, times, columns)


def planted(symbol: str, seed: int, count: int = 7000, start_ms: int = START_MS) -> Candles:
    """Each hour moves on by a quarter of the one before, and volatility has a daily rhythm: both can be learned."""
    random = np.random.default_rng(seed)
    scale = 0.004 * (1.0 + 0.7 * np.sin(2 * np.pi * (np.arange(count) % 24) / 24))
    returns = random.normal(size=count) * scale
    for place in range(1, count):
        returns[place] += 0.25 * returns[place - 1]
    return from_returns(returns, symbol=symbol, seed=seed, start_ms=start_ms)


def without(whole: Candles, first: int, last: int) -> Candles:
    """The candles with rows [first, last) missing: a hole."""
    keep = np.r_[0:first, last : len(whole)]
    names = (
        "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote",
    )  # fmt: skip
    columns = [getattr(whole, name)[keep] for name in names]
    return Candles.from_columns(whole.symbol, whole.interval, whole.open_time_ms[keep], columns)


def spec(
    model_id: str = "tiny", *, features: tuple[str, ...] = ("return_1", "range", "hour_sin"), **changes: object
) -> ModelSpec:
    """A valid spec of a model with an 8-candle window."""
    whole = ModelSpec(
        id=model_id,
        kind=Kind.TCN,
        interval=Interval.H1,
        symbols=(),
        trained_on=(Symbol("BTCUSDT"),),
        features=features,
        warm_up=240,
        window=8,
        horizons=HORIZONS,
        quantiles=QUANTILES,
        sizes={"units": 2},
        seed=1,
        train_from_ms=START_MS - 10_000_000,
        train_until_ms=START_MS,
        data_hash="0" * 32,
        sigma_half_life=24.0,
        baseline=tuple(map(tuple, NAIVE.tolist())),
        scaler="none",
        created_ms=START_MS,
        versions={"onnx": "1"},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def graph(made: ModelSpec, seed: int = 1, strength: float = 0.05, given: Mapping[str, float] | None = None) -> bytes:
    """naive + √h · (windows · weights): every quantile shifted alike, so none cross, and any input matters; with
    weights `given`, those inputs of the newest candle alone."""
    shape = (made.window, len(made.features))
    size = shape[0] * shape[1]
    random = np.random.default_rng(seed)
    newest = random.normal(0.0, strength, size)
    if given is not None:
        newest[:] = 0.0
        newest[-len(made.features) :] = [given.get(name, 0.0) for name in made.features]
    weights = np.outer(newest, np.sqrt(made.horizons)).astype(np.float32)
    constants: dict[str, NDArray[Any]] = {
        "flat_shape": np.array([-1, size], dtype=np.int64),
        "weights": weights,
        "column_shape": np.array([-1, len(made.horizons), 1], dtype=np.int64),
        "naive": np.array(made.baseline, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["windows", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["shift"]),
        helper.make_node("Reshape", ["shift", "column_shape"], ["column"]),
        helper.make_node("Add", ["column", "naive"], ["quantiles"]),
    ]
    laid = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", len(made.horizons), len(made.quantiles)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(laid, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 9
    content: bytes = proto.SerializeToString()
    return content


def save(root: Path, made: ModelSpec | None = None, seed: int = 1) -> Path:
    """A whole model folder under `root`."""
    chosen = made or spec()
    return write_model(root, chosen, graph(chosen, seed), {"note": "made for a test"})
