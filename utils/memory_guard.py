"""MemoryGuard: when memory runs short, the machine's or this process's, caches give way in order, each measured; and
what only passed through the process is let go of before it adds up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from utils.clock import Clock, SystemClock
from utils.memory_return import give_back, tidy
from utils.repeating import Repeating

log = logging.getLogger(__name__)

_LONGEST_COOL_DOWN_S = 600.0
_WORTH_WHILE_BYTES = 1024 * 1024
_UNTIDY_BYTES = 2_000_000
"""Growth since the last tidying that is worth another."""
_LONGEST_BETWEEN_TIDYINGS_S = 20.0


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """How much of the machine's memory is in use (0 … 100) and how much of it is this process's."""

    used_percent: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class TrimStep:
    """A cache that can shrink: `trim` is given the fraction to drop (0 … 1), answers how many of `unit` went."""

    name: str
    trim: Callable[[float], int]
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class TrimReport:
    """What one step did: memory of the process before and after, and what was in use of the machine after it."""

    name: str
    dropped: int
    rss_before_bytes: int
    rss_after_bytes: int
    used_percent_after: float


@dataclass(frozen=True, slots=True)
class MemoryGuardStats:
    """Since the start. `cool_down_s` is the pause now kept between two rounds of trimming.

    `max_rss_bytes` is 0 where this process may hold what the machine has. `in_vain`: the last round dropped everything,
    and memory was short all the same.
    """

    max_percent: float
    max_rss_bytes: int
    used_percent: float | None
    rss_bytes: int | None
    rounds: int
    cool_down_s: float
    in_vain: bool
    last_reports: tuple[TrimReport, ...]


def read_memory() -> MemoryReading:
    """The machine and this process, now."""
    return MemoryReading(psutil.virtual_memory().percent, psutil.Process().memory_info().rss)


class MemoryGuard:
    """Above `max_percent` of the machine's memory, or with more than `max_rss_bytes` in this process, trims `steps` in
    order until both are kept.

    The first round drops half of each cache, one that follows it after the cool-down everything. A round that gives
    back less than a megabyte, or drops everything in vain, doubles the cool-down (up to ten minutes): the memory is
    somebody else's, or the program's own, and what readers fill again would be dropped again for nothing.

    With room enough nothing is dropped, but whenever the process has grown by two megabytes since the last time it
    is tidied: libraries read much at the start, and a rare page much once, of which nothing is wanted again. The
    pause between two tidyings doubles from one second to twenty, so that what is wanted again comes back rarely.
    """

    def __init__(
        self,
        *,
        max_percent: float,
        max_rss_bytes: int = 0,
        steps: Sequence[TrimStep],
        read: Callable[[], MemoryReading] = read_memory,
        release: Callable[[], None] = give_back,
        tidy: Callable[[], None] = tidy,
        clock: Clock | None = None,
        period_s: float = 1.0,
        cool_down_s: float = 30.0,
    ) -> None:
        self._max_percent = max_percent
        self._max_rss_bytes = max_rss_bytes
        self._steps = tuple(steps)
        self._read = read
        self._release = release
        self._tidy = tidy
        self._tidied_bytes = 0
        self._between_tidyings_s = 1.0
        self._clock = clock or SystemClock()
        self._tidy_not_before_s = self._clock.monotonic()
        self._shortest_cool_down_s = cool_down_s
        self._cool_down_s = cool_down_s
        self._not_before_s = self._clock.monotonic()
        self._fraction = 0.5
        self._rounds = 0
        self._in_vain = False
        self._last_reading: MemoryReading | None = None
        self._last_reports: tuple[TrimReport, ...] = ()
        self._checking = Repeating(self.check, name="memory-guard", period_s=period_s)

    def check(self) -> tuple[TrimReport, ...]:
        """Reads once; trims if it must and the cool-down is over. Answers what was done: nothing, most of the time."""
        reading = self._last_reading = self._read()
        now_s = self._clock.monotonic()
        if not self._short(reading):
            if now_s >= self._not_before_s:
                self._fraction, self._cool_down_s, self._in_vain = 0.5, self._shortest_cool_down_s, False
            self._tidy_if_grown(now_s, reading)
            return ()
        if now_s < self._not_before_s:
            return ()
        reports = self._trim(reading)
        self._rounds += 1
        self._last_reports = reports
        self._rest(now_s, reading)
        return reports

    def stats(self) -> MemoryGuardStats:
        reading = self._last_reading
        return MemoryGuardStats(
            max_percent=self._max_percent,
            max_rss_bytes=self._max_rss_bytes,
            used_percent=reading.used_percent if reading else None,
            rss_bytes=reading.rss_bytes if reading else None,
            rounds=self._rounds,
            cool_down_s=self._cool_down_s,
            in_vain=self._in_vain,
            last_reports=self._last_reports,
        )

    def start(self) -> None:
        """Checks every `period_s` seconds in a thread of its own, until `close`."""
        self._checking.start()

    def close(self) -> None:
        self._checking.close()

    def _short(self, reading: MemoryReading) -> bool:
        too_much = 0 < self._max_rss_bytes < reading.rss_bytes
        return too_much or reading.used_percent > self._max_percent

    def _tidy_if_grown(self, now_s: float, reading: MemoryReading) -> None:
        if reading.rss_bytes < self._tidied_bytes + _UNTIDY_BYTES or now_s < self._tidy_not_before_s:
            return
        self._tidy()
        self._tidied_bytes = self._read().rss_bytes
        self._tidy_not_before_s = now_s + self._between_tidyings_s
        self._between_tidyings_s = min(self._between_tidyings_s * 2, _LONGEST_BETWEEN_TIDYINGS_S)

    def _trim(self, reading: MemoryReading) -> tuple[TrimReport, ...]:
        log.warning(
            "memory is short: %.1f %% in use, limit %.1f %%, this process holds %.1f MB, limit %s; trimming caches",
            reading.used_percent,
            self._max_percent,
            reading.rss_bytes / 1e6,
            f"{self._max_rss_bytes / 1e6:.0f} MB" if self._max_rss_bytes else "none",
        )
        reports = []
        for step in self._steps:
            if not self._short(reading):
                break
            report = self._trim_one(step, reading)
            reading = self._last_reading = MemoryReading(report.used_percent_after, report.rss_after_bytes)
            reports.append(report)
        return tuple(reports)

    def _trim_one(self, step: TrimStep, before: MemoryReading) -> TrimReport:
        try:
            dropped = step.trim(self._fraction)
        except Exception:  # one cache that fails must not keep the others from giving way
            log.exception("trimming %s failed", step.name)
            dropped = 0
        self._release()
        after = self._read()
        log.warning(
            "trimmed %s by %s %s: process from %.1f to %.1f MB, machine from %.1f to %.1f %%",
            step.name,
            f"{dropped:,}",
            step.unit,
            before.rss_bytes / 1e6,
            after.rss_bytes / 1e6,
            before.used_percent,
            after.used_percent,
        )
        return TrimReport(step.name, dropped, before.rss_bytes, after.rss_bytes, after.used_percent)

    def _rest(self, now_s: float, before: MemoryReading) -> None:
        after = self._last_reading or before
        given_back = before.rss_bytes - after.rss_bytes
        in_vain = self._fraction == 1.0 and self._short(after)
        self._not_before_s = now_s + self._cool_down_s
        self._fraction = 1.0
        if given_back < _WORTH_WHILE_BYTES or in_vain:
            self._cool_down_s = min(self._cool_down_s * 2, _LONGEST_COOL_DOWN_S)
        if in_vain and not self._in_vain:
            self._tell_in_vain(after)
        self._in_vain = in_vain

    def _tell_in_vain(self, after: MemoryReading) -> None:
        if 0 < self._max_rss_bytes < after.rss_bytes:
            told = "MAX_RSS_MB is %.0f, but with nothing kept this process holds %.0f MB: give it more than that"
            log.warning(told, self._max_rss_bytes / 1e6, after.rss_bytes / 1e6)
        else:
            told = "with nothing kept here the machine has %.1f %% in use: others hold it, or the limit is too low"
            log.warning(told, after.used_percent)
