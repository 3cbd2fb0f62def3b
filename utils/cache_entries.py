"""Cache entries: what a data cache keeps, within bounds of number and bytes, each until its time has passed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Any

from utils.entry_ages import EntryAges, entry_ages

_SWEEP_EVERY_S = 30.0
_SHARE_DROPPED = 32
"""A full cache drops one in so many at a time, so that it does not search for its oldest entry at every write."""


class Entry:
    """One kept value. Only `used`, `retry_at` and, when it is outdated, `expires_at` change after it is made."""

    __slots__ = ("expires_at", "keep_until", "made_at", "retry_at", "size_bytes", "used", "value")

    def __init__(self, value: object, made_at: float, ttl_s: float, stale_s: float, size_bytes: int, used: int) -> None:
        expires_at = made_at + ttl_s
        self.value: Any = value
        self.made_at = made_at
        self.expires_at = expires_at
        self.keep_until = expires_at + stale_s
        self.retry_at = expires_at
        self.size_bytes = size_bytes
        self.used = used


class CacheEntries:
    """Not safe for threads: its owner holds a lock around everything but reads of `by_key`.

    `timer` gives monotonic seconds. Whoever reads an entry notes it: `entry.used = next(entries.ticks)`.
    `expired` counts entries dropped or replaced after their time; `evictions` those dropped, or values never kept, for
    want of room.
    """

    def __init__(self, *, max_entries: int, max_bytes: int, timer: Callable[[], float]) -> None:
        self.by_key: dict[Hashable, Entry] = {}
        self.ticks = itertools.count()
        self.size_bytes = 0
        self.evictions = 0
        self.expired = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._timer = timer
        self._next_sweep = timer() + _SWEEP_EVERY_S

    def keep(self, key: Hashable, value: object, *, ttl_s: float, size_bytes: int, stale_s: float = 0.0) -> None:
        """In the place of what was there. Not kept with 0 seconds or less to live, nor where it can never fit."""
        now = self._timer()
        self._drop_replaced(key, now)
        if ttl_s <= 0:
            return
        if size_bytes > self._max_bytes or self._max_entries < 1:
            self.evictions += 1
            return
        self.by_key[key] = Entry(value, now, ttl_s, stale_s, size_bytes, next(self.ticks))
        self.size_bytes += size_bytes
        if now >= self._next_sweep:
            self._sweep(now)
        if self._over():
            self._make_room(now)

    def drop(self, key: Hashable) -> None:
        entry = self.by_key.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes

    def drop_region(self, region: Hashable) -> None:
        for key, _ in self._of(region):
            self.drop(key)

    def outdate(self, key: Hashable) -> None:
        """From now on the entry only stands in for a load that fails."""
        entry = self.by_key.get(key)
        if entry is not None:
            entry.expires_at = entry.retry_at = min(entry.expires_at, self._timer())

    def trim(self, fraction: float, region: Hashable) -> int:
        """Drops `fraction` of the region's bytes, first what is past its time, then the least recently used; the bytes
        freed."""
        before = self.size_bytes
        target = sum(entry.size_bytes for _, entry in self._of(region)) * (1.0 - min(max(fraction, 0.0), 1.0))
        self._sweep(self._timer())
        held = sum(entry.size_bytes for _, entry in self._of(region))
        for key, entry in sorted(self._of(region), key=lambda pair: pair[1].used):
            if held <= target:
                break
            held -= entry.size_bytes
            self.drop(key)
            self.evictions += 1
        return before - self.size_bytes

    def ages(self) -> EntryAges:
        return entry_ages((entry.made_at for entry in self.by_key.values()), self._timer())

    def _of(self, region: Hashable) -> list[tuple[Hashable, Entry]]:
        return [pair for pair in self.by_key.items() if is_of(region, pair[0])]

    def _over(self) -> bool:
        return len(self.by_key) > self._max_entries or self.size_bytes > self._max_bytes

    def _make_room(self, now: float) -> None:
        self._sweep(now)
        while self._over():
            batch = max(1, len(self.by_key) // _SHARE_DROPPED)
            oldest = heapq.nsmallest(batch, self.by_key.items(), key=lambda item: item[1].used)
            for key, _ in oldest:
                self.drop(key)
            self.evictions += len(oldest)

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + _SWEEP_EVERY_S
        for key in [key for key, entry in self.by_key.items() if now >= entry.keep_until]:
            self.drop(key)
            self.expired += 1

    def _drop_replaced(self, key: Hashable, now: float) -> None:
        entry = self.by_key.get(key)
        if entry is not None and now >= entry.expires_at:
            self.expired += 1
        self.drop(key)


def region_of(key: Hashable) -> Hashable:
    """A tuple's first item; any other key is a region of its own."""
    return key[0] if isinstance(key, tuple) and key else key


def is_of(region: Hashable, key: Hashable) -> bool:
    """Whether `region` names the key's; None names every region."""
    return region is None or region_of(key) == region
