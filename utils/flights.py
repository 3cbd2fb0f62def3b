"""Flights: loads under way, so that whoever asks for what is being loaded waits for it instead of loading it again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any


class Flight:
    """One load under way: its owner, and what became of it for those who wait."""

    __slots__ = ("_done", "_owner", "error", "value")

    def __init__(self) -> None:
        self._owner = threading.get_ident()
        self._done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def is_my_own(self) -> bool:
        """Whether the thread that asks is the one that loads: it would wait for itself."""
        return self._owner == threading.get_ident()

    def land(self) -> None:
        self._done.set()

    def result(self) -> Any:
        """Waits for the load; raises what it raised."""
        self._done.wait()
        if self.error is not None:
            raise self.error
        return self.value


class Flights:
    """At most one load per key. All but `landing` is called under the owner's `lock`."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._by_key: dict[Hashable, Flight] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._by_key)

    def join(self, key: Hashable) -> tuple[Flight, bool]:
        """The load of that key, and whether it is the caller's to do."""
        flight = self._by_key.get(key)
        if flight is not None:
            return flight, False
        flight = self._by_key[key] = Flight()
        return flight, True

    def counts(self, key: Hashable, flight: Flight) -> bool:
        """Whether what was loaded may be kept: nothing has been said of the key since the load began."""
        return self._by_key.get(key) is flight

    def forget(self, key: Hashable) -> None:
        """What is loaded goes to those who wait and to nobody else; the next caller loads anew."""
        self._by_key.pop(key, None)

    def forget_all(self, is_meant: Callable[[Hashable], bool]) -> None:
        for key in [*filter(is_meant, self._by_key)]:
            del self._by_key[key]

    @contextmanager
    def landing(self, key: Hashable, flight: Flight) -> Iterator[None]:
        """Whatever happens inside, nobody waits for ever."""
        try:
            yield
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                if self.counts(key, flight):
                    self.forget(key)
            flight.land()
