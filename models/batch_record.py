"""BatchRecord: how large the batches of windows were that went through the models, and how long they took."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchStats:
    """Since the start; a batch is all windows of one model that were forecast together. `waiting`: forecasts, now."""

    batches: int
    windows: int
    largest_batch: int
    newest_batch: int
    windows_per_batch: float | None
    """Windows per batch; None before the first."""
    mean_batch_s: float | None
    waiting: int


class BatchRecord:
    """Counts; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = self._windows = self._largest = self._newest = 0
        self._seconds = 0.0

    def add(self, windows: int, seconds: float) -> None:
        with self._lock:
            self._batches += 1
            self._windows += windows
            self._newest = windows
            self._largest = max(self._largest, windows)
            self._seconds += seconds

    def stats(self, waiting: int) -> BatchStats:
        with self._lock:
            done = self._batches
            return BatchStats(
                batches=done,
                windows=self._windows,
                largest_batch=self._largest,
                newest_batch=self._newest,
                windows_per_batch=self._windows / done if done else None,
                mean_batch_s=self._seconds / done if done else None,
                waiting=waiting,
            )
