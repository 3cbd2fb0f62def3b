"""Model files into sessions, and many windows through a session in batches. ONNX Runtime is imported on first use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import ModelCorrupt, SchemaMismatch

Windows = NDArray[np.float32]


class Session:
    """One built graph: float32 windows (n, window, features) in, float32 (n, horizons, quantiles) out. Thread-safe."""

    __slots__ = ("_input", "_runtime", "input_shape", "output_shape", "size_bytes")

    def __init__(self, runtime: Any, size_bytes: int = 0) -> None:
        """`size_bytes`: of the file it was built from, most of which its weights are."""
        self._runtime = runtime
        self.size_bytes = size_bytes
        inputs, outputs = runtime.get_inputs(), runtime.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelCorrupt(f"the graph has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed")
        self._input: str = inputs[0].name
        self.input_shape: tuple[Any, ...] = tuple(inputs[0].shape)
        self.output_shape: tuple[Any, ...] = tuple(outputs[0].shape)

    def run(self, windows: Windows) -> NDArray[np.float32]:
        """One call of the runtime for all of `windows`; ModelCorrupt where the graph cannot answer."""
        try:
            output: NDArray[np.float32] = self._runtime.run(None, {self._input: windows})[0]
        except _refusals() as error:
            raise ModelCorrupt(f"the graph cannot answer windows of shape {windows.shape}: {error}") from error
        return output


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_session(path: Path, sha256: str) -> Session:
    """Reads `path` once, compares its SHA-256 with the manifest's, and builds the graph from those very bytes.

    Raises ModelCorrupt where the file is missing, is not the one named, or is no graph.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelCorrupt(f"{path.name} of model {path.parent.name!r} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelCorrupt(
            f"{path.name} of model {path.parent.name!r} has SHA-256 {found[:12]}… but the manifest has {sha256[:12]}…; "
            "restore the file or train the model again"
        )
    return session_of(content, f"{path.name} of model {path.parent.name!r}")


def session_of(content: bytes, name: str) -> Session:
    """A graph in memory as a session; ModelCorrupt (naming it as `name`) where it is none."""
    return Session(_build(content, name), len(content))


def predict_batches(session: Session, windows: Windows, batch_size: int, workers: int = 1) -> NDArray[np.float32]:
    """(n, window, features) → (n, horizons, quantiles): one call per `batch_size` rows, on `workers` threads."""
    if windows.ndim != 3 or tuple(session.input_shape[1:]) != windows.shape[1:]:
        raise SchemaMismatch(f"windows of shape {windows.shape} were given; the model takes {session.input_shape}")
    if not len(windows):
        return np.empty((0, *session.output_shape[1:]), dtype=np.float32)
    chunks = list(_chunks(windows, max(1, batch_size)))
    if len(chunks) == 1:
        return session.run(chunks[0])
    workers = min(workers, len(chunks), os.cpu_count() or 1)  # more threads than processors only wait for each other
    if workers <= 1:
        return np.concatenate([session.run(chunk) for chunk in chunks])
    with ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
        return np.concatenate(list(pool.map(session.run, chunks)))


def _chunks(windows: Windows, size: int) -> Iterator[Windows]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def _build(content: bytes, name: str) -> Any:
    from utils.onnx_library import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _refusals() as error:
        raise ModelCorrupt(f"{name} is not a usable graph: {error}") from error


def _refusals() -> tuple[type[Exception], ...]:
    """What the runtime raises; it has no common ancestor."""
    from utils.onnx_library import onnxruntime

    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NotImplemented,
        state.RuntimeException,
    )
