"""Repeating: something done every few seconds in a thread of its own, until it is closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from utils.errors import DashboardError

log = logging.getLogger(__name__)


def tried(work: Callable[[], object], name: str) -> bool:
    """Whether `work` was done. What it raises is logged: who does something again and again must outlive one failure,
    or the dashboard would go on without it and nobody would know."""
    try:
        work()
    except DashboardError as error:
        log.warning("%s: %s; trying again", name, error)
        return False
    except Exception:
        log.exception("%s: an unforeseen error; trying again", name)
        return False
    return True


class Repeating:
    """Calls `work` every `period_s` seconds, from `start` to `close`, whatever it raises (see `tried`)."""

    def __init__(
        self,
        work: Callable[[], object],
        *,
        name: str,
        period_s: float | Callable[[], float],
        at_once: bool = False,
    ) -> None:
        """`at_once`: the first time when it is started, not a period later. `name` is the thread's.
        A `period_s` that can be called is asked for each pause."""
        self._work = work
        self._name = name
        self._period_s = period_s if callable(period_s) else lambda: period_s
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
            tried(self._work, self._name)
        while not self._ending.wait(self._period_s()):
            tried(self._work, self._name)
