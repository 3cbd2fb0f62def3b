"""LoopThread: one asyncio event loop in one thread, to which other threads submit their work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_LAST_ROUNDS = 10
_CANCELLATIONS = 3
_CLEANING_UP_S = 1.5


class LoopThread:
    """Started and closed once each; closing cancels what still runs and waits for its end."""

    def __init__(self, name: str) -> None:
        self._name = name
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
