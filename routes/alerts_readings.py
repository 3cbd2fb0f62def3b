"""Alert readings: what the rules are judged by; counts over the last five minutes, not since the start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routes.alerts_subjects import cache_subject
from routes.metrics import ModelSkill, feed_age_s
from routes.services import Services
from routes.wording import MIN_SCORED
from utils.histogram import BUCKETS, percentile_s
from utils.minutes import READY_ROUTE, added
from utils.part_metrics import is_cache, shared_cache_up
from utils.performance_monitor import PerformanceMonitor
from utils.worker_reports import WorkerReport

WINDOW_S = 300.0
LEAST_REQUESTS = 20
LEAST_READS = 50
DEFAULT_BUDGET_MS = 250.0
"""p95 of a route that declares no budget of its own."""
_STEP_S = 60.0

Values = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Everything that only grows, at one moment. Per route: buckets (300,) and errors; per cache: hits and misses."""

    at_s: float
    routes: Mapping[str, tuple[NDArray[np.int64], int]]
    caches: Mapping[str, tuple[int, int]]
    database_errors: int


class AlertReadings:
    """Values by reading and subject; called by one thread. Keeps a copy of the counts for each of the last minutes."""

    def __init__(
        self,
        *,
        monitor: PerformanceMonitor,
        services: Services,
        skills: Callable[[], tuple[ModelSkill, ...]],
        budgets: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`budgets`: milliseconds of p95 by the monitor's name of a route, such as `/symbol/<symbol>`."""
        self._monitor = monitor
        self._services = services
        self._skills = skills
        self._budgets = budgets
        self._earlier: deque[_Counts] = deque(maxlen=round(WINDOW_S / _STEP_S) + 1)
        self._started_s = services.clock.monotonic()

    def __call__(self) -> Values:
        metrics = self._monitor.get_metrics()
        sources = metrics["sources"]
        others = self._services.workers.others() if self._services.workers is not None else ()
        now = self._count(sources, others)
        then = self._window(now)
        return {
            **self._route_values(now, then, others),
            **_cache_values(now, then),
            **_process_values(metrics["process"] or {}, others),
            **_exchange_values(sources.get("exchange", {}), self._services.clock.now_ms()),
            **_shared_cache_values(sources.get("redis") or {}),
            **self._market_values(),
            **_skill_values(self._skills()),
            "database_errors": {"": float(max(0, now.database_errors - (then.database_errors if then else 0)))},
        }

    def _count(self, sources: Mapping[str, Any], others: Sequence[WorkerReport]) -> _Counts:
        routes = {
            name: (counted.buckets, counted.errors)
            for name, counted in self._monitor.routes().items()
            if not name.startswith("(")
        }
        caches = {
            cache_subject(name): (stats["hits"], stats["misses"]) for name, stats in sources.items() if is_cache(stats)
        }
        for name in caches:
            caches[name] = _added([caches[name], *(one.caches.get(f"{name}_cache", (0, 0)) for one in others)])
        errors = sources.get("database", {}).get("errors", 0) + sum(one.database_errors for one in others)
        return _Counts(self._services.clock.monotonic(), routes, caches, errors)

    def _window(self, now: _Counts) -> _Counts | None:
        """The counts about five minutes ago; None (nothing had been counted) while there are none so old."""
        if not self._earlier or now.at_s - self._earlier[-1].at_s >= _STEP_S:
            self._earlier.append(now)
        full = now.at_s - self._started_s >= WINDOW_S
        return next((one for one in self._earlier if now.at_s - one.at_s <= WINDOW_S), now) if full else None

    def _route_values(self, now: _Counts, then: _Counts | None, others: Sequence[WorkerReport]) -> Values:
        """Other processes tell of their own last five minutes, whole minutes and the one that runs."""
        budgets = self._budgets()
        p95_ms: dict[str, float] = {}
        requests = errors = 0
        nothing = (np.zeros(BUCKETS, dtype=np.int64), 0)
        beside = {name for one in others for name in one.now.routes if not name.startswith("(")}
        for name in now.routes.keys() | beside:
            buckets, failed = now.routes.get(name, nothing)
            before, failed_before = then.routes.get(name, (0, 0)) if then else (0, 0)
            told = added(one.now.routes[name] for one in others if name in one.now.routes)
            seen = np.maximum(buckets - before, 0)
            for bucket, more in told.buckets.items():
                seen[bucket] += more
            count = int(seen.sum())
            if name != READY_ROUTE:
                requests += count
                errors += max(0, failed - failed_before) + told.errors
            if count >= LEAST_REQUESTS and (p95_s := percentile_s(seen, 0.95)) is not None:
                p95_ms[name] = p95_s * 1000
        shares = {name: value / budgets.get(name, DEFAULT_BUDGET_MS) * 100 for name, value in p95_ms.items()}
        failing = {"": errors / requests * 100} if requests >= LEAST_REQUESTS else {}
        return {"p95_ms": p95_ms, "p95_of_budget_percent": shares, "error_percent": failing}

    def _market_values(self) -> Values:
        market, running_s = self._services.market, self._services.clock.monotonic() - self._started_s
        stale = sum(
            market.freshness(symbol, interval).state == "stale"
            for interval in market.intervals
            for symbol in set(market.symbols).difference(market.unknown)
        )
        return {"feed_age_s": {"": feed_age_s(self._services, running_s)}, "stale_series": {"": float(stale)}}


def _cache_values(now: _Counts, then: _Counts | None) -> Values:
    rates: dict[str, float] = {}
    for name, (hits, misses) in now.caches.items():
        hits_before, misses_before = then.caches.get(name, (0, 0)) if then else (0, 0)
        hit, missed = max(0, hits - hits_before), max(0, misses - misses_before)
        if hit + missed >= LEAST_READS:
            rates[name] = hit / (hit + missed) * 100
    return {"cache_hit_percent": rates}


def _added(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    hits, misses = zip(*counts, strict=True)
    return sum(hits), sum(misses)


def _process_values(process: Mapping[str, Any], others: Sequence[WorkerReport]) -> Values:
    """Of several processes the largest."""
    if not process:
        return {}
    rss_bytes = max([process["rss_bytes"], *(one.process.get("rss_bytes", 0) for one in others)])
    return {"memory_percent": {"": float(process["memory_percent"])}, "rss_mb": {"": rss_bytes / 1e6}}


def _exchange_values(exchange: Mapping[str, Any], now_ms: int) -> Values:
    if not exchange.get("weight_limit"):
        return {}
    return {
        "exchange_weight_percent": {"": exchange["used_weight"] / exchange["weight_limit"] * 100},
        "exchange_banned": {"": float((exchange.get("banned_until_ms") or 0) > now_ms)},
    }


def _shared_cache_values(redis: Mapping[str, Any]) -> Values:
    """Only where there is to be one."""
    up = shared_cache_up(redis)
    return {} if up is None else {"shared_cache_down": {"": float(not up)}}


def _skill_values(skills: tuple[ModelSkill, ...]) -> Values:
    known = [(one, one.skill_fraction) for one in skills if one.scored >= MIN_SCORED]
    upper = [(one, fraction, one.standard_error) for one, fraction in known]
    return {
        "model_skill_percent": {one.model: fraction * 100 for one, fraction in known if fraction is not None},
        "model_skill_upper_percent": {
            one.model: (fraction + 2 * error) * 100
            for one, fraction, error in upper
            if fraction is not None and error is not None
        },
    }
