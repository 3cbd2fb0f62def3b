"""Minutes: what the routes and the process did in one minute, small enough to keep a day of, and to add up again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from utils.histogram import middle_s
from utils.timing_series import Counted

MINUTE_MS = 60_000
READY_ROUTE = "/ready"
"""Says 503 while starting, to whoever asks again and again: that is its answer, not an error."""
_ADDED = frozenset({"rss_bytes", "cpu_percent"})
"""Gauges of which several processes together have the sum."""


@dataclass(frozen=True, slots=True)
class RouteMinute:
    """The requests of one route. `buckets`: how many took how long, by the histogram's bucket; peaks of one request.

    `worked` of them computed something; of these `worked_s` and `stages_s` tell the seconds, whole and by stage.
    """

    buckets: Mapping[int, int] = field(default_factory=dict)
    total_s: float = 0.0
    errors: int = 0
    size_bytes: int = 0
    worked: int = 0
    worked_s: float = 0.0
    stages_s: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    peak_queries: int = 0
    peak_weight: int = 0

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile_s(self, fraction: float) -> float | None:
        """Seconds below which that fraction (0 … 1) lies, off by 4 % at most; None where there was no request."""
        if not self.buckets:
            return None
        rank, seen = max(1, math.ceil(fraction * self.count)), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                break
        return middle_s(bucket)


@dataclass(frozen=True, slots=True)
class Minute:
    """`at_ms` its beginning (UTC), `seconds` how long was watched; `gauges` of the process as last read or at worst."""

    at_ms: int
    seconds: float
    routes: Mapping[str, RouteMinute]
    gauges: Mapping[str, float]

    @property
    def all_routes(self) -> RouteMinute:
        return added(self.routes.values())

    @property
    def judged_by_errors(self) -> RouteMinute:
        """All routes together but the one whose errors are its answer while the program starts."""
        return added(one for name, one in self.routes.items() if name != READY_ROUTE)


def difference(now: Mapping[str, Counted], before: Mapping[str, Counted]) -> dict[str, RouteMinute]:
    """What was counted between the two, by route; routes without a request are left out."""
    found = {name: _less(counted, before.get(name)) for name, counted in now.items()}
    return {name: one for name, one in found.items() if one.buckets}


def added(many: Iterable[RouteMinute]) -> RouteMinute:
    """Their requests taken together; exact, since the buckets are the same."""
    buckets: dict[int, int] = {}
    stages: dict[str, float] = {}
    parts = list(many)
    for one in parts:
        for bucket, count in one.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        for stage, seconds in one.stages_s.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return RouteMinute(
        buckets=buckets,
        total_s=sum(one.total_s for one in parts),
        errors=sum(one.errors for one in parts),
        size_bytes=sum(one.size_bytes for one in parts),
        worked=sum(one.worked for one in parts),
        worked_s=sum(one.worked_s for one in parts),
        stages_s=stages,
        peak_bytes=max((one.peak_bytes for one in parts), default=0),
        peak_queries=max((one.peak_queries for one in parts), default=0),
        peak_weight=max((one.peak_weight for one in parts), default=0),
    )


def together(minutes: Iterable[Minute]) -> Minute | None:
    """Several minutes as one, whose gauges are the last ones; None for none."""
    parts = list(minutes)
    if not parts:
        return None
    names = dict.fromkeys(name for one in parts for name in one.routes)
    routes = {name: added(one.routes[name] for one in parts if name in one.routes) for name in names}
    return Minute(parts[0].at_ms, sum(one.seconds for one in parts), routes, parts[-1].gauges)


def beside(minutes: Iterable[Minute]) -> Minute | None:
    """The same time in several processes as one: memory and processor in sum, the worst of every other gauge."""
    parts = list(minutes)
    whole = together(parts)
    if whole is None:
        return None
    names = dict.fromkeys(name for one in parts for name in one.gauges)
    found = {name: [one.gauges[name] for one in parts if name in one.gauges] for name in names}
    gauges = {name: sum(many) if name in _ADDED else max(many) for name, many in found.items()}
    return replace(whole, seconds=max(one.seconds for one in parts), gauges=gauges)


def _less(now: Counted, before: Counted | None) -> RouteMinute:
    if before is None:
        buckets, stages = now.buckets, now.stages_s
    else:
        buckets = now.buckets - before.buckets
        stages = {name: seconds - before.stages_s.get(name, 0.0) for name, seconds in now.stages_s.items()}
    return RouteMinute(
        buckets=_sparse(buckets),
        total_s=now.total_s - (before.total_s if before else 0.0),
        errors=now.errors - (before.errors if before else 0),
        size_bytes=now.size_bytes - (before.size_bytes if before else 0),
        worked=now.worked - (before.worked if before else 0),
        worked_s=now.worked_s - (before.worked_s if before else 0.0),
        stages_s={name: seconds for name, seconds in stages.items() if seconds > 0},
        peak_bytes=now.peak_bytes,
        peak_queries=now.peak_queries,
        peak_weight=now.peak_weight,
    )


def _sparse(buckets: NDArray[np.int64]) -> dict[int, int]:
    return {int(place): int(buckets[place]) for place in np.flatnonzero(buckets > 0)}
