"""MinuteHistory: a day of figures, one row a minute, in a table of fixed size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from utils.minutes import MINUTE_MS, Minute, RouteMinute, added

MINUTES = 24 * 60
GROUPS = ("pages", "live", "api", "files")
_NUMBERS = ("requests_per_s", "error_percent", "p50_ms", "p95_ms", "p99_ms")
_GAUGES = ("rss_bytes", "cpu_percent", "weight_percent", "loop_lag_ms", "page_hit_percent")
FIELDS = (*_NUMBERS, *_GAUGES, *(f"{group}_p95_ms" for group in GROUPS))

Floats = NDArray[np.float64]


def group_of(route: str) -> str:
    """Which kind of route that is: pages, live (the changing parts of pages), api, files; or others."""
    if route.startswith("/assets/"):
        return "files"
    if route.startswith(("/api/", "/metrics", "/health", "/ready")):
        return "api"
    if route.startswith("/"):
        return "live" if route.endswith(("/live", ".json", ".csv")) else "pages"
    return "others"


class MinuteHistory:
    """Not locked: one writer at a time. What was not measured is NaN."""

    def __init__(self) -> None:
        self._rows = np.full((MINUTES, len(FIELDS)), np.nan)
        self._of_minute = np.full(MINUTES, -1, dtype=np.int64)

    def put(self, minute: Minute) -> None:
        """Several of the same minute: the last one counts."""
        number = minute.at_ms // MINUTE_MS
        self._of_minute[number % MINUTES] = number
        self._rows[number % MINUTES] = _figures(minute)

    def last(self, count: int, now_ms: int) -> dict[str, Floats]:
        """By field, the `count` minutes (1 … 1440) before the one that is running, oldest first."""
        numbers = np.arange(now_ms // MINUTE_MS - count, now_ms // MINUTE_MS)
        places = numbers % MINUTES
        rows = np.where((self._of_minute[places] == numbers)[:, None], self._rows[places], np.nan)
        return {name: rows[:, place] for place, name in enumerate(FIELDS)}


def _figures(minute: Minute) -> Floats:
    whole = minute.all_routes
    percentiles = [_ms(whole, fraction) for fraction in (0.5, 0.95, 0.99)]
    failing = minute.judged_by_errors
    errors = failing.errors / failing.count * 100 if failing.count else np.nan
    gauges = [minute.gauges.get(name, np.nan) for name in _GAUGES]
    groups = [_ms(added(_of_group(minute, group)), 0.95) for group in GROUPS]
    return np.array([whole.count / max(minute.seconds, 1.0), errors, *percentiles, *gauges, *groups])


def _of_group(minute: Minute, group: str) -> Iterable[RouteMinute]:
    return [one for name, one in minute.routes.items() if group_of(name) == group]


def _ms(route: RouteMinute, fraction: float) -> float:
    seconds = route.percentile_s(fraction)
    return np.nan if seconds is None else seconds * 1000
