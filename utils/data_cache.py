"""Data cache: values kept for a while in memory, bounded, loaded once however many threads ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from utils.cache_entries import CacheEntries, is_of, region_of
from utils.cache_stats import CacheStats
from utils.clock import SystemClock
from utils.flights import Flight, Flights
from utils.newest import Newest
from utils.second_level import Found, SecondLevel
from utils.value_size import size_bytes_of

T = TypeVar("T")
TimeToLive = float | Callable[[T], float] | None

_STALE_RETRY_S = 1.0
_MOST_IN_LANE = 4
_MOST_LANES = 10_000


@dataclass(frozen=True, slots=True)
class _Wish(Generic[T]):
    """How a value is loaded, and how long the loaded one is kept; see `DataCache.get_or_load`."""

    load: Callable[[], T]
    ttl_s: TimeToLive[T]
    size_bytes: int | None
    stale_if_error_s: float

    def fresh_s(self, value: T, usual_s: float) -> float:
        if callable(self.ttl_s):
            return self.ttl_s(value)
        return usual_s if self.ttl_s is None else self.ttl_s

    def size_of(self, value: T) -> int:
        return size_bytes_of(value) if self.size_bytes is None else self.size_bytes


class DataCache:
    """A dict with expiry. A hit takes no lock and costs a fraction of a microsecond.

    Chosen by measurement over cachetools (ten times slower, a lock per read), moka and cachebox (another dependency for
    0.1 µs), Flask-Caching and Redis (8 and 46 µs a hit), and because only a single flight per key computes once when
    16 threads miss together. Keys are hashable; a tuple's first item names its region: `("candles", symbol, interval)`.

    - Each entry expires by `timer` after its own `ttl_s`: a number, or computed from the loaded value; 0 or less is not
      kept.
    - `max_entries` and `max_bytes` always hold after a write. Room is made by dropping what is past its time, then the
      least recently used: exactly the oldest in caches below 64 entries, about 3 % at a time in larger ones, so that a
      full cache does not search for its oldest entry at every write.
    - A failed load is raised to everyone who waited for it, unless an old value is within `stale_if_error_s` of its
      expiry: then that is returned, and the load is not tried again for a second.
    - `delete`, `clear` and `set` win over a load that began before them: its value goes to its waiters and is not kept.
    - Disabled, nothing is kept and every read is a miss, but concurrent loads of one key are still one load.
    - What is loaded for a `lane` (utils.newest) drops what the lane had of earlier moments, and is not kept if late.
    - A `second_level` is asked on a miss, and told of every `set`, `delete` and `clear`, for the keys that it shares.
    """

    def __init__(self, name: str = "data") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._telling = threading.Lock()  # so that both levels see the writes of this process in the same order
        self.configure()

    def configure(
        self,
        *,
        enabled: bool = True,
        ttl_s: float = 300.0,
        max_entries: int = 1000,
        max_bytes: int = 64 * 1024 * 1024,
        timer: Callable[[], float] | None = None,
        second_level: SecondLevel | None = None,
    ) -> None:
        """Begin anew, empty and with zeroed statistics, under these bounds. `timer` gives monotonic seconds."""
        with self._lock:
            self._enabled = enabled
            self._ttl_s = ttl_s
            self._max_entries = max_entries
            self._max_bytes = max_bytes
            self._timer = timer or SystemClock().monotonic
            self._kept = CacheEntries(max_entries=max_entries, max_bytes=max_bytes, timer=self._timer)
            self._entries = self._kept.by_key  # at hand: a hit is two look-ups and a reading of the timer
            self._ticks = self._kept.ticks
            self._flights = Flights(self._lock)
            self._newest: Newest[Hashable, Hashable] = Newest(most_each=_MOST_IN_LANE, most_lanes=_MOST_LANES)
            self._hits = self._misses = self._loads = self._load_errors = 0
            self._stale_served = 0
            self._load_time_s = 0.0
            self._changes = 0
            self._second = second_level if enabled else None
        if self._second is not None:
            self._second.attach(self)

    def get(self, key: Hashable, default: Any = None) -> Any:
        """The value, or `default` where there is none or its time has passed."""
        entry = self._entries.get(key)
        if entry is not None and self._timer() < entry.expires_at:
            entry.used = next(self._ticks)
            self._hits += 1
            return entry.value
        self._misses += 1
        second = self._sharer(key)
        return default if second is None else self._get_shared(second, key, default)

    def peek(self, key: Hashable) -> Any:
        """The value in this process's memory, also past its time; None where there is none. No read."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def set(self, key: Hashable, value: object, *, ttl_s: float | None = None, size_bytes: int | None = None) -> None:
        """Keep `value` for `ttl_s` seconds (the configured time by default). `size_bytes` is estimated unless given."""
        size = size_bytes_of(value) if size_bytes is None else size_bytes
        seconds = self._ttl_s if ttl_s is None else ttl_s
        second = self._sharer(key)
        with self._told(second):
            with self._lock:
                self._changes += 1
                self._flights.forget(key)
                self._keep(key, value, seconds if second is None else second.local_s(seconds), size)
            if second is not None:
                second.set(key, value, seconds)

    def get_or_load(
        self,
        key: Hashable,
        load: Callable[[], T],
        *,
        ttl_s: TimeToLive[T] = None,
        size_bytes: int | None = None,
        stale_if_error_s: float = 0.0,
        lane: tuple[Hashable, int] | None = None,
    ) -> T:
        """The value, loaded by one caller while the others who ask for the same key wait for it.

        `stale_if_error_s` is how long past its time the value may still stand in when a later load fails.
        `lane`: what the value is the newest of, and of which moment, where nobody will ask for earlier ones.
        Raises whatever `load` raises, to all who waited. Loads of different keys never wait for each other.
        """
        entry = self._entries.get(key)
        if entry is not None and self._timer() < entry.expires_at:
            entry.used = next(self._ticks)
            self._hits += 1
            return cast("T", entry.value)
        value = self._join_or_load(key, _Wish(load, ttl_s, size_bytes, stale_if_error_s))
        if lane is not None:
            with self._lock:
                for outdated in self._newest.add(*lane, key):
                    self._kept.drop(outdated)
        return value

    def delete(self, key: Hashable) -> None:
        """Forget one key; no error where it is unknown."""
        second = self._sharer(key)
        with self._told(second):
            self.drop(key)
            if second is not None:
                second.delete(key)

    def clear(self, region: Hashable = None) -> None:
        """Forget everything, or only the keys of one region: those equal to it and the tuples that begin with it."""
        with self._told(self._second):
            self.drop_region(region)
            if self._second is not None:
                self._second.clear(region)

    def drop(self, key: Hashable) -> None:
        """Forget one key in this process alone: another process said so."""
        with self._lock:
            self._changes += 1
            self._flights.forget(key)
            self._kept.drop(key)

    def drop_region(self, region: Hashable = None) -> None:
        """The same for a region, or for everything."""
        with self._lock:
            self._changes += 1
            self._flights.forget_all(partial(is_of, region))
            self._kept.drop_region(region)
            self._newest.forget(partial(is_of, region))

    def outdate(self, key: Hashable) -> None:
        """There is a newer value in another process: this one may only stand in for a load that fails."""
        with self._lock:
            self._outdate(key)

    def outdate_region(self, region: Hashable) -> None:
        """The same for all keys of a region: nobody knows which of them have newer values elsewhere."""
        with self._lock:
            for key in {key for key in (*self._entries, *self._flights) if region_of(key) == region}:
                self._outdate(key)

    def trim(self, fraction: float, region: Hashable = None) -> int:
        """Drop `fraction` of the bytes, first what is past its time, then the least recently used; the bytes freed.
        Of one region alone where one is named (see `clear`)."""
        with self._lock:
            return self._kept.trim(fraction, region)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """What each region holds now: (entries, bytes)."""
        with self._lock:
            entries = list(self._entries.items())
        held: dict[str, tuple[int, int]] = {}
        for key, entry in entries:
            count, size = held.get(str(region_of(key)), (0, 0))
            held[str(region_of(key))] = count + 1, size + entry.size_bytes
        return held

    def stats(self) -> CacheStats:
        with self._lock:
            ages = self._kept.ages()
            return CacheStats(
                name=self._name,
                hits=self._hits,
                misses=self._misses,
                loads=self._loads,
                load_errors=self._load_errors,
                stale_served=self._stale_served,
                evictions=self._kept.evictions,
                expired=self._kept.expired,
                entries=len(self._entries),
                size_bytes=self._kept.size_bytes,
                max_entries=self._max_entries,
                max_bytes=self._max_bytes,
                load_time_s=self._load_time_s,
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def __len__(self) -> int:
        return len(self._entries)

    def _join_or_load(self, key: Hashable, wish: _Wish[T]) -> T:
        with self._lock:
            now = self._timer()
            entry = self._entries.get(key)
            if entry is not None and now < entry.expires_at:
                self._hits += 1
                return cast("T", entry.value)
            self._misses += 1
            if entry is not None and now < min(entry.retry_at, entry.keep_until):
                self._stale_served += 1
                return cast("T", entry.value)
            flight, mine = self._flights.join(key)
        if not mine:
            if flight.is_my_own:
                raise RuntimeError(f"the load of cache key {key!r} asks for itself")
            return cast("T", flight.result())
        with self._flights.landing(key, flight):
            self._load(key, flight, wish)
        return cast("T", flight.result())

    def _load(self, key: Hashable, flight: Flight, wish: _Wish[T]) -> None:
        started = self._timer()
        try:
            found = self._found_or_loaded(key, wish)
            value: T = found.value
            size_bytes = wish.size_of(value)
        except Exception as error:  # noqa: BLE001 - handed on to every waiter
            self._failed(key, flight, error, self._timer() - started)
            return
        flight.value = value
        with self._lock:
            if found.loaded:
                self._loads += 1
                self._load_time_s += self._timer() - started
            if self._flights.counts(key, flight):
                self._keep(key, value, found.fresh_s, size_bytes, wish.stale_if_error_s)

    def _found_or_loaded(self, key: Hashable, wish: _Wish[T]) -> Found:
        second = self._sharer(key)
        if second is None:
            value = wish.load()
            return Found(value, wish.fresh_s(value, self._ttl_s), loaded=True)
        found = second.get_or_load(key, wish.load, lambda value: wish.fresh_s(value, self._ttl_s))
        return Found(found.value, second.local_s(found.fresh_s), found.loaded)

    def _sharer(self, key: Hashable) -> SecondLevel | None:
        return self._second if self._second is not None and self._second.shares(key) else None

    def _told(self, second: SecondLevel | None) -> AbstractContextManager[object]:
        return nullcontext() if second is None else self._telling

    def _get_shared(self, second: SecondLevel, key: Hashable, default: Any) -> Any:
        """Kept here too, unless anything changed while the answer was on its way."""
        changes = self._changes
        found = second.get(key)
        if found is None:
            return default
        with self._lock:
            if changes == self._changes and key not in self._flights:
                self._keep(key, found.value, second.local_s(found.fresh_s), size_bytes_of(found.value))
        return found.value

    def _outdate(self, key: Hashable) -> None:
        self._changes += 1
        self._flights.forget(key)
        self._kept.outdate(key)

    def _keep(self, key: Hashable, value: object, ttl_s: float, size_bytes: int, stale_s: float = 0.0) -> None:
        """Disabled, only what was kept before goes."""
        self._kept.keep(key, value, ttl_s=ttl_s if self._enabled else 0.0, size_bytes=size_bytes, stale_s=stale_s)

    def _failed(self, key: Hashable, flight: Flight, error: Exception, seconds: float) -> None:
        with self._lock:
            now = self._timer()
            self._loads += 1
            self._load_errors += 1
            self._load_time_s += seconds
            entry = self._entries.get(key)
            if entry is None or now >= entry.keep_until or not self._flights.counts(key, flight):
                flight.error = error
                return
            entry.retry_at = now + _STALE_RETRY_S
            self._stale_served += 1
            flight.value = entry.value


data_cache = DataCache()
"""The one cache of market data; empty, with modest bounds, until the application configures it."""
