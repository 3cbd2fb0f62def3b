"""Performance page: whether the machine is fast and healthy, and every figure behind the answer, gathered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routes import wording
from routes.budgets import breaches
from routes.performance_caches import CacheRow, cache_rows
from routes.performance_glance import (
    caches_glance,
    history_glance,
    routes_glance,
    slowest_glance,
    statements_glance,
    versions_glance,
)
from routes.performance_health import Health, health
from routes.performance_history import Comparison, Course, compare, courses
from routes.performance_memory import Holder, guard_panel, holders
from routes.performance_panels import (
    StatementRow,
    compression_panel,
    database_panel,
    exchange_panel,
    limits_panel,
    machine_panel,
    model_panel,
    other_panels,
    process_panel,
    statement_rows,
)
from routes.performance_parts import Headline, Panel, count, percent, seconds_text
from routes.performance_redis import redis_panel
from routes.performance_routes import RouteRow, SlowRow, breach_text, recent_json, route_rows, slow_rows
from routes.performance_workers import WorkerRow, exchange_of_all, process_of_all, worker_rows
from routes.services import Services
from routes.svg import Sparkline, sparkline
from utils.minutes import Minute
from utils.worker_reports import WorkerReport, minute_of_all, rates_of_all, slowest_of_all

_EACH_MS = 2_000
_MOST_TIMINGS = 30


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed part of the program since the start; texts in milliseconds."""

    name: str
    count: str
    errors: int
    p50: str
    p95: str
    p99: str
    max: str
    spark: Sparkline | None


