"""Redis debts: what a process could not tell the others while the server was away, to be made good on its return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

_MOST_KEYS = 64
"""Beyond so many, everything is owed at once."""


class RedisDebts:
    """Safe for many threads: one of them pays for all, and what it could not pay is owed again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._everything = False
        self._paying = False

    def __bool__(self) -> bool:
        return self._everything or bool(self._keys) or self._paying

    def owe(self, keys: Sequence[str]) -> None:
        with self._lock:
            self._keys.update(keys)
            self._everything = self._everything or len(self._keys) > _MOST_KEYS

    def owe_everything(self) -> None:
        with self._lock:
            self._everything = True

    def pay(self, tell: Callable[[str], bool], tell_everything: Callable[[], bool]) -> bool:
        """True when nothing is owed any more. Both answer whether the server was told; everything includes each key.

        What another thread is paying is still owed: False.
        """
        with self._lock:
            if self._paying:
                return False
            self._paying = True
            keys, everything = self._keys, self._everything
            self._keys, self._everything = set(), False
        try:
            if everything and tell_everything():
                keys, everything = set(), False
            elif not everything:
                for key in list(keys):
                    if tell(key):
                        keys.discard(key)
        finally:
            self.owe(list(keys))
            if everything:
                self.owe_everything()
            self._paying = False
        return not self
