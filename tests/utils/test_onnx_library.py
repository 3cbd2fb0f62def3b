"""The one import of ONNX Runtime: it serves, and tells nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os, sys
from utils.onnx_library import onnxruntime
print(onnxruntime.get_available_providers())
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
"""


def test_the_runtime_leaves_nothing_in_the_home_and_starts_no_thread_of_its_own(tmp_path: Path) -> None:
    """Its reports would begin with the import: an identity of the machine, a database, and a thread that sends it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT, env={"HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    providers, threads = done.stdout.splitlines()
    assert "CPUExecutionProvider" in providers
    assert threads == "1"
    assert not list(tmp_path.rglob("*"))
