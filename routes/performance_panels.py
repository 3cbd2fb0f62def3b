"""Performance panels: models, exchange, process, database, compression and whatever else reports itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routes import wording
from routes.performance_parts import Fact, Panel, count, facts_of, found_text, heading, percent, seconds_text
from utils.dictionaries import DCZ
from utils.part_metrics import is_cache

_OWN_PANELS = frozenset(
    {
        *("exchange", "feed", "market", "store", "database", "compression", "dictionaries"),
        *("forecaster", "memory_holders", "memory_guard", "redis", "rate_limits"),
    }
)
_MOST_ENDPOINTS = 8
_MOST_CONNECTIONS = 4
_ANOTHER_TIME_MS = 600_000


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One statement of the database, all its runs together."""

    sql: str
    count: str
    mean: str
    slowest: str
    total: str


def model_panel(sources: Mapping[str, Any], functions: Sequence[Mapping[str, Any]]) -> Panel:
    """Loads from the model cache, what the forecaster tells of its batches, and how long a forecast takes."""
    cache = sources.get("model_cache", {})
    loads = int(cache.get("loads", 0))
    facts = [
        Fact("Models in memory", f"{count(cache.get('models', 0))} of at most {count(cache.get('max_models', 0))}"),
        Fact("Loads", f"{count(loads)}, {count(cache.get('load_errors', 0))} failed"),
        Fact("Mean load", seconds_text(cache["load_time_s"] / loads if loads else None)),
    ]
    facts += [
        Fact(f"{heading(report['name'])}: {fraction}", wording.milliseconds(report[f"{fraction}_ms"]))
        for report in functions
        if report["name"] in ("forecast", "forecasts")
        for fraction in ("p50", "p99")
    ]
    shown = (*facts, *facts_of(_mapping(sources.get("forecaster"))))
    return Panel("Models", shown, glance=f"{count(cache.get('models', 0))} in memory")


def exchange_panel(exchange: Mapping[str, Any], feed: Mapping[str, Any], now_ms: int) -> Panel:
    """What the gateway was asked, and how old the streams' news is; `now_ms` in exchange time."""
    if not exchange.get("weight_limit"):
        return Panel("Exchange", (), "The exchange was not asked yet.")
    used, limit = exchange["used_weight"], exchange["weight_limit"]
    errors = exchange.get("errors") or {}
    last_ms = feed.get("last_event_ms")
    facts = (
        Fact("Request weight this minute", f"{used:,} of {limit:,}", used / limit * 100),
        Fact("Calls by endpoint", _counts(exchange.get("calls") or {})),
        Fact("Retries", count(exchange.get("retries"))),
        Fact("Errors", _counts(errors)),
        Fact("Banned until", _until(exchange.get("banned_until_ms"))),
        Fact("Asked to wait until", _until(exchange.get("backoff_until_ms"))),
        Fact("Clock offset", _offset(int(exchange.get("clock_offset_ms") or 0))),
        Fact("Streams", _streams(feed)),
        Fact("Newest event", "none" if last_ms is None else f"{max(0, now_ms - last_ms) / 1000:.1f} s ago"),
        *_connection_facts(feed.get("each_connection") or (), now_ms),
        Fact("Reconnects, gaps", f"{count(feed.get('reconnects'))}, {count(feed.get('gaps'))}"),
        Fact("Event loop late", _lag(exchange)),
        Fact("Last problem", str(exchange.get("last_error") or feed.get("last_error") or "none")),
    )
    return Panel("Exchange", facts, glance=f"weight {used:,} of {limit:,}")


def _streams(feed: Mapping[str, Any]) -> str:
    connected = feed.get("connected")
    return f"{count(feed.get('streams'))} over {count(connected)} connection{'' if connected == 1 else 's'}"


def _offset(offset_ms: int) -> str:
    """Milliseconds while it is an offset; a replay's clock is in another year."""
    if abs(offset_ms) < _ANOTHER_TIME_MS:
        return f"{offset_ms:+,} ms".replace("-", "−")
    return f"{wording.duration(abs(offset_ms) / 1000)} {'behind' if offset_ms < 0 else 'ahead'}"


