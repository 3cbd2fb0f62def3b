"""Performance page: what the process costs and how fast it answers, as the monitor counted it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.freshness import LATE_AFTER_S
from routes import wording
from routes.services import Services
from routes.svg import Sparkline, sparkline

_EACH_MS = 2_000
_KINDS = (("routes", "Routes"), ("functions", "Functions"), ("loads", "Loads"))
_CACHE_KEYS = frozenset({"hits", "misses"})


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed name; texts in milliseconds."""

    name: str
    count: str
    errors: int
    p50: str
    p95: str
    p99: str
    max: str
    mean_size: str
    spark: Sparkline | None


@dataclass(frozen=True, slots=True)
class TimingTable:
    title: str
    timings: tuple[Timing, ...]


@dataclass(frozen=True, slots=True)
class CacheRow:
    """One cache; `hit_rate` is None before the first read."""

    name: str
    hit_rate: float | None
    hit_rate_text: str
    hits: str
    misses: str
    entries: str
    size: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what it is now; `share` (0 … 100) draws a bar."""

    name: str
    text: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The condition of one part, such as the feed, as it reports it."""

    name: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class PerformancePage:
    version: str
    at_ms: int
    enabled: bool
    process: tuple[Fact, ...]
    machine: tuple[Fact, ...]
    versions: tuple[Fact, ...]
    memory: Sparkline | None
    memory_text: str
    tables: tuple[TimingTable, ...]
    caches: tuple[CacheRow, ...]
    parts: tuple[Part, ...]


def performance_version(services: Services) -> str:
    """A new one every two seconds: the numbers change with each request, so no page could say when they did."""
    return f"{services.clock.now_ms() // _EACH_MS}.{services.exchange.name}.{services.app_version}"


def performance_data(services: Services) -> dict[str, Any]:
    """What `/api/v1/performance` answers and the page shows."""
    return {"system": services.monitor.get_system_info(), "metrics": services.monitor.get_metrics()}


def performance_page(services: Services) -> PerformancePage:
    version = performance_version(services)
    data = performance_data(services)
    system, metrics = data["system"], data["metrics"]
    process = metrics.get("process") or system.get("process") or {}
    rss = metrics.get("history", {}).get("rss_bytes", [])
    return PerformancePage(
        version=version,
        at_ms=services.clock.now_ms(),
        enabled=bool(metrics.get("enabled", True)),
        process=_process_facts(process, metrics.get("uptime_s")),
        machine=_machine_facts(system),
        versions=tuple(Fact(name, text or "not installed") for name, text in system.get("versions", {}).items()),
        memory=sparkline(np.array(rss, dtype=np.float64)),
        memory_text=f"{wording.size(min(rss))} to {wording.size(max(rss))}" if rss else wording.NOTHING,
        tables=tuple(TimingTable(title, _timings(metrics.get(kind, ()))) for kind, title in _KINDS),
        caches=_caches(metrics.get("sources", {})),
        parts=_parts(metrics.get("sources", {})),
    )


def _process_facts(process: Mapping[str, Any], uptime_s: float | None) -> tuple[Fact, ...]:
    facts = [
        Fact("Running for", wording.duration(uptime_s) if uptime_s is not None else wording.NOTHING),
        Fact("Memory (RSS)", wording.size(process.get("rss_bytes"))),
        Fact("Memory, ours alone (USS)", wording.size(process.get("uss_bytes"))),
        Fact("CPU", _percent(process.get("cpu_percent")), process.get("cpu_percent")),
        Fact("Threads", _count(process.get("threads"))),
        Fact("Open files", _count(process.get("open_files"))),
        Fact("Garbage collections", _count(process.get("gc_collections"))),
    ]
    return tuple(facts)


