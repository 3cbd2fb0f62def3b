"""What the serving process loads of the model layer brings no training library along, not even after a forecast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import tiny_model

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "keras", "onnx", "sklearn", "scipy", "pandas", "polars", "pyarrow", "tqdm", "joblib")

SCRIPT = """
import sys
from pathlib import Path
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models import baseline, forecaster, ledger, registry, scoring, spec
from utils import model_cache, model_utils
from utils.clock import SystemClock
import numpy as np

before = {name for name in sys.modules if name.split(".")[0] == "onnxruntime"}
assert not before, "onnxruntime is loaded on first use"
times = np.arange(400, dtype=np.int64) * 3_600_000
walk = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 400)))
candles = Candles.from_columns(
    Symbol("BTCUSDT"), Interval.H1, times, [walk, walk * 1.01, walk * 0.99, walk * 1.001, walk, walk, walk, walk, walk]
)
clock = SystemClock()
made = forecaster.Forecaster(
    registry=registry.Registry(Path(sys.argv[1])),
    model_cache=model_cache.model_cache,
    batch_size=32,
    max_workers=2,
    clock=clock,
).forecast_all([candles])
kept = ledger.Ledger(connect("sqlite://"), clock)
assert kept.append(made.values()) == 1
kept.skill(model_id="tiny")
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_serving_loads_no_training_library(tmp_path: Path) -> None:
    tiny_model.save(tmp_path)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    loaded = set(finished.stdout.split())
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(HEAVY)
