"""Memory use: what each part of the application says it holds, gathered for the performance page."""

from __future__ import annotations

from collections.abc import Callable

from utils.data_cache import DataCache
from utils.memory_holders import Held, MemoryHolders, memory_holders
from utils.model_cache import ModelCache
from utils.response_cache import ResponseCache


def memory_use(
    *,
    data_cache: DataCache,
    pages: ResponseCache,
    models: ModelCache,
    forecasts: Callable[[], tuple[int, int]],
    max_rss_bytes: int,
) -> MemoryHolders:
    """`forecasts` answers (how many are kept, their bytes)."""
    cached = data_cache.sizes()
    candles, columns = (cached.pop(region, (0, 0)) for region in ("candles", "indicators"))
    others = [sum(numbers) for numbers in zip(*cached.values(), strict=True)] or [0, 0]
    kept = pages.stats()
    count, size_bytes = forecasts()
    return memory_holders(
        [
            Held("candles", "closed candles of the followed markets", candles[1], candles[0]),
            Held("indicators", "indicator columns of those candles", columns[1], columns[0]),
            Held("other data", "sums of scores, summaries of markets", others[1], others[0]),
            Held("pages", "rendered pages and answers", kept.size_bytes, kept.entries),
            *_dictionaries(pages),
            Held("forecasts", "forecasts of the newest candles", size_bytes, count),
            Held("models", "graphs in use, by the size of their files", models.size_bytes, models.stats().models),
        ],
        max_rss_bytes=max_rss_bytes,
    )


def _dictionaries(pages: ResponseCache) -> list[Held]:
    if pages.dictionaries is None:
        return []
    kept = pages.dictionaries.stats()
    return [Held("dictionaries", "answers that browsers keep, to send what differs", kept.size_bytes, kept.entries)]
