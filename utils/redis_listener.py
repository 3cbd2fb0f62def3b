"""Redis listener: one thread that hears what other processes say, and knows when it does not hear."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from utils.redis_connection import RedisConnection

log = logging.getLogger(__name__)

FAREWELL = b""
_PATIENCE_S = 0.5
"""Silence after which the server is asked for a sign of life; a second silence and the connection is given up."""
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class RedisListener:
    """Calls `on_message(bytes)` for each message, `on_loss()` whenever messages may have been missed from now on,
    `on_return()` when they are heard again, and `on_silence()` twice a second while nobody says anything."""

    def __init__(
        self,
        connection: RedisConnection,
        channel: str,
        *,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[], None],
        on_return: Callable[[], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._on_message = on_message
        self._on_loss = on_loss
        self._on_return = on_return
        self._on_silence = on_silence
        self._stopping = threading.Event()
        self._heard = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def hears(self) -> bool:
        return self._heard.is_set()

    def wait_until_heard(self, timeout_s: float) -> bool:
        return self._heard.wait(timeout_s)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="redis-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends at the next message, which is sent for that purpose, or when its patience is over."""
        self._stopping.set()
        if self.hears:
            self._connection.ask(lambda client: client.publish(self._channel, FAREWELL))
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._listen()
                failures = 0
            except (RedisError, OSError) as error:
                failures = 0 if self.hears else failures + 1
                log.log(logging.WARNING if failures < 2 else logging.DEBUG, "Redis is not heard: %s", error)
            finally:
                self._lose()
            self._stopping.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    def _listen(self) -> None:
        subscription = self._connection.subscription()
        try:
            subscription.subscribe(self._channel)
            asked = False
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=_PATIENCE_S)
                if message is not None:
                    self._take(message)
                    asked = False
                elif asked:
                    raise TimeoutError("no sign of life")
                else:
                    subscription.ping()
                    asked = True
                    self._on_silence()
        finally:
            subscription.close()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._on_return()
            self._heard.set()
        elif message["type"] == "message" and message["data"] != FAREWELL:
            self._on_message(message["data"])

    def _lose(self) -> None:
        if self._heard.is_set():
            self._heard.clear()
            self._on_loss()
