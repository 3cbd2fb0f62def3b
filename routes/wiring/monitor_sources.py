"""Monitor sources: whom the performance monitor asks when its page is drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from data.candle_store import StoreStats
from routes.memory_use import memory_use
from routes.wiring.caches import MB
from routes.wiring.parts import Parts
from utils.content_encoding import compression
from utils.data_cache import data_cache
from utils.errors import StoreError
from utils.last_known import Known
from utils.model_cache import model_cache
from utils.performance_monitor import performance_monitor


def add_sources(parts: Parts) -> None:
    """Each part under the name that its figures have on the page, in the alerts and in /metrics."""
    sources: dict[str, Callable[[], Any]] = {
        "data_cache": data_cache.stats,
        "model_cache": model_cache.stats,
        "forecaster": parts.services.forecaster.stats,
        "forecasts": parts.services.forecaster.kept_stats,
        "page_cache": parts.services.pages.stats,
        "exchange": parts.gateway.status,
        "feed": parts.feed.status,
        "market": parts.market.status,
        "store": partial(_last_known, parts),
        "database": parts.database.query_stats,
        "memory_guard": parts.memory_guard.stats,
        "memory_holders": partial(
            memory_use,
            data_cache=data_cache,
            pages=parts.services.pages,
            models=model_cache,
            forecasts=parts.services.forecaster.held,
            max_rss_bytes=parts.services.settings.max_rss_mb * MB,
        ),
        "compression": compression.stats,
    }
    if parts.services.pages.dictionaries is not None:
        sources["dictionaries"] = parts.services.pages.dictionaries.stats
    if parts.shared_cache is not None:
        sources["redis"] = parts.shared_cache.stats
    if parts.asset_host is not None:
        sources["asset_host"] = parts.asset_host.stats
    for name, read in sources.items():
        performance_monitor.add_source(name, read)


def _last_known(parts: Parts) -> StoreStats:
    """What the database holds, or held when it answered last: neither page nor scrape waits for one that is silent."""
    known: Known[StoreStats] = parts.services.known.read("store", parts.store.stats)
    if known.value is None:
        raise StoreError(known.silence.reason if known.silence is not None else "")
    return known.value
