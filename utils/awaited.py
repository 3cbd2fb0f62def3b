"""Awaited: who waits for news of what, so that each is woken when some comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Awaited:
    """Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, list[threading.Event]] = {}

    @contextmanager
    def waiting(self, name: str) -> Iterator[threading.Event]:
        """The event is set at each news of that name while the block lasts."""
        event = threading.Event()
        with self._lock:
            self._events.setdefault(name, []).append(event)
        try:
            yield event
        finally:
            with self._lock:
                self._events[name].remove(event)
                if not self._events[name]:
                    del self._events[name]

    def wake(self, name: str) -> None:
        with self._lock:
            for event in self._events.get(name, ()):
                event.set()
