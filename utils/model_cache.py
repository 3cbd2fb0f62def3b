"""ModelCache: built model sessions kept in memory, least recently used out first, one load at a time per model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from utils.entry_ages import entry_ages
from utils.errors import ModelLoadTimeout
from utils.model_utils import Session

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ModelCacheStats:
    """What the cache has done since it was configured. `load_time_s` is the sum over `loads`, `size_bytes` of the files
    that the kept sessions were built from."""

    enabled: bool
    hits: int
    misses: int
    loads: int
    load_errors: int
    load_timeouts: int
    evictions: int
    models: int
    max_models: int
    load_time_s: float
    size_bytes: int = 0
    age_median_s: float | None = None
    age_oldest_s: float | None = None

    @property
    def hit_rate_fraction(self) -> float | None:
        """Hits of all questions; None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(slots=True)
class _Load:
    """One load under way; whoever comes later waits for `done`."""

    done: threading.Event = field(default_factory=threading.Event)
    session: Session | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Counts:
    hits: int = 0
    misses: int = 0
    loads: int = 0
    load_errors: int = 0
    load_timeouts: int = 0
    evictions: int = 0
    load_time_s: float = 0.0


class ModelCache:
    """Sessions by (model id, digest). A new digest is a new entry, so a promoted model needs no restart.

    Disabled, it has the same face and loads every time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.configure(enabled=True, max_models=100, load_timeout_s=30.0)

    def configure(
        self, *, enabled: bool, max_models: int, load_timeout_s: float, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        """Sets the limits and starts empty. `timer` gives seconds and is read for statistics alone."""
        with self._lock:
            self._enabled = enabled
            self._max_models = max(1, max_models)
            self._load_timeout_s = load_timeout_s
            self._timer = timer
            self._sessions: OrderedDict[_Key, Session] = OrderedDict()
            self._loaded_at_s: dict[_Key, float] = {}
            self._loading: dict[_Key, _Load] = {}
            self._counts = _Counts()

    def get(self, model_id: str, digest: str, load: Callable[[], Session]) -> Session:
        """The session, loaded by `load` if it is not here; its errors are passed on and the next asker tries again.

        Raises ModelLoadTimeout where another thread's load of the same model does not end in time.
        """
        key = (model_id, digest)
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                self._sessions.move_to_end(key)
                self._counts.hits += 1
                return session
            self._counts.misses += 1
            enabled = self._enabled
            other = self._loading.get(key)
            if enabled and other is None:
                mine = self._loading[key] = _Load()
        if not enabled:
            return self._timed(load)
        return self._wait(model_id, other) if other is not None else self._lead(key, mine, load)

    def clear_cache(self) -> None:
        """Forgets every session; a load under way ends for its askers and is not kept."""
        with self._lock:
            self._sessions.clear()
            self._loading = {}

    def trim(self, keep: int) -> int:
        """Drops the least recently used until `keep` are left; returns how many went."""
        with self._lock:
            return self._shrink(max(0, keep))

    @property
    def size_bytes(self) -> int:
        """Of the files that the kept sessions were built from."""
        with self._lock:
            return self._held_bytes()

    def _held_bytes(self) -> int:
        """With the lock held."""
        return sum(getattr(session, "size_bytes", 0) for session in self._sessions.values())

    def stats(self) -> ModelCacheStats:
        with self._lock:
            counts, ages = self._counts, entry_ages(self._loaded_at_s.values(), self._timer())
            return ModelCacheStats(
                enabled=self._enabled,
                hits=counts.hits,
                misses=counts.misses,
                loads=counts.loads,
                load_errors=counts.load_errors,
                load_timeouts=counts.load_timeouts,
                evictions=counts.evictions,
                models=len(self._sessions),
                max_models=self._max_models,
                load_time_s=counts.load_time_s,
                size_bytes=self._held_bytes(),
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def _wait(self, model_id: str, other: _Load) -> Session:
        if not other.done.wait(self._load_timeout_s):
            with self._lock:
                self._counts.load_timeouts += 1
            raise ModelLoadTimeout(
                f"model {model_id!r} is still being loaded after {self._load_timeout_s:g} s; "
                "try again, or raise MODEL_LOAD_TIMEOUT if the disk is slow"
            )
        if other.session is None:
            raise other.error or ModelLoadTimeout(f"the load of model {model_id!r} was given up; try again")
        return other.session

    def _lead(self, key: _Key, mine: _Load, load: Callable[[], Session]) -> Session:
        try:
            mine.session = self._timed(load)
            self._keep(key, mine, mine.session)
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                if self._loading.get(key) is mine:
                    del self._loading[key]
            mine.done.set()
        return mine.session

    def _keep(self, key: _Key, mine: _Load, session: Session) -> None:
        with self._lock:
            if self._loading.get(key) is mine:  # else cleared or configured anew meanwhile
                self._sessions[key] = session
                self._loaded_at_s[key] = self._timer()
                self._shrink(self._max_models)

    def _timed(self, load: Callable[[], Session]) -> Session:
        started = self._timer()
        try:
            session = load()
        except BaseException:
            with self._lock:
                self._counts.load_errors += 1
            raise
        with self._lock:
            self._counts.loads += 1
            self._counts.load_time_s += self._timer() - started
        return session

    def _shrink(self, keep: int) -> int:
        dropped = max(0, len(self._sessions) - keep)
        for _ in range(dropped):
            key, _ = self._sessions.popitem(last=False)
            self._loaded_at_s.pop(key, None)
        self._counts.evictions += dropped
        return dropped


model_cache = ModelCache()
