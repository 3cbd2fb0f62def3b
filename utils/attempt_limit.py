"""AttemptLimit: how often something may be tried within a sliding window, per source and by all together."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from utils.clock import Clock

_MAX_SOURCES = 10_000


class AttemptLimit:
    """At most `per_source` attempts of one source and `in_all` of everybody within `window_s` seconds.

    Attempts that are refused do not count, so that waiting always helps.
    """

    def __init__(self, clock: Clock, *, per_source: int, in_all: int, window_s: float) -> None:
        self._clock = clock
        self._per_source = per_source
        self._in_all = in_all
        self._window_s = window_s
        self._lock = threading.Lock()
        self._everybody: deque[float] = deque()
        self._sources: OrderedDict[str, deque[float]] = OrderedDict()

    def try_again_after_s(self, source: str) -> float:
        """Counts an attempt and answers 0; or answers how many seconds to wait, and counts nothing."""
        with self._lock:
            now = self._clock.monotonic()
            mine = self._sources.setdefault(source, deque())
            self._sources.move_to_end(source)
            while len(self._sources) > _MAX_SOURCES:
                self._sources.popitem(last=False)
            wait_s = max(self._wait_s(mine, self._per_source, now), self._wait_s(self._everybody, self._in_all, now))
            if wait_s <= 0:
                mine.append(now)
                self._everybody.append(now)
            return max(wait_s, 0.0)

    def forget(self, source: str) -> None:
        """The source has shown that it may: its attempts no longer count against it."""
        with self._lock:
            self._sources.pop(source, None)

    def _wait_s(self, attempts: deque[float], limit: int, now: float) -> float:
        while attempts and attempts[0] <= now - self._window_s:
            attempts.popleft()
        return attempts[0] + self._window_s - now if len(attempts) >= limit else 0.0
