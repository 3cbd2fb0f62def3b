"""TokenBuckets: how often each of many may do something, a burst at once and then at a steady rate."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from utils.clock import Clock

MOST_BUCKETS = 10_000
"""Buckets that are remembered; the one that was used longest ago is forgotten first, which is as if it were full."""


class TokenBuckets:
    """A bucket of `burst` tokens for each key, filled again at `rate_per_s`; full for whoever has not come yet.

    Of a bucket is kept only when it will be full again: one number (the generic cell rate algorithm, ITU-T I.371).
    What is refused costs no token, so that waiting always helps.
    """

    def __init__(self, clock: Clock, *, rate_per_s: float, burst: int, most: int = MOST_BUCKETS) -> None:
        self._now_s = clock.monotonic
        self._token_s = 1.0 / rate_per_s
        self._room_s = (burst - 1) * self._token_s
        self._most = most
        self._full_at_s: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, key: Hashable) -> float:
        """Takes a token and answers 0; or answers in how many seconds there will be one."""
        now_s = self._now_s()
        with self._lock:
            full_at_s = max(self._full_at_s.pop(key, now_s), now_s)
            wait_s = full_at_s - now_s - self._room_s
            if wait_s > 1e-9:
                self._full_at_s[key] = full_at_s
                return wait_s
            self._full_at_s[key] = full_at_s + self._token_s
            if len(self._full_at_s) > self._most:
                del self._full_at_s[next(iter(self._full_at_s))]
            return 0.0
