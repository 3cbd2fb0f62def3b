"""Freshness: how old the newest news of a market is, and what that means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["live", "late", "stale", "empty"]

LATE_AFTER_S = 10.0
STALE_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """`age_s`: seconds of exchange time since the newest news, `as_of_ms`; None while nothing is known.

    live: news within the last 10 s and no closed candle missing · late: neither quite · stale: a minute old or older.
    """

    state: State
    age_s: float | None
    as_of_ms: int | None


def freshness_of(as_of_ms: int | None, now_ms: int, *, closes_missing: bool) -> Freshness:
    """`closes_missing`: a candle has closed by the clock that is not here yet."""
    if as_of_ms is None:
        return Freshness("empty", None, None)
    age_s = max(0.0, (now_ms - as_of_ms) / 1000)
    if age_s >= STALE_AFTER_S:
        return Freshness("stale", age_s, as_of_ms)
    late = age_s > LATE_AFTER_S or closes_missing
    return Freshness("late" if late else "live", age_s, as_of_ms)
