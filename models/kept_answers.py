"""Kept answers: the forecasts of every market's newest candles by every model there is, and none of earlier ones."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.forecast import Forecast, NoForecast
from utils.clock import Clock
from utils.entry_ages import entry_ages
from utils.newest import Newest
from utils.value_size import size_bytes_of

Answer = Forecast | NoForecast

_MOST_LANES = 8192
"""Markets times models: 500 markets at two intervals by eight models."""
_MOST_EACH = 4
"""Of the same newest candle: with more history or less, beside the other market before and after its own close."""
_WEIGHED = 8
"""Answers are alike: the size of so many tells that of thousands, which a page that shows it would wait for."""


class AnswerKey(NamedTuple):
    """Digests of a model and of the candles it was shown, the other market's included."""

    model: str
    candles: str


class _Lane(NamedTuple):
    model: str
    symbol: Symbol
    interval: Interval


@dataclass(frozen=True, slots=True)
class KeptStats:
    """Since the start: how many forecasts were there when asked for, and how many were not; `loads` are those made, in
    `load_time_s` together; `evictions` went for want of room, `expired` for newer candles of their market."""

    hits: int
    misses: int
    loads: int
    load_time_s: float
    evictions: int
    expired: int
    entries: int
    size_bytes: int
    age_median_s: float | None
    age_oldest_s: float | None


class KeptAnswers:
    """Thread-safe. With a market's next candle its former forecasts go, with a model those of that model: what was
    forecast earlier is in the ledger."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hits = self._misses = self._loads = self._gone = 0
        self._load_time_s = 0.0
        self._answers: dict[AnswerKey, Answer] = {}
        self._kept_at_s: dict[AnswerKey, float] = {}
        self._newest: Newest[_Lane, AnswerKey] = Newest(most_each=_MOST_EACH, most_lanes=_MOST_LANES)

    def find(self, keys: Iterable[AnswerKey]) -> dict[AnswerKey, Answer]:
        """Those that are kept."""
        asked = tuple(keys)
        with self._lock:
            found = {key: self._answers[key] for key in asked if key in self._answers}
            self._hits += len(found)
            self._misses += len(asked) - len(found)
        return found

    def note(self, made: int, took_s: float) -> None:
        """That so many answers were made together in that time."""
        with self._lock:
            self._loads += made
            self._load_time_s += took_s

    def keep(self, answers: Mapping[AnswerKey, Answer], candles: Mapping[AnswerKey, Candles]) -> None:
        """`candles`: what each was made from."""
        now_s = self._clock.monotonic()
        with self._lock:
            for key, answer in answers.items():
                shown = candles[key]
                moment_ms = shown.last_open_time_ms if len(shown) else 0
                self._answers[key], self._kept_at_s[key] = answer, now_s
                outdated = self._newest.add(_Lane(key.model, shown.symbol, shown.interval), moment_ms, key)
                self._gone += len(outdated)
                self._drop(outdated)

    def keep_only(self, models: Collection[str]) -> None:
        """Drops what is of other models than these (digests)."""
        with self._lock:
            self._drop(self._newest.forget(lambda lane: lane.model not in models))

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
            self._kept_at_s.clear()
            self._newest.clear()

    def stats(self) -> KeptStats:
        entries, size_bytes = self.held()
        with self._lock:
            ages = entry_ages(self._kept_at_s.values(), self._clock.monotonic())
            crowded_out = self._newest.crowded_out
            return KeptStats(
                hits=self._hits,
                misses=self._misses,
                loads=self._loads,
                load_time_s=self._load_time_s,
                evictions=crowded_out,
                expired=self._gone - crowded_out,
                entries=entries,
                size_bytes=size_bytes,
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def held(self) -> tuple[int, int]:
        """(how many, about how many bytes)."""
        with self._lock:
            count, some = len(self._answers), [*islice(self._answers.values(), _WEIGHED)]
        return count, sum(map(size_bytes_of, some)) * count // max(1, len(some))

    def _drop(self, keys: Iterable[AnswerKey]) -> None:
        for key in keys:
            self._answers.pop(key, None)
            self._kept_at_s.pop(key, None)
