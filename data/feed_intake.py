"""Feed intake: what the streams told is judged and told on to the market, and what is missed or lost is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ParamSpec, TypeVar

from data.candles import Candle, Candles
from data.close_keeper import CloseKeeper
from data.feed_catch_up import CatchUp, Pair
from data.feed_events import Event, KlineEvent, KlineSequence, News, ShutdownEvent
from data.feed_status import FeedCounters
from data.market_data import MarketData
from utils.errors import DashboardError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Batch:
    """Of the events that came together: the candles closed in each series, and the news of what formed after them."""

    closes: dict[Pair, list[Candle]]
    after_closes: list[KlineEvent]


class FeedIntake:
    """Used by one thread, but for `want_everything`; what has closed is stored by a thread of its own."""

    def __init__(self, *, market: MarketData, catch_up: CatchUp, counters: FeedCounters) -> None:
        self._market = market
        self._catch_up = catch_up
        self._counters = counters
        self._sequences = {pair: KlineSequence(pair[1]) for pair in product(market.symbols, market.intervals)}
        self._keeper = CloseKeeper(lambda closes: self._or_ask_again(market.keep, closes))

    @property
    def pairs(self) -> Collection[Pair]:
        """The series that are followed."""
        return self._sequences.keys()

    def start(self) -> None:
        self._keeper.start()

    def close(self) -> None:
        self._keeper.close()

    def take(self, events: Sequence[Event]) -> None:
        """In the order in which they came."""
        batch = _Batch({}, [])
        for event in events:
            self._or_ask_again(self._apply, event, batch)
        closes = [Candles.from_candles(*pair, candles) for pair, candles in batch.closes.items()]
        news = self._or_ask_again(self._market.on_told, closes)
        for event in batch.after_closes:
            self._or_ask_again(self._market.on_forming, event.symbol, event.interval, event.candle, event.event_ms)
        if news:
            self._keeper.put(news)

    def want_everything(self) -> None:
        """Every series is asked for again, turn by turn."""
        for pair in self._sequences:
            self._catch_up.want(pair)

    def _or_ask_again(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What cannot be kept now is asked for later."""
        try:
            return work(*args, **kwargs)
        except DashboardError as error:
            self._counters.last_error = str(error)
            log.warning("an event could not be kept: %s", error)
            self.want_everything()
            return None

    def _apply(self, event: Event, batch: _Batch) -> None:
        if isinstance(event, KlineEvent):
            self._apply_kline(event, batch)
        elif not isinstance(event, ShutdownEvent):
            self._market.on_ticker(event)

    def _apply_kline(self, event: KlineEvent, batch: _Batch) -> None:
        pair = (event.symbol, event.interval)
        sequence = self._sequences.get(pair)
        if sequence is None:
            return
        closes = batch.closes.get(pair)
        newest_ms = closes[-1].open_time_ms if closes else self._market.newest_known_ms(*pair)
        news, gap = sequence.judge(event, newest_ms)
        if gap:
            self._counters.gaps += 1
            self._catch_up.want(pair)
        if news is News.OLD:
            self._counters.duplicates_ignored += 1
        elif news is News.CLOSED:
            batch.closes.setdefault(pair, []).append(event.candle)
        elif closes:
            batch.after_closes.append(event)
        else:
            self._market.on_forming(*pair, event.candle, event.event_ms)