def _connection_facts(connections: Sequence[Mapping[str, Any]], now_ms: int) -> tuple[Fact, ...]:
    """How long each connection has been open, and how old its newest news is: a silent one stands out."""
    if not connections:
        return ()
    opened = [one["up_since_ms"] for one in connections]
    news = [one["last_news_ms"] for one in connections]
    ages = f"{_each(news, now_ms, lambda age_s: f'{age_s:.1f} s', 'none')} old"
    return (
        Fact(
            "Connections open for", _each(opened, now_ms, wording.duration, "down") if any(opened) else "none is open"
        ),
        Fact("Their newest news", ages if any(news) else "none yet"),
    )


def _each(moments_ms: Sequence[int | None], now_ms: int, words: Callable[[float], str], absent: str) -> str:
    """One by one while they are few, else from the youngest to the oldest."""
    ages_s = [None if at_ms is None else max(0, now_ms - at_ms) / 1000 for at_ms in moments_ms]
    if len(ages_s) <= _MOST_CONNECTIONS:
        return ", ".join(absent if age_s is None else words(age_s) for age_s in ages_s)
    known = sorted(age_s for age_s in ages_s if age_s is not None)
    missing = len(ages_s) - len(known)
    told = f"{words(known[0])} to {words(known[-1])}" if known else ""
    return f"{told}, {missing} {absent}".strip(", ") if missing else told


def process_panel(process: Mapping[str, Any], uptime_s: float | None) -> Panel:
    """What a sample of this process holds; what it could not read is shown as missing."""
    facts = (
        Fact("Running for", wording.duration(uptime_s) if uptime_s is not None else wording.NOTHING),
        Fact("Memory (RSS)", wording.size(process.get("rss_bytes"))),
        Fact("Memory, ours alone (USS)", wording.size(process.get("uss_bytes"))),
        Fact("CPU of one core", percent(process.get("cpu_percent"), 1), process.get("cpu_percent")),
        Fact("Threads", count(process.get("threads"))),
        Fact("Open descriptors", count(process.get("open_files"))),
        Fact("Garbage collections", count(process.get("gc_collections"))),
        Fact("They took", _gc_time(process)),
        Fact("Uncollectable objects", count(process.get("gc_uncollectable"))),
    )
    return Panel(
        "Process", facts, glance=f"{wording.size(process.get('rss_bytes'))}, CPU {percent(process.get('cpu_percent'))}"
    )


def _gc_time(process: Mapping[str, Any]) -> str:
    """Everything in the process waits for one."""
    if not process.get("gc_longest_s"):
        return wording.NOTHING
    return f"{seconds_text(process['gc_pause_s'])} in all, at most {seconds_text(process['gc_longest_s'])}"


def machine_panel(system: Mapping[str, Any]) -> Panel:
    """Of `PerformanceMonitor.get_system_info`."""
    memory = f"{wording.size(system.get('memory_available_bytes'))} of {wording.size(system.get('memory_total_bytes'))}"
    versions = ", ".join(f"{name} {text or 'not installed'}" for name, text in system.get("versions", {}).items())
    facts = (
        Fact("System", f"{system.get('platform', wording.NOTHING)}, {system.get('machine', '')}"),
        Fact("Python", f"{system.get('python_implementation', '')} {system.get('python_version', '')}"),
        Fact("Cores", count(system.get("cpu_count"))),
        Fact("CPU in use", percent(system.get("cpu_percent")), system.get("cpu_percent")),
        Fact("Memory in use", percent(system.get("memory_percent")), system.get("memory_percent")),
        Fact("Memory available", memory),
        Fact("Libraries", versions),
    )
    return Panel(
        "Machine",
        facts,
        glance=f"CPU {percent(system.get('cpu_percent'))}, memory {percent(system.get('memory_percent'))}",
    )


