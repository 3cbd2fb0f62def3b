"""Data caches: one under given bounds, on a clock that the test moves, and loads that count themselves."""

from __future__ import annotations

from collections.abc import Iterator

from utils.clock import ManualClock
from utils.data_cache import DataCache


def fresh(clock: ManualClock, **bounds: float) -> DataCache:
    cache = DataCache("test")
    cache.configure(timer=clock.monotonic, **bounds)  # type: ignore[arg-type]  # the bounds under test
    return cache


class Loader:
    """Counts its calls; gives what it was told to, or raises it."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes: Iterator[object] = iter(outcomes)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        outcome = next(self.outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