@dataclass(frozen=True, slots=True)
class TimingTable:
    title: str
    timings: tuple[Timing, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A route that is over its budget, and how."""

    route: str
    text: str


@dataclass(frozen=True, slots=True)
class PerformancePage:
    """Everything the page shows, from the answer at its top to the tables at its end."""

    version: str
    at_ms: int
    enabled: bool
    health: Health
    headlines: tuple[Headline, ...]
    broken: tuple[Broken, ...]
    workers: tuple[WorkerRow, ...]
    routes: tuple[RouteRow, ...]
    slowest: tuple[SlowRow, ...]
    caches: tuple[CacheRow, ...]
    panels: tuple[Panel, ...]
    holders: tuple[Holder, ...]
    statements: tuple[StatementRow, ...]
    courses: tuple[Course, ...]
    comparison: Comparison
    tables: tuple[TimingTable, ...]
    glances: Mapping[str, str]
    """The one figure of each section that says most, by the section's id, for where sections are folded."""


def performance_version(services: Services) -> str:
    """A new one every two seconds: the numbers change with each request, so no page could say when they did."""
    moment = f"{services.clock.now_ms() // _EACH_MS}.{services.clearing.times}"
    return f"{moment}.{services.exchange.name}.{services.app_version}"


def performance_data(services: Services) -> dict[str, Any]:
    """What the parts tell, and the page shows."""
    return {"system": services.monitor.get_system_info(), "metrics": services.monitor.get_metrics()}


def performance_json(services: Services) -> dict[str, Any]:
    """What `/api/v1/performance` answers: the same, and `recent`, the last minutes of all processes together."""
    return {**performance_data(services), "recent": recent_json(_now(services)[0])}


def _now(services: Services) -> tuple[Minute, WorkerReport | None, tuple[WorkerReport, ...]]:
    """The last minutes of every process together, this one's report and the others'."""
    own, others = (services.workers.own(), services.workers.others()) if services.workers is not None else (None, ())
    return minute_of_all(services.recorder.recent(), others), own, others


def performance_page(services: Services, alerts: Sequence[str] = ()) -> PerformancePage:
    """`alerts` are those that are open now."""
    version = performance_version(services)
    data = performance_data(services)
    system, metrics = data["system"], data["metrics"]
    now, own, others = _now(services)
    sources = metrics.get("sources", {})
    sources = {**sources, "exchange": exchange_of_all(sources.get("exchange", {}), others)}
    process = metrics.get("process") or system.get("process") or {}
    whole = process_of_all(process, others)
    over = breaches(services.budgets, now.routes)
    limit = float(services.settings.max_memory_usage_percent)
    routes = route_rows(now, metrics.get("routes", ()), services.budgets, over)
    slowest = slow_rows(slowest_of_all(services.monitor.slowest(), others))
    statements = statement_rows(sources.get("database", {}))
    course, comparison = (
        courses(services.recorder.history()),
        compare(services.recorder.versions(), services.recorder.version),
    )
    return PerformancePage(
        version=version,
        at_ms=services.clock.now_ms(),
        enabled=bool(metrics.get("enabled", True)),
        health=health(
            now, over, {**metrics, "sources": sources, "process": whole}, memory_limit_percent=limit, alerts=alerts
        ),
        headlines=_headlines(now, rates_of_all(services.recorder.rates(), others), whole, sources),
        broken=tuple(Broken(one.route, breach_text(one)) for one in over),
        workers=worker_rows(own, others),
        routes=routes,
        slowest=slowest,
        caches=cache_rows(sources, services.clearing),
        panels=_panels(system, {**metrics, "sources": sources}, process),
        holders=holders(sources.get("memory_holders"), process.get("rss_bytes")),
        statements=statements,
        courses=course,
        comparison=comparison,
        tables=tuple(TimingTable(title, _timings(metrics.get(kind, ()))) for kind, title in _KINDS),
        glances={
            "routes": routes_glance(len(routes), len(over)),
            "workers": f"{1 + len(others)} processes",
            "caches": caches_glance(sources),
            "history": history_glance(course),
            "memory": wording.size(process.get("rss_bytes")),
            "slowest": slowest_glance(slowest),
            "versions": versions_glance(comparison),
            "statements": statements_glance(statements),
        },
    )


_KINDS = (("functions", "Parts of the program"), ("loads", "Loads"))


def _headlines(
    now: Minute, rates: np.ndarray[Any, np.dtype[np.float64]], process: Mapping[str, Any], sources: Mapping[str, Any]
) -> tuple[Headline, ...]:
    whole = now.all_routes
    p50, p95, p99 = (seconds_text(whole.percentile_s(fraction)) for fraction in (0.5, 0.95, 0.99))
    compression = sources.get("compression", {})
    taken, given = compression.get("in_bytes", 0), compression.get("out_bytes", 0)
    asked = f"{count(whole.count)} in the last minutes" if whole.count else "none in the last minutes"
    rate = f"{rates[-1]:,.1f}" if len(rates) else f"{whole.count / max(now.seconds, 1.0):,.1f}"
    failing = now.judged_by_errors
    errors = percent(failing.errors / failing.count * 100, 2) if failing.count else wording.NOTHING
    return (
        Headline("Requests per second", rate, asked, sparkline(rates)),
        Headline("Half are faster than", p50, "p50"),
        Headline("p95", p95, f"p99 {p99}"),
        Headline("Errors", errors, f"{count(failing.errors) if failing.errors else 'none'} in the last minutes"),
        _sent(whole.size_bytes, taken, given),
        Headline("Memory", wording.size(process.get("rss_bytes")), f"{count(process.get('threads'))} threads"),
        Headline("CPU of one core", percent(process.get("cpu_percent")), ""),
    )


def _sent(size_bytes: int, taken: int, given: int) -> Headline:
    """Of the last minutes; what was compressed is counted since the start, each body once, sent or not yet."""
    if not size_bytes:
        return Headline("Sent", wording.NOTHING, "nothing in the last minutes")
    saved = (
        f"bodies compressed by {wording.percent(1 - given / taken, 0)} since the start"
        if taken
        else "in the last minutes"
    )
    return Headline("Sent", wording.size(size_bytes), saved)


def _panels(system: Mapping[str, Any], metrics: Mapping[str, Any], process: Mapping[str, Any]) -> tuple[Panel, ...]:
    sources = metrics.get("sources", {})
    exchange = sources.get("exchange", {})
    now_ms = int(metrics.get("at_ms", 0)) + int(exchange.get("clock_offset_ms") or 0)
    return (
        process_panel(process, metrics.get("uptime_s")),
        exchange_panel(exchange, sources.get("feed", {}), now_ms),
        model_panel(sources, metrics.get("functions", ())),
        database_panel(sources.get("database", {}), sources.get("store", {})),
        compression_panel(sources.get("compression", {}), sources.get("dictionaries", {})),
        machine_panel(system),
        *redis_panel(sources.get("redis") or {}),
        *guard_panel(sources.get("memory_guard") or {}),
        *limits_panel(sources.get("rate_limits") or {}),
        *other_panels(sources),
    )


def _timings(reports: Sequence[Mapping[str, Any]]) -> tuple[Timing, ...]:
    return tuple(
        Timing(
            name=str(report["name"]),
            count=count(report["count"]),
            errors=int(report["errors"]),
            p50=wording.milliseconds(report["p50_ms"]),
            p95=wording.milliseconds(report["p95_ms"]),
            p99=wording.milliseconds(report["p99_ms"]),
            max=wording.milliseconds(report["max_ms"]),
            spark=sparkline(np.array(report["recent_ms"], dtype=np.float64)),
        )
        for report in reports[:_MOST_TIMINGS]
    )
