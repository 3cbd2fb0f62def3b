"""What this machine and this process look like: read by psutil, in the background, never per request."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from utils.plain import plain

_USS_EVERY = 6
"""The memory that is ours alone takes the kernel milliseconds to add up: read with every sixth sample."""
_PACKAGES = ("flask", "granian", "waitress", "python-binance", "numpy", "onnxruntime", "TA-Lib", "SQLAlchemy", "psutil")


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One reading. Percentages are 0 … 100; of `cpu_percent`, 100 is one core fully used. Those of the CPU are over the
    time since the reading before; where this is the `first`, they are 0 and say nothing."""

    at_ms: int
    rss_bytes: int
    uss_bytes: int | None
    cpu_percent: float
    threads: int
    open_files: int | None
    gc_collections: int
    gc_uncollectable: int
    system_cpu_percent: float
    memory_total_bytes: int
    memory_available_bytes: int
    memory_percent: float
    gc_pause_s: float = 0.0
    gc_longest_s: float = 0.0
    first: bool = False


def sample_values(sample: ProcessSample) -> dict[str, Any]:
    """As plain values; None for what the first one cannot know."""
    unknown = {"cpu_percent": None, "system_cpu_percent": None} if sample.first else {}
    return {**plain(sample), **unknown}


class GcWatch:
    """How long garbage collections took since `start()`: everything else in the process waits for each of them."""

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self.pause_s = 0.0
        self.longest_s = 0.0
        self._timer = timer
        self._began_s = 0.0

    def start(self) -> None:
        if self._notice not in gc.callbacks:
            gc.callbacks.append(self._notice)

    def close(self) -> None:
        if self._notice in gc.callbacks:
            gc.callbacks.remove(self._notice)

    def _notice(self, phase: str, _info: Mapping[str, int]) -> None:
        """No two collections run at once, and none within this."""
        if phase == "start":
            self._began_s = self._timer()
            return
        took_s = self._timer() - self._began_s
        self.pause_s += took_s
        self.longest_s = max(self.longest_s, took_s)


class ProcessReader:
    """Reads this process and its machine; keeps the psutil handle, which makes a reading three times cheaper."""

    def __init__(self, collections: GcWatch | None = None) -> None:
        self._process = psutil.Process()
        self._collections = collections or GcWatch()
        self._readings = 0
        self._uss_bytes: int | None = None

    def read(self, at_ms: int) -> ProcessSample:
        """One sample, stamped `at_ms` (UTC milliseconds)."""
        if self._readings % _USS_EVERY == 0:
            self._uss_bytes = self._read_uss()
        self._readings += 1
        collections = gc.get_stats()
        memory = psutil.virtual_memory()
        with self._process.oneshot():
            return ProcessSample(
                at_ms=at_ms,
                rss_bytes=self._process.memory_info().rss,
                uss_bytes=self._uss_bytes,
                cpu_percent=self._process.cpu_percent(),
                threads=self._process.num_threads(),
                open_files=self._process.num_fds() if hasattr(self._process, "num_fds") else None,
                gc_collections=sum(generation["collections"] for generation in collections),
                gc_uncollectable=sum(generation["uncollectable"] for generation in collections),
                system_cpu_percent=psutil.cpu_percent(),
                memory_total_bytes=memory.total,
                memory_available_bytes=memory.available,
                memory_percent=memory.percent,
                gc_pause_s=self._collections.pause_s,
                gc_longest_s=self._collections.longest_s,
                first=self._readings == 1,
            )

    def _read_uss(self) -> int | None:
        try:
            uss: int = self._process.memory_full_info().uss
        except (psutil.AccessDenied, AttributeError):  # some kernels and containers do not tell
            return None
        return uss


@cache
def machine_facts() -> dict[str, Any]:
    """What does not change while the process lives: platform, interpreter, cores, memory, versions in use."""
    return {
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "python_version": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "cpu_count": os.cpu_count() or 1,
        "cpu_count_physical": psutil.cpu_count(logical=False),
        "memory_total_bytes": psutil.virtual_memory().total,
        "pid": os.getpid(),
        "versions": {name: _installed(name) for name in _PACKAGES},
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
