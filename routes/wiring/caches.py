"""Caches: their bounds, the level that several processes share, and what gives way when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import xxhash

from config import Settings
from data.candle_codec import CANDLE_CODEC
from data.market_data import MarketData
from models.forecaster import Forecaster
from utils.asset_host import AssetHost
from utils.cache_clearing import CacheClearing
from utils.cache_codecs import Codecs
from utils.clock import Clock
from utils.data_cache import data_cache
from utils.dictionaries import Dictionaries
from utils.memory_guard import MemoryGuard, TrimStep
from utils.model_cache import model_cache
from utils.performance_monitor import performance_monitor
from utils.response_cache import ResponseCache

if TYPE_CHECKING:
    from utils.redis_level import RedisLevel

MB = 1_000_000
_MEBIBYTE = 1024 * 1024
_ENTRIES_PER_SERIES = 20
"""Cache entries one market and interval needs: indicators, its row, what its page shows until the candle closes, what
the ledger says of it at each horizon, and room for readers' choices. Their bytes are bounded beside."""


def shared_cache(settings: Settings, clock: Clock) -> RedisLevel | None:
    """The cache that several processes share, where one is named; its library is loaded only then."""
    if not settings.redis_url:
        return None
    from utils.redis_level import RedisLevel

    same = f"{settings.database_address}|{settings.exchange}|{settings.history_candles}".encode()
    return RedisLevel(
        settings.redis_url,
        namespace=xxhash.xxh3_64_hexdigest(same),
        regions=("candles",),
        codecs=Codecs(CANDLE_CODEC),
        clock=clock,
    )


def configure_caches(settings: Settings, clock: Clock, second_level: RedisLevel | None) -> None:
    """Gives the three module-level parts their bounds, and begins them anew."""
    series = len(settings.symbols) * len(settings.intervals)
    data_cache.configure(
        enabled=settings.enable_data_caching,
        ttl_s=settings.cache_ttl_seconds,
        max_entries=max(settings.max_cache_size, _ENTRIES_PER_SERIES * series),
        max_bytes=settings.max_cache_mb * _MEBIBYTE,
        timer=clock.monotonic,
        second_level=second_level,
    )
    model_cache.configure(
        enabled=settings.enable_model_caching,
        max_models=settings.max_cache_size,
        load_timeout_s=settings.model_load_timeout,
    )
    performance_monitor.configure(enabled=settings.enable_performance_logging, clock=clock)


def page_cache(settings: Settings) -> ResponseCache:
    return ResponseCache(
        max_bytes=settings.max_cache_mb * _MEBIBYTE,
        enabled=settings.enable_data_caching,
        dictionaries=Dictionaries() if settings.enable_compression_dictionaries else None,
    )


def asset_host(settings: Settings, pages: ResponseCache) -> AssetHost | None:
    """Where assets lie, if that is elsewhere. Stored pages name it, and are made anew when it comes or goes."""
    return AssetHost(settings.asset_base_url, changed=pages.clear) if settings.asset_base_url else None


def cache_clearing(pages: ResponseCache, forecaster: Forecaster) -> CacheClearing:
    """What empties each cache, by the monitor's name of it."""
    empty: dict[str, Callable[[], object]] = {
        "data_cache": data_cache.clear,
        "model_cache": model_cache.clear_cache,
        "page_cache": pages.clear,
        "forecasts": forecaster.clear,
    }
    if pages.dictionaries is not None:
        empty["dictionaries"] = pages.dictionaries.clear
    return CacheClearing(empty)


def guard_memory(settings: Settings, pages: ResponseCache, market: MarketData) -> MemoryGuard:
    """What gives way when memory is short, the cheapest to make again first."""
    steps = (
        TrimStep("pages", pages.trim),
        TrimStep("indicators", partial(data_cache.trim, region="indicators")),
        TrimStep("candles of idle markets", market.trim_idle, "series"),
        TrimStep("models", _trim_models, "sessions"),
    )
    return MemoryGuard(
        max_percent=settings.max_memory_usage_percent, max_rss_bytes=settings.max_rss_mb * MB, steps=steps
    )


def _trim_models(fraction: float) -> int:
    held = model_cache.stats().models
    return model_cache.trim(keep=round(held * (1 - fraction)))
