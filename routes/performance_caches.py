"""Performance caches: what each cache of the program tells of itself, as the rows of one table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from routes import wording
from routes.performance_parts import count, heading, seconds_text
from utils.part_metrics import is_cache

_DICTIONARIES = "dictionaries"
"""Answers that browsers hold: a read is a browser that names one; each was made for a reader: no load has a time."""
_SHARED = "redis"
"""The level below the data cache: the server tells what it holds, and clearing the data cache clears it."""

_NAMES = {_SHARED: "Shared cache (Redis)", _DICTIONARIES: "Compression dictionaries"}


@dataclass(frozen=True, slots=True)
class CacheRow:
    """One cache; `hit_rate` (0 … 100) is None before the first read. `key` clears it, where it can be cleared."""

    key: str
    name: str
    clearable: bool
    hit_rate: float | None
    hit_rate_text: str
    reads: str
    entries: str
    size: str
    filled: float | None
    evictions: str
    loads: str
    load_time: str
    age: str
    cleared_with: str = ""


def cache_rows(sources: Mapping[str, Any], clearable: Collection[str]) -> tuple[CacheRow, ...]:
    read = [(name, _as_cache(name, source)) for name, source in sources.items()]
    rows = [_cache(name, source, clearable) for name, source in read if is_cache(source)]
    known = {row.key for row in rows}
    return (*rows, *(_unread(name) for name in clearable if name not in known))


def _cache(name: str, source: Mapping[str, Any], clearable: Collection[str]) -> CacheRow:
    hits, misses = int(source["hits"]), int(source["misses"])
    rate = hits / (hits + misses) if hits + misses else None
    size, most = source.get("size_bytes"), source.get("max_bytes")
    loads = source.get("loads", source.get("renders"))
    took_s = source.get("load_time_s", source.get("render_time_s"))
    return CacheRow(
        key=name,
        name=_NAMES.get(name, heading(name)),
        clearable=name in clearable,
        hit_rate=None if rate is None else rate * 100,
        hit_rate_text=wording.percent(rate, 1) if rate is not None else "not read yet",
        reads=count(hits + misses),
        entries=count(source.get("entries", source.get("models"))),
        size=wording.size(size),
        filled=size / most * 100 if size is not None and most else None,
        evictions=_evicted(name, source.get("evictions")),
        loads=count(loads),
        load_time=seconds_text(took_s / loads if loads and took_s is not None else None),
        age=_ages(source.get("age_median_s"), source.get("age_oldest_s")),
        cleared_with="with the data cache" if name == _SHARED else "",
    )


def _evicted(name: str, evictions: int | None) -> str:
    """A server that several use does not tell whose keys it dropped."""
    return f"{count(evictions)} of anyone’s" if name == _SHARED and evictions else count(evictions)


def _as_cache(name: str, source: Any) -> Any:
    if name != _DICTIONARIES or not isinstance(source, Mapping) or "found" not in source:
        return source
    return {**source, "hits": source["found"], "misses": source["unknown"], "loads": source["taken"]}


def _unread(name: str) -> CacheRow:
    """One that does not count its reads but can be cleared."""
    nothing = wording.NOTHING
    return CacheRow(
        name, heading(name), True, None, nothing, nothing, nothing, nothing, None, nothing, nothing, nothing, nothing
    )


def _ages(median_s: float | None, oldest_s: float | None) -> str:
    """How long the middle one of its entries has been there, and the oldest."""
    if median_s is None or oldest_s is None:
        return wording.NOTHING
    return f"{wording.duration(median_s)}, at most {wording.duration(oldest_s)}"
