"""Response statistics: what the cache of rendered pages did since the start, and what it holds now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResponseCacheStats:
    """A hit found its version rendered; a miss rendered it or waited for that.

    `not_modified` of these answers sent no body.
    """

    hits: int
    misses: int
    not_modified: int
    renders: int
    render_errors: int
    evictions: int
    entries: int
    size_bytes: int
    max_bytes: int
    render_time_s: float
    age_median_s: float | None = None
    age_oldest_s: float | None = None

    @property
    def hit_rate_fraction(self) -> float | None:
        """Hits per answer; None before the first."""
        answers = self.hits + self.misses
        return self.hits / answers if answers else None
