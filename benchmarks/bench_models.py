"""Models: a cached session against a cold Keras load, a batch against `keras.predict`, and many markets at once."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Row, at_least, at_most, interleaved, print_rows, reading, result, seconds_per_call
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models.architectures import Head, build
from models.export import export
from models.forecaster import Forecaster
from models.keras_library import keras
from models.ledger import Ledger
from models.registry import Registry
from models.spec import HORIZONS, Kind
from models.traits import NETWORKS
from utils.clock import SystemClock
from utils.model_cache import ModelCache
from utils.model_utils import open_session, predict_batches

_WINDOW, _FEATURES, _UNITS = 64, 32, 32
_HOUR_MS = 3_600_000
_SAVED = Path(__file__).resolve().parents[1] / "saved_models"


def run(*, short: bool = False) -> dict[str, Any]:
    rounds = 3 if short else 9
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in NETWORKS:
            rows += _kind(kind, Path(folder), rounds)
        rows += _served(Path(folder), rounds)
    print_rows(f"Models, window {_WINDOW}, {_FEATURES} features, {_UNITS} units", rows)
    return result("models", rows)


def _kind(kind: Kind, folder: Path, rounds: int) -> list[Row]:
    model = _network(kind)
    keras_path, path = folder / f"{kind}.keras", folder / f"{kind}.onnx"
    model.save(keras_path)
    path.write_bytes(export(model, kind))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cache = ModelCache()
    session = cache.get("bench", digest, lambda: open_session(path, digest))
    batch = _windows(32)
    works: dict[str, Callable[[], float]] = {
        "keras_load": lambda: _cold(lambda: keras.models.load_model(keras_path)),
        "onnx_load": lambda: _cold(lambda: open_session(path, digest)),
        "cached": lambda: 1e3 * seconds_per_call(lambda: cache.get("bench", digest, _never), 2000),
        "keras_32": lambda: 1e3 * seconds_per_call(lambda: model.predict(batch, verbose=0), 3),
        "onnx_32": lambda: 1e3 * seconds_per_call(lambda: predict_batches(session, batch, 32), 50),
        "keras_calls": lambda: 32e3 * seconds_per_call(lambda: model.predict(batch[:1], verbose=0), 3),
        "onnx_calls": lambda: 1e3 * seconds_per_call(lambda: _one_by_one(session, batch), 10),
        "onnx_1": lambda: 1e3 * seconds_per_call(lambda: predict_batches(session, batch[:1], 32), 50),
    }
    for work in works.values():
        work()
    seen = {name: reading(values, "ms") for name, values in interleaved(works, rounds).items()}

    def row(what: str, ours: str, reference: str, limit: float | None) -> Row:
        ratio = seen[reference].median / seen[ours].median
        return at_least(f"{kind}: {what}", seen[ours], seen[reference], ratio, limit)

    return [
        row("cached model, against a cold Keras load", "cached", "keras_load", 1000),
        row("cold ONNX load, against a cold Keras load", "onnx_load", "keras_load", None),
        row("batch of 32 windows, against keras.predict of the same", "onnx_32", "keras_32", 8),
        row("one batch of 32, against 32 calls of keras.predict", "onnx_32", "keras_calls", 25),
        row("one batch of 32, against 32 calls of the session", "onnx_32", "onnx_calls", 1.5),
        row("one window, against a batch of 32", "onnx_1", "onnx_32", None),
        at_most(f"{kind}: cached model", _in_us(seen["cached"].median, seen["cached"].spread), 50),
        at_most(f"{kind}: cold ONNX load", seen["onnx_load"], 30),
    ]


def _served(folder: Path, rounds: int) -> list[Row]:
    """The shipped model over 20 and 100 markets of 1000 candles: from candles to forecasts, and into the ledger."""
    clock = SystemClock()
    registry = Registry(_SAVED)
    if registry.default(Interval.H1) is None:
        return []
    forecaster = Forecaster(registry=registry, model_cache=ModelCache(), batch_size=32, max_workers=4, clock=clock)
    markets = [_walk(number) for number in range(100)]
    database = connect(f"sqlite:///{folder / 'ledger.db'}")
    ledger = Ledger(database, clock)

    def forecasts(count: int) -> float:
        forecaster.clear()
        return _cold(lambda: forecaster.forecast_all(markets[:count]))

    works: dict[str, Callable[[], float]] = {
        "20": lambda: forecasts(20),
        "100": lambda: forecasts(100),
        "kept": lambda: 1e3 * seconds_per_call(lambda: forecaster.forecast_all(markets[:20]), 20),
    }
    for work in works.values():
        work()
    seen = {name: reading(values, "ms") for name, values in interleaved(works, rounds).items()}
    made = list(forecaster.forecast_all(markets).values())
    written = reading([_cold(lambda: ledger.append(made))], "ms")
    database.close()
    return [
        at_most("forecasts of 20 markets, computed", seen["20"], 500),
        at_least(
            "forecasts of 100 markets, against 20",
            seen["100"],
            seen["20"],
            seen["20"].median / seen["100"].median,
            None,
        ),
        at_least(
            "forecasts of 20 markets, kept", seen["kept"], seen["20"], seen["20"].median / seen["kept"].median, None
        ),
        at_most("100 forecasts written to the ledger", written, 250),
    ]


def _network(kind: Kind) -> keras.Model:
    keras.utils.set_random_seed(1)
    naive = np.outer(np.sqrt(HORIZONS), [-1.6, -0.6, 0.0, 0.6, 1.6]).astype(np.float32)
    zeros, ones = [0.0] * _FEATURES, [1.0] * _FEATURES
    return build(kind, _WINDOW, zeros, ones, Head(HORIZONS, naive, 2), _UNITS, 0.0)


def _windows(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, _WINDOW, _FEATURES)).astype(np.float32)


def _walk(seed: int, count: int = 1000) -> Candles:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(4, count) * 0.006))
    high, low = close * (1 + rng.exponential(0.003, count)), close * (1 - rng.exponential(0.003, count))
    unknown = np.full(count, np.nan)
    times = 473_352 * _HOUR_MS + _HOUR_MS * np.arange(count)
    columns = [close, high, low, close, rng.lognormal(3.0, 0.7, count), *(unknown.copy() for _ in range(4))]
    return Candles.from_columns(Symbol(f"COIN{seed}USDT"), Interval.H1, times, columns)


def _one_by_one(session: Any, windows: NDArray[np.float32]) -> None:
    for number in range(len(windows)):
        predict_batches(session, windows[number : number + 1], 1)


def _cold(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started_s)


def _in_us(median_ms: float, spread_ms: float) -> Any:
    return reading([1e3 * (median_ms - spread_ms), 1e3 * median_ms, 1e3 * (median_ms + spread_ms)], "µs")


def _never() -> Any:
    raise AssertionError("a cached model is loaded again")


if __name__ == "__main__":
    run()
