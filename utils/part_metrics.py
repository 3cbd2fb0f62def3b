"""Part metrics: what caches, exchange, feed, database and the other parts report of themselves, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from utils.metric_families import gauge, labelled

FEED_STATES = ("starting", "live", "polling", "down")
Sources = Mapping[str, Any]
"""What each part reported, by its name; `{"error": …}` of one that could not be asked."""


def part_metrics(metrics: Mapping[str, Any]) -> Iterator[Metric]:
    """Of what `PerformanceMonitor.get_metrics` answers: the process, then every part that reports."""
    sources: Sources = metrics["sources"]
    yield from _process_metrics(metrics["process"] or {})
    yield from _cache_metrics(sources)
    yield from _compression_metrics(sources.get("compression", {}))
    yield _refusals(sources.get("rate_limits", {}))
    yield from _field_metrics(sources)
    yield from _exchange_metrics(sources.get("exchange", {}), metrics["at_ms"])
    yield from _feed_metrics(sources.get("feed", {}))
    yield _sources_up(sources)


def _refusals(stats: Mapping[str, Any]) -> Metric:
    """By kind of route, which are two: routes and addresses would be labels that anybody could multiply."""
    text = "Requests refused because one address asked a route too often."
    kinds = [(kind, float(stats.get(kind, 0))) for kind in ("cheap", "dear")]
    return labelled("counter", "dashboard_rate_limited_requests", text, "kind", kinds)


_PROCESS = (
    ("uss_bytes", "dashboard_process_unique_memory_bytes", "Memory that ends with this process (USS)."),
    ("threads", "dashboard_process_threads", "Threads of this process."),
    ("memory_total_bytes", "dashboard_machine_memory_bytes", "Memory of the machine."),
    ("memory_available_bytes", "dashboard_machine_memory_available_bytes", "Memory the machine has left."),
)


def _process_metrics(process: Mapping[str, Any]) -> Iterator[Metric]:
    """What the official collector lacks; nothing before the monitor's first sample."""
    for field, name, text in _PROCESS:
        if process.get(field) is not None:
            yield gauge(name, text, process[field])
    if process.get("system_cpu_percent") is not None:
        yield gauge("dashboard_machine_cpu_ratio", "CPU of the machine in use.", process["system_cpu_percent"] / 100)


_CACHE_COUNTS = (
    ("hits", "Reads that found something fresh."),
    ("misses", "Reads that did not."),
    ("loads", "Loads on a miss."),
    ("renders", "Pages rendered on a miss."),
    ("load_errors", "Loads that failed."),
    ("evictions", "Entries dropped for want of room."),
    ("not_modified", "Answers without a body, for the reader had it."),
    ("stale_served", "Old values answered while a load failed."),
)
_CACHE_SIZES = (
    ("entries", "entries", "Entries held."),
    ("models", "entries", "Entries held."),
    ("size_bytes", "size_bytes", "Bytes held."),
    ("max_bytes", "limit_bytes", "Bytes that may be held."),
    ("age_median_s", "entry_age_median_seconds", "Age of the middle one of the entries held."),
    ("age_oldest_s", "entry_age_oldest_seconds", "Age of the oldest of the entries held."),
)
_CACHE_TIMES = ("load_time_s", "render_time_s")


def _cache_metrics(sources: Sources) -> Iterator[Metric]:
    caches = {name.removesuffix("_cache"): stats for name, stats in sources.items() if is_cache(stats)}
    for field, text in _CACHE_COUNTS:
        yield labelled("counter", f"dashboard_cache_{field}", text, "cache", _column(caches, (field,)))
    for name in dict.fromkeys(name for _, name, _ in _CACHE_SIZES):
        fields = tuple(field for field, to, _ in _CACHE_SIZES if to == name)
        text = next(text for _, to, text in _CACHE_SIZES if to == name)
        yield labelled("gauge", f"dashboard_cache_{name}", text, "cache", _column(caches, fields))
    text = "Seconds spent on loads or renders."
    yield labelled("counter", "dashboard_cache_load_seconds", text, "cache", _column(caches, _CACHE_TIMES))


_COMPRESSION = (
    ("count", "bodies", "Bodies compressed, each once however often it was sent."),
    ("in_bytes", "in_bytes", "Bytes that were compressed."),
    ("out_bytes", "out_bytes", "Bytes that came out of it."),
)


