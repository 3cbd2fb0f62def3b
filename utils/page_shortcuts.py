"""Page shortcuts: for an address that was answered before, which page answers it, without the way through Flask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple

from utils.page_bytes import Form

_MOST = 2_000


class Shortcut(NamedTuple):
    """Which page, which version of it, in which form. `rule` is the route that answered the address before."""

    key: tuple[Hashable, ...]
    version: Callable[[], str]
    version_age_s: float
    stale_s: float
    form: Form
    rule: str


class PageShortcuts:
    """Thread-safe. There can be any number of addresses, so the oldest half goes at times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, Shortcut] = {}

    def __contains__(self, address: Hashable) -> bool:
        return address in self._known

    def get(self, address: Hashable) -> Shortcut | None:
        return self._known.get(address)

    def learn(self, address: Hashable, shortcut: Shortcut) -> None:
        with self._lock:
            if len(self._known) >= _MOST:
                for old in list(self._known)[: _MOST // 2]:
                    del self._known[old]
            self._known[address] = shortcut

    def all(self) -> list[Shortcut]:
        with self._lock:
            return list(self._known.values())

    def clear(self) -> None:
        with self._lock:
            self._known.clear()
