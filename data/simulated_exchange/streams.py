"""Streams: WebSocket connections, their subscriptions, and the one pump that tells everyone what is new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from urllib.parse import unquote

import orjson
from aiohttp import web

from data.simulated_exchange.connection import Connection
from data.simulated_exchange.events import Stream, open_stream
from data.simulated_exchange.faults import FaultPlan
from data.simulated_exchange.limits import Limits
from data.simulated_exchange.market import Market
from data.simulated_exchange.settings import ExchangeSettings
from utils.clock import Clock

log = logging.getLogger(__name__)

_AT_ONCE = 50
"""Streams told before whoever else waits has a turn."""


class StreamHub:
    """All connections of one exchange; lives on one event loop."""

    def __init__(
        self, market: Market, clock: Clock, limits: Limits, settings: ExchangeSettings, faults: FaultPlan
    ) -> None:
        self._market = market
        self._clock = clock
        self._limits = limits
        self._settings = settings
        self._faults = faults
        self._streams: dict[str, Stream | None] = {}
        self.connections: set[Connection] = set()
        self.connects = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._pump())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for connection in list(self.connections):
            connection.abort()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """`/ws`, `/ws/<stream>[/<stream>]` and `/stream?streams=<a>/<b>`."""
        if not self._limits.connect(request.remote or ""):
            return web.Response(status=429, text="too many connections")
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        combined = request.path == "/stream"
        named = request.query.get("streams", "") if combined else request.match_info.get("streams", "")
        streams = [name for name in unquote(named).split("/") if name]
        if len(streams) > self._settings.max_streams:
            return web.Response(status=400, text="too many streams")
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=65_536)
        await socket.prepare(request)
        connection = Connection(socket, request.transport, streams, self._settings, self._faults, combined=combined)
        self.connections.add(connection)
        self.connects += 1
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
        return socket

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """What a fault wants instead of a connection."""
        for fault in self._faults.strike(request.path, ("status", "reset", "delay")):
            if fault.kind == "status":
                return web.Response(status=fault.status, text=fault.body)
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
            elif request.transport is not None:
                request.transport.abort()
        return None

    async def _pump(self) -> None:
        """In portions, each with the time at which it is told: hundreds of closes at a full minute take a while to
        write, and the first need not wait for the last."""
        while True:
            try:
                await self._tell_everyone()
            except Exception:  # a stream that cannot be told must not end all the others without a word
                log.exception("telling the streams failed; it goes on with the next round")
            await asyncio.sleep(self._settings.pace_s)

    async def _tell_everyone(self) -> None:
        for portion in self._portions(self._clock.now_ms()):
            self._tell(portion, self._clock.now_ms())
            await asyncio.sleep(0)
        self._look(self._clock.now_ms())

    def tell(self, now_ms: int) -> None:
        """Hands every due event to every connection that subscribed to it; each is written once."""
        for portion in self._portions(now_ms):
            self._tell(portion, now_ms)
        self._look(now_ms)

    def _portions(self, now_ms: int) -> list[list[tuple[str, list[Connection]]]]:
        """Streams with those who listen to them, made ready to be told."""
        listeners: dict[str, list[Connection]] = {}
        for connection in self.connections:
            for name in connection.streams:
                listeners.setdefault(name, []).append(connection)
        self._keep(listeners)
        self._market.prepare(
            {symbol for stream in self._streams.values() if stream for symbol in stream.symbols}, now_ms
        )
        told = list(listeners.items())
        return [told[start : start + _AT_ONCE] for start in range(0, len(told), _AT_ONCE)]

    def _tell(self, portion: list[tuple[str, list[Connection]]], now_ms: int) -> None:
        for name, connections in portion:
            stream = self._streams[name]
            for event in stream.due(now_ms) if stream else ():
                data = orjson.dumps(event)
                for connection in connections:
                    connection.tell(name, data, now_ms)

    def _look(self, now_ms: int) -> None:
        for connection in self.connections:
            connection.look(now_ms)

    def _keep(self, names: Iterable[str]) -> None:
        """Streams exist while someone listens."""
        self._streams = {
            name: self._streams[name] if name in self._streams else open_stream(name, self._market, self._settings)
            for name in names
        }
