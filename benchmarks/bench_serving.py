"""Serving: 500 markets by six models from candles to ledger rows, batches against Keras, joined requests, memory."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.load import fetch
from benchmarks.measure import Row, at_least, at_most, interleaved, print_rows, reading, result, seconds_per_call
from benchmarks.served import served
from data.candles import Candles
from data.database import Database, connect
from data.interval import Interval
from data.symbol import Symbol
from models.architectures import Head, build
from models.export import export
from models.forecaster import Forecaster
from models.inputs import INPUTS
from models.keras_library import keras
from models.ledger import Ledger
from models.model_writing import write_model
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.spec import HORIZONS, Kind
from utils.clock import SystemClock
from utils.model_cache import ModelCache
from utils.model_utils import open_session, predict_batches

_MARKETS, _BATCH = 500, 256
_SETTINGS = (32, 4)
"""BATCH_SIZE and MAX_WORKERS by default: how a batch is served. `keras.predict` cuts it into 32 too, for every core."""
_SIX = (
    (Kind.TCN, 16, 32),
    (Kind.TCN, 64, 32),
    (Kind.TCN, 16, 64),
    (Kind.TCN, 64, 64),
    (Kind.LSTM, 16, 32),
    (Kind.LSTM, 64, 32),
)
"""Kind, window and units of the six models."""
_INPUTS = tuple(name for name in INPUTS if name not in ("trades_24", "imbalance", "imbalance_12"))
"""As networks are trained on."""
_LSTM = (60, 16, 64)
"""Window, features and units of the LSTM that is held against Keras and the processor."""
_READERS = 16
_HOUR_MS = 3_600_000
_MB = 1_000_000
_SAVED = Path(__file__).resolve().parents[1] / "saved_models"
_TRAINING_LIBRARIES = ("tensorflow", "keras", "sklearn", "scipy", "pandas", "pyarrow")


def run(*, short: bool = False) -> dict[str, Any]:
    rounds = 3 if short else 7
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "models").mkdir()
        _six_models(folder / "models")
        rows = [
            *_batches(folder, rounds),
            *_pipeline(folder, rounds),
            *_batch_sizes(folder, rounds),
            *_joined(folder, rounds),
            *_memory(folder),
        ]
    print_rows("Serving", rows)
    return result("serving", rows)


def _six_models(root: Path) -> None:
    """Networks as they are laid out for serving, untrained: what they compute is the same work."""
    known = next(entry.spec for entry in Registry(_SAVED).usable() if entry.spec is not None)
    for number, (kind, window, units) in enumerate(_SIX):
        spec = replace(
            known, id=f"{kind}-{number}", kind=kind, window=window, warm_up=720, features=_INPUTS,
            sizes={"units": units}, season=None, context=None,
        )  # fmt: skip
        write_model(root, spec, export(_network(kind, window, len(_INPUTS), units), kind), {})


def _pipeline(folder: Path, rounds: int) -> list[Row]:
    """From candles in memory, seen for the first time, to rows in a ledger that has past rows of the same models."""
    whole = [_walk(number, 1000 + 2 * rounds + 2) for number in range(_MARKETS)]
    shown = iter(range(1000, 1000 + 2 * rounds + 2))
    with _opened(folder, "pipeline") as (forecaster, ledger):

        def forecast() -> float:
            end = next(shown)
            markets = [one.slice(end - 1000, end) for one in whole]
            started_s, processor_s = time.perf_counter(), time.process_time()
            made = forecaster.every(markets)
            middle_s = time.perf_counter()
            written = ledger.append(made)
            ended_s = time.perf_counter()
            assert written == _MARKETS * len(_SIX), written
            parts.append((middle_s - started_s, ended_s - middle_s, time.process_time() - processor_s))
            return ended_s - started_s

        parts: list[tuple[float, float, float]] = []
        forecast()
        seen = reading([forecast() for _ in range(rounds)], "s")
        computed, written, processor = (reading([one[at] for one in parts[1:]], "s") for at in (0, 1, 2))
        kept = [one.slice(next(shown) - 1000, None) for one in whole[:1]]
        forecaster.every(kept)
        again = reading([1e6 * seconds_per_call(lambda: forecaster.answer(kept[0]), 50) for _ in range(rounds)], "µs")
    each = reading([1e6 * one[0] / (_MARKETS * len(_SIX)) for one in parts[1:]], "µs")
    return [
        at_most(f"{_MARKETS} markets × {len(_SIX)} models, from candles in memory to ledger rows", seen, 1),
        at_most("of which: forecasts", computed, 1),
        at_most("of which: the ledger", written, 1),
        at_most("processor time of all that", processor, 1),
        at_least("a forecast that is kept, against one of the new ones", again, each, each.median / again.median, None),
    ]


def _batches(folder: Path, rounds: int) -> list[Row]:
    """One LSTM: in Keras, in the runtime, and against what one core can multiply."""
    window, features, units = _LSTM
    model = _network(Kind.LSTM, window, features, units)
    content = export(model, Kind.LSTM)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / "lstm.onnx"
    path.write_bytes(content)
    session, cache = open_session(path, digest), ModelCache()
    cache.get("lstm", digest, lambda: session)
    batch = np.random.default_rng(1).normal(size=(_BATCH, window, features)).astype(np.float32)
    singles = 4
    works: dict[str, Callable[[], float]] = {
        "ours": lambda: 1e3 * seconds_per_call(lambda: predict_batches(session, batch, _BATCH), 10),
        "served": lambda: 1e3 * seconds_per_call(lambda: predict_batches(session, batch, *_SETTINGS), 10),
        "predict": lambda: 1e3 * seconds_per_call(lambda: model.predict(batch, verbose=0), 1),
        "single": lambda: _BATCH * 1e3 * seconds_per_call(lambda: model.predict(batch[:1], verbose=0), singles),
        "limit": lambda: 1e3 * _operations(window, features, units) / _multiplications_per_s(),
        "load": lambda: 1e3 * seconds_per_call(lambda: open_session(path, digest), 3),
        "cached": lambda: 1e6 * seconds_per_call(lambda: cache.get("lstm", digest, _never), 2000),
    }
    for work in works.values():
        work()
    seen = {
        name: reading(values, "µs" if name == "cached" else "ms") for name, values in interleaved(works, rounds).items()
    }

    def against(what: str, reference: str, limit: float) -> Row:
        return at_least(what, seen["served"], seen[reference], seen[reference].median / seen["served"].median, limit)

    times = seen["ours"].median / seen["limit"].median
    return [
        against(f"LSTM, batch of {_BATCH}, against {_BATCH} single calls of keras.predict", "single", 1000),
        against(f"LSTM, batch of {_BATCH}, against keras.predict of the same batch", "predict", 8),
        at_most(
            f"LSTM, {_BATCH} windows in one call on one core, times that core's floating-point limit",
            reading([times], "×"),
            3,
        ),
        at_most("cold load", seen["load"], 30),
        at_most("cached load", seen["cached"], 50),
    ]


def _batch_sizes(folder: Path, rounds: int) -> list[Row]:
    """BATCH_SIZE and MAX_WORKERS, at one model of each kind over 500 windows; the first is the default."""
    registry = Registry(folder / "models")
    return [row for name in ("tcn-1", "lstm-5") for row in _sizes_of(registry.get(name), rounds)]


def _sizes_of(entry: RegistryEntry, rounds: int) -> list[Row]:
    assert entry.spec is not None
    session = entry.open()
    shape = (_MARKETS, entry.spec.window, len(entry.spec.features))
    windows = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    def timed(size: int, workers: int) -> Callable[[], float]:
        return lambda: 1e3 * seconds_per_call(lambda: predict_batches(session, windows, size, workers), 1)

    pairs = ((32, 4), (32, 1), (1, 1), (256, 1), (256, 4), (512, 1))
    works = {f"{size} and {workers}": timed(size, workers) for size, workers in pairs}
    seen = {pair: reading(values, "ms") for pair, values in interleaved(works, rounds).items()}
    usual = seen.pop("32 and 4")
    what = f"{entry.id}, {_MARKETS} windows: BATCH_SIZE 32 and MAX_WORKERS 4, against"
    return [at_least(f"{what} {pair}", usual, one, one.median / usual.median, None) for pair, one in seen.items()]


def _joined(folder: Path, rounds: int) -> list[Row]:
    """Sixteen threads that each ask for another market at once, against one that asks for one after the other."""
    whole = [_walk(number, 1000 + rounds + 2) for number in range(_READERS)]
    shown = iter(range(1000, 1000 + rounds + 2))
    with _opened(folder, "joined") as (forecaster, _):

        def together() -> float:
            end = next(shown)
            markets = [one.slice(end - 1000, end) for one in whole]
            begin = threading.Barrier(_READERS + 1)

            def ask(market: Candles) -> None:
                begin.wait()
                forecaster.answer(market)

            threads = [threading.Thread(target=ask, args=(market,)) for market in markets]
            for thread in threads:
                thread.start()
            begin.wait()
            started_s = time.perf_counter()
            for thread in threads:
                thread.join()
            took_ms = 1e3 * (time.perf_counter() - started_s)
            forecaster.clear()
            apart.append(1e3 * seconds_per_call(lambda: [forecaster.answer(market) for market in markets], 1))
            return took_ms

        apart: list[float] = []
        together()
        apart.clear()
        joined = reading([together() for _ in range(rounds)], "ms")
        one_by_one = reading(apart, "ms")
    ratio = one_by_one.median / joined.median
    return [at_least(f"{_READERS} threads at once, against one after the other", joined, one_by_one, ratio, 1.5)]


def _memory(folder: Path) -> list[Row]:
    """`python app.py` with 50 markets and the six models, once every market was forecast by each."""
    names = ",".join(["BTCUSDT", *(f"COIN{number:03d}USDT" for number in range(1, 50))])
    with served(MODELS_PATH=str(folder / "models"), SYMBOLS=names, INTERVALS="1h", SIMULATED_REPLAY_PATH="") as server:
        for symbol in names.split(","):
            status, answer = fetch(server.port, f"/symbol/{symbol}?interval=1h")
            assert status == 200, answer[:500]
        time.sleep(3)  # the scorekeeper writes and the collector settles
        held = server.process.memory_info().rss / _MB
        mapped = {Path(one.path).as_posix() for one in server.process.memory_maps()}
    loaded = [name for name in _TRAINING_LIBRARIES if any(f"/{name}/" in path for path in mapped)]
    return [
        at_most("serving process with 6 models and 50 markets, resident", reading([held], "MB"), 180),
        at_most("training libraries in it", reading([float(len(loaded))], "libraries"), 0.5),
    ]


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[tuple[Forecaster, Ledger]]:
    database: Database = connect(f"sqlite:///{folder / name}.db")
    clock = SystemClock()
    ledger = Ledger(database, clock)
    forecaster = Forecaster(
        registry=Registry(folder / "models"), model_cache=ModelCache(), batch_size=32, max_workers=4, clock=clock,
        followings=ledger.followings,
    )  # fmt: skip
    try:
        yield forecaster, ledger
    finally:
        database.close()


def _network(kind: Kind, window: int, features: int, units: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    naive = np.outer(np.sqrt(HORIZONS), [-1.6, -0.6, 0.0, 0.6, 1.6]).astype(np.float32)
    return build(kind, window, [0.0] * features, [1.0] * features, Head(HORIZONS, naive, 2), units, 0.0)


def _operations(window: int, features: int, units: int) -> float:
    """Multiplications and additions of the LSTM's matrix products at that batch; its head is a hundredth of them."""
    return 2.0 * _BATCH * window * (features + units) * 4 * units


def _multiplications_per_s(side: int = 1024) -> float:
    """What one core reaches in single precision: the product of two square matrices."""
    one: NDArray[np.float32] = np.ones((side, side), dtype=np.float32)
    with threadpool_limits(1):
        return 2.0 * side**3 / seconds_per_call(lambda: one @ one, 2)


def _walk(seed: int, count: int) -> Candles:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(4, count) * 0.006))
    high, low = close * (1 + rng.exponential(0.003, count)), close * (1 - rng.exponential(0.003, count))
    volume = rng.lognormal(3.0, 0.7, count)
    times = 473_352 * _HOUR_MS + _HOUR_MS * np.arange(count)
    columns = [close, high, low, close, volume, volume * close, volume, volume / 2, volume * close / 2]
    return Candles.from_columns(Symbol(f"COIN{seed}USDT"), Interval.H1, times, columns)


def _never() -> Any:
    raise AssertionError("a cached model is loaded again")


if __name__ == "__main__":
    run()
