"""Cache statistics: what a data cache did since it was configured, and what it holds now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`misses` counts reads that found nothing fresh; `expired` entries that were dropped or replaced after their time;
    `evictions` entries dropped, or values never kept, for want of room; `load_time_s` is the sum over all loads.
    """

    name: str
    hits: int
    misses: int
    loads: int
    load_errors: int
    stale_served: int
    evictions: int
    expired: int
    entries: int
    size_bytes: int
    max_entries: int
    max_bytes: int
    load_time_s: float
    age_median_s: float | None = None
    age_oldest_s: float | None = None

    @property
    def hit_rate_fraction(self) -> float:
        """Hits among all reads; 0 before the first one."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0
