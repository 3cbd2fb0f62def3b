"""Virtual clock: the simulated exchange's time, which may start elsewhere, run faster, and stop where the data end."""

from __future__ import annotations

from utils.clock import Clock
from utils.errors import InvalidInput


class VirtualClock:
    """Time that begins at `start_ms` (default: the base's own) and runs `speed` times as fast as the base's."""

    def __init__(
        self, base: Clock, *, start_ms: int | None = None, speed: float = 1.0, end_ms: int | None = None
    ) -> None:
        if not 0 < speed <= 1e6:
            raise InvalidInput(f"speed {speed} cannot drive a clock; use a number above 0 and up to 1000000")
        self._base = base
        self._follows = start_ms is None and speed == 1.0
        self._zero = base.monotonic()
        self.start_ms = base.now_ms() if start_ms is None else start_ms
        self.speed = speed
        self.end_ms = end_ms

    def now_ms(self) -> int:
        """UTC milliseconds of the simulated day; after `end_ms` it stands still."""
        if self._follows:
            now = self._base.now_ms()
        else:
            now = self.start_ms + round((self._base.monotonic() - self._zero) * 1000 * self.speed)
        return now if self.end_ms is None else min(now, self.end_ms)

    def monotonic(self) -> float:
        """Real seconds, for pacing and limits."""
        return self._base.monotonic()
