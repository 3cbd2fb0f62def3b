"""Entry ages: how long the entries of a cache have been there, told for all of them in two numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class EntryAges(NamedTuple):
    """Seconds since the median entry was made, and since the oldest; None of an empty cache."""

    median_s: float | None
    oldest_s: float | None


def entry_ages(made_at_s: Iterable[float], now_s: float) -> EntryAges:
    """`made_at_s` and `now_s` by the same clock."""
    made = sorted(made_at_s)
    if not made:
        return EntryAges(None, None)
    return EntryAges(max(0.0, now_s - made[len(made) // 2]), max(0.0, now_s - made[0]))
