"""What the serving process must not hold: libraries for training, and those that only some settings need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TRAINING = (
    "tensorflow",
    "keras",
    "sklearn",
    "scipy",
    "pandas",
    "polars",
    "pyarrow",
    "onnx",
    "skl2onnx",
    "tf2onnx",
    "joblib",
)
ONLY_WHERE_SET = ("redis", "psycopg", "apprise")
NOT_WHILE_SERVING = (
    "alembic",
    "mako",
    "requests",
    "urllib3",
    "dateparser",
    "Crypto",
    "binance.client",
    "tqdm",
    "numpy.testing",
    "numpy.f2py",
    "tarfile",
)
"""Alembic only for a database of an older version, in a process that begins anew anyway; python-binance would bring
requests and dateparser along for its synchronous client, and that one for its docstrings."""

SCRIPT = """
import sys
from pathlib import Path
import app
from config import load_settings
from routes.wiring.parts import PARTS

made = app.create_app(load_settings(instance_path=sys.argv[1], exchange="simulated"))
import data.gateway_client, data.stream_socket  # as the loop threads do
made.extensions[PARTS].services.registry.all()
import data.indicators_talib, utils.onnx_library
print(*sorted(sys.modules))
made.extensions[PARTS].database.close()
"""


def test_the_serving_process_holds_nothing_that_it_does_not_serve_with(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"flask", "binance", "onnxruntime", "talib", "sqlalchemy"} <= loaded
    found = sorted(name for name in (*TRAINING, *ONLY_WHERE_SET, *NOT_WHILE_SERVING) if name in loaded)
    assert not found, f"{', '.join(found)} came into the serving process; import it where it is used"