def _compression_metrics(compression: Mapping[str, Any]) -> Iterator[Metric]:
    """By content encoding; `dcz` is what was sent to browsers as what differs from an earlier answer."""
    encodings: Mapping[str, Mapping[str, float]] = compression.get("encodings") or {}
    for field, name, text in _COMPRESSION:
        yield labelled("counter", f"dashboard_compression_{name}", text, "encoding", _column(encodings, (field,)))


def is_cache(stats: Any) -> bool:
    return isinstance(stats, Mapping) and {"hits", "misses"} <= stats.keys()


def shared_cache_up(redis: Mapping[str, Any]) -> bool | None:
    """Whether the cache that several processes share is in use; None where there is to be none."""
    return redis["breaker"] == "closed" and bool(redis["hears"]) if "breaker" in redis else None


def _column(rows: Mapping[str, Mapping[str, Any]], fields: Sequence[str]) -> list[tuple[str, float]]:
    """The first of these fields that a row knows, of the rows that know one."""
    known = {name: [row[field] for field in fields if row.get(field) is not None] for name, row in rows.items()}
    return [(name, values[0]) for name, values in known.items() if values]


_FIELDS: tuple[tuple[str, str, Literal["counter", "gauge"], str, str], ...] = (
    ("exchange", "used_weight", "gauge", "dashboard_exchange_used_weight", "Request weight used this minute."),
    ("exchange", "weight_limit", "gauge", "dashboard_exchange_weight_limit", "Request weight allowed a minute."),
    ("exchange", "retries", "counter", "dashboard_exchange_retries", "Calls tried again."),
    ("exchange", "refused_rows", "counter", "dashboard_exchange_refused_rows", "Rows of answers thrown away."),
    ("feed", "events", "counter", "dashboard_feed_events", "Stream events taken in."),
    ("feed", "reconnects", "counter", "dashboard_feed_reconnects", "Connections opened again after a failure."),
    ("feed", "renewals", "counter", "dashboard_feed_renewals", "Connections renewed as planned."),
    ("feed", "backfilled", "counter", "dashboard_feed_backfilled_candles", "Closed candles that came over REST."),
    ("feed", "gaps", "counter", "dashboard_feed_gaps", "Gaps noticed in the streams."),
    ("feed", "bad_frames", "counter", "dashboard_feed_bad_frames", "Frames thrown away."),
    ("feed", "streams", "gauge", "dashboard_feed_streams", "Streams asked for."),
    ("feed", "connections", "gauge", "dashboard_feed_connections", "Connections wanted."),
    ("feed", "connected", "gauge", "dashboard_feed_connected", "Connections open."),
    ("feed", "catching_up", "gauge", "dashboard_feed_catching_up_series", "Series of which something is missing."),
    ("market", "symbols", "gauge", "dashboard_market_symbols", "Markets followed."),
    ("market", "closes", "counter", "dashboard_market_closed_candles", "Closed candles taken in."),
    ("market", "reader_calls", "counter", "dashboard_market_reader_calls", "Exchange calls caused by a reader."),
    ("store", "candles", "gauge", "dashboard_store_candles", "Candles stored."),
    ("store", "holes", "gauge", "dashboard_store_holes", "Known holes in the stored candles."),
    ("store", "file_size_bytes", "gauge", "dashboard_store_file_bytes", "Database file and its write-ahead log."),
    ("database", "count", "counter", "dashboard_database_queries", "Statements run."),
    ("database", "errors", "counter", "dashboard_database_errors", "Transactions that failed."),
    ("database", "total_s", "counter", "dashboard_database_query_seconds", "Seconds spent in statements."),
    ("database", "slowest_s", "gauge", "dashboard_database_slowest_query_seconds", "The slowest since the start."),
    ("dictionaries", "entries", "gauge", "dashboard_dictionaries", "Earlier answers held to send what differs."),
    ("dictionaries", "size_bytes", "gauge", "dashboard_dictionaries_bytes", "Bytes of these."),
    ("dictionaries", "found", "counter", "dashboard_dictionaries_found", "Readers' dictionaries that were held."),
    ("dictionaries", "unknown", "counter", "dashboard_dictionaries_unknown", "Readers' dictionaries that were not."),
    ("dictionaries", "taken", "counter", "dashboard_dictionaries_taken", "Answers taken in as dictionaries."),
    ("dictionaries", "evictions", "counter", "dashboard_dictionaries_evictions", "Of these dropped for want of room."),
    ("dictionaries", "age_median_s", "gauge", "dashboard_dictionaries_age_median_seconds", "Age of the middle one."),
    ("dictionaries", "age_oldest_s", "gauge", "dashboard_dictionaries_age_oldest_seconds", "Age of the oldest."),
    ("redis", "calls", "counter", "dashboard_shared_cache_calls", "Questions to the shared cache."),
    ("redis", "failures", "counter", "dashboard_shared_cache_failures", "Questions that it did not answer in time."),
    ("redis", "refused", "counter", "dashboard_shared_cache_refused", "Questions not asked while it was down."),
    ("asset_host", "usable", "gauge", "dashboard_asset_host_up", "1 while pages take assets from ASSET_BASE_URL."),
    ("memory_guard", "rounds", "counter", "dashboard_memory_guard_rounds", "Rounds of trimming."),
)


