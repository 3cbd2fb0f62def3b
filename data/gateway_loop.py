"""LoopThread: one asyncio event loop in one thread, to which other threads submit their work."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_LAST_ROUNDS = 10
_CANCELLATIONS = 3
_CLEANING_UP_S = 1.5
_LAG_EVERY_S = 0.5
_LAGS_KEPT = 120


class LoopLag:
    """How late a loop runs what it was asked to run twice a second: written by its thread, read by anyone."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_LAGS_KEPT)

    @property
    def last_s(self) -> float:
        return self._seen[-1] if self._seen else 0.0

    @property
    def max_s(self) -> float:
        """The worst of the last minute."""
        return max(self._seen.copy(), default=0.0)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """To be called in the loop; goes on for as long as it runs."""
        self._ask(loop, loop.time() + _LAG_EVERY_S)

    def _ask(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        loop.call_at(due_s, self._look, loop, due_s)

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self._seen.append(max(0.0, now_s - due_s))
        self._ask(loop, now_s + _LAG_EVERY_S)


class LoopThread:
    """Started and closed once each; closing cancels what still runs and waits for its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.lag = LoopLag()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._loop is not None

    def start(self) -> None:
        """Does nothing when running."""
        with self._lock:
            if self._loop is not None:
                return
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._loop = loop
            self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Raises RuntimeError, and never starts `work`, when the loop is not running."""
        with self._lock:
            if self._loop is None:
                work.close()
                raise RuntimeError(f"{self._name} is not running")
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, timeout_s: float = 5.0) -> None:
        """Cancels every task, lets each clean up, and ends the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is None or thread is None:
                return
            asyncio.run_coroutine_threadsafe(_cancel_everything(loop), loop)
        thread.join(timeout_s)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        self.lag.watch(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(_transports_closed())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _transports_closed() -> None:
    """A transport that was told to close does so in one of the loop's next rounds."""
    for _ in range(_LAST_ROUNDS):
        await asyncio.sleep(0)


async def _cancel_everything(loop: asyncio.AbstractEventLoop) -> None:
    try:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for _ in range(_CANCELLATIONS):
            for task in others:
                task.cancel()
            if not others or not (await asyncio.wait(others, timeout=_CLEANING_UP_S))[1]:
                break
    finally:
        loop.call_soon(loop.stop)
