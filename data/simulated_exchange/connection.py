"""Connection: one WebSocket client, its subscriptions, its limits, and what a fault plan does to it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import orjson
from aiohttp import WSMessage, WSMsgType, web

from data.simulated_exchange.faults import CONTENT_KINDS, STREAM_KINDS, Fault, FaultPlan
from data.simulated_exchange.settings import ExchangeSettings

_WAITING = 20_000
"""Messages that may wait for a slow reader before it is dropped."""
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_BAD_FRAME = b"\x8b\x05wrong"
"""A frame with a reserved opcode, which every client must refuse."""
_POLICY = 1008


class Connection:
    """Reads control messages, writes events from a queue, pings, and drops who does not pong."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        streams: list[str],
        settings: ExchangeSettings,
        faults: FaultPlan,
        *,
        combined: bool,
    ) -> None:
        self.streams = dict.fromkeys(streams)
        self.combined = combined
        self.silent = False
        self._socket = socket
        self._transport = transport
        self._settings = settings
        self._faults = faults
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._received: deque[float] = deque()
        self._pinging = True
        self._ponged = 0.0
        self._held: dict[str, bytes] = {}
        self._last: dict[str, bytes] = {}

    async def run(self) -> None:
        """Until either side ends it."""
        loop = asyncio.get_running_loop()
        self._ponged = loop.time()
        tasks = [loop.create_task(job) for job in (self._write(), self._ping(), self._expire())]
        try:
            async for message in self._socket:
                if not self._counted(loop.time()):
                    await self._socket.close(code=_POLICY, message=b"Too many requests")
                    break
                await self._take(message)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, name: str, data: bytes, now_ms: int) -> None:
        """Queues one event, unless a fault wants otherwise."""
        if self.silent:
            return
        for fault in self._faults.strike(name, (*CONTENT_KINDS, *STREAM_KINDS, "delay")):
            self._suffer(fault, name, data, now_ms)
            return
        self._send(name, data)
        if name in self._held:
            self._send(name, self._held.pop(name))

    def look(self, now_ms: int) -> None:
        """Drops a reader that is too slow."""
        if self._queue.qsize() > _WAITING:
            self.abort()

    def abort(self) -> None:
        """The TCP connection ends without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, name: str, data: bytes) -> None:
        self._last[name] = data
        self._queue.put_nowait(b'{"stream":"' + name.encode() + b'","data":' + data + b"}" if self.combined else data)

    def _suffer(self, fault: Fault, name: str, data: bytes, now_ms: int) -> None:
        if fault.kind in _LINE_FAULTS:
            self._suffer_line(fault, now_ms)
        elif fault.kind == "reorder":
            self._held[name] = data
        elif fault.kind == "delay":
            asyncio.get_running_loop().call_later(fault.delay_s, self._send, name, data)
        elif fault.kind in _REPEATS:
            again = self._last.get(name, data) if fault.kind == "stale" else data
            for _ in range(_REPEATS[fault.kind] or fault.count):
                self._send(name, again)
        elif fault.kind != "gap":
            self._queue.put_nowait(_spoiled(fault.kind, name, data, combined=self.combined))

    def _suffer_line(self, fault: Fault, now_ms: int) -> None:
        if fault.kind == "ws_close":
            self._spawn(self._socket.close(code=fault.code, message=fault.body.encode()))
        elif fault.kind == "ws_silent":
            self.silent = True
        elif fault.kind == "no_ping":
            self._pinging = False
        elif fault.kind == "ws_bad_frame" and self._transport is not None:
            self._transport.write(_BAD_FRAME)
        elif fault.kind == "server_shutdown":
            event = orjson.dumps({"e": "serverShutdown", "E": now_ms})
            self._send("!serverShutdown", event)
        else:
            self.abort()

    def _spawn(self, job: Any) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._closing = task

    async def _write(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                await self._socket.send_frame(message, WSMsgType.TEXT)
            except (ConnectionError, RuntimeError):
                return

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settings.ping_interval_s)
            if loop.time() - self._ponged > self._settings.pong_timeout_s:
                self.abort()
                return
            if self._pinging and not self._socket.closed:
                await self._socket.ping(str(round(loop.time() * 1000)).encode())

    async def _expire(self) -> None:
        await asyncio.sleep(self._settings.connection_limit_s)
        await self._socket.close(code=1000)

    def _counted(self, now: float) -> bool:
        """Whether this incoming message (of any kind) still fits into the second."""
        self._received.append(now)
        while self._received and now - self._received[0] >= 1.0:
            self._received.popleft()
        return len(self._received) <= self._settings.max_messages_per_s

    async def _take(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PONG:
            self._ponged = asyncio.get_running_loop().time()
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            self._queue.put_nowait(orjson.dumps(self._control(message.data)))

    def _control(self, data: str) -> dict[str, Any]:
        try:
            request = orjson.loads(data)
        except orjson.JSONDecodeError:
            return _error(3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(request, dict):
            return _error(2, "Invalid request: request must be an object")
        method, params, sent = request.get("method"), request.get("params", []), request.get("id")
        if method not in _METHODS:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(2, f"Invalid request: unknown variant `{method}`, expected one of {known}", sent)
        if sent is not None and not isinstance(sent, int | str):
            return _error(2, "Invalid request: request ID must be an unsigned integer or a string")
        if not isinstance(params, list):
            return _error(2, "Invalid request: params must be a list", sent)
        return self._obey(method, params, sent)

    def _obey(self, method: str, params: list[Any], sent: int | str | None) -> dict[str, Any]:
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(self.streams), "id": sent}
        if method.endswith("_PROPERTY"):
            return self._property(method, params, sent)
        if not params or not all(isinstance(name, str) for name in params):
            return _error(2, "Invalid request: params must be a list of stream names", sent)
        if method == "UNSUBSCRIBE":
            for name in params:
                self.streams.pop(name, None)
            return {"result": None, "id": sent}
        wanted = {**self.streams, **dict.fromkeys(params)}
        if len(wanted) > self._settings.max_streams:
            return _error(2, f"Invalid request: more than {self._settings.max_streams} streams", sent)
        self.streams = wanted
        return {"result": None, "id": sent}

    def _property(self, method: str, params: list[Any], sent: int | str | None) -> dict[str, Any]:
        if not params or params[0] != "combined":
            return _error(0, f"Unknown property: {params[0] if params else None}", sent)
        if method == "GET_PROPERTY":
            return {"result": self.combined, "id": sent}
        if len(params) != 2 or not isinstance(params[1], bool):
            return _error(1, "Invalid value type: expected Boolean", sent)
        self.combined = params[1]
        return {"result": None, "id": sent}


_REPEATS = {"duplicate": 2, "stale": 1, "ws_burst": 0}
"""How often such an event is told; 0: as often as the fault says."""
_LINE_FAULTS = ("ws_close", "ws_abort", "ws_silent", "no_ping", "ws_bad_frame", "server_shutdown")


def _error(code: int, msg: str, sent: int | str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "msg": msg}
    return error if sent is None else {"error": error, "id": sent}


def _spoiled(kind: str, name: str, data: bytes, *, combined: bool) -> bytes:
    """An event whose content is wrong: cut off, with a bare NaN, or of another shape."""
    if kind == "bad_json":
        return data[: len(data) // 2]
    data = data.replace(b'"c":"', b'"c":NaN,"was":"', 1) if kind == "nan" else b"[" + data + b"]"
    return b'{"stream":"' + name.encode() + b'","data":' + data + b"}" if combined else data
