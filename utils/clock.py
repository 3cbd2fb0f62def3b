"""Time: the only place that reads the machine's clocks, so that everything else can be given another."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for dates, monotonic time for durations."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever go forward; the zero is arbitrary."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class OffsetClock:
    """Wall time of somebody else: ours plus a measured offset, which may be corrected while running."""

    def __init__(self, base: Clock, offset_ms: int = 0) -> None:
        self._base = base
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return self._base.now_ms() + self.offset_ms

    def monotonic(self) -> float:
        return self._base.monotonic()


class ManualClock:
    """A clock that moves only when told to, for tests and simulations."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 1_000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def tick(self, seconds: float) -> None:
        """Both clocks go forward together."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds

    def set_wall(self, now_ms: int) -> None:
        """The wall clock is stepped (as NTP or an operator would); the monotonic one is not."""
        self._now_ms = now_ms
