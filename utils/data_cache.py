"""Data cache: values kept for a while in memory, bounded, loaded once however many threads ask."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from sys import getsizeof
from typing import Any, TypeVar, cast

from utils.clock import SystemClock
from utils.entry_ages import entry_ages
from utils.newest import Newest
from utils.second_level import Found, SecondLevel

T = TypeVar("T")
TimeToLive = float | Callable[[T], float] | None

_STALE_RETRY_S = 1.0
_SWEEP_EVERY_S = 30.0
_SAMPLED_ITEMS = 64
_ENTRY_BYTES = 200
_MOST_IN_LANE = 4
_MOST_LANES = 10_000


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since it was configured, and what it holds now.

    `misses` counts reads that found nothing fresh; `expired` entries that were dropped or replaced after their time;
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


class _Entry:
    """One kept value. Only `used`, `retry_at` and, when it is outdated, `expires_at` change after it is made."""

    __slots__ = ("expires_at", "keep_until", "made_at", "retry_at", "size_bytes", "used", "value")

    def __init__(self, value: object, made_at: float, ttl_s: float, stale_s: float, size_bytes: int, used: int) -> None:
        expires_at = made_at + ttl_s
        keep_until = expires_at + stale_s
        self.value = value
        self.made_at = made_at
        self.expires_at = expires_at
        self.keep_until = keep_until
        self.retry_at = expires_at
        self.size_bytes = size_bytes
        self.used = used


class _Flight:
    """One load under way: its owner, and what became of it for those who wait."""

    __slots__ = ("done", "error", "owner", "value")

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def result(self) -> Any:
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


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
        self._ticks = itertools.count()
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
            self._entries: dict[Hashable, _Entry] = {}
            self._flights: dict[Hashable, _Flight] = {}
            self._newest: Newest[Hashable, Hashable] = Newest(most_each=_MOST_IN_LANE, most_lanes=_MOST_LANES)
            self._size_bytes = 0
            self._next_sweep = self._timer() + _SWEEP_EVERY_S
            self._hits = self._misses = self._loads = self._load_errors = 0
            self._stale_served = self._evictions = self._expired = 0
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

    def set(self, key: Hashable, value: object, *, ttl_s: float | None = None, size_bytes: int | None = None) -> None:
        """Keep `value` for `ttl_s` seconds (the configured time by default). `size_bytes` is estimated unless given."""
        size = size_bytes_of(value) if size_bytes is None else size_bytes
        seconds = self._ttl_s if ttl_s is None else ttl_s
        second = self._sharer(key)
        with self._told(second):
            with self._lock:
                self._changes += 1
                self._flights.pop(key, None)
                self._keep(key, value, seconds if second is None else second.local_s(seconds), size, 0.0)
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
        value = self._join_or_load(key, load, ttl_s, size_bytes, stale_if_error_s)
        if lane is not None:
            with self._lock:
                for outdated in self._newest.add(*lane, key):
                    self._drop(outdated)
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
            self._flights.pop(key, None)
            self._drop(key)

    def drop_region(self, region: Hashable = None) -> None:
        """The same for a region, or for everything."""
        with self._lock:
            self._changes += 1
            for key in [key for key in self._flights if region is None or _region(key) == region]:
                del self._flights[key]
            for key, _ in self._of(region):
                self._drop(key)
            self._newest.forget(lambda lane: region is None or _region(lane) == region)

    def outdate(self, key: Hashable) -> None:
        """There is a newer value in another process: this one may only stand in for a load that fails."""
        with self._lock:
            self._outdate(key)

    def outdate_region(self, region: Hashable) -> None:
        """The same for all keys of a region: nobody knows which of them have newer values elsewhere."""
        with self._lock:
            for key in {key for key in (*self._entries, *self._flights) if _region(key) == region}:
                self._outdate(key)

    def trim(self, fraction: float, region: Hashable = None) -> int:
        """Drop `fraction` of the bytes, first what is past its time, then the least recently used; the bytes freed.
        Of one region alone where one is named (see `clear`)."""
        with self._lock:
            before = self._size_bytes
            target = sum(entry.size_bytes for _, entry in self._of(region)) * (1.0 - min(max(fraction, 0.0), 1.0))
            self._sweep(self._timer())
            held = sum(entry.size_bytes for _, entry in self._of(region))
            for key, entry in sorted(self._of(region), key=lambda pair: pair[1].used):
                if held <= target:
                    break
                held -= entry.size_bytes
                self._drop(key)
                self._evictions += 1
            return before - self._size_bytes

    def sizes(self) -> dict[str, tuple[int, int]]:
        """What each region holds now: (entries, bytes)."""
        with self._lock:
            entries = list(self._entries.items())
        held: dict[str, tuple[int, int]] = {}
        for key, entry in entries:
            count, size = held.get(str(_region(key)), (0, 0))
            held[str(_region(key))] = count + 1, size + entry.size_bytes
        return held

    def stats(self) -> CacheStats:
        with self._lock:
            ages = entry_ages((entry.made_at for entry in self._entries.values()), self._timer())
            return CacheStats(
                name=self._name,
                hits=self._hits,
                misses=self._misses,
                loads=self._loads,
                load_errors=self._load_errors,
                stale_served=self._stale_served,
                evictions=self._evictions,
                expired=self._expired,
                entries=len(self._entries),
                size_bytes=self._size_bytes,
                max_entries=self._max_entries,
                max_bytes=self._max_bytes,
                load_time_s=self._load_time_s,
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def __len__(self) -> int:
        return len(self._entries)

    def _join_or_load(
        self,
        key: Hashable,
        load: Callable[[], T],
        ttl_s: TimeToLive[T],
        size_bytes: int | None,
        stale_if_error_s: float,
    ) -> T:
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
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
        if not mine:
            if flight.owner == threading.get_ident():
                raise RuntimeError(f"the load of cache key {key!r} asks for itself")
            return cast("T", flight.result())
        with self._landing(key, flight):
            self._load(key, flight, load, ttl_s, size_bytes, stale_if_error_s)
        return cast("T", flight.result())

    def _load(
        self,
        key: Hashable,
        flight: _Flight,
        load: Callable[[], T],
        ttl_s: TimeToLive[T],
        size_bytes: int | None,
        stale_if_error_s: float,
    ) -> None:
        started = self._timer()
        try:
            found = self._found_or_loaded(key, load, ttl_s)
            value: T = found.value
            size = size_bytes_of(value) if size_bytes is None else size_bytes
        except Exception as error:  # noqa: BLE001 - handed on to every waiter
            self._failed(key, flight, error, self._timer() - started)
            return
        flight.value = value
        with self._lock:
            if found.loaded:
                self._loads += 1
                self._load_time_s += self._timer() - started
            if self._flights.get(key) is flight:
                self._keep(key, value, found.fresh_s, size, stale_if_error_s)

    def _found_or_loaded(self, key: Hashable, load: Callable[[], T], ttl_s: TimeToLive[T]) -> Found:
        def fresh_s(value: T) -> float:
            return ttl_s(value) if callable(ttl_s) else self._ttl_s if ttl_s is None else ttl_s

        second = self._sharer(key)
        if second is None:
            value = load()
            return Found(value, fresh_s(value), loaded=True)
        found = second.get_or_load(key, load, fresh_s)
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
                self._keep(key, found.value, second.local_s(found.fresh_s), size_bytes_of(found.value), 0.0)
        return found.value

    def _outdate(self, key: Hashable) -> None:
        self._changes += 1
        self._flights.pop(key, None)
        entry = self._entries.get(key)
        if entry is not None:
            entry.expires_at = entry.retry_at = min(entry.expires_at, self._timer())

    def _failed(self, key: Hashable, flight: _Flight, error: Exception, seconds: float) -> None:
        with self._lock:
            now = self._timer()
            self._loads += 1
            self._load_errors += 1
            self._load_time_s += seconds
            entry = self._entries.get(key)
            if entry is None or now >= entry.keep_until or self._flights.get(key) is not flight:
                flight.error = error
                return
            entry.retry_at = now + _STALE_RETRY_S
            self._stale_served += 1
            flight.value = entry.value

    @contextmanager
    def _landing(self, key: Hashable, flight: _Flight) -> Iterator[None]:
        """Whatever happens inside, nobody waits for ever."""
        try:
            yield
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.done.set()

    def _keep(self, key: Hashable, value: object, ttl_s: float, size_bytes: int, stale_s: float) -> None:
        now = self._timer()
        self._drop_before_replacing(key, now)
        if not self._enabled or ttl_s <= 0:
            return
        if size_bytes > self._max_bytes or self._max_entries < 1:
            self._evictions += 1
            return
        self._entries[key] = _Entry(value, now, ttl_s, stale_s, size_bytes, next(self._ticks))
        self._size_bytes += size_bytes
        if now >= self._next_sweep:
            self._sweep(now)
        if self._over():
            self._make_room(now)

    def _of(self, region: Hashable) -> list[tuple[Hashable, _Entry]]:
        return [pair for pair in self._entries.items() if region is None or _region(pair[0]) == region]

    def _over(self) -> bool:
        return len(self._entries) > self._max_entries or self._size_bytes > self._max_bytes

    def _make_room(self, now: float) -> None:
        self._sweep(now)
        while self._over():
            batch = max(1, len(self._entries) // 32)
            oldest = heapq.nsmallest(batch, self._entries.items(), key=lambda item: item[1].used)
            for key, _ in oldest:
                self._drop(key)
            self._evictions += len(oldest)

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + _SWEEP_EVERY_S
        for key in [key for key, entry in self._entries.items() if now >= entry.keep_until]:
            self._drop(key)
            self._expired += 1

    def _drop_before_replacing(self, key: Hashable, now: float) -> None:
        entry = self._entries.get(key)
        if entry is not None and now >= entry.expires_at:
            self._expired += 1
        self._drop(key)

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size_bytes -= entry.size_bytes


def size_bytes_of(value: object) -> int:
    """About how much memory `value` holds: exact for bytes and arrays, sampled for long containers."""
    held = _payload_bytes(value)
    return _ENTRY_BYTES + (getsizeof(value) if held is None else held)


def _payload_bytes(value: object) -> int | None:
    """The bytes that `value` carries; None for a plain object, which is its own size."""
    if isinstance(value, bytes | bytearray | memoryview | str):
        return len(value)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if is_dataclass(value):
        return sum(size_bytes_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return _items_bytes([*itertools.islice(value.items(), _SAMPLED_ITEMS)], len(value))
    if isinstance(value, list | tuple | set | frozenset):
        return _items_bytes([*itertools.islice(value, _SAMPLED_ITEMS)], len(value))
    return None


def _items_bytes(sample: list[Any], count: int) -> int:
    return sum(map(size_bytes_of, sample)) * count // len(sample) if sample else 0


def _region(key: Hashable) -> Hashable:
    return key[0] if isinstance(key, tuple) and key else key


data_cache = DataCache()
"""The one cache of market data; empty, with modest bounds, until the application configures it."""
