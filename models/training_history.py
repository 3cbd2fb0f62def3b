"""Training history: fetches what a training or a check wants and the candle store lacks, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from data.candle_store import CandleStore, SeriesStats
from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.job_requests import MOST_CANDLES, Request, history_from
from utils.clock import Clock
from utils.errors import InvalidInput

Fetch = Callable[[Symbol, Interval, int, int], Iterable[Candles]]
Range = tuple[Symbol, int, int]


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far it is: `candles` of `wanted` are stored, or the exchange does not have them; `symbol` is the latest."""

    symbol: Symbol
    candles: int
    wanted: int

    @property
    def words(self) -> str:
        return f"{self.candles:,} of {self.wanted:,} candles of history looked through, now those of {self.symbol}"

    def left_s(self, took_s: float) -> float | None:
        """How long the rest takes if it goes on as it went; None before the first candle."""
        return took_s * (self.wanted - self.candles) / self.candles if self.candles > 0 else None


class TrainingHistory:
    """`fetch(symbol, interval, start_ms, end_ms)` gives closed candles page by page, oldest first."""

    def __init__(self, *, store: CandleStore, fetch: Fetch, clock: Clock) -> None:
        self._store = store
        self._fetch = fetch
        self._clock = clock

    def lacking(self, request: Request) -> list[Range]:
        """Per market the ranges that are neither stored nor known holes; none where what is stored suffices."""
        now_ms, interval = self._clock.now_ms(), request.interval
        start_ms, end_ms = history_from(request, now_ms), interval.open_ms(now_ms)
        if start_ms is None:
            return []
        return [
            (symbol, first, after)
            for symbol in request.symbols
            for first, after in self._store.missing(symbol, interval, start_ms, end_ms)
        ]

    def series(self, request: Request) -> list[SeriesStats]:
        """What the store will hold of the request's markets, at most: a market may be younger than its first day. From
        counts alone, however much is stored: gaps between stored candles are not looked for."""
        now_ms, interval = self._clock.now_ms(), request.interval
        stored = {one.symbol: one for one in self._store.stats().series if one.interval is interval and one.candles}
        start_ms, end_ms = history_from(request, now_ms), interval.open_ms(now_ms)
        if start_ms is None or start_ms >= end_ms:
            return list(stored.values())
        for symbol in request.symbols:
            nothing = SeriesStats(symbol, interval, 0, end_ms, end_ms - interval.ms)
            stored[symbol] = _reaching(stored.get(symbol, nothing), interval.open_ms(start_ms), end_ms)
        return list(stored.values())

    def check(self, request: Request) -> None:
        """InvalidInput where that would be more than one training may fetch."""
        count = _count(self.lacking(request), request.interval)
        if count > MOST_CANDLES:
            raise InvalidInput(
                f"{count:,} candles would have to be fetched, at most {MOST_CANDLES:,} are for one training; choose a "
                "later first day or fewer markets, or load them by python -m data.import_klines"
            )

    def complete(self, request: Request, go_on: Callable[[Fetched], bool]) -> bool:
        """Fetches and stores; False if `go_on` said no after some page. ExchangeError where the exchange fails."""
        lacking, done = self.lacking(request), 0
        wanted = _count(lacking, request.interval)
        for symbol, first, after in lacking:
            for candles in self._fetch(symbol, request.interval, first, after):
                self._store.write(candles)
                until_ms = candles.last_open_time_ms + request.interval.ms if len(candles) else first
                if not go_on(Fetched(symbol, done + (until_ms - first) // request.interval.ms, wanted)):
                    return False
            done += (after - first) // request.interval.ms
        return True


def _reaching(one: SeriesStats, start_ms: int, end_ms: int) -> SeriesStats:
    """The series, with what lies before and after it in [start_ms, end_ms) fetched."""
    first = end_ms if one.first_open_ms is None else one.first_open_ms
    last = end_ms - one.interval.ms if one.last_open_ms is None else one.last_open_ms
    before, after = max(0, first - start_ms), max(0, end_ms - one.interval.ms - last)
    return replace(
        one,
        candles=one.candles + (before + after) // one.interval.ms,
        first_open_ms=first - before,
        last_open_ms=last + after,
    )


def _count(ranges: Iterable[Range], interval: Interval) -> int:
    return sum((after - first) // interval.ms for _, first, after in ranges)
