"""One combined stream connection of python-binance. Importing this imports python-binance: only in a loop thread."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
from websockets.exceptions import WebSocketException

from data.binance_library import ReconnectingWebsocket
from utils.errors import ExchangeUnavailable

BAD_FRAME = {"e": "badFrame"}
"""Stands for a frame that is not a JSON object."""

_MAX_FRAME_BYTES = 1024 * 1024
_WAITING_FRAMES = 20_000


class StreamSocket(ReconnectingWebsocket):  # type: ignore[misc]  # python-binance has no types
    """The library's socket, told never to reconnect by itself: its own attempts hang on closing and give up for good.

    A frame that cannot be read is handed on as BAD_FRAME instead of ending the connection.
    """

    MAX_RECONNECTS = 0
    TIMEOUT = 0.5

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._log = logging.getLogger(f"{__name__}.library")
        self._log.setLevel(logging.CRITICAL)

    async def __aenter__(self) -> StreamSocket:
        try:
            await super().__aenter__()
        except (OSError, TimeoutError, WebSocketException) as error:
            raise ExchangeUnavailable(f"the streams could not be opened: {_words(error)}") from error
        return self

    async def __aexit__(self, *error: object) -> None:
        connection = self.ws
        try:
            await super().__aexit__(None, None, None)
        finally:
            if connection is not None:
                connection.transport.abort()

    async def recv(self) -> dict[str, Any]:
        """The next frame; the last one of a broken connection is {"e": "error"}.

        The library's own `recv` waits with `asyncio.wait_for`, which in Python 3.11 may swallow a cancellation.
        """
        frame: dict[str, Any] = await self._queue.get()
        return frame

    def _handle_message(self, frame: str | bytes) -> dict[str, Any]:
        try:
            told = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return dict(BAD_FRAME)
        return told if isinstance(told, dict) and told else dict(BAD_FRAME)


def stream_socket(stream_url: str, streams: Sequence[str], *, open_timeout_s: float) -> StreamSocket:
    """A connection, not yet opened, to `streams`; environment proxies are not looked at."""
    return StreamSocket(
        url=stream_url.rstrip("/") + "/",
        prefix="stream?",
        path="streams=" + "/".join(quote(stream, safe="@!") for stream in streams),
        max_queue_size=_WAITING_FRAMES,
        proxy=None,
        open_timeout=open_timeout_s,
        max_size=_MAX_FRAME_BYTES,
    )


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