def database_panel(database: Mapping[str, Any], store: Mapping[str, Any]) -> Panel:
    """Of `Database.query_stats` and `CandleStore.stats`."""
    asked = int(database.get("count", 0))
    facts = (
        Fact("Statements", f"{count(asked)}, {count(database.get('errors', 0))} failed"),
        Fact("Mean", seconds_text(database["total_s"] / asked if asked else None)),
        Fact("Slowest", seconds_text(database.get("slowest_s") if asked else None)),
        *facts_of(_mapping(store)),
    )
    return Panel("Database", facts, glance=f"{count(asked)} statements, {count(database.get('errors', 0))} failed")


def compression_panel(compression: Mapping[str, Any], dictionaries: Mapping[str, Any]) -> Panel:
    taken, given = int(compression.get("in_bytes", 0)), int(compression.get("out_bytes", 0))
    facts = (
        Fact("Bodies compressed", count(compression.get("count", 0))),
        Fact("Bytes in", wording.size(taken)),
        Fact("Bytes out", wording.size(given)),
        Fact("Saved", wording.percent(1 - given / taken, 1) if taken else wording.NOTHING),
        Fact("Time", seconds_text(compression.get("seconds") if taken else None)),
        *_difference_facts(_mapping(compression.get("encodings")).get(DCZ), dictionaries),
    )
    note = "Each page once per encoding; a stored page is sent without compressing it again."
    return Panel("Compression", facts, note, f"{wording.size(taken)} as {wording.size(given)}")


def _difference_facts(made: Mapping[str, int] | None, dictionaries: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What was sent to browsers that hold an earlier answer; nothing where that is switched off."""
    if not dictionaries:
        return ()
    sizes = "" if made is None else f", {wording.size(made['in_bytes'])} as {wording.size(made['out_bytes'])}"
    held = f"{count(dictionaries['entries'])}, {wording.size(dictionaries['size_bytes'])}"
    return (
        Fact("Of these, as what differs", count(0 if made is None else made["count"]) + sizes),
        Fact("Earlier answers held", held),
        Fact("Named by browsers and held", found_text(int(dictionaries["found"]), int(dictionaries["unknown"]))),
    )


def statement_rows(database: Mapping[str, Any]) -> tuple[StatementRow, ...]:
    """Those that took longest in sum, the dearest first."""
    return tuple(
        StatementRow(
            one["sql"],
            count(one["count"]),
            seconds_text(one["total_s"] / one["count"]),
            seconds_text(one["slowest_s"]),
            seconds_text(one["total_s"]),
        )
        for one in database.get("statements") or ()
    )


def limits_panel(limits: Mapping[str, Any]) -> tuple[Panel, ...]:
    """Who was told to ask less often; nothing where nobody counts it."""
    if not limits:
        return ()
    facts = (
        Fact("Refused on dear routes", count(limits["dear"])),
        Fact("Refused on all others", count(limits["cheap"])),
        Fact("Addresses counted, each by route", count(limits["remembered"])),
    )
    return (Panel("Requests refused as too many", facts, glance=count(limits["dear"] + limits["cheap"])),)


def other_panels(sources: Mapping[str, Any]) -> tuple[Panel, ...]:
    """Whatever reports itself and has no panel of its own."""
    return tuple(
        Panel(heading(name), facts_of(source))
        for name, source in sources.items()
        if isinstance(source, Mapping) and not is_cache(source) and name not in _OWN_PANELS
    )


def _counts(numbers: Mapping[str, int]) -> str:
    most = sorted(numbers.items(), key=lambda pair: -pair[1])[:_MOST_ENDPOINTS]
    return ", ".join(f"{name} {number:,}" for name, number in most) or "none"


def _until(at_ms: int | None) -> str:
    return "no" if at_ms is None else f"{wording.utc(at_ms)} UTC"


def _lag(exchange: Mapping[str, Any]) -> str:
    if not exchange.get("loop_lag_max_s"):
        return "not measured yet"
    last, worst = (seconds_text(exchange.get(name)) for name in ("loop_lag_s", "loop_lag_max_s"))
    return f"{last}, at most {worst} in the last minute"


def _mapping(source: Any) -> Mapping[str, Any]:
    return source if isinstance(source, Mapping) else {}
