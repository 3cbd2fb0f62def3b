"""The feed: streams under our own supervision, and questions over REST for what they did not tell."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any

from data.binance_gateway import BinanceGateway
from data.feed_catch_up import CatchUp, Pair
from data.feed_events import Event, KlineEvent, ShutdownEvent, parse_frame
from data.feed_intake import FeedIntake
from data.feed_status import FeedCounters, FeedPaces, FeedState, FeedStatus
from data.gateway_loop import LoopThread
from data.market_data import MarketData
from data.stream_group import Socket, StreamGroup
from data.symbol import Symbol
from utils.clock import Clock
from utils.errors import BadData, DashboardError, ExchangeError

log = logging.getLogger(__name__)

STREAMS_PER_CONNECTION = 200
_WAITING_EVENTS = 20_000
_GATHER_S = 0.01
_AT_ONCE = 250
"""Events taken in together, and seen together: the first need not wait for the last of hundreds."""
_CLOCK_OFF_MS = 5_000
_CLOCK_LEAP_MS = 60_000
_MEASURE_AT_MOST_EVERY_S = 5.0


class MarketFeed:
    """Keeps a MarketData current, from `start` to `close`.

    Four threads: the loop with the connections, which never waits; one that takes in what the streams told, in order;
    one that stores it; and one that asks over REST: after each connection, for overdue closes, and for everything while
    streams are down.
    """

    def __init__(
        self,
        *,
        gateway: BinanceGateway,
        market: MarketData,
        stream_url: str | None = None,
        clock: Clock | None = None,
        paces: FeedPaces | None = None,
        streams_per_connection: int = STREAMS_PER_CONNECTION,
    ) -> None:
        self._gateway = gateway
        self._market = market
        self._stream_url = stream_url
        self._clock = clock or gateway.clock
        self._paces = paces or FeedPaces()
        self._per_connection = streams_per_connection
        self._counters = FeedCounters()
        self._loop = LoopThread("market-feed")
        self._life = threading.Lock()
        self._groups: list[StreamGroup] = []
        self._workers: tuple[ThreadPoolExecutor, ...] = ()
        self._catch_up = CatchUp(gateway=gateway, market=market, clock=self._clock, paces=self._paces)
        self._intake = FeedIntake(market=market, catch_up=self._catch_up, counters=self._counters)
        self._inbox: asyncio.Queue[Event] | None = None
        self._started_at_s = float("-inf")
        self._measured_at_s = float("-inf")
        self._clock_is_off = False
        self._state: tuple[FeedState, int | None] = ("starting", None)

    def start(self) -> None:
        """Returns at once; connects in its own thread, for as long as it takes. Does nothing when running."""
        with self._life:
            if self._loop.running:
                return
            self._started_at_s = self._clock.monotonic()
            self._workers = (
                ThreadPoolExecutor(1, thread_name_prefix="market-feed-writer"),
                ThreadPoolExecutor(1, thread_name_prefix="market-feed-rest"),
            )
            self._groups = self._new_groups()
            self._loop.start()
            self._intake.start()
            self._loop.submit(self._run(*self._workers))

    def close(self) -> None:
        """Ends the connections and the threads. Does nothing when not running."""
        with self._life:
            if not self._loop.running:
                return
            self._loop.close()
            self._intake.close()
            for worker in self._workers:
                worker.shutdown(wait=False, cancel_futures=True)
            self._workers, self._groups = (), []

    @property
    def state(self) -> FeedState:
        """That of the status alone: every version of a page asks for it, and a status grows with the connections."""
        return self._noted_state()

    def status(self) -> FeedStatus:
        counters, state = self._counters, self.state
        return FeedStatus(
            state=state,
            text=self._text(state),
            since_ms=self._state[1],
            last_event_ms=counters.last_event_ms,
            events=counters.events,
            streams=sum(len(group.streams) for group in self._groups),
            connections=len(self._groups),
            connected=self._connected,
            reconnects=counters.reconnects,
            renewals=counters.renewals,
            backfilled=counters.backfilled,
            catching_up=self._catch_up.waiting,
            gaps=counters.gaps,
            duplicates_ignored=counters.duplicates_ignored,
            bad_frames=counters.bad_frames,
            last_error=counters.last_error,
            each_connection=tuple(group.status() for group in self._groups),
        )

    def _noted_state(self) -> FeedState:
        """The present state; where it is another one than before, since when."""
        state = self._current_state(self._connected)
        if state != self._state[0] or self._state[1] is None:
            self._state = (state, self._clock.now_ms())
        return state

    @property
    def _connected(self) -> int:
        return sum([group.up for group in self._groups])

    def _current_state(self, connected: int) -> FeedState:
        if not self._groups:
            return "down"
        if connected == len(self._groups):
            return "live"
        if self._opening:
            return "starting"
        if self._clock.monotonic() - self._catch_up.answered_at_s <= 3 * self._catch_up.poll_s:
            return "polling"
        return "down"

    @property
    def _opening(self) -> bool:
        """The first connections are on their way: nothing is known to be missing, and nothing need be polled."""
        if self._clock.monotonic() - self._started_at_s > self._paces.open_timeout_s:
            return False
        return all(group.up or group.untried for group in self._groups)

    def _text(self, state: FeedState) -> str:
        trouble = next((group.trouble for group in self._groups if group.trouble), "")
        if state == "live":
            return "The streams are live."
        if state == "polling":
            every_s = self._catch_up.poll_s
            return f"Streams are down ({trouble or 'connecting'}); prices are asked for every {every_s:.0f} s."
        if state == "starting":
            return "The streams are being opened."
        if not self._groups:
            return "The feed is not running."
        return f"No news from the exchange: {self._catch_up.trouble or trouble or 'no connection'}."

    def _new_groups(self) -> list[StreamGroup]:
        names = [name for symbol in self._market.symbols for name in self._names(symbol)]
        return [
            StreamGroup(
                names[i : i + self._per_connection],
                open_socket=self._open_socket,
                take=self._take,
                on_up=self._on_up,
                paces=self._paces,
                counters=self._counters,
                now_ms=self._clock.now_ms,
            )
            for i in range(0, len(names), self._per_connection)
        ]

    def _names(self, symbol: Symbol) -> list[str]:
        lower = symbol.lower()
        return [f"{lower}@miniTicker", *(f"{lower}@kline_{interval}" for interval in self._market.intervals)]

    def _open_socket(self, streams: Sequence[str]) -> AbstractAsyncContextManager[Socket]:
        """python-binance is imported here: in the loop thread, at the first connection."""
        from data.stream_socket import stream_socket

        url = self._stream_url or self._gateway.stream_url
        return stream_socket(url, streams, open_timeout_s=self._paces.open_timeout_s)

    async def _run(self, writer: ThreadPoolExecutor, asker: ThreadPoolExecutor) -> None:
        """Everything at once, until cancelled; a fault of ours is logged, and everything begins again."""
        while True:
            self._inbox = asyncio.Queue(_WAITING_EVENTS)
            jobs = [
                self._write_events(self._inbox, writer),
                self._keep_up(asker),
                *(group.run() for group in self._groups),
            ]
            tasks = [asyncio.create_task(job) for job in jobs]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    log.error("the feed stumbled and begins again", exc_info=error)
            await asyncio.sleep(self._paces.first_pause_s)

    def _on_up(self, group: StreamGroup) -> None:
        for pair in self._pairs_of(group):
            self._catch_up.want(pair)

    def _pairs_of(self, group: StreamGroup) -> list[Pair]:
        return [pair for pair in self._intake.pairs if f"{pair[0].lower()}@kline_{pair[1]}" in group.streams]

    def _take(self, frame: Mapping[str, Any], group: StreamGroup) -> bool:
        """In the loop: parses, checks, and hands on. Only a good event counts as a sign of life."""
        try:
            event = parse_frame(frame)
        except BadData as error:
            self._counters.bad_frames += 1
            self._counters.last_error = str(error)
            return False
        if event is None:
            return False
        if isinstance(event, ShutdownEvent):
            group.renew()
            return True
        self._look_at_the_clock(event.event_ms if isinstance(event, KlineEvent) else event.at_ms)
        self._counters.events += 1
        if self._inbox is not None:
            try:
                self._inbox.put_nowait(event)
            except asyncio.QueueFull:
                self._intake.want_everything()
        return True

    def _look_at_the_clock(self, exchange_ms: int) -> None:
        """No event comes from the future: a small lead puts our idea of exchange time right, a leap is measured."""
        self._counters.last_event_ms = exchange_ms
        ahead_ms = exchange_ms - self._clock.now_ms()
        if 0 < ahead_ms <= _CLOCK_LEAP_MS:
            self._gateway.heard(exchange_ms)
        elif abs(ahead_ms) > _CLOCK_OFF_MS:
            self._clock_is_off = True

    async def _write_events(self, inbox: asyncio.Queue[Event], writer: ThreadPoolExecutor) -> None:
        """Hands what has come to the writing thread, in order, so that no reader of candles stops the reading here.

        A short wait lets events gather: a change of threads for each cost more than taking it in.
        """
        loop = asyncio.get_running_loop()
        while True:
            batch = [await inbox.get()]
            await asyncio.sleep(_GATHER_S)
            while len(batch) < _AT_ONCE and not inbox.empty():
                batch.append(inbox.get_nowait())
            await loop.run_in_executor(writer, self._intake.take, batch)

    async def _keep_up(self, asker: ThreadPoolExecutor) -> None:
        """Asks over REST, turn by turn."""
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(asker, self._ask)
            await asyncio.sleep(self._paces.check_s)

    def _ask(self) -> None:
        try:
            if self._clock_is_off and self._clock.monotonic() - self._measured_at_s >= _MEASURE_AT_MOST_EVERY_S:
                self._measured_at_s, self._clock_is_off = self._clock.monotonic(), False
                self._gateway.measure_clock()
            down = not self._opening and not all(group.up for group in self._groups)
            self._counters.backfilled += self._catch_up.turn(streams_down=down)
        except ExchangeError as error:
            self._counters.last_error = str(error)
        except DashboardError as error:
            self._counters.last_error = str(error)
            log.warning("catching up failed: %s", error)
        self._noted_state()  # also while nobody looks, or a state would be said to last since somebody did
