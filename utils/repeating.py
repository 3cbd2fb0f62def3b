"""Repeating: something done every few seconds in a thread of its own, until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Repeating:
    """Calls `work` every `period_s` seconds, from `start` to `close`; what `work` raises ends the thread."""

    def __init__(self, work: Callable[[], object], *, name: str, period_s: float, at_once: bool = False) -> None:
        """`at_once`: the first time when it is started, not a period later. `name` is the thread's."""
        self._work = work
        self._name = name
        self._period_s = period_s
        self._at_once = at_once
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Does nothing when running."""
        if self._thread is None:
            self._ending.clear()
            self._thread = threading.Thread(target=self._repeat, name=self._name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Returns when the work that is being done is done."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            thread.join()

    def _repeat(self) -> None:
        if self._at_once:
            self._work()
        while not self._ending.wait(self._period_s):
            self._work()