def _machine_facts(system: Mapping[str, Any]) -> tuple[Fact, ...]:
    memory = f"{wording.size(system.get('memory_available_bytes'))} of {wording.size(system.get('memory_total_bytes'))}"
    return (
        Fact("System", f"{system.get('platform', wording.NOTHING)}, {system.get('machine', '')}"),
        Fact("Python", f"{system.get('python_implementation', '')} {system.get('python_version', '')}"),
        Fact("Cores", _count(system.get("cpu_count"))),
        Fact("CPU in use", _percent(system.get("cpu_percent")), system.get("cpu_percent")),
        Fact("Memory in use", _percent(system.get("memory_percent")), system.get("memory_percent")),
        Fact("Memory available", memory),
    )


def _timings(reports: Sequence[Mapping[str, Any]]) -> tuple[Timing, ...]:
    return tuple(
        Timing(
            name=str(report["name"]),
            count=_count(report["count"]),
            errors=int(report["errors"]),
            p50=wording.milliseconds(report["p50_ms"]),
            p95=wording.milliseconds(report["p95_ms"]),
            p99=wording.milliseconds(report["p99_ms"]),
            max=wording.milliseconds(report["max_ms"]),
            mean_size=wording.size(report["size_bytes"] / report["count"]) if report["size_bytes"] else "",
            spark=sparkline(np.array(report["recent_ms"], dtype=np.float64)),
        )
        for report in reports
    )


def _caches(sources: Mapping[str, Any]) -> tuple[CacheRow, ...]:
    return tuple(_cache(name, source) for name, source in sources.items() if _is_cache(source))


def _is_cache(source: Any) -> bool:
    return isinstance(source, Mapping) and source.keys() >= _CACHE_KEYS


def _cache(name: str, source: Mapping[str, Any]) -> CacheRow:
    hits, misses = int(source["hits"]), int(source["misses"])
    rate = hits / (hits + misses) if hits + misses else None
    return CacheRow(
        name=_heading(name),
        hit_rate=None if rate is None else rate * 100,
        hit_rate_text=wording.percent(rate, 1) if rate is not None else "not read yet",
        hits=_count(hits),
        misses=_count(misses),
        entries=_count(source.get("entries", source.get("models"))),
        size=wording.size(source.get("size_bytes")),
    )


def _parts(sources: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(
        Part(_heading(name), _facts(source))
        for name, source in sources.items()
        if isinstance(source, Mapping) and not _is_cache(source)
    )


def _facts(source: Mapping[str, Any]) -> tuple[Fact, ...]:
    facts = [Fact(_heading(name), _value(name, value)) for name, value in source.items() if name != "used_weight"]
    if "used_weight" in source and source.get("weight_limit"):
        used, limit = source["used_weight"], source["weight_limit"]
        facts.insert(0, Fact("Request weight this minute", f"{used:,} of {limit:,}", used / limit * 100))
    return tuple(fact for fact in facts if fact.name != "Weight limit")


def _heading(name: str) -> str:
    """`last_event_ms` → `Last event`: the unit goes with the value."""
    words = name
    for suffix in ("_ms", "_s", "_bytes", "_fraction", "_percent"):
        words = words.removesuffix(suffix)
    return (words[:1].upper() + words[1:]).replace("_", " ")


_MOMENTS_AFTER = 1_000_000_000_000
_MOST_LISTED = 8


def _value(name: str, value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(str(key), item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        listed = len(value) > _MOST_LISTED or any(isinstance(item, Mapping) for item in value)
        return f"{len(value):,}" if listed else ", ".join(_value("", item) for item in value) or "none"
    if isinstance(value, int | float):
        return _number(name, value)
    return str(value)


def _number(name: str, value: float) -> str:
    if name.endswith("_ms"):
        return f"{wording.utc(round(value))} UTC" if value > _MOMENTS_AFTER else f"{value:,.0f} ms"
    if name.endswith("_bytes"):
        return wording.size(value)
    if name.endswith("_s"):
        return wording.milliseconds(value * 1000) if value < LATE_AFTER_S else wording.duration(value)
    if name.endswith("_fraction"):
        return wording.percent(value, 1)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _percent(value: float | None) -> str:
    return wording.NOTHING if value is None else f"{value:.0f} %"


def _count(value: int | None) -> str:
    return wording.NOTHING if value is None else f"{value:,}"
