"""Training history: fetches what a training's dates ask for and the candle store lacks, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from data.candle_store import CandleStore, SeriesStats
from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.split import parse_date
from models.training_request import TrainingRequest
from utils.clock import Clock
from utils.errors import InvalidInput

MOST_CANDLES = 2_000_000
"""Fetched for one training: 2000 calls, and about 200 MB of database."""

Fetch = Callable[[Symbol, Interval, int, int], Iterable[Candles]]
Range = tuple[Symbol, int, int]


class TrainingHistory:
    """`fetch(symbol, interval, start_ms, end_ms)` gives closed candles page by page, oldest first."""

    def __init__(self, *, store: CandleStore, fetch: Fetch, clock: Clock) -> None:
        self._store = store
        self._fetch = fetch
        self._clock = clock

    def lacking(self, request: TrainingRequest) -> list[Range]:
        """Per market the ranges that are neither stored nor known holes; none where no first day is asked for."""
        if not request.from_date:
            return []
        start_ms, interval = parse_date(request.from_date), request.interval
        end_ms = interval.open_ms(self._clock.now_ms())
        return [
            (symbol, first, after)
            for symbol in request.symbols
            for first, after in self._store.missing(symbol, interval, start_ms, end_ms)
        ]

    def series(self, request: TrainingRequest) -> list[SeriesStats]:
        """What the store will hold of the request's markets, at most: a market may be younger than its first day."""
        stored = {
            one.symbol: one for one in self._store.stats().series if one.interval is request.interval and one.candles
        }
        for symbol, first, after in self.lacking(request):
            count = (after - first) // request.interval.ms
            last = after - request.interval.ms
            one = stored.get(symbol) or SeriesStats(symbol, request.interval, 0, first, last)
            stored[symbol] = replace(
                one,
                candles=one.candles + count,
                first_open_ms=min(first, one.first_open_ms or first),
                last_open_ms=max(last, one.last_open_ms or last),
            )
        return list(stored.values())

    def check(self, request: TrainingRequest) -> None:
        """InvalidInput where that would be more than one training may fetch."""
        count = sum((after - first) // request.interval.ms for _, first, after in self.lacking(request))
        if count > MOST_CANDLES:
            raise InvalidInput(
                f"{count:,} candles would have to be fetched, at most {MOST_CANDLES:,} are for one training; choose a "
                "later first day or fewer markets, or load them by python -m data.import_klines"
            )

    def complete(self, request: TrainingRequest, go_on: Callable[[], bool]) -> bool:
        """Fetches and stores; False if `go_on` said no after some page. ExchangeError where the exchange fails."""
        for symbol, first, after in self.lacking(request):
            for candles in self._fetch(symbol, request.interval, first, after):
                self._store.write(candles)
                if not go_on():
                    return False
        return True