def _field_metrics(sources: Sources) -> Iterator[Metric]:
    for source, field, family, name, text in _FIELDS:
        value = _number(sources.get(source), field)
        if value is not None:
            kind = CounterMetricFamily if family == "counter" else GaugeMetricFamily
            yield kind(name, text, value=value)
    percent = _number(sources.get("memory_guard"), "max_percent")
    if percent is not None:
        yield gauge("dashboard_memory_guard_limit_ratio", "Memory in use above which caches shrink.", percent / 100)
    up = shared_cache_up(sources.get("redis") or {})
    if up is not None:
        yield gauge("dashboard_shared_cache_up", "1 while the shared cache answers and is heard.", float(up))
    yield from _server_metrics((sources.get("redis") or {}).get("server") or {})


_SERVER: tuple[tuple[str, Literal["counter", "gauge"], str, str], ...] = (
    ("memory_bytes", "gauge", "memory_bytes", "Memory the Redis server uses."),
    ("max_memory_bytes", "gauge", "memory_limit_bytes", "Its maxmemory; 0 for none."),
    ("keys", "gauge", "keys", "Keys of our database of it, whosesoever."),
    ("evictions", "counter", "evicted_keys", "Keys it dropped for want of room, whosesoever."),
    ("expired", "counter", "expired_keys", "Keys whose time was over."),
    ("hits", "counter", "keyspace_hits", "Reads of anyone that found a key."),
    ("misses", "counter", "keyspace_misses", "Reads of anyone that found none."),
)


def _server_metrics(server: Mapping[str, Any]) -> Iterator[Metric]:
    """What the server of the shared cache tells of itself: every worker tells the same."""
    for field, family, name, text in _SERVER:
        if (value := _number(server, field)) is not None:
            kind = CounterMetricFamily if family == "counter" else GaugeMetricFamily
            yield kind(f"dashboard_shared_cache_server_{name}", text, value=value)


def _exchange_metrics(exchange: Mapping[str, Any], now_ms: int) -> Iterator[Metric]:
    for field, name, label, text in (
        ("calls", "dashboard_exchange_calls", "endpoint", "Calls of the exchange."),
        ("errors", "dashboard_exchange_errors", "kind", "Calls that failed, by the error's class."),
    ):
        if isinstance(exchange.get(field), Mapping):
            yield labelled("counter", name, text, label, exchange[field].items())
    if "clock_offset_ms" in exchange:
        text = "The exchange's clock less ours."
        yield gauge("dashboard_exchange_clock_offset_seconds", text, exchange["clock_offset_ms"] / 1000)
        banned = (exchange.get("banned_until_ms") or 0) > now_ms
        yield gauge("dashboard_exchange_banned", "1 while the exchange refuses this address.", float(banned))


def _feed_metrics(feed: Mapping[str, Any]) -> Iterator[Metric]:
    if "state" in feed:
        states = [(state, float(state == feed["state"])) for state in FEED_STATES]
        yield labelled("gauge", "dashboard_feed_state", "1 for the state the feed is in.", "state", states)


def _sources_up(sources: Sources) -> Metric:
    """A part that cannot report takes only its own metrics away, and shows here."""
    up = [
        (name, float(not (isinstance(stats, Mapping) and stats.keys() == {"error"}))) for name, stats in sources.items()
    ]
    return labelled(
        "gauge", "dashboard_source_up", "1 where the part reported, 0 where asking it failed.", "source", up
    )


def _number(stats: Any, field: str) -> float | None:
    value = stats.get(field) if isinstance(stats, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
