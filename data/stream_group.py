"""StreamGroup: keeps one connection alive for a group of streams: watchdog, back-off, renewal with overlap."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from data.feed_status import ConnectionStatus, FeedCounters, FeedPaces
from utils.errors import ExchangeUnavailable

log = logging.getLogger(__name__)

_CLEANING_UP_S = 2.0


class Socket(Protocol):
    """An open connection; `recv` gives the next frame. Its faults are ExchangeUnavailable."""

    async def recv(self) -> Mapping[str, Any]: ...


OpenSocket = Callable[[Sequence[str]], AbstractAsyncContextManager[Socket]]


class StreamGroup:
    """Lives in one event loop. `take(frame)` says whether the frame was good; only good frames feed the watchdog.

    `on_up` is called after each connection that did not overlap with one before: what happened meanwhile is unknown.
    """

    def __init__(
        self,
        streams: Sequence[str],
        *,
        open_socket: OpenSocket,
        take: Callable[[Mapping[str, Any], StreamGroup], bool],
        on_up: Callable[[StreamGroup], None],
        paces: FeedPaces,
        counters: FeedCounters,
        now_ms: Callable[[], int],
    ) -> None:
        self.streams = tuple(streams)
        self.up = False
        self.trouble = ""
        self._open_socket = open_socket
        self._take = take
        self._on_up = on_up
        self._paces = paces
        self._counters = counters
        self._now_ms = now_ms
        self._up_since_ms = 0
        self._last_news_ms: int | None = None
        self._silence_s = paces.silence_s
        self._renew = asyncio.Event()
        self._lives = 0

    @property
    def untried(self) -> bool:
        """Whether no connection has come up or failed yet."""
        return not self._lives and not self.trouble

    def status(self) -> ConnectionStatus:
        """Of the connection in use; a second one that replaces it begins anew."""
        return ConnectionStatus(len(self.streams), self._up_since_ms if self.up else None, self._last_news_ms)

    def renew(self) -> None:
        """Open another connection now and close this one when that one delivers."""
        self._renew.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = self._paces.first_pause_s
        while True:
            try:
                await self._live()
            except ExchangeUnavailable as error:
                if self.up:
                    pause_s = self._paces.first_pause_s
                self._went_down(error)
            await asyncio.sleep(pause_s * (0.5 + random.random()))
            pause_s = min(2 * pause_s, self._paces.longest_pause_s)

    async def _live(self) -> None:
        """One unbroken life over any number of connections; ends by raising ExchangeUnavailable."""
        reader = await self._connected()
        self._came_up()
        try:
            while True:
                await self._until_renewal(reader)
                fresh = await self._replacement(reader)
                await _ended(reader)
                reader = fresh
                self._up_since_ms = self._now_ms()
                self._counters.renewals += 1
        finally:
            await _ended(reader)

    async def _until_renewal(self, reader: asyncio.Task[None]) -> None:
        self._renew.clear()
        asked = asyncio.ensure_future(self._renew.wait())
        try:
            await asyncio.wait({reader, asked}, timeout=self._paces.renew_after_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if reader.done():
            reader.result()

    async def _replacement(self, reader: asyncio.Task[None]) -> asyncio.Task[None]:
        """A second connection that delivers; tried again for as long as the first one lives."""
        pause_s = self._paces.first_pause_s
        while True:
            try:
                return await self._connected()
            except ExchangeUnavailable as error:
                log.info("no second connection yet: %s", error)
            await asyncio.wait({reader}, timeout=pause_s)
            if reader.done():
                reader.result()
            pause_s = min(2 * pause_s, self._paces.longest_pause_s)

    async def _connected(self) -> asyncio.Task[None]:
        """A task that reads a new connection, once that has delivered something good."""
        delivering = asyncio.Event()
        reader = asyncio.create_task(self._read(delivering))
        first = asyncio.ensure_future(delivering.wait())
        try:
            await asyncio.wait({reader, first}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _ended(reader)
            raise
        finally:
            first.cancel()
        if reader.done():
            reader.result()
        return reader

    async def _read(self, delivering: asyncio.Event) -> None:
        """Raises ExchangeUnavailable when the connection cannot be opened, breaks, or falls silent."""
        async with self._open_socket(self.streams) as socket:
            await self._read_on(socket, delivering)

    async def _read_on(self, socket: Socket, delivering: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._silence_s) as watchdog:
                while True:
                    frame = await socket.recv()
                    if frame.get("e") == "error":
                        raise ExchangeUnavailable(f"the streams were cut: {frame.get('type')} {frame.get('m')}")
                    if self._take(frame, self):
                        delivering.set()
                        self._last_news_ms = self._now_ms()
                        self._silence_s = self._paces.silence_s
                        watchdog.reschedule(loop.time() + self._silence_s)
        except TimeoutError:
            silent_s = self._silence_s
            self._silence_s = min(2 * silent_s, self._paces.longest_silence_s)
            raise ExchangeUnavailable(f"the streams said nothing for {silent_s:g} s") from None

    def _came_up(self) -> None:
        if self._lives:
            self._counters.reconnects += 1
        self._lives += 1
        self.up, self.trouble = True, ""
        self._up_since_ms = self._now_ms()
        log.info("%d streams are up", len(self.streams))
        self._on_up(self)

    def _went_down(self, error: ExchangeUnavailable) -> None:
        if self.up or not self.trouble:
            log.warning("%d streams are down: %s", len(self.streams), error)
        self.up, self.trouble = False, str(error)
        self._counters.last_error = str(error)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancels the task and waits for it; what it raised was told before or does not matter any more.

    A second cancellation would cut its cleaning up short, so that comes only if the first was lost.
    """
    if not task.cancelling():
        task.cancel()
    while not task.done():
        await asyncio.wait({task}, timeout=_CLEANING_UP_S)
        task.cancel()
    if not task.cancelled():
        task.exception()
