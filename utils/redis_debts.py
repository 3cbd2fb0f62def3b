"""Redis debts: what a process could not tell the others while the server was away, to be made good on its return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

_MOST_KEYS = 64
"""Beyond so many, everything is owed at once."""


class RedisDebts:
    """Safe for many threads: each debt is taken by one of them, and taken back where it cannot be paid."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._everything = False

    def __bool__(self) -> bool:
        return self._everything or bool(self._keys)

    def owe(self, keys: Sequence[str]) -> None:
        with self._lock:
            self._keys.update(keys)
            self._everything = self._everything or len(self._keys) > _MOST_KEYS

    def owe_everything(self) -> None:
        with self._lock:
            self._everything = True

    def pay(self, tell: Callable[[str], bool], tell_everything: Callable[[], bool]) -> bool:
        """True when nothing is owed any more. Both answer whether the server was told; everything includes each key."""
        with self._lock:
            keys, everything = list(self._keys), self._everything
            self._keys, self._everything = set(), False
        if everything and tell_everything():
            return True
        if not everything:
            keys = [key for key in keys if not tell(key)]
        self.owe(keys)
        if everything:
            self.owe_everything()
        return not keys and not everything
