"""Circuit breaker: after repeated failures nobody tries for a while, then one tries for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Closed, calls go through. After `failures` in a row it is open for `open_s`, then half-open: one call is the
    probe, whose success closes it and whose failure opens it for twice as long, up to `longest_open_s`.

    Ask `allows()` before a call and tell `succeeded()` or `failed()` after it. `timer` gives monotonic seconds.
    """

    def __init__(self, *, failures: int, open_s: float, longest_open_s: float, timer: Callable[[], float]) -> None:
        self._limit = failures
        self._shortest_s = open_s
        self._longest_s = longest_open_s
        self._timer = timer
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failed = 0
        self._open_s = open_s
        self._until = 0.0
        self._opened = 0

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def opened(self) -> int:
        """How often it has opened; a failed probe counts again."""
        return self._opened

    def allows(self) -> bool:
        """Whether to call now. True for one caller only when the time of an open breaker has passed."""
        if self._closed():
            return True
        with self._lock:
            if self._closed():
                return True
            now = self._timer()
            if now < self._until:
                return False
            self._state = BreakerState.HALF_OPEN
            self._until = now + self._shortest_s  # a probe that never reports does not keep it half-open for ever
            return True

    def succeeded(self) -> None:
        """A success that was under way when the breaker opened says nothing new."""
        if self._state is BreakerState.CLOSED and not self._failed:
            return
        with self._lock:
            if self._state is not BreakerState.OPEN:
                self._state = BreakerState.CLOSED
                self._failed = 0
                self._open_s = self._shortest_s

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            if self._state is BreakerState.HALF_OPEN:
                self._open_s = min(2 * self._open_s, self._longest_s)
            elif self._state is BreakerState.OPEN or self._failed < self._limit:
                return
            self._state = BreakerState.OPEN
            self._until = self._timer() + self._open_s
            self._opened += 1

    def _closed(self) -> bool:
        return self._state is BreakerState.CLOSED

    def retry_now(self) -> None:
        """Somebody else has seen the other side alive: the next call is the probe."""
        with self._lock:
            if self._state is BreakerState.OPEN:
                self._until = self._timer()
