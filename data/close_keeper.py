"""CloseKeeper: stores what the streams have told is closed, a moment later and behind the readers' backs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from data.candles import Candles

_CALM_S = 0.25
"""At a full minute hundreds of markets close within this time: storing the first would keep the last from the readers,
since both want the interpreter."""


class CloseKeeper:
    """One thread, from `start` to `close`. What is not stored by then is asked for by the next start."""

    def __init__(self, keep: Callable[[Sequence[Candles]], object], *, calm_s: float = _CALM_S) -> None:
        self._keep = keep
        self._calm_s = calm_s
        self._waiting: list[Candles] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._worker: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._closing.clear()
        with self._lock:
            self._waiting = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="market-feed-store")

    def close(self) -> None:
        """Does not wait for what is being stored."""
        self._closing.set()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=False, cancel_futures=True)

    def put(self, closes: Sequence[Candles]) -> None:
        """Returns at once."""
        with self._lock:
            expected = bool(self._waiting)
            self._waiting += closes
        worker = self._worker
        if worker is not None and closes and not expected:
            with suppress(RuntimeError):  # the feed is ending
                worker.submit(self._store)

    def _store(self) -> None:
        self._closing.wait(self._calm_s)
        with self._lock:
            closes, self._waiting = self._waiting, []
        if not self._closing.is_set():
            self._keep(closes)
